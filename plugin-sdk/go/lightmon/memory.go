//go:build wasip1

package lightmon

import (
	"encoding/binary"
	"net/netip"
	"unsafe"
)

// The host allocates memory for its data with cabi_realloc. The memory comes from Go's heap and is not reused after a call, so
// a Go string may point into it. The garbage collector frees the memory when nothing points to it. Until the call ends,
// `pinned` points to it.

var (
	pinned [][]byte
	slab   []byte
)

const slabBytes = 64 << 10

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	at := alloc(align, size)
	if old != 0 {
		copy(unsafe.Slice((*byte)(at), size), unsafe.Slice((*byte)(pointer(old)), oldSize))
	}
	return address(at)
}

// alloc returns zeroed memory that does not move until the call ends.
func alloc(align, size uint32) unsafe.Pointer {
	used := (uint32(len(slab)) + align - 1) &^ (align - 1)
	if uint64(used)+uint64(size) > uint64(cap(slab)) {
		// Objects larger than 32 KiB start on a page boundary, so they satisfy any alignment.
		slab = make([]byte, 0, max(slabBytes, size))
		pinned = append(pinned, slab)
		used = 0
	}
	slab = slab[:used+size]
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(slab)), used)
}

func endCall() {
	clear(pinned)
	pinned, slab = pinned[:0], nil
}

// A WebAssembly address has 32 bits; in Go's memory a pointer takes 64.
func pointer(address uint32) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), address) }
func address(p unsafe.Pointer) uint32       { return uint32(uintptr(p)) }

// The records of the contract in the memory layout of the canonical ABI.
type (
	rawText struct{ at, len uint32 }
	rawList struct{ at, len uint32 }
	rawIP   struct{ hi, lo uint64 }

	maybeText struct {
		some uint8
		text rawText
	}
	maybeList struct {
		some uint8
		list rawList
	}
	maybeU32 struct {
		some  uint8
		value uint32
	}
	maybeU64 struct {
		some  uint8
		value uint64
	}
	rawPair   struct{ key, value rawText }
	rawParent struct {
		pid  uint32
		comm rawText
		path maybeText
	}
	rawProcess struct {
		user, comm    rawText
		path          maybeText
		args, parents maybeList
	}
	rawContainer struct {
		id, name, image rawText
		labels          maybeList
	}
	rawEvent struct {
		timeNs                      uint64
		latencyNs                   maybeU64
		source, destination         rawIP
		pid, tid, uid, gid          uint32
		process, container          maybeU32
		dname                       maybeText
		tags, extra                 maybeList
		sourcePort, destinationPort uint16
		errno                       uint16
		kind, protocol, outcome     uint8
	}
)

// Compile-time checks: if a size or offset is wrong, one of these constants overflows.
const (
	_ = -uint(unsafe.Sizeof(rawEvent{}) ^ 136)
	_ = -uint(unsafe.Offsetof(rawEvent{}.tags) ^ 100)
	_ = -uint(unsafe.Sizeof(rawProcess{}) ^ 52)
	_ = -uint(unsafe.Sizeof(rawContainer{}) ^ 36)
	_ = -uint(unsafe.Sizeof(rawParent{}) ^ 24)
)

func (t rawText) string() string {
	if t.len == 0 {
		return ""
	}
	return unsafe.String((*byte)(pointer(t.at)), t.len)
}

func (t maybeText) string() string {
	if t.some == 0 {
		return ""
	}
	return t.text.string()
}

// newText copies a text into the memory of the call, where the garbage collector does not free it.
func newText(text string) rawText {
	if text == "" {
		return rawText{}
	}
	memory := alloc(1, uint32(len(text)))
	copy(unsafe.Slice((*byte)(memory), len(text)), text)
	return rawText{address(memory), uint32(len(text))}
}

// items returns the list in memory as a slice, without a copy.
func items[T any](list rawList) []T {
	if list.len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(list.at)), list.len)
}

// newList allocates a list for a result or an argument, in the memory of the call.
func newList[T any](len int) ([]T, rawList) {
	var item T
	if len == 0 {
		return nil, rawList{}
	}
	memory := alloc(8, uint32(len)*uint32(unsafe.Sizeof(item)))
	return unsafe.Slice((*T)(memory), len), rawList{address(memory), uint32(len)}
}

func pairs(list maybeList) Pairs {
	if list.some == 0 {
		return nil
	}
	pairs := make(Pairs, list.list.len)
	for i, pair := range items[rawPair](list.list) {
		pairs[i] = Pair{pair.key.string(), pair.value.string()}
	}
	return pairs
}

func (ip rawIP) addr() netip.Addr {
	var bytes [16]byte
	binary.BigEndian.PutUint64(bytes[:8], ip.hi)
	binary.BigEndian.PutUint64(bytes[8:], ip.lo)
	return netip.AddrFrom16(bytes).Unmap()
}

func rawOf(ip netip.Addr) rawIP {
	bytes := ip.As16()
	return rawIP{binary.BigEndian.Uint64(bytes[:8]), binary.BigEndian.Uint64(bytes[8:])}
}
