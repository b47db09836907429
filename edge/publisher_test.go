package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// publishCommand builds the command publish and returns its path.
func publishCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "publish")
	if out, err := exec.Command("go", "build", "-o", path, "marquee/publish").CombinedOutput(); err != nil {
		t.Fatalf("build publish: %v\n%s", err, out)
	}
	return path
}

// command runs a program with a GRIP_URL and returns what it prints on stdout,
// and on stderr when it fails.
func command(t *testing.T, gripURL, program string, args ...string) (stdout, failure string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "GRIP_URL="+gripURL)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), errs.String() + err.Error()
	}
	return out.String(), ""
}

// Whoever holds gets what is published by hand: with our command and with
// Pushpin's, where that is installed (GRIP §5.5).
func TestPublishers(t *testing.T) {
	programs := map[string]string{"publish": publishCommand(t)}
	if path, err := exec.LookPath("pushpin-publish"); err == nil {
		programs["pushpin-publish"] = path
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(holdChannel))
			hold := func() *client {
				t.Helper()
				c := r.dial()
				c.get("/")
				r.waitHolds(1)
				return c
			}
			publish := func(args ...string) {
				t.Helper()
				if out, failure := command(t, r.control, program, args...); out != "Published\n" || failure != "" {
					t.Fatalf("%s %q prints %q, fails with %q, want Published", name, args, out, failure)
				}
			}
			c := hold()
			publish("c", "hello")
			c.wantAnswer(200, "hello\n")
			c = hold()
			publish("--code", "201", "-H", "X-A: b", "--no-eol", "--id", "2", "--prev-id", "1", "-M", "a=b", "--sender", "s", "--no-seq", "c", "2")
			c.wantStatus(201)
			c.wantHeader("X-A", "b")
			c.wantBody("2")
			c = hold()
			long := filepath.Join(t.TempDir(), "long")
			if err := os.WriteFile(long, []byte(strings.Repeat("long ", 50_000)), 0o600); err != nil {
				t.Fatal(err)
			}
			publish("c", "@"+long)
			c.wantAnswer(200, strings.Repeat("long ", 50_000))
			if out, failure := command(t, r.control, program, "c", strings.Repeat("x", 1025), "--id", strings.Repeat("x", 1025)); out != "" ||
				!strings.Contains(failure, "publish item object contains 'id' longer than 1024 bytes") {
				t.Errorf("%s of a long id prints %q, fails with %q", name, out, failure)
			}
		})
	}
}

// The command shows its receipt, and what GRIP_URL says (GRIP §5.6).
func TestPublishCommandOfKeys(t *testing.T) {
	program := publishCommand(t)
	private, public, _ := keyPair(t)
	r := newRig(t, http.HandlerFunc(holdChannel), "-control-key", public, "-control-iss", "app", "-control-token", "t")
	at := strings.TrimPrefix(r.control, "http://")
	for _, tt := range []struct{ name, gripURL, failure string }{
		{"key and iss", "http://" + at + "/?iss=app&key=" + private, ""},
		{"key alone", "http://" + at + "/?key=t", ""},
		{"user and password", "http://u:t@" + at, ""},
		{"another iss", "http://" + at + "/?iss=other&key=" + private, "invalid issuer"},
		{"another key", "http://" + at + "/?iss=app&key=t", "signature is invalid"},
		{"nothing", "http://" + at, "no Authorization. (401 Unauthorized); show a token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, failure := command(t, tt.gripURL, program, "-receipt", "nobody", "x")
			if tt.failure == "" && (failure != "" || !strings.HasPrefix(out, "Published\n") || !strings.Contains(out, "delivered  http://"+at)) {
				t.Errorf("publish prints %q, fails with %q, want a receipt", out, failure)
			}
			if tt.failure != "" && (out != "" || !strings.Contains(failure, tt.failure)) {
				t.Errorf("publish prints %q, fails with %q, want it to fail with %q", out, failure, tt.failure)
			}
		})
	}
}

// The command publishes to Pushpin as well, which gives no receipts.
func TestPublishCommandToPushpin(t *testing.T) {
	program := publishCommand(t)
	control := "http://" + startPushpin(t)
	for _, args := range [][]string{
		{"c", "x"}, {"-receipt", "c", "x"}, {"-hint", "c"}, {"-close", "c"}, {"-patch", "c", `[{"op": "add", "path": "/a", "value": 1}]`},
		{"-id", "2", "-prev-id", "1", "-M", "a=b", "-H", "A: b", "c", "-"},
	} {
		if out, failure := command(t, control, program, args...); out != "Published\n" || failure != "" {
			t.Errorf("publish %q prints %q, fails with %q, want Published", args, out, failure)
		}
	}
}

// holdChannel is an origin that has everybody hold for channel c.
func holdChannel(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Grip-Hold", "response")
	w.Header().Set("Grip-Channel", "c")
}
