//go:build wasip1

package lightmon

import (
	"net/netip"
	"unsafe"
)

// The linker omits imports that the plugin does not use.

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

func hostLog(level Level, text string)    { importLog(uint32(level), text) }
func hostCount(name string, delta uint64) { importAdd(name, delta) }
func hostPut(key, value string) bool      { return importSet(key, value) }
func hostDelete(key string)               { importDelete(key) }

func hostGet(key string) (string, bool) {
	answer := alloc(4, uint32(unsafe.Sizeof(maybeText{})))
	importGet(key, answer)
	value := (*maybeText)(answer)
	return value.string(), value.some != 0
}

// result<u32, string>: payload.at is the table if there is no error; otherwise payload is the error text.
type openAnswer struct {
	isError uint8
	payload rawText
}

func hostOpen(name, column string) (uint32, string) {
	memory := alloc(4, uint32(unsafe.Sizeof(openAnswer{})))
	importOpen(name, column, memory)
	answer := (*openAnswer)(memory)
	if answer.isError != 0 {
		return 0, answer.payload.string()
	}
	return answer.payload.at, ""
}

// Addresses returns, for each address, the entry of the longest matching network. One call for a whole batch is faster than
// many calls.
func (t Table) Addresses(addresses []netip.Addr) []Entry {
	list, raw := newList[rawIP](len(addresses))
	for i, address := range addresses {
		list[i] = rawOf(address)
	}
	return entries(func(answer unsafe.Pointer) { importLookupIP(t.handle, raw.at, raw.len, answer) })
}

// Names returns, for each name, its own entry, or else the entry of its longest parent domain.
func (t Table) Names(names []string) []Entry {
	list, raw := newList[rawText](len(names))
	for i, name := range names {
		list[i] = newText(name)
	}
	return entries(func(answer unsafe.Pointer) { importLookupName(t.handle, raw.at, raw.len, answer) })
}

// entries calls lookup with the address for its result, and converts the result.
func entries(lookup func(answer unsafe.Pointer)) []Entry {
	answer := alloc(4, uint32(unsafe.Sizeof(rawList{})))
	lookup(answer)
	raw := items[maybeText](*(*rawList)(answer))
	entries := make([]Entry, len(raw))
	for i, entry := range raw {
		entries[i] = Entry{entry.string(), entry.some != 0}
	}
	return entries
}
