//go:build wasip1

package lightmon

// The exports that lightmon calls. A result stays in the memory of the call until lightmon calls cabi_post_….

// result<setup, string>
type initAnswer struct {
	isError uint32
	needs   Fields
	when    maybeText
	kinds   rawList
}

type initError struct {
	isError uint32
	text    rawText
}

//go:wasmexport lightmon:plugin/filter@0.1.0#init
func exportInit(at, len uint32) uint32 {
	if plugin == nil {
		panic("no plugin is registered: call lightmon.Register in func init")
	}
	settings := Settings(rawText{at, len}.string())
	setup, err := plugin.Init(settings)
	if err != nil {
		list, raw := newList[initError](1)
		list[0] = initError{1, newText(err.Error())}
		return raw.at
	}
	list, raw := newList[initAnswer](1)
	list[0].needs = setup.Needs
	if setup.When != "" {
		list[0].when = maybeText{1, newText(setup.When)}
	}
	kinds := newText(string(setup.Kinds))
	list[0].kinds = rawList{kinds.at, kinds.len}
	return raw.at
}

//go:wasmexport cabi_post_lightmon:plugin/filter@0.1.0#init
func exportPostInit(uint32) { endCall() }

// variant action: drop(u32), tag, set and line
type rawAction struct {
	what       uint32
	event      uint32
	name, text rawText
}

//go:wasmexport lightmon:plugin/filter@0.1.0#process
func exportProcess(processes, processesLen, containers, containersLen, events, eventsLen uint32) uint32 {
	batch := batchOf(
		items[rawProcess](rawList{processes, processesLen}),
		items[rawContainer](rawList{containers, containersLen}),
		items[rawEvent](rawList{events, eventsLen}),
	)
	verdicts := make([]Verdict, len(batch))
	if batcher, ok := plugin.(Batcher); ok {
		batcher.Batch(batch, verdicts)
	} else {
		for i := range batch {
			plugin.Event(&batch[i], &verdicts[i])
		}
	}
	count := 0
	for _, verdict := range verdicts {
		count += len(verdict.Actions)
	}
	actions, raw := newList[rawAction](count)
	next := 0
	for i, verdict := range verdicts {
		for _, action := range verdict.Actions {
			actions[next] = rawOfAction(uint32(i), action)
			next++
		}
	}
	return answer(raw)
}

func rawOfAction(event uint32, action Action) rawAction {
	raw := rawAction{what: uint32(action.What), event: event}
	switch action.What {
	case Drop:
	case Line:
		raw.name = newText(action.Text) // a line has only one text, in the place of the name
	default:
		raw.name, raw.text = newText(action.Name), newText(action.Text)
	}
	return raw
}

//go:wasmexport cabi_post_lightmon:plugin/filter@0.1.0#process
func exportPostProcess(uint32) { endCall() }

// answer returns the address of a list's pointer and length: the result of an export that returns a list.
func answer(list rawList) uint32 {
	result, raw := newList[rawList](1)
	result[0] = list
	return raw.at
}

func batchOf(processes []rawProcess, containers []rawContainer, events []rawEvent) []Event {
	processTable := make([]Process, len(processes))
	for i, raw := range processes {
		processTable[i] = raw.process()
	}
	containerTable := make([]Container, len(containers))
	for i, raw := range containers {
		containerTable[i] = Container{raw.id.string(), raw.name.string(), raw.image.string(), pairs(raw.labels)}
	}
	batch := make([]Event, len(events))
	for i := range events {
		raw := &events[i]
		event := &batch[i]
		*event = raw.event()
		if raw.process.some != 0 {
			event.Process = &processTable[raw.process.value]
		}
		if raw.container.some != 0 {
			event.Container = &containerTable[raw.container.value]
		}
	}
	return batch
}

func (raw *rawEvent) event() Event {
	return Event{
		TimeNs:          raw.timeNs,
		LatencyNs:       raw.latencyNs.value,
		HasLatency:      raw.latencyNs.some != 0,
		Source:          raw.source.addr(),
		Destination:     raw.destination.addr(),
		SourcePort:      raw.sourcePort,
		DestinationPort: raw.destinationPort,
		PID:             raw.pid,
		TID:             raw.tid,
		UID:             raw.uid,
		GID:             raw.gid,
		DName:           raw.dname.string(),
		Tags:            pairs(raw.tags),
		Extra:           pairs(raw.extra),
		Errno:           raw.errno,
		Kind:            raw.kind,
		Protocol:        Protocol(raw.protocol),
		Outcome:         Outcome(raw.outcome),
	}
}

func (raw *rawProcess) process() Process {
	process := Process{User: raw.user.string(), Comm: raw.comm.string(), Path: raw.path.string()}
	if raw.args.some != 0 {
		process.Args = make([]string, raw.args.list.len)
		for i, arg := range items[rawText](raw.args.list) {
			process.Args[i] = arg.string()
		}
	}
	if raw.parents.some != 0 {
		process.Parents = make([]Parent, raw.parents.list.len)
		for i, parent := range items[rawParent](raw.parents.list) {
			process.Parents[i] = Parent{parent.pid, parent.comm.string(), parent.path.string()}
		}
	}
	return process
}
