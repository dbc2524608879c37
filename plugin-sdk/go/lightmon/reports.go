//go:build wasip1

package lightmon

// Go decides on the exports at compile time, so every plugin exports these functions. For a plugin without Tick, the period is
// 0, which disables ticks.

type rawReport struct {
	name   rawText
	fields rawList
}

//go:wasmexport lightmon:plugin/tick@0.1.0#period
func exportPeriod() uint32 {
	if ticker, ok := plugin.(Ticker); ok {
		return ticker.Period()
	}
	return 0
}

//go:wasmexport lightmon:plugin/tick@0.1.0#tick
func exportTick(nowNs uint64) uint32 {
	if ticker, ok := plugin.(Ticker); ok {
		return answerReports(ticker.Tick(nowNs))
	}
	return answer(rawList{})
}

//go:wasmexport cabi_post_lightmon:plugin/tick@0.1.0#tick
func exportPostTick(uint32) { endCall() }

//go:wasmexport lightmon:plugin/stop@0.1.0#stop
func exportStop(nowNs uint64) uint32 {
	if stopper, ok := plugin.(Stopper); ok {
		return answerReports(stopper.Stop(nowNs))
	}
	return answer(rawList{})
}

//go:wasmexport cabi_post_lightmon:plugin/stop@0.1.0#stop
func exportPostStop(uint32) { endCall() }

func answerReports(reports []Report) uint32 {
	list, raw := newList[rawReport](len(reports))
	for i, report := range reports {
		fields, rawFields := newList[rawPair](len(report.Fields))
		for j, field := range report.Fields {
			fields[j] = rawPair{newText(field.Key), newText(field.Value)}
		}
		list[i] = rawReport{newText(report.Name), rawFields}
	}
	return answer(raw)
}
