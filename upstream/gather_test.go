package upstream

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errTorn = errors.New("torn")

// script is a body that yields one step a Read.
type script struct {
	steps  []step
	closed chan struct{} // by Close
}

// step is one Read: after a wait, some data and perhaps an error.
type step struct {
	wait time.Duration
	data string
	err  error
}

const forever = 1000 * time.Hour

func (s *script) Read(p []byte) (int, error) {
	next := s.steps[0]
	select {
	case <-time.After(next.wait):
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
	n := copy(p, next.data)
	if s.steps[0].data = next.data[n:]; s.steps[0].data != "" {
		s.steps[0].wait = 0
		return n, nil
	}
	if next.err == nil {
		s.steps = s.steps[1:]
	}
	return n, next.err
}

func (s *script) Close() error {
	close(s.closed) // panics the second time
	return nil
}

func TestGather(t *testing.T) {
	const limit = 10
	for _, tt := range []struct {
		name  string
		steps []step
		data  string // together
		rest  string // "" when all is together
		after time.Duration
		err   error
	}{
		{"empty", []step{{err: io.EOF}}, "", "", 0, nil},
		{"end apart from the data", []step{{data: "abc"}, {err: io.EOF}}, "abc", "", 0, nil},
		{"end with the data", []step{{data: "abc", err: io.EOF}}, "abc", "", 0, nil},
		{"nothing is no end", []step{{data: ""}, {data: "abc"}, {err: io.EOF}}, "abc", "", 0, nil},
		{"one below the limit", []step{{data: "123456789"}, {err: io.EOF}}, "123456789", "", 0, nil},
		{"the limit, end with it", []step{{data: "1234567890", err: io.EOF}}, "1234567890", "", 0, nil},
		{"the limit, more", []step{{data: "1234567890"}, {data: "abc"}, {err: io.EOF}}, "1234567890", "abc", 0, nil},
		{"across the limit", []step{{data: "12345"}, {data: "6789012"}, {data: "abc", err: io.EOF}}, "123456789012", "abc", 0, nil},
		{"in time", []step{{data: "a"}, {wait: shareWait - 1, data: "b", err: io.EOF}}, "ab", "", shareWait - 1, nil},
		{"too slow", []step{{data: "a"}, {wait: shareWait + 1, data: "b"}, {wait: time.Hour, data: "c", err: io.EOF}}, "a", "bc", shareWait, nil},
		{"nothing in time", []step{{wait: time.Hour, data: "b", err: io.EOF}}, "", "b", shareWait, nil},
		{"torn at once", []step{{err: errTorn}}, "", "", 0, errTorn},
		{"torn midway", []step{{data: "abc"}, {err: errTorn}}, "", "", 0, errTorn},
		{"torn with data", []step{{data: "abc", err: errTorn}}, "", "", 0, errTorn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &script{steps: tt.steps, closed: make(chan struct{})}
				begun := time.Now()
				data, rest, err := gather(body, limit, shareWait)
				if string(data) != tt.data || err != tt.err {
					t.Errorf("got %q, %v, want %q, %v", data, err, tt.data, tt.err)
				}
				if after := time.Since(begun); after != tt.after {
					t.Errorf("after %v, want %v", after, tt.after)
				}
				if (rest != nil) != (tt.rest != "") {
					t.Fatalf("there is a rest: %v, want %q", rest != nil, tt.rest)
				}
				if rest == nil {
					return // synctest fails if the goroutine has not ended
				}
				more, err := io.ReadAll(rest)
				if string(more) != tt.rest || err != nil {
					t.Errorf("the rest is %q, %v, want %q", more, err, tt.rest)
				}
				if n, err := rest.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("Read after the end: %d, %v, want 0, EOF", n, err)
				}
				if err := rest.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

func TestGatherRestTorn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &script{steps: []step{{wait: time.Hour, data: "abc", err: errTorn}}, closed: make(chan struct{})}
		_, rest, err := gather(body, 10, shareWait)
		if err != nil {
			t.Fatal(err)
		}
		defer rest.Close()
		data, err := io.ReadAll(rest)
		if string(data) != "abc" || err != errTorn {
			t.Errorf("the rest is %q, %v, want %q, %v", data, err, "abc", errTorn)
		}
	})
}

func TestGatherSmallReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("0123456789", 5000) // several pieces
		body := &script{steps: []step{{wait: time.Hour, data: long, err: io.EOF}}, closed: make(chan struct{})}
		_, rest, err := gather(body, 10, shareWait)
		if err != nil {
			t.Fatal(err)
		}
		defer rest.Close()
		var got strings.Builder
		buf := make([]byte, 7)
		for err == nil {
			var n int
			n, err = rest.Read(buf)
			got.Write(buf[:n])
		}
		if err != io.EOF || got.String() != long {
			t.Errorf("got %d bytes, %v, want the %d that were sent", got.Len(), err, len(long))
		}
	})
}

// TestGatherClose closes the rest at every point of its life. That readLoop
// ends is checked by synctest.
func TestGatherClose(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		reads int // before Close
	}{
		{"nothing has come", []step{{wait: forever}}, 0},
		{"a piece is ready", []step{{wait: shareWait + 1, data: "a"}, {wait: forever}}, 0},
		{"a piece is read", []step{{wait: shareWait + 1, data: "a"}, {wait: forever}}, 1},
		{"the end is ready", []step{{wait: shareWait + 1, err: io.EOF}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &script{steps: tt.steps, closed: make(chan struct{})}
				_, rest, err := gather(body, 10, shareWait)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				for range tt.reads {
					if _, err := rest.Read(make([]byte, 10)); err != nil {
						t.Fatal(err)
					}
				}
				if err := rest.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				io.Copy(io.Discard, rest) // comes to an end
			})
		})
	}
}

func TestGatherCloseEndsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &script{steps: []step{{wait: forever}}, closed: make(chan struct{})}
		_, rest, err := gather(body, 10, shareWait)
		if err != nil {
			t.Fatal(err)
		}
		errCh := make(chan error)
		go func() {
			_, err := rest.Read(make([]byte, 10))
			errCh <- err
		}()
		synctest.Wait() // until it reads
		rest.Close()
		if err := <-errCh; err != io.ErrClosedPipe {
			t.Errorf("Read during Close: %v, want %v", err, io.ErrClosedPipe)
		}
	})
}
