package grip

import (
	"testing"
	"time"
	"unsafe"
)

// stepped returns what time.Now returns at the moment t when the machine's clock has
// been set ahead by d, whole seconds, since the process began: the wall clock reading
// moves, and the monotonic one, by which times are compared, does not.
func stepped(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	after := at
	// A time with both readings: a bit that says so, 33 of seconds, and 30 of
	// nanoseconds of the wall clock. Package time has no other way to set one alone.
	wall := (*uint64)(unsafe.Pointer(&after))
	*wall += uint64(d/time.Second) << 30
	if got := after.Round(0).Sub(at.Round(0)); got != d || after.Sub(at) != 0 {
		t.Fatalf("the wall clock was set ahead by %v and the monotonic one by %v, want %v and 0", got, after.Sub(at), d)
	}
	return after
}

// Who verifies goes by the wall clock, so a token must be good after that has been
// set, be it forth or back.
func TestTokenAfterClockStep(t *testing.T) {
	key := parseKey(t, "changeme")
	for _, tt := range []struct {
		name string
		step time.Duration
	}{
		{"not set", 0},
		{"hours ahead", 5 * time.Hour},
		{"hours back", -5 * time.Hour},
		{"two minutes ahead", 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			s := NewSigner("app", key)
			before := s.Token(now)
			after := stepped(t, now, tt.step)
			token := s.Token(after)
			if err := Verify(token, key, after); err != nil {
				t.Errorf("a token asked for when the clock was set: %v", err)
			}
			if err := VerifyBearer(token, "app", key, after); err != nil {
				t.Errorf("as a bearer token: %v", err)
			}
			if again := s.Token(stepped(t, after, -tt.step)); Verify(again, key, now) != nil {
				t.Error("it is not good when the clock is set back to what it was")
			}
			if same := token == before; same != (tt.step == 0) {
				t.Errorf("token is the one of before: %v", same)
			}
		})
	}
}
