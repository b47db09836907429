package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// An auditTest has clients receive headlines, and finds out who has what by itself.
type auditTest struct {
	*audit
	ids []uint64 // by client, 0: none
	now time.Duration
}

func newAuditTest(t *testing.T, clients int) *auditTest {
	t.Helper()
	a, err := newAudit(clients, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &auditTest{audit: a, ids: make([]uint64, clients)}
}

// receive has a client receive a headline, a millisecond after the last.
func (t *auditTest) receive(client int, id uint64) {
	t.now += time.Millisecond
	t.audit.receive(t.ids[client], &headline{id: id, text: fmt.Sprint("headline ", id)}, t.now, func(id uint64) int {
		n := 0
		for _, has := range t.ids {
			if has >= id {
				n++
			}
		}
		return n
	})
	t.ids[client] = id
}

func TestAudit(t *testing.T) {
	type receipt struct {
		client int
		id     uint64
	}
	for _, tt := range []struct {
		name     string
		receipts []receipt
		reached  string // id:received, of those that all have reached
		open     string // id:received/passed, of the others
	}{
		{"none", nil, "[]", "[]"},
		{"one of two", []receipt{{0, 1}}, "[]", "[1:1/1]"},
		{"both", []receipt{{0, 1}, {1, 1}}, "[1:2]", "[]"},
		{"both, two in turn", []receipt{{0, 1}, {1, 1}, {0, 2}, {1, 2}}, "[1:2 2:2]", "[]"},
		{"one runs ahead", []receipt{{0, 1}, {0, 2}, {0, 3}, {1, 1}}, "[1:2]", "[2:1/1 3:1/1]"},
		{"one skips", []receipt{{0, 1}, {1, 1}, {0, 2}, {0, 3}, {1, 3}}, "[1:2 2:1 3:2]", "[]"},
		{"the first to see a later one skips", []receipt{{0, 1}, {1, 1}, {0, 3}, {1, 2}, {1, 3}}, "[1:2 2:1 3:2]", "[]"},
		{"both skip", []receipt{{0, 1}, {1, 1}, {0, 5}, {1, 5}}, "[1:2 5:2]", "[]"},
		{"one begins late", []receipt{{0, 1}, {0, 2}, {1, 2}}, "[1:1 2:2]", "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := newAuditTest(t, 2)
			for _, r := range tt.receipts {
				at.receive(r.client, r.id)
			}
			reached, open := []string{}, []string{}
			for _, s := range at.take() {
				reached = append(reached, fmt.Sprintf("%d:%d", s.id, s.received))
			}
			for _, s := range at.open {
				open = append(open, fmt.Sprintf("%d:%d/%d", s.id, s.received, s.passed))
			}
			if fmt.Sprint(reached) != tt.reached || fmt.Sprint(open) != tt.open {
				t.Errorf("reached %v, open %v, want %v, %v", reached, open, tt.reached, tt.open)
			}
			if len(at.take()) > 0 {
				t.Error("headlines are taken twice")
			}
		})
	}
}

func TestAuditRecord(t *testing.T) {
	at := newAuditTest(t, 4)
	at.epoch = int64(time.Hour)
	for client := range 4 { // at 1, 2, 3 and 4 ms
		at.receive(client, 7)
	}
	got := *at.record(at.take()[0])
	want := headlineRecord{ID: 7, Text: "headline 7", Received: 4, Passed: 4,
		FirstNS: int64(time.Hour + time.Millisecond), PassedNS: int64(time.Hour + 4*time.Millisecond), P50: 1000, P99: 3000, Max: 3000}
	if got != want {
		t.Errorf("record is %+v, want %+v", got, want)
	}
}

// auditing starts the command with -audit against a service and returns its records
// one by one; the last is the summary, which the end of the process follows. exit
// sends how it ended.
func auditing(t *testing.T, s *service, clients int) (records <-chan auditRecordAsRead, stop func(), exit <-chan error) {
	t.Helper()
	c := command(t, "-audit", "-c", strconv.Itoa(clients), "-url", s.URL+"/headline/value/", "-repoll-delay", "0", "-repoll-jitter", "0")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	recordCh, exitCh := make(chan auditRecordAsRead), make(chan error, 1)
	go func() {
		defer close(recordCh)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var r auditRecordAsRead
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Errorf("line %q: %v", lines.Text(), err)
			}
			select {
			case recordCh <- r:
			case <-t.Context().Done():
			}
		}
		exitCh <- c.Wait()
	}()
	return recordCh, func() { _ = c.Process.Signal(syscall.SIGTERM) }, exitCh
}

// auditRecordAsRead is a record as its reader sees it.
type auditRecordAsRead struct {
	Started  int
	Headline *struct {
		ID               uint64
		Text             string
		Received, Passed int
		Max              float64 `json:"max_ms"`
		FirstNS          int64   `json:"first_ns"`
		PassedNS         int64   `json:"passed_ns"`
	}
	Summary *auditSummary
}

func TestAuditProcess(t *testing.T) {
	s := startService(t, sized)
	s.change("the first")
	records, stop, exit := auditing(t, s, 20)
	if r := <-records; r.Started != 20 {
		t.Fatalf("first record is %+v, want that 20 started", r)
	}
	for id, text := range []string{1: "the first", 2: "the second", 3: "the third"} {
		if id == 0 {
			continue
		}
		if id > 1 {
			s.change(text)
		}
		h := (<-records).Headline
		if h == nil || h.ID != uint64(id) || h.Text != text || h.Received != 20 || h.Passed != 20 || h.FirstNS <= 0 || h.PassedNS < h.FirstNS {
			t.Fatalf("record of headline %d is %+v", id, h)
		}
	}
	stop()
	r := <-records
	if sum := r.Summary; sum == nil || sum.Started != 20 || sum.Newest != 3 || sum.Behind != 0 || sum.Repeats != 0 || sum.Reorders != 0 {
		t.Errorf("summary is %+v", sum)
	}
	if err := <-exit; err != nil {
		t.Errorf("exit: %v", err)
	}
}

// A service that answers a poll with the headline that the client has is found out.
func TestAuditProcessFindsRepeats(t *testing.T) {
	s := startService(t, func(w http.ResponseWriter, _ []byte, poll int) {
		sized(w, []byte(`{"id": 1, "body": "the first"}`), poll)
	})
	s.change("the first")
	records, stop, exit := auditing(t, s, 1)
	<-records              // started
	<-records              // headline 1
	s.change("new")        // and answered as before
	for s.answered() < 3 { // it asks again when it has read the second
		time.Sleep(time.Millisecond)
	}
	stop()
	if r := <-records; r.Summary == nil || r.Summary.Repeats == 0 || r.Summary.Errors["wrong"] == 0 {
		t.Errorf("summary is %+v, want a repeat", r.Summary)
	}
	if err := <-exit; err == nil {
		t.Error("exit: 0, want 1")
	}
}
