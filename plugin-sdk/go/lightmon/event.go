package lightmon

import (
	"net/netip"
	"strconv"
)

// Event is a connection. A plugin may keep the strings of an event, but each string keeps the memory of its whole batch
// alive. Use strings.Clone for strings that the plugin keeps for long.
type Event struct {
	// TimeNs is when the connection began, in nanoseconds since 1970-01-01 UTC.
	TimeNs uint64
	// LatencyNs is the time from the beginning of the connection to its outcome. It is valid if HasLatency is true.
	LatencyNs  uint64
	HasLatency bool
	// Source and Destination are unmapped: an IPv4-mapped IPv6 address is an IPv4 address here.
	Source, Destination         netip.Addr
	SourcePort, DestinationPort uint16
	// PID is the process id; TID is the id of the thread that connected.
	PID, TID, UID, GID uint32
	// Process is nil if the plugin did not request it.
	Process *Process
	// Container is nil if the plugin did not request it, or if the process runs in no container.
	Container *Container
	// DName is the host name that was resolved to the destination address; empty if not known.
	DName string
	// Tags are the tags set by earlier plugins.
	Tags Pairs
	// Extra holds fields added after this version of the contract, such as `pod.name`. wit/v0.1/plugin.wit lists all keys.
	Extra Pairs
	// Errno is the Linux errno that the connection ended with; 0 if there was no error.
	Errno uint16
	// Kind is 1 for a connection; later versions may add kinds.
	Kind     uint8
	Protocol Protocol
	Outcome  Outcome
}

// Process is a process as it was when it connected. Events of the same process share it within a batch.
type Process struct {
	// User is empty if the uid has no name.
	User, Comm string
	// Path is empty if not known.
	Path string
	// Args is nil if the plugin did not request it or if it is not known. An empty list is not nil.
	Args []string
	// Parents are the ancestors, the nearest first.
	Parents []Parent
}

// Parent is an ancestor of a process.
type Parent struct {
	PID        uint32
	Comm, Path string
}

// Container is a container. Name and Image are empty if no container runtime supplied them.
type Container struct {
	ID, Name, Image string
	Labels          Pairs
}

// Pair is a key and its value.
type Pair struct{ Key, Value string }

// Pairs are tags or labels, in the order of the contract.
type Pairs []Pair

// Get returns the value of a key, and whether the key is there.
func (pairs Pairs) Get(key string) (string, bool) {
	for _, pair := range pairs {
		if pair.Key == key {
			return pair.Value, true
		}
	}
	return "", false
}

// Protocol is an IANA protocol number. Expect numbers other than the constants.
type Protocol uint8

const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String returns tcp, udp, or the number.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

// Outcome is how a connection ended. Later versions may add outcomes: expect numbers other than the constants.
type Outcome uint8

const (
	Established Outcome = iota + 1
	// Connected means connect(2) on a UDP socket.
	Connected
	Refused
	Reset
	TimedOut
	Unreachable
	Denied
	AddressUnavailable
	Aborted
	// Failed means any other errno.
	Failed
	// Pending means no answer after one second. A second event reports the outcome.
	Pending
	// Sent means UDP without connect(2).
	Sent
)

var outcomes = [...]string{
	"established", "connected", "refused", "reset", "timed-out", "unreachable",
	"denied", "address-unavailable", "aborted", "failed", "pending", "sent",
}

// String returns the word for the outcome in lightmon's output, or unknown.
func (o Outcome) String() string {
	if o < 1 || int(o) > len(outcomes) {
		return "unknown"
	}
	return outcomes[o-1]
}
