//go:build !wasip1

package lightmon

import "net/netip"

// In `go test`: counters and memory are kept here, where a test can look at them. Messages are kept too. Tables are empty.
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

// Addresses looks each of them up.
func (Table) Addresses(addresses []netip.Addr) []Entry { return make([]Entry, len(addresses)) }

// Names looks each of them up.
func (Table) Names(names []string) []Entry { return make([]Entry, len(names)) }
