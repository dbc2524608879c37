// Package lightmon is for plugins of lightmon: it hands each connection to a [Plugin], and takes back what is to be done
// with it. It is copied into a plugin's project, and needs nothing but the standard library.
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

// Plugin is what an author writes.
type Plugin interface {
	// Init is called once, before the first event. An error refuses to start, with its text.
	Init(settings Settings) (Setup, error)
	// Event is called for each event. What verdict is told nothing of passes unchanged.
	Event(event *Event, verdict *Verdict)
}

// Batcher is a [Plugin] that wants to know where a batch ends, such as to look many addresses up at once.
type Batcher interface {
	// Batch is called instead of Event; verdicts[i] is for events[i].
	Batch(events []Event, verdicts []Verdict)
}

// Ticker is a [Plugin] with something to say now and then, also while there are no events.
type Ticker interface {
	// Period is asked once, after Init: milliseconds from one Tick to the next, at least 100; 0 is never.
	Period() uint32
	// Tick is told the time in nanoseconds since 1970-01-01 UTC; in a replay it is the time of the events.
	Tick(nowNs uint64) []Report
}

// Stopper is a [Plugin] with last words.
type Stopper interface {
	// Stop is called once, before lightmon ends or another version of the plugin takes its place.
	Stop(nowNs uint64) []Report
}

// Report is something that a plugin has to say of its own; lightmon writes it among the events.
type Report struct {
	Name   string
	Fields []Pair
}

// Setup is what a plugin wants.
type Setup struct {
	// Needs is what is to be filled in of each event. What nobody asks for costs nothing.
	Needs Fields
	// When is an expression in lightmon's exclude language; only events that match it come. Empty: all of them.
	When string
	// Kinds are those of [Event.Kind] that the plugin knows; none is connections only.
	Kinds []uint8
}

// Fields are parts of an [Event] that have to be asked for.
type Fields uint8

const (
	// NeedProcess is for Event.Process with User, Comm and Path.
	NeedProcess Fields = 1 << iota
	// NeedArgs is for Process.Args.
	NeedArgs
	// NeedParents is for Process.Parents.
	NeedParents
	// NeedContainer is for Event.Container with ID, Name and Image.
	NeedContainer
	// NeedLabels is for Container.Labels.
	NeedLabels
	// NeedTags is for Event.Tags.
	NeedTags
	// NeedDName is for Event.DName.
	NeedDName
	// NeedExtra is for Event.Extra.
	NeedExtra
)

var plugin Plugin

// Register says which plugin this is. It is called in an init function: main is never called.
func Register(p Plugin) { plugin = p }

// Verdict is what is to be done with one event.
type Verdict struct {
	Actions []Action
}

// Action is one thing of a [Verdict].
type Action struct {
	What ActionKind
	// Name is the tag's key, or the field that is set.
	Name string
	// Text is the tag's value, the field's new text, or the line.
	Text string
}

// ActionKind says what an [Action] does.
type ActionKind uint8

const (
	// Drop leaves the event out.
	Drop ActionKind = iota
	// Tag adds a tag, or replaces the one of that key.
	Tag
	// Set replaces a field's text.
	Set
	// Line replaces the whole output line.
	Line
)

// Drop leaves the event out.
func (v *Verdict) Drop() { v.Actions = append(v.Actions, Action{What: Drop}) }

// Tag adds a tag, or replaces the one of that key. A key and its value hold 128 bytes together.
func (v *Verdict) Tag(key, value string) {
	v.Actions = append(v.Actions, Action{What: Tag, Name: key, Text: value})
}

// Set replaces the text of a field that is there: user, comm, path, args/N, container, image, labels/KEY, tags/KEY.
func (v *Verdict) Set(field, text string) {
	v.Actions = append(v.Actions, Action{What: Set, Name: field, Text: text})
}

// Line replaces the whole output line.
func (v *Verdict) Line(text string) {
	v.Actions = append(v.Actions, Action{What: Line, Text: text})
}
