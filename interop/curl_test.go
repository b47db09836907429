package interop

import (
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// curl runs curl to its end and returns what it wrote.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(find(t, "curl"), args...).Output()
	if err != nil {
		t.Fatalf("curl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// forge returns a token that would be good if its key were the subject's.
func forge(t *testing.T) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": issuer, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte("another key"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A transcript is what a curl that is still running has written: head and body
// of an answer, line by line.
type transcript struct {
	p  *program
	mu sync.Mutex
	s  []string // guarded by mu
}

func (c *transcript) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = append(c.s, strings.TrimSuffix(line, "\r"))
}

func (c *transcript) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.s)
}

// startCurl starts a curl that prints the answer's head, too.
func startCurl(t *testing.T, args ...string) *transcript {
	t.Helper()
	c := &transcript{}
	c.p = start(t, command{path: find(t, "curl"), args: slices.Concat(curlOptions, []string{"--include"}, args), stdout: c.add})
	return c
}

// want waits until the transcript matches a regular expression.
func (c *transcript) want(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.Now().Add(patience)
	for !re.MatchString(strings.Join(c.lines(), "\n")) {
		if time.Now().After(deadline) {
			t.Fatalf("curl has got\n%s\nwant %s", strings.Join(c.lines(), "\n"), pattern)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// wantNone fails if the transcript matches.
func (c *transcript) wantNone(t *testing.T, pattern string) {
	t.Helper()
	if got := strings.Join(c.lines(), "\n"); regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("curl has got\n%s\nwant no %s", got, pattern)
	}
}

// A poll is answered with a length, and the connection of HTTP/1.1 stays open
// for the next; nothing that was meant for the subject is seen.
func TestCurlPoll(t *testing.T) {
	s := newStand(t)
	for _, tt := range []struct{ name, option, connection string }{
		{"HTTP/1.1", "--http1.1", `(?m)^\* Connection #0 to host 127\.0\.0\.1 left intact`},
		{"HTTP/1.0", "--http1.0", `(?m)^\* Closing connection 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			last := s.origin.mustPut("before " + tt.name)
			var mu sync.Mutex
			var notes []string
			c := &transcript{}
			asked := len(s.origin.asked(isPoll))
			c.p = start(t, command{
				path: find(t, "curl"), args: slices.Concat(curlOptions, []string{"--include", "--verbose", tt.option, s.url("/feed/next?after=" + last.id())}),
				stdout: c.add,
				stderr: func(line string) {
					mu.Lock()
					defer mu.Unlock()
					notes = append(notes, line)
				},
			})
			s.origin.wantAsked(asked+1, "the poll", isPoll)
			m := s.origin.mustPut("news for " + tt.name)
			if err := c.p.wait(t); err != nil {
				t.Fatalf("curl ended with %v", err)
			}
			body := `[{"id":` + m.id() + `,"text":"` + m.Text + `"}]`
			c.want(t, `^HTTP/1\.[01] 200 OK\n`)
			c.want(t, `(?im)^Content-Type: application/json$`)
			c.want(t, `(?im)^Content-Length: `+strconv.Itoa(len(body))+`$`)
			c.want(t, `\n\n`+regexp.QuoteMeta(body)+`$`)
			c.wantNone(t, `(?im)^(Grip-|Transfer-Encoding)`)
			mu.Lock()
			defer mu.Unlock()
			if all := strings.Join(notes, "\n"); !regexp.MustCompile(tt.connection).MatchString(all) {
				t.Errorf("curl notes\n%s\nwant %s", all, tt.connection)
			}
		})
	}
}

func isPoll(r request) bool { return strings.HasPrefix(r.URL, "/feed/next") }

// A stream is chunked, or not if the client is of HTTP/1.0, and has its
// keep-alives.
func TestCurlStream(t *testing.T) {
	s := newStand(t)
	for _, tt := range []struct {
		name, option string
		chunked      bool
	}{
		{"HTTP/1.1", "--http1.1", true},
		{"HTTP/1.0", "--http1.0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startCurl(t, tt.option, s.url("/feed/stream?keep-alive=2"))
			c.want(t, `^HTTP/1\.[01] 200 OK\n`)
			c.want(t, `(?im)^Content-Type: text/event-stream(;|$)`)
			if tt.chunked {
				c.want(t, `(?im)^Transfer-Encoding: chunked$`)
			}
			c.want(t, `\n\nretry: 100\n`)
			m := s.origin.mustPut("for " + tt.name)
			c.want(t, `\ndata: {"id":`+m.id()+`,.*\n\n(:\n\n)+`) // keep-alives after it
			c.wantNone(t, `(?im)^(Grip-|Content-Length)`)
			if !tt.chunked {
				c.wantNone(t, `(?im)^Transfer-Encoding`)
			}
			s.origin.farewell()
			if err := c.p.wait(t); err != nil {
				t.Errorf("curl ended with %v, want a clean end", err)
			}
		})
	}
}

// A stream in gzip arrives message by message, not when the coder's buffer is
// full. Pushpin does not compress, which is an answer to Accept-Encoding, too.
func TestCurlCompressed(t *testing.T) {
	s := newStand(t)
	c := startCurl(t, "--compressed", "--header", "Accept-Encoding: gzip", s.url("/feed/stream?after=0"))
	c.want(t, `\n\nretry: 100\n`)
	if *subjectFlag == "edge" {
		c.want(t, `(?im)^Content-Encoding: gzip$`)
	}
	for i := range 3 {
		m := s.origin.mustPut("message " + strconv.Itoa(i))
		c.want(t, `\ndata: {"id":`+m.id()+`,.*\n$`) // the event with the empty line that ends it
	}
	s.origin.farewell()
	if err := c.p.wait(t); err != nil {
		t.Errorf("curl ended with %v, want a clean end", err)
	}
}

// What is no instruct is passed on as it is: a HEAD, a range, a validator.
func TestCurlPassThrough(t *testing.T) {
	s := newStand(t)
	file := s.url("/page/pollymer.min.js")
	whole := curl(t, "--silent", "--noproxy", "*", file)
	if !strings.Contains(whole, "Pollymer") {
		t.Fatalf("GET %s: %d bytes that are not Pollymer", file, len(whole))
	}
	if got := curl(t, "--silent", "--noproxy", "*", "--range", "100-199", file); got != whole[100:200] {
		t.Errorf("range 100-199: got %q, want %q", got, whole[100:200])
	}
	head := curl(t, "--silent", "--noproxy", "*", "--head", file)
	if length := strconv.Itoa(len(whole)); !regexp.MustCompile(`(?im)^Content-Length: ` + length + `\r$`).MatchString(head) {
		t.Errorf("HEAD: got\n%s\nwant a length of %s", head, length)
	}
	etag := regexp.MustCompile(`(?im)^ETag: (.*)\r$`).FindStringSubmatch(head)
	if etag == nil {
		t.Fatalf("HEAD: got\n%s\nwant an ETag", head)
	}
	if got := curl(t, "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "If-None-Match: "+etag[1], file); got != "304" {
		t.Errorf("If-None-Match: status %s, want 304", got)
	}
}
