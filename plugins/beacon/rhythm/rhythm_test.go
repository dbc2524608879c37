package rhythm

import "testing"

const second = 1_000_000_000

func watch() *Watch {
	return New(Options{Min: 4, Jitter: 10, MinInterval: second, MaxKeys: 2})
}

// last adds visits at these seconds, and returns the result of the last one.
func last(seconds ...uint64) (interval uint64, regular bool) {
	w := watch()
	for _, at := range seconds {
		interval, regular = w.Seen("key", at*second)
	}
	return interval / second, regular
}

func TestRegular(t *testing.T) {
	for _, test := range []struct {
		name     string
		seconds  []uint64
		interval uint64
		regular  bool
	}{
		{"too few", []uint64{0, 60, 120}, 0, false},
		{"exact", []uint64{0, 60, 120, 180}, 60, true},
		{"within the jitter", []uint64{0, 63, 120, 183}, 61, true},
		{"beyond the jitter", []uint64{0, 60, 120, 200}, 0, false},
		{"regular again", []uint64{0, 1000, 1060, 1120, 1180}, 60, true},
		{"several at once", []uint64{0, 0, 60, 60, 120, 180, 180}, 0, false},
		{"back in time", []uint64{0, 60, 50, 120, 180}, 60, true},
	} {
		if interval, regular := last(test.seconds...); interval != test.interval || regular != test.regular {
			t.Errorf("%s: %d %v", test.name, interval, regular)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := watch()
	for at, key := range []string{"a", "b", "a", "c"} {
		w.Seen(key, uint64(at)*60*second)
	}
	if w.Len() != 2 || w.Evicted() != 1 {
		t.Errorf("%d keys, %d evicted", w.Len(), w.Evicted())
	}
	if _, known := w.seen["b"]; known {
		t.Error("b was not seen for the longest time")
	}
}
