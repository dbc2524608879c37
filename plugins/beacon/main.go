// A lightmon plugin that tags connections repeated at regular intervals. Malware makes such connections (beacons), and so do
// health checks.
package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"lightmon.plugin/beacon/lightmon"
	"lightmon.plugin/beacon/rhythm"
)

type beacon struct {
	Count       int    `json:"count"`
	Jitter      uint64 `json:"jitter"`
	MinInterval uint64 `json:"min_interval"`
	MaxKeys     int    `json:"max_keys"`
	Report      uint32 `json:"report"`

	watch  *rhythm.Watch
	tagged uint64
}

func init() {
	lightmon.Register(&beacon{Count: 5, Jitter: 10, MinInterval: 1, MaxKeys: 20000, Report: 60})
}

func (b *beacon) Init(settings lightmon.Settings) (lightmon.Setup, error) {
	if err := settings.Decode(b); err != nil {
		return lightmon.Setup{}, err
	}
	switch {
	case b.Count < 3 || b.Count > 20:
		return lightmon.Setup{}, errors.New("setting `count`: expected 3 to 20")
	case b.Jitter > 50:
		return lightmon.Setup{}, errors.New("setting `jitter`: expected 0 to 50 percent")
	case b.MinInterval < 1 || b.MinInterval > 86400:
		return lightmon.Setup{}, errors.New("setting `min_interval`: expected 1 to 86400 seconds")
	case b.MaxKeys < 1 || b.MaxKeys > 30000:
		return lightmon.Setup{}, errors.New("setting `max_keys`: expected 1 to 30000")
	case b.Report > 86400:
		return lightmon.Setup{}, errors.New("setting `report`: expected 0 to 86400 seconds")
	}
	b.watch = rhythm.New(rhythm.Options{
		Min: b.Count, Jitter: b.Jitter, MinInterval: b.MinInterval * uint64(time.Second), MaxKeys: b.MaxKeys,
	})
	return lightmon.Setup{Needs: lightmon.NeedProcess | lightmon.NeedContainer}, nil
}

func (b *beacon) Event(event *lightmon.Event, verdict *lightmon.Verdict) {
	// A second event reports the outcome.
	if event.Outcome == lightmon.Pending {
		return
	}
	if interval, regular := b.watch.Seen(key(event), event.TimeNs); regular {
		b.tagged++
		verdict.Tag("beacon", time.Duration(interval).Round(time.Second).String())
	}
}

// key identifies a connection by program, container, destination and protocol. It is a new string, because a part of the event
// would keep the memory of its batch alive. Truncates the path, the longest part.
func key(event *lightmon.Event) string {
	program, container := event.Process.Path, ""
	if program == "" {
		program = event.Process.Comm
	}
	if event.Container != nil {
		container = event.Container.ID
	}
	return fmt.Sprintf("%.256s\x00%.64s\x00%s\x00%d\x00%d", program, container, event.Destination, event.DestinationPort, event.Protocol)
}

func (b *beacon) Period() uint32 { return b.Report * 1000 }

// Tick reports the number of tagged connections. It returns no report if there are none.
func (b *beacon) Tick(uint64) []lightmon.Report {
	if b.tagged == 0 {
		return nil
	}
	report := lightmon.Report{Name: "beacons", Fields: []lightmon.Pair{
		{Key: "connections", Value: strconv.FormatUint(b.tagged, 10)},
		{Key: "watched", Value: strconv.Itoa(b.watch.Len())},
		{Key: "forgotten", Value: strconv.FormatUint(b.watch.Evicted(), 10)},
	}}
	b.tagged = 0
	return []lightmon.Report{report}
}

func (b *beacon) Stop(nowNs uint64) []lightmon.Report { return b.Tick(nowNs) }

func main() {} // is never called
