//go:build wasip1

package lightmon

import (
	"net/netip"
	"unsafe"
)

// What is not used, the linker leaves out.

//go:wasmimport lightmon:plugin/log@0.1.0 log
func importLog(level uint32, text string)

//go:wasmimport lightmon:plugin/counter@0.1.0 add
func importAdd(name string, delta uint64)

//go:wasmimport lightmon:plugin/kv@0.1.0 get
func importGet(key string, answer unsafe.Pointer)

//go:wasmimport lightmon:plugin/kv@0.1.0 set
func importSet(key, value string) bool

//go:wasmimport lightmon:plugin/kv@0.1.0 delete
func importDelete(key string)

//go:wasmimport lightmon:plugin/tables@0.1.0 open
func importOpen(name, column string, answer unsafe.Pointer)

//go:wasmimport lightmon:plugin/tables@0.1.0 lookup-ip
func importLookupIP(table, addresses, len uint32, answer unsafe.Pointer)

//go:wasmimport lightmon:plugin/tables@0.1.0 lookup-name
func importLookupName(table, names, len uint32, answer unsafe.Pointer)

func hostLog(level Level, text string)        { importLog(uint32(level), text) }
func hostCount(name string, delta uint64)     { importAdd(name, delta) }
func hostPut(key, value string) (isKept bool) { return importSet(key, value) }
func hostDelete(key string)                   { importDelete(key) }

func hostGet(key string) (string, bool) {
	answer := take(4, uint32(unsafe.Sizeof(maybeText{})))
	importGet(key, answer)
	value := (*maybeText)(answer)
	return value.string(), value.some != 0
}

// result<u32, string>: payload.at is the table, or payload is the reason.
type openAnswer struct {
	isError uint8
	payload rawText
}

func hostOpen(name, column string) (uint32, string) {
	place := take(4, uint32(unsafe.Sizeof(openAnswer{})))
	importOpen(name, column, place)
	answer := (*openAnswer)(place)
	if answer.isError != 0 {
		return 0, answer.payload.string()
	}
	return answer.payload.at, ""
}

// Addresses looks each of them up: the entry of the longest network that it is in. One call for a whole batch is cheaper
// than many.
func (t Table) Addresses(addresses []netip.Addr) []Entry {
	list, raw := lay[rawIP](len(addresses))
	for i, address := range addresses {
		list[i] = rawOf(address)
	}
	place := take(4, uint32(unsafe.Sizeof(rawList{})))
	importLookupIP(t.handle, raw.at, raw.len, place)
	return entries(place)
}

// Names looks each of them up: its entry, or that of the longest domain that it is in.
func (t Table) Names(names []string) []Entry {
	list, raw := lay[rawText](len(names))
	for i, name := range names {
		list[i] = lie(name)
	}
	place := take(4, uint32(unsafe.Sizeof(rawList{})))
	importLookupName(t.handle, raw.at, raw.len, place)
	return entries(place)
}

func entries(place unsafe.Pointer) []Entry {
	raw := items[maybeText](*(*rawList)(place))
	entries := make([]Entry, len(raw))
	for i, entry := range raw {
		entries[i] = Entry{entry.string(), entry.some != 0}
	}
	return entries
}
