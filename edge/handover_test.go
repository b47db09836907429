package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// pairedHandover returns both sides of a hand-over, until the end of the test.
func pairedHandover(t *testing.T) (ours, theirs *handover) {
	t.Helper()
	wantNoLeaks(t)
	ours, files, err := newHandover()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ours.close)
	theirs = &handover{}
	err = theirs.open(files[0], files[1])
	closeFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(theirs.close)
	return ours, theirs
}

// What one process tells the other hears, of any length, in both directions at once.
func TestHandover(t *testing.T) {
	ours, theirs := pairedHandover(t)
	questions := []string{"", "x", strings.Repeat("long", 1<<18), "last"}
	errCh := make(chan error, 4)
	for _, side := range []*handover{ours, theirs} {
		go func() {
			for _, q := range questions {
				if err := side.tell([]byte(q), patience); err != nil {
					errCh <- err
					return
				}
			}
			errCh <- nil
		}()
		go func() {
			for _, want := range questions {
				got, err := side.hear()
				if err == nil && string(got) != want {
					err = errors.New("heard " + brief(string(got)) + ", want " + brief(want))
				}
				if err == nil {
					err = side.answer()
				}
				if err != nil {
					errCh <- err
					return
				}
			}
			errCh <- nil
		}()
	}
	for range 4 {
		if err := await(t, errCh, "all questions and answers"); err != nil {
			t.Error(err)
		}
	}
}

// When the other process ends, or says what it should not, that is an error, once and
// for all.
func TestHandoverEnds(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		ours, theirs := pairedHandover(t)
		toldCh := make(chan error, 1)
		go func() { toldCh <- ours.tell([]byte("question"), patience) }()
		if _, err := theirs.hear(); err != nil {
			t.Fatal(err)
		}
		theirs.close()
		if err := await(t, toldCh, "the end of the question"); !errors.Is(err, io.EOF) {
			t.Errorf("tell: %v, want EOF", err)
		}
		if err := ours.tell(nil, patience); err == nil || errors.Is(err, errHandover) {
			t.Errorf("tell after that: %v, want an error that says it has ended", err)
		}
		if _, err := ours.hear(); !errors.Is(err, io.EOF) {
			t.Errorf("hear: %v, want EOF", err)
		}
	})
	t.Run("too long a question", func(t *testing.T) {
		ours, theirs := pairedHandover(t)
		if _, err := theirs.out.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.hear(); !errors.Is(err, errTooMuch) {
			t.Errorf("hear: %v, want %v", err, errTooMuch)
		}
	})
	t.Run("closed from here", func(t *testing.T) {
		ours, _ := pairedHandover(t)
		ours.close()
		if _, err := ours.hear(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("hear: %v, want %v", err, net.ErrClosed)
		}
		if err := ours.tell(nil, patience); !errors.Is(err, net.ErrClosed) {
			t.Errorf("tell: %v, want %v", err, net.ErrClosed)
		}
	})
}

// A question that is not answered in time, though it was sent in part only, is no end:
// what is asked later is answered after it.
func TestHandoverLateAnswer(t *testing.T) {
	ours, theirs := pairedHandover(t)
	long := strings.Repeat("long", 1<<20) // more than the sockets hold
	for range 2 {                         // and nothing is put behind it
		if err := ours.tell([]byte(long), 50*time.Millisecond); !errors.Is(err, errHandover) {
			t.Fatalf("tell: %v, want %v", err, errHandover)
		}
	}
	toldCh := make(chan error, 2)
	for range cap(toldCh) {
		go func() { toldCh <- ours.tell([]byte("next"), patience) }()
	}
	for _, want := range []string{long, "next", "next"} {
		if got, err := theirs.hear(); err != nil || string(got) != want {
			t.Fatalf("heard %s, %v, want %s", brief(string(got)), err, brief(want))
		}
		if err := theirs.answer(); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(toldCh) {
		if err := await(t, toldCh, "the answer"); err != nil {
			t.Error(err)
		}
	}
}

// What the other process has answered counts, though it ends with that: a successor
// of one that has no clients.
func TestHandoverLastAnswer(t *testing.T) {
	for range 500 {
		ours, files, err := newHandover()
		if err != nil {
			t.Fatal(err)
		}
		theirs := new(handover)
		err = theirs.open(files[0], files[1])
		closeFiles(files)
		if err != nil {
			t.Fatal(err)
		}
		e := &edge{log: slog.New(slog.DiscardHandler)}
		e.handovers.add(e, ours)
		toldCh := make(chan error, 1)
		go func() { toldCh <- ours.tell(nil, patience) }()
		if _, err := theirs.hear(); err != nil {
			t.Fatal(err)
		}
		if err := theirs.answer(); err != nil {
			t.Fatal(err)
		}
		theirs.close()
		if err := await(t, toldCh, "the answer"); err != nil {
			t.Fatalf("tell: %v though it was answered", err)
		}
		e.handovers.close()
	}
}

// One that has not answered in time is not waited for again as long, until it has.
func TestHandoverLate(t *testing.T) {
	ours, theirs := pairedHandover(t)
	if err := ours.tell([]byte("1"), time.Millisecond); !errors.Is(err, errHandover) {
		t.Fatalf("error %v of who does not answer, want %v", err, errHandover)
	}
	errCh := make(chan error, 1)
	go func() { errCh <- ours.tell([]byte("2"), time.Hour) }()
	if err := await(t, errCh, "the next question"); !errors.Is(err, errHandover) {
		t.Fatalf("error %v of who does not answer again, want %v", err, errHandover)
	}
	go func() {
		for {
			if _, err := theirs.hear(); err != nil || theirs.answer() != nil {
				return
			}
		}
	}()
	eventually(t, func() error { return ours.tell([]byte("3"), patience) })
	if ours.late.Load() {
		t.Error("it counts as late when it has answered")
	}
}
