// Package lightmon is the SDK for lightmon plugins in Go. It passes each connection to a [Plugin] and returns the plugin's
// verdict to lightmon. The package is copied into the project of a plugin, and needs only the standard library.
//
//	type noDNS struct{}
//
//	func (noDNS) Init(settings lightmon.Settings) (lightmon.Setup, error) {
//		return lightmon.Setup{}, settings.Decode(&struct{}{})
//	}
//
//	func (noDNS) Event(event *lightmon.Event, verdict *lightmon.Verdict) {
//		if event.DestinationPort == 53 {
//			verdict.Drop()
//		}
//	}
//
//	func init() { lightmon.Register(noDNS{}) }
//
//	func main() {} // is never called
package lightmon

// Plugin is the interface that a plugin implements.
type Plugin interface {
	// Init is called once, before the first event. If it returns an error, lightmon prints its text and does not start.
	Init(settings Settings) (Setup, error)
	// Event is called for each event. The event passes unchanged unless Event calls a method of verdict.
	Event(event *Event, verdict *Verdict)
}

// Batcher is a [Plugin] that processes whole batches, for example to look up many addresses in one call.
type Batcher interface {
	// Batch is called instead of Event; verdicts[i] is for events[i].
	Batch(events []Event, verdicts []Verdict)
}

// Ticker is a [Plugin] that is called periodically, also while there are no events.
type Ticker interface {
	// Period returns the interval between two ticks in milliseconds, at least 100; 0 disables ticks. It is called once,
	// after Init.
	Period() uint32
	// Tick is called once in each period. nowNs is the time in nanoseconds since 1970-01-01 UTC; in a replay, the time of
	// the events.
	Tick(nowNs uint64) []Report
}

// Stopper is a [Plugin] that is called at the end.
type Stopper interface {
	// Stop is called once, before lightmon exits or before a reload replaces the instance.
	Stop(nowNs uint64) []Report
}

// Report is a record of the plugin's own, such as a total. lightmon writes it among the events.
type Report struct {
	Name   string
	Fields []Pair
}

// Setup is what a plugin requests from lightmon.
type Setup struct {
	// Needs are the optional fields that lightmon fills in. Each requested field costs time for each event.
	Needs Fields
	// When is an expression in lightmon's exclude language. The plugin receives only events that match the expression. An
	// empty expression means all events.
	When string
	// Kinds are the values of [Event.Kind] that the plugin supports. An empty list means connections only.
	Kinds []uint8
}

// Fields are the parts of an [Event] that a plugin must request.
type Fields uint8

const (
	// NeedProcess requests Event.Process with User, Comm and Path.
	NeedProcess Fields = 1 << iota
	// NeedArgs requests Process.Args.
	NeedArgs
	// NeedParents requests Process.Parents.
	NeedParents
	// NeedContainer requests Event.Container with ID, Name and Image.
	NeedContainer
	// NeedLabels requests Container.Labels.
	NeedLabels
	// NeedTags requests Event.Tags.
	NeedTags
	// NeedDName requests Event.DName.
	NeedDName
	// NeedExtra requests Event.Extra.
	NeedExtra
)

var plugin Plugin

// Register registers the plugin. Call it in an init function: main is never called.
func Register(p Plugin) { plugin = p }

// Verdict is the decision on one event.
type Verdict struct {
	Actions []Action
}

// Action is one change of a [Verdict].
type Action struct {
	What ActionKind
	// Name is the tag's key, or the field that is set.
	Name string
	// Text is the tag's value, the field's new text, or the line.
	Text string
}

// ActionKind is the kind of an [Action].
type ActionKind uint8

const (
	// Drop drops the event.
	Drop ActionKind = iota
	// Tag adds a tag, or replaces the tag that has the same key.
	Tag
	// Set replaces the text of a field.
	Set
	// Line replaces the output line.
	Line
)

// Drop drops the event.
func (v *Verdict) Drop() { v.Actions = append(v.Actions, Action{What: Drop}) }

// Tag adds a tag, or replaces the tag that has the same key. Key and value together have at most 128 bytes.
func (v *Verdict) Tag(key, value string) {
	v.Actions = append(v.Actions, Action{What: Tag, Name: key, Text: value})
}

// Set replaces the text of a field that exists: user, comm, path, args/N, container, image, labels/KEY, tags/KEY.
func (v *Verdict) Set(field, text string) {
	v.Actions = append(v.Actions, Action{What: Set, Name: field, Text: text})
}

// Line replaces the output line.
func (v *Verdict) Line(text string) {
	v.Actions = append(v.Actions, Action{What: Line, Text: text})
}
