package lightmon

import "errors"

// Functions of the host. In `go test` there is no host: see native.go.

// Level is the level of a message.
type Level uint8

const (
	Error Level = iota + 1
	Warning
	Info
	Debug
)

// Log writes a message to lightmon's log. lightmon discards and counts messages beyond 20 a second.
func Log(level Level, text string) { hostLog(level, text) }

// Count adds to a counter that lightmon shows in its summary. A plugin has at most 64 counters.
func Count(name string, delta uint64) { hostCount(name, delta) }

// Get reads a key from the plugin's key-value store. The store outlives the instance: its entries survive a fault and a
// reload, until lightmon exits.
func Get(key string) (string, bool) { return hostGet(key) }

// Put sets a key in the store. It returns false if the store is full: it holds 1 MiB, keys included.
func Put(key, value string) bool { return hostPut(key, value) }

// Delete removes a key from the store.
func Delete(key string) { hostDelete(key) }

// Table is a lookup table that the user granted (table.NAME=FILE).
type Table struct{ handle uint32 }

// OpenTable opens a granted table. column selects the value of a lookup: a path such as country/iso_code in MMDB, a column
// name in CSV. If column is empty, a lookup returns the whole entry as JSON.
func OpenTable(name, column string) (Table, error) {
	handle, reason := hostOpen(name, column)
	if reason != "" {
		return Table{}, errors.New(reason)
	}
	return Table{handle}, nil
}

// Entry is the result of a lookup. Text is empty if Found is false.
type Entry struct {
	Text  string
	Found bool
}
