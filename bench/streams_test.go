package main

import (
	"strings"
	"testing"
	"time"
)

func TestSustains(t *testing.T) {
	good := loadResult{Changes: make([]loadChange, 101), Overall: loadSpread{P99: 100}, Streams: loadStreams{PostingSeconds: 10.4}, OK: true}
	for _, tt := range []struct {
		name  string
		spoil func(*loadResult)
		want  bool
	}{
		{"as it was to be", func(*loadResult) {}, true},
		{"late", func(r *loadResult) { r.Overall.P99 = 100.001 }, false},
		{"the load client is not content", func(r *loadResult) { r.OK = false }, false},
		{"sent too slowly", func(r *loadResult) { r.Streams.PostingSeconds = 10.6 }, false},
		{"nothing", func(r *loadResult) { *r = loadResult{} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			tt.spoil(&r)
			if got := r.sustains(10); got != tt.want {
				t.Errorf("%+v sustains 10 a second: got %v, want %v", r, got, tt.want)
			}
		})
	}
}

func TestDisorder(t *testing.T) {
	r := loadResult{
		Changes: []loadChange{{Recipients: 10, Received: 8}, {Recipients: 10, Received: 10}, {Recipients: 10, Received: 9}},
		Streams: loadStreams{Gaps: 3, Repeats: 20, Reorders: 100},
	}
	if got := r.disorder(); got != 123 { // a gap is a message that was missed
		t.Errorf("disorder of %+v = %d, want 123", r, got)
	}
}

func TestStreamsConfig(t *testing.T) {
	good := streamsConfig{streams: 10000, rounds: 5, loops: 2, rate: 10, period: 30 * time.Second, idle: 19000}
	if err := good.validate(); err != nil {
		t.Errorf("%+v: %v", good, err)
	}
	for _, tt := range []struct {
		want  string
		spoil func(*streamsConfig)
	}{
		{"-n 0", func(c *streamsConfig) { c.streams = 0 }},
		{"-n 19001", func(c *streamsConfig) { c.streams = 19001 }},
		{"-rounds 0", func(c *streamsConfig) { c.rounds = 0 }},
		{"-loops 65", func(c *streamsConfig) { c.loops = 65 }},
		{"-rate 201", func(c *streamsConfig) { c.rate = 201 }},
		{"-for 1ms", func(c *streamsConfig) { c.period = time.Millisecond }},
		{"-idle 20000", func(c *streamsConfig) { c.idle = 20000 }},
	} {
		t.Run(tt.want, func(t *testing.T) {
			c := good
			tt.spoil(&c)
			if err := c.validate(); err == nil || !strings.HasPrefix(err.Error(), tt.want+": must be from 1") {
				t.Errorf("%+v: got error %v, want one about %s", c, err, tt.want)
			}
		})
	}
}

// A message of the floor is one chunk with one event.
func TestMessageBytes(t *testing.T) {
	const event = "id: 1\ndata: {\"id\": 1, \"body\": \"" + headline + "\"}\n\n"
	want := len("4a\r\n" + event + "\r\n")
	if got, err := messageBytes(t.Context(), serveFloor(t, 1)); err != nil || got != want {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
}
