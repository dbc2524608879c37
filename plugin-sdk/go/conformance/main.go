// The conformance plugin in Go. plugin-sdk/conformance/README.md specifies its behaviour.
package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"conformance/lightmon"
)

type conformance struct {
	DropPort uint16 `json:"drop_port"`
	Greeting string `json:"greeting"`
	When     string `json:"when"`
	Table    string `json:"table"`

	table lightmon.Table
}

func init() {
	lightmon.Register(&conformance{DropPort: 53, Greeting: "hello"})
}

func (c *conformance) Init(settings lightmon.Settings) (setup lightmon.Setup, err error) {
	if err = settings.Decode(c); err != nil {
		return setup, err
	}
	if c.Table != "" {
		if c.table, err = lightmon.OpenTable(c.Table, "name"); err != nil {
			return setup, err
		}
	}
	lightmon.Log(lightmon.Info, "conformance started")
	setup.Needs = lightmon.NeedProcess | lightmon.NeedArgs | lightmon.NeedParents | lightmon.NeedContainer |
		lightmon.NeedLabels | lightmon.NeedTags | lightmon.NeedDName | lightmon.NeedExtra
	setup.When = c.When
	return setup, nil
}

func (c *conformance) Batch(events []lightmon.Event, verdicts []lightmon.Verdict) {
	for i := range events {
		c.Event(&events[i], &verdicts[i])
	}
	lightmon.Count("events", uint64(len(events)))
	sum, _ := strconv.Atoi(seen())
	lightmon.Put("events", strconv.Itoa(sum+len(events)))
}

func (c *conformance) Event(event *lightmon.Event, verdict *lightmon.Verdict) {
	if event.DestinationPort == c.DropPort {
		verdict.Drop()
		return
	}
	tag := func(key, value string) { verdict.Tag(key, cut(value, 100)) }
	latency := "-"
	if event.HasLatency {
		latency = strconv.FormatUint(event.LatencyNs, 10)
	}
	process := event.Process
	tag("dst", netip.AddrPortFrom(event.Destination, event.DestinationPort).String())
	tag("src", netip.AddrPortFrom(event.Source, event.SourcePort).String())
	tag("time", strconv.FormatUint(event.TimeNs, 10))
	tag("latency", latency)
	tag("ids", fmt.Sprintf("%d/%d/%d/%d", event.PID, event.TID, event.UID, event.GID))
	tag("who", process.User+" "+process.Comm+" "+orDash(process.Path))
	args, parent, container, label := "-", "-", "-", "-"
	if n := len(process.Args); n > 0 {
		args = fmt.Sprint(n, " ", process.Args[n-1])
	} else if process.Args != nil {
		args = "0 "
	}
	if len(process.Parents) > 0 {
		parent = fmt.Sprint(process.Parents[0].PID, " ", process.Parents[0].Comm)
	}
	if in := event.Container; in != nil {
		container = in.ID + " " + in.Name + " " + in.Image
		if team, found := in.Labels.Get("team"); found {
			label = team
		}
	}
	tag("args", args)
	tag("parent", parent)
	tag("container", container)
	tag("label", label)
	tag("earlier", strconv.Itoa(len(event.Tags)))
	tag("outcome", fmt.Sprintf("%d %s", event.Outcome, event.Outcome))
	tag("protocol", event.Protocol.String())
	tag("errno", strconv.Itoa(int(event.Errno)))
	if c.Table != "" {
		entry := c.table.Addresses([]netip.Addr{event.Destination})[0]
		if !entry.Found {
			entry.Text = "-"
		}
		tag("table", entry.Text)
	}
	if len(process.Args) > 1 {
		verdict.Set("args/1", "***")
	}
	if event.DestinationPort == 514 {
		verdict.Line(c.Greeting + " " + process.Comm)
	}
}

func (*conformance) Period() uint32 { return 1000 }

func (*conformance) Tick(uint64) []lightmon.Report { return report("seen") }

func (*conformance) Stop(uint64) []lightmon.Report { return report("total") }

func report(name string) []lightmon.Report {
	return []lightmon.Report{{Name: name, Fields: []lightmon.Pair{{Key: "events", Value: seen()}}}}
}

func seen() string {
	if value, found := lightmon.Get("events"); found {
		return value
	}
	return "0"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// cut truncates a text to at most bytes, at the end of a character.
func cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}

func main() {} // is never called
