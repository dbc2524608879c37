// Package rhythm finds what comes back in regular intervals. It knows no events and no clock: it is told keys and times.
package rhythm

import "container/list"

// Options are what is regular, and how much is remembered.
type Options struct {
	// Min is how many times something must have been seen, at least 3.
	Min int
	// Jitter is by how many percent of the mean each interval may be shorter or longer.
	Jitter uint64
	// MinInterval, in nanoseconds: what comes back sooner belongs to the visit before.
	MinInterval uint64
	// MaxKeys is how many keys are remembered; the one that was not seen for the longest time goes first.
	MaxKeys int
}

// Watch remembers when each key was seen.
type Watch struct {
	options Options
	seen    map[string]*list.Element // of *visits
	recent  *list.List               // the latest first
	evicted uint64
}

type visits struct {
	key   string
	times []uint64 // the last Options.Min
}

// New remembers nothing yet.
func New(options Options) *Watch {
	return &Watch{options: options, seen: map[string]*list.Element{}, recent: list.New()}
}

// Seen adds a visit; the mean interval in nanoseconds when the last visits were regular.
func (w *Watch) Seen(key string, at uint64) (interval uint64, regular bool) {
	element, known := w.seen[key]
	if !known {
		w.makeRoom()
		element = w.recent.PushFront(&visits{key: key})
		w.seen[key] = element
	}
	w.recent.MoveToFront(element)
	v := element.Value.(*visits)
	if n := len(v.times); n > 0 {
		last := v.times[n-1]
		// Events of several threads may come out of order.
		if at < last || at-last < w.options.MinInterval {
			return 0, false
		}
	}
	v.times = append(v.times, at)
	if extra := len(v.times) - w.options.Min; extra > 0 {
		v.times = append(v.times[:0], v.times[extra:]...)
	}
	if len(v.times) < w.options.Min {
		return 0, false
	}
	return mean(v.times, w.options.Jitter)
}

// Len is how many keys are remembered.
func (w *Watch) Len() int { return len(w.seen) }

// Evicted is how many keys had to go.
func (w *Watch) Evicted() uint64 { return w.evicted }

func (w *Watch) makeRoom() {
	if len(w.seen) < w.options.MaxKeys {
		return
	}
	oldest := w.recent.Back()
	delete(w.seen, w.recent.Remove(oldest).(*visits).key)
	w.evicted++
}

// mean of the intervals, when none is farther from it than jitter percent.
func mean(times []uint64, jitter uint64) (uint64, bool) {
	n := uint64(len(times) - 1)
	mean := (times[n] - times[0]) / n
	for i := range n {
		interval := times[i+1] - times[i]
		off := max(interval, mean) - min(interval, mean)
		if off > mean/100*jitter {
			return 0, false
		}
	}
	return mean, mean > 0
}
