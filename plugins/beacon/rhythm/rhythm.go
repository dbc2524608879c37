// Package rhythm detects keys that are seen at regular intervals. The caller supplies keys and times; the package has no clock.
package rhythm

import "container/list"

// Options define what is regular, and how many keys are remembered.
type Options struct {
	// Min is the number of visits that must be regular, at least 3.
	Min int
	// Jitter is the maximum difference of each interval from the mean, in percent of the mean.
	Jitter uint64
	// MinInterval is the minimum interval in nanoseconds. An earlier visit counts as part of the previous one.
	MinInterval uint64
	// MaxKeys is the maximum number of remembered keys. The key that was not seen for the longest time is evicted first.
	MaxKeys int
}

// Watch remembers when each key was seen.
type Watch struct {
	options Options
	seen    map[string]*list.Element // of *visits
	recent  *list.List               // the most recent first
	evicted uint64
}

type visits struct {
	key   string
	times []uint64 // of the last Options.Min visits
}

// New returns an empty Watch.
func New(options Options) *Watch {
	return &Watch{options: options, seen: map[string]*list.Element{}, recent: list.New()}
}

// Seen adds a visit. If the last visits were regular, it returns their mean interval in nanoseconds.
func (w *Watch) Seen(key string, at uint64) (interval uint64, regular bool) {
	element, known := w.seen[key]
	if !known {
		w.evictOldest()
		element = w.recent.PushFront(&visits{key: key})
		w.seen[key] = element
	}
	w.recent.MoveToFront(element)
	v := element.Value.(*visits)
	if n := len(v.times); n > 0 {
		last := v.times[n-1]
		// Events of several threads may arrive out of order.
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

// Len returns the number of remembered keys.
func (w *Watch) Len() int { return len(w.seen) }

// Evicted returns the number of evicted keys.
func (w *Watch) Evicted() uint64 { return w.evicted }

func (w *Watch) evictOldest() {
	if len(w.seen) < w.options.MaxKeys {
		return
	}
	oldest := w.recent.Back()
	delete(w.seen, w.recent.Remove(oldest).(*visits).key)
	w.evicted++
}

// mean returns the mean interval, and whether every interval differs from it by at most jitter percent.
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
