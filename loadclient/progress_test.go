package main

import (
	"testing"
	"time"
)

func TestDeliveriesLine(t *testing.T) {
	at := time.Date(2013, 9, 24, 1, 43, 45, 187_900_000, time.Local)
	for _, tt := range []struct {
		d    deliveries
		want string
	}{
		{deliveries{8771, 73 * time.Millisecond, 171 * time.Millisecond, 170 * time.Millisecond}, "01:43:45.187 r=8771 rt=73/171/170"},
		{deliveries{1, 499 * time.Microsecond, 500 * time.Microsecond, 500 * time.Microsecond}, "01:43:45.187 r=1 rt=0/1/1"},
	} {
		if got := tt.d.line(at); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestMerged(t *testing.T) {
	got := merged([]deliveries{
		{3, 10 * time.Millisecond, 40 * time.Millisecond, 20 * time.Millisecond},
		{1, 5 * time.Millisecond, 80 * time.Millisecond, 60 * time.Millisecond},
	})
	want := deliveries{4, 5 * time.Millisecond, 80 * time.Millisecond, 30 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
