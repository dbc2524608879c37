package main

import (
	"testing"

	"lightmon.plugin/{{name}}/lightmon"
)

func TestSlowConnectionsAreTagged(t *testing.T) {
	plugin := &slow{Over: 20}
	for _, test := range []struct {
		port      uint16
		latencyNs uint64
		want      []lightmon.Action
	}{
		{443, 20_000_000, nil},
		{443, 21_000_000, []lightmon.Action{{What: lightmon.Tag, Name: "slow", Text: "curl waited 21 ms"}}},
		{53, 21_000_000, []lightmon.Action{{What: lightmon.Drop}}},
	} {
		event := lightmon.Event{
			DestinationPort: test.port, LatencyNs: test.latencyNs, HasLatency: true, Process: &lightmon.Process{Comm: "curl"},
		}
		var verdict lightmon.Verdict
		plugin.Event(&event, &verdict)
		if len(verdict.Actions) != len(test.want) || (len(test.want) == 1 && verdict.Actions[0] != test.want[0]) {
			t.Errorf("port %d, %d ns: %v", test.port, test.latencyNs, verdict.Actions)
		}
	}
}

func TestSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{"over": 20}`:   "",
		`{"over": "20"}`: "", // from the command line
		`{"ovre": 20}`:   "unknown setting `ovre`",
		`{"over": "x"}`:  "setting `over`: expected a whole number that fits, found x",
	} {
		got := ""
		if _, err := (&slow{}).Init(lightmon.Settings(settings)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, not %q", settings, got, want)
		}
	}
}
