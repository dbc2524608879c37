//go:build wasip1

package lightmon

import (
	"encoding/binary"
	"net/netip"
	"unsafe"
)

// The host's data lies in memory that it asks for with cabi_realloc. That memory is Go's, and is never used twice: a string that
// points into it is a Go string like others, and the garbage collector takes the memory back when nobody points there any more. Until the
// call ends, `pinned` does.

var (
	pinned [][]byte
	slab   []byte
)

const slabSize = 64 << 10

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	at := take(align, size)
	if old != 0 {
		copy(unsafe.Slice((*byte)(at), size), unsafe.Slice((*byte)(pointer(old)), oldSize))
	}
	return address(at)
}

// take gives zeroed memory that stays in its place until the call ends.
func take(align, size uint32) unsafe.Pointer {
	used := (uint32(len(slab)) + align - 1) &^ (align - 1)
	if uint64(used)+uint64(size) > uint64(cap(slab)) {
		// Larger objects than 32 KiB begin on a page, so any alignment is right.
		slab = make([]byte, 0, max(slabSize, size))
		pinned = append(pinned, slab)
		used = 0
	}
	slab = slab[:used+size]
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(slab)), used)
}

func callEnds() {
	clear(pinned)
	pinned, slab = pinned[:0], nil
}

// In wasm a pointer is 32 bits wide, in Go's memory 64.
func pointer(address uint32) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), address) }
func address(p unsafe.Pointer) uint32       { return uint32(uintptr(p)) }

// The records of the contract as they lie in memory (canonical ABI).
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

// A wrong size is a constant that overflows here.
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

// lie puts a text into memory of the call, where the garbage collector doesn't take it.
func lie(text string) rawText {
	if text == "" {
		return rawText{}
	}
	memory := take(1, uint32(len(text)))
	copy(unsafe.Slice((*byte)(memory), len(text)), text)
	return rawText{address(memory), uint32(len(text))}
}

// items are a list as it lies there.
func items[T any](list rawList) []T {
	if list.len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(list.at)), list.len)
}

// lay takes memory for a list that is to be answered.
func lay[T any](len int) ([]T, rawList) {
	var item T
	if len == 0 {
		return nil, rawList{}
	}
	memory := take(8, uint32(len)*uint32(unsafe.Sizeof(item)))
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
