package main

import (
	"testing"
	"time"
)

func TestLull(t *testing.T) {
	const mb = 1 << 20
	type second struct {
		allocated uint64 // in it
		clients   int64
	}
	times := func(n int, s second) []second {
		all := make([]second, n)
		for i := range all {
			all[i] = s
		}
		return all
	}
	join := func(parts ...[]second) (all []second) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		seconds []second
		want    []int // seconds in which there is a collection
	}{
		{"nothing ever", times(60, second{1000, 0}), nil},
		{"always something", times(60, second{mb, 1000}), nil},
		{"clients come, each with a request", join(times(5, second{9 * mb, 1000}), times(60, second{1000, 1000})), []int{7}},
		{"clients go", join(times(20, second{1000, 1000}), times(20, second{1000, 500})), []int{3, 23}},
		{"few come and go", join(times(20, second{1000, 1000}), times(20, second{1000, 990})), []int{3}},
		{"few come again and again", func() (all []second) {
			for n := range int64(60) {
				all = append(all, second{1000, 1000 + 10*n})
			}
			return all
		}(), []int{3, 21, 42}},
		{"now and then", join(times(1, second{mb, 0}), times(4, second{}), times(1, second{mb, 0}), times(20, second{})), []int{3, 13}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, now, allocated := new(lull), time.Unix(1, 0), uint64(0)
			var got []int
			for i, s := range tt.seconds {
				allocated += s.allocated
				if l.look(now, allocated, s.clients) {
					got = append(got, i)
				}
				now = now.Add(time.Second)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("collections in seconds %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("collections in seconds %v, want %v", got, tt.want)
				}
			}
		})
	}
}
