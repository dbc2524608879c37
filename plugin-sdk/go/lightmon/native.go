//go:build !wasip1

package lightmon

import "net/netip"

// The host in `go test`. Messages, counters and the key-value store are here, so that a test can read them. There are no
// tables.
var (
	Messages []string
	Counters = map[string]uint64{}
	Memory   = map[string]string{}
)

func hostLog(_ Level, text string)             { Messages = append(Messages, text) }
func hostCount(name string, delta uint64)      { Counters[name] += delta }
func hostGet(key string) (string, bool)        { value, found := Memory[key]; return value, found }
func hostPut(key, value string) bool           { Memory[key] = value; return true }
func hostDelete(key string)                    { delete(Memory, key) }
func hostOpen(name, _ string) (uint32, string) { return 0, "there are no tables in tests" }

// Addresses returns no entries.
func (Table) Addresses(addresses []netip.Addr) []Entry { return make([]Entry, len(addresses)) }

// Names returns no entries.
func (Table) Names(names []string) []Entry { return make([]Entry, len(names)) }
