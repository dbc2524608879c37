package lightmon

import "errors"

// What the host offers besides events. In `go test` there is no host: see native.go.

// Level says how much a message matters.
type Level uint8

const (
	Error Level = iota + 1
	Warning
	Info
	Debug
)

// Log writes a message to where lightmon's own go; more than 20 a second are left out, and counted.
func Log(level Level, text string) { hostLog(level, text) }

// Count adds to a counter that lightmon shows in its summary; there are 64 at most.
func Count(name string, delta uint64) { hostCount(name, delta) }

// Get reads what the plugin has put into its memory that outlives the instance: it is there again after a fault, and after
// the plugin's file has changed.
func Get(key string) (string, bool) { return hostGet(key) }

// Put writes it. False when there is no room: 1 MiB for all, keys included.
func Put(key, value string) bool { return hostPut(key, value) }

// Delete forgets it.
func Delete(key string) { hostDelete(key) }

// Table is a look-up file that the user has granted (table.NAME=FILE).
type Table struct{ handle uint32 }

// OpenTable opens one. Column chooses what a look-up gives: country/iso_code in MMDB, the column's name in CSV; empty is all
// of it, as JSON.
func OpenTable(name, column string) (Table, error) {
	handle, reason := hostOpen(name, column)
	if reason != "" {
		return Table{}, errors.New(reason)
	}
	return Table{handle}, nil
}

// Entry is what a look-up gives, if anything.
type Entry struct {
	Text  string
	Found bool
}
