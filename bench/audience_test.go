package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// audienceOf makes an audience that has written lines.
func audienceOf(kind string, clients int, lines ...string) *audience {
	a := &audience{kind: kind, clients: clients, changedCh: make(chan struct{}), headlines: make(map[uint64]sighting)}
	for _, line := range lines {
		half := len(line) / 2
		fmt.Fprint(a, line[:half])
		fmt.Fprint(a, line[half:]+"\n")
	}
	return a
}

// Lines as loadclient -audit writes them.
const (
	startedLine = `{"started":2}`
	sevenLine   = `{"headline":{"id":7,"text":"seven","received":2,"passed":2,"first_ns":2000000,"p50_ms":0.5,"p99_ms":1,"max_ms":1,"passed_ns":3000000}}`
	eightLine   = `{"headline":{"id":8,"text":"eight","received":1,"passed":1,"first_ns":4000000,"p50_ms":0,"p99_ms":0,"max_ms":0,"passed_ns":4000000}}`
	goodLine    = `{"summary":{"started":2,"newest":7,"behind":0,"repeats":0,"reorders":0,"errors":{"wrong":0,"reset":3}}}`
)

func TestAudience(t *testing.T) {
	a := audienceOf("streams", 2, startedLine, sevenLine, eightLine)
	if err := a.awaitStarted(t.Context()); err != nil {
		t.Errorf("awaitStarted: %v", err)
	}
	if err := a.awaitPassed(t.Context(), 7); err != nil {
		t.Errorf("awaitPassed(7): %v", err)
	}
	if at, ok := a.passed(6); !ok || at != 3*time.Millisecond {
		t.Errorf("passed(6) = %v, %v, want the time of 7", at, ok)
	}
	if _, ok := a.passed(8); ok {
		t.Error("passed(8) is true, but one client of two has it")
	}
	if err := audienceOf("polls", 1, "no JSON").badLine; err == nil {
		t.Error("a line that is no JSON is not complained of")
	}
}

// What is wrong with sequences is found.
func TestJudge(t *testing.T) {
	posted := change{text: "seven", id: 7, began: time.Millisecond, phase: before}
	for _, test := range []struct {
		name  string
		kind  string
		lines []string
		made  change
		lost  int
		want  string // in a failure; none if empty
	}{
		{"all there", "streams", []string{sevenLine, goodLine}, posted, 0, ""},
		{"polls skip one", "polls", []string{goodLine}, posted, 0, ""},
		{"a stream without a headline", "streams", []string{strings.Replace(sevenLine, `"received":2`, `"received":1`, 1), goodLine}, posted, 1, "1 of 2 streams did not get headline 7"},
		{"streams without a headline", "streams", []string{goodLine}, posted, 2, "2 of 2 streams did not get headline 7"},
		{"behind", "polls", []string{sevenLine, strings.Replace(goodLine, `"behind":0`, `"behind":1`, 1)}, posted, 1, "1 of 2 polls do not have headline 7"},
		{"never started", "polls", []string{sevenLine, strings.Replace(goodLine, `"started":2`, `"started":1`, 1)}, posted, 0, "1 of 2 polls never had"},
		{"sent again", "streams", []string{sevenLine, strings.Replace(goodLine, `"repeats":0`, `"repeats":1`, 1)}, posted, 0, "1 headlines were sent again"},
		{"back", "streams", []string{sevenLine, strings.Replace(goodLine, `"reorders":0`, `"reorders":1`, 1)}, posted, 0, "1 headlines were sent after a newer one"},
		{"wrong", "streams", []string{sevenLine, strings.Replace(goodLine, `"wrong":0`, `"wrong":1`, 1)}, posted, 0, "1 headlines were wrong"},
		{"not posted", "polls", []string{strings.Replace(sevenLine, "seven", "sieben", 1), goodLine}, posted, 0, "not posted as that"},
		{"posted as another", "polls", []string{strings.Replace(sevenLine, `"id":7`, `"id":6`, 1), goodLine}, posted, 0, "not posted as that"},
		{"not confirmed", "polls", []string{sevenLine, goodLine}, change{text: "seven", err: fmt.Errorf("post: EOF")}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := audienceOf(test.kind, 2, test.lines...)
			s := &scene{audiences: []*audience{a}, result: &trialResult{Refusals: map[string]int{}, Faults: map[string]int{}}}
			s.changes = &changer{made: []change{test.made}}
			s.changes.judge(s)
			a.judge(s, 7)
			got := strings.Join(s.result.Failures, "; ")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) || s.result.Lost != test.lost {
				t.Errorf("failures %q, lost %d, want %q, %d", got, s.result.Lost, test.want, test.lost)
			}
		})
	}
}
