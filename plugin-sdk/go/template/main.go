// A lightmon plugin that tags slow connections and drops DNS queries.
package main

import (
	"errors"
	"fmt"

	"lightmon.plugin/{{name}}/lightmon"
)

type slow struct {
	// Over is the latency in milliseconds above which a connection is slow.
	Over uint64 `json:"over"`
}

func init() { lightmon.Register(&slow{Over: 100}) }

func (s *slow) Init(settings lightmon.Settings) (lightmon.Setup, error) {
	if err := settings.Decode(s); err != nil {
		return lightmon.Setup{}, err
	}
	if s.Over > 3600*1000 {
		return lightmon.Setup{}, errors.New("setting `over`: expected milliseconds, up to an hour")
	}
	return lightmon.Setup{Needs: lightmon.NeedProcess}, nil
}

func (s *slow) Event(event *lightmon.Event, verdict *lightmon.Verdict) {
	if event.DestinationPort == 53 {
		verdict.Drop()
		return
	}
	if event.HasLatency && event.LatencyNs > s.Over*1000000 {
		verdict.Tag("slow", fmt.Sprintf("%s waited %d ms", event.Process.Comm, event.LatencyNs/1000000))
	}
}

func main() {} // is never called
