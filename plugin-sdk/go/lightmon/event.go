package lightmon

import (
	"net/netip"
	"strconv"
)

// Event is a connection. Its texts may be kept, but each of them holds the memory of its whole batch: strings.Clone what
// is to stay for long.
type Event struct {
	// TimeNs is when the connection was begun, in nanoseconds since 1970-01-01 UTC.
	TimeNs uint64
	// LatencyNs is the time from the beginning to the outcome, if HasLatency.
	LatencyNs  uint64
	HasLatency bool
	// Source and Destination are unmapped: an IPv4 address is one, also when it came in IPv6 clothes.
	Source, Destination         netip.Addr
	SourcePort, DestinationPort uint16
	// PID is the thread group, what user space calls the process; TID is the thread that connected.
	PID, TID, UID, GID uint32
	// Process is nil when it was not asked for.
	Process *Process
	// Container is nil when it was not asked for, or there is none.
	Container *Container
	// DName is the name that the destination was looked up by; empty when it is not known.
	DName string
	// Tags are what earlier plugins have tagged.
	Tags Pairs
	// Extra is what came after this version of the contract, such as `pod.name`: wit/v0.1/plugin.wit has all keys.
	Extra Pairs
	// Errno is 0, or what the connection ended with (Linux numbers).
	Errno uint16
	// Kind is 1 for a connection; more may come.
	Kind     uint8
	Protocol Protocol
	Outcome  Outcome
}

// Process is a process as it was when it connected. Events of the same process share it within a batch.
type Process struct {
	// User is empty when the uid has no name.
	User, Comm string
	// Path is empty when it is not known.
	Path string
	// Args is nil when it was not asked for or is not known; a list without any is not nil.
	Args []string
	// Parents are the ancestors, the nearest first.
	Parents []Parent
}

// Parent is an ancestor of a process.
type Parent struct {
	PID        uint32
	Comm, Path string
}

// Container is a container. Name and Image are empty when no runtime has told them.
type Container struct {
	ID, Name, Image string
	Labels          Pairs
}

// Pair is a key with its value.
type Pair struct{ Key, Value string }

// Pairs are tags or labels, in their order.
type Pairs []Pair

// Get is the value of that key, if it is there.
func (pairs Pairs) Get(key string) (string, bool) {
	for _, pair := range pairs {
		if pair.Key == key {
			return pair.Value, true
		}
	}
	return "", false
}

// Protocol is an IANA number; there may be others than these.
type Protocol uint8

const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String is tcp, udp, or the number.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

// Outcome is how a connection ended; there may be others than these.
type Outcome uint8

const (
	Established Outcome = iota + 1
	// Connected is a UDP socket that got its peer.
	Connected
	Refused
	Reset
	TimedOut
	Unreachable
	Denied
	AddressUnavailable
	Aborted
	// Failed is any other errno.
	Failed
	// Pending is no answer after a second; the event comes again with its outcome.
	Pending
	// Sent is UDP without a peer.
	Sent
)

var outcomes = [...]string{
	"established", "connected", "refused", "reset", "timed-out", "unreachable",
	"denied", "address-unavailable", "aborted", "failed", "pending", "sent",
}

// String is lightmon's word for it, or unknown.
func (o Outcome) String() string {
	if o < 1 || int(o) > len(outcomes) {
		return "unknown"
	}
	return outcomes[o-1]
}
