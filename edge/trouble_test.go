package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A trouble is logged when it begins, and when it has not been seen for a while.
func TestTrouble(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	tr := trouble{what: "it rains"}
	want := func(when string, lines int, last string) {
		t.Helper()
		if got := strings.TrimSpace(text.String()); lines > 0 && strings.Count(got, "\n") != lines-1 || !strings.HasSuffix(got, last) {
			t.Errorf("%s: logged\n%s\nwant %d lines, the last with %q", when, got, lines, last)
		}
	}
	tr.sweep(log, time.Now())
	want("never seen", 0, "")
	for range 3 {
		tr.seen(log, "where", "here")
	}
	want("seen", 1, `msg="it rains" where=here`)
	tr.sweep(log, time.Now().Add(troubleOver/2))
	want("not long ago", 1, `msg="it rains" where=here`)
	tr.sweep(log, time.Now().Add(troubleOver))
	tr.sweep(log, time.Now().Add(2*troubleOver))
	want("long ago", 2, `msg="over: it rains" times=3`)
	tr.seen(log, "where", "there")
	want("seen again", 3, `msg="it rains" where=there`)
}
