package hostile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// attack is what a client sends, and what has to become of it.
type attack struct {
	name    string // the section, and what is tried
	send    string
	verdict verdict
}

// verdict is what an attack deserves.
type verdict struct {
	asks   []string // what the origin is asked; see ask
	status int      // of the error that ends the connection; 0 for none
	closes bool     // the connection ends with the last answer, though there is no error
	open   bool     // the marker is taken for a part of the attack
	// Fields that must not be in what the origin is asked, and ones that must
	// be, by name and value.
	without, with []string
}

// refused: nothing reaches the origin.
func refused(status int) verdict { return verdict{status: status} }

// asks: these requests reach the origin, and the marker after them.
func asks(requests ...string) verdict { return verdict{asks: requests} }

// ends: these requests reach the origin, and the connection ends with the
// answer to the last of them.
func ends(requests ...string) verdict { return verdict{asks: requests, closes: true} }

// swallows: these requests reach the origin, and the last one has the marker in
// it.
func swallows(requests ...string) verdict { return verdict{asks: requests, open: true} }

// waits: the request does not come to its end, and so the origin hears nothing
// of it.
func waits() verdict { return verdict{open: true} }

// then: after those requests there is one that is refused.
func (v verdict) then(status int) verdict {
	v.status = status
	return v
}

// hides: the fields of these names do not reach the origin.
func (v verdict) hides(names ...string) verdict {
	v.without = names
	return v
}

// tells: the fields, "Name: value", do reach the origin.
func (v verdict) tells(fields ...string) verdict {
	v.with = fields
	return v
}

// maxContent is how long a content may be, in bytes, for the edge to have it
// all before it asks the origin.
const maxContent = 100_000

// What the attacks are made of.
const (
	marker    = "GET /marker HTTP/1.1\r\nHost: marker.example\r\nConnection: close\r\n\r\n"
	smuggled  = "GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r\n"
	askMarker = `GET /marker marker.example ""`
	getA      = `GET /a a.example ""`
	smuggling = `GET /smuggled smuggled.example ""`
)

// get is a request without content, with these fields.
func get(fields ...string) string { return request("GET /a HTTP/1.1", fields, "") }

// post is a request with content, whose framing the fields give.
func post(content string, fields ...string) string {
	return request("POST /a HTTP/1.1", fields, content)
}

// postA is what post asks, with this content.
func postA(content string) string { return ask("POST", "/a", "a.example", content) }

func request(line string, fields []string, content string) string {
	return line + "\r\nHost: a.example\r\n" + strings.Join(append(slices.Clone(fields), "\r\n"), "\r\n") + content
}

// allAttacks are those of every subject.
func allAttacks() []attack {
	return slices.Concat(framingAttacks, codingAttacks(), chunkAttacks, lineAttacks(), requestLineAttacks(),
		targetAttacks, hostAttacks(), fieldAttacks(), connectionAttacks, expectAttacks, pipelineAttacks, sizeAttacks(), proxyAttacks())
}

// Each attack has a name of its own, and there are enough of them.
func TestAttackNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range allAttacks() {
		if seen[a.name] {
			t.Errorf("two attacks are named %q", a.name)
		}
		seen[a.name] = true
	}
	if len(seen) < 300 {
		t.Errorf("%d attacks, want at least 300", len(seen))
	}
}

// What the origin receives is one well-formed request for each that the edge
// has accepted, or the client is told no and the connection ends.
func TestAttacks(t *testing.T) { testAttacks(t) }

// The same where requests share their answers.
func TestAttacksShared(t *testing.T) { testAttacks(t, "-share-all") }

func testAttacks(t *testing.T, args ...string) {
	rec := startRecorder(t)
	e := startEdge(t, rec.address(), args...)
	breaks := 0 // attacks of which the origin may have got the beginning
	for _, a := range allAttacks() {
		if a.verdict.status != 0 && len(a.send) > maxContent {
			breaks++
		}
		t.Run(a.name, func(t *testing.T) {
			got := a.run(t, e, rec, len(a.send))
			want := a.verdict
			if !slices.Equal(got.asks, want.asksAll()) {
				t.Errorf("%.1000q asks the origin\n\t%s\nwant\n\t%s", a.send, strings.Join(got.asks, "\n\t"), strings.Join(want.asksAll(), "\n\t"))
			}
			if got.status != want.status {
				t.Errorf("%.1000q is answered %v at the end, want %d", a.send, got.status, want.status)
			}
			if len(a.send) < 300 {
				if singly := a.run(t, e, rec, 1); !slices.Equal(singly.asks, got.asks) || singly.status != got.status {
					t.Errorf("%.1000q byte by byte is read as %v, want %v", a.send, singly, got)
				}
			}
		})
	}
	if begun := rec.brokenOff(); len(begun) > breaks {
		t.Errorf("%d requests were broken off, want at most %d: %.200q", len(begun), breaks, begun)
	}
}

// asksAll returns all that the origin is asked, the marker included.
func (v verdict) asksAll() []string {
	if v.status != 0 || v.closes || v.open && len(v.asks) == 0 {
		return v.asks
	}
	return append(slices.Clone(v.asks), askMarker)
}

// reading is how a server has read an attack.
type reading struct {
	asks   []string
	status int // of the error that ended it; 0 for none
}

// run sends the attack, so many bytes at a time, and the marker to the edge, and
// checks everything that does not depend on the verdict.
func (a attack) run(t *testing.T, e *edge, rec *recorder, size int) reading {
	t.Helper()
	nc, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	go a.write(nc, size)
	var in []byte
	if a.verdict.open {
		if in, err = readAnswers(nc, a.verdict.asks); err != nil {
			t.Fatalf("%.1000q: %v, after %.1000q", a.send, err, in)
		}
		if len(a.verdict.asks) > 0 {
			_, _ = io.WriteString(nc, marker)
		}
	}
	if !a.verdict.open || len(a.verdict.asks) > 0 {
		rest, err := io.ReadAll(nc)
		if err != nil && !isReset(err) {
			t.Fatalf("%.1000q: the connection does not end: %v, after %.1000q", a.send, err, rest)
		}
		in = append(in, rest...)
	}
	nc.Close()
	sentinel(t, e)
	asked, wrong := rec.take()
	if len(wrong) > 0 {
		t.Errorf("%.1000q: the origin got %s", a.send, strings.Join(wrong, "\n"))
	}
	var got reading
	var methods []string
	for _, m := range asked {
		if m.target != "/sentinel" {
			got.asks = append(got.asks, strings.Replace(m.String(), rec.address(), "origin", 1))
			methods = append(methods, m.method)
			a.checkFields(t, m)
		}
	}
	answers := parseAnswers(t, in, methods)
	for i, m := range answers {
		switch good := m.status == http.StatusOK; {
		case good && i >= len(got.asks):
			t.Errorf("%.1000q: answer %q without a request at the origin", a.send, m.content)
		case good && methods[i] != http.MethodHead && strings.Replace(m.content, rec.address(), "origin", 1) != got.asks[i]:
			t.Errorf("%.1000q: answer %d is %q, want that to %s", a.send, i, m.content, got.asks[i])
		case !good && (i < len(answers)-1 || !m.closes):
			t.Errorf("%.1000q: the connection goes on after %d", a.send, m.status)
		case !good:
			got.status = m.status
		}
	}
	if good := len(answers) - min(got.status, 1); good != len(got.asks) {
		t.Errorf("%.1000q: %d requests at the origin, %d answers", a.send, len(got.asks), good)
	}
	return got
}

// write sends the attack and the marker. The edge may close the connection before
// it has read all.
func (a attack) write(nc net.Conn, size int) {
	for send := range slices.Chunk([]byte(a.send), max(size, 1)) {
		if _, err := nc.Write(send); err != nil {
			return
		}
	}
	_, _ = io.WriteString(nc, marker)
}

// checkFields looks at the fields of a request of the attack.
func (a attack) checkFields(t *testing.T, m *message) {
	t.Helper()
	if m.target == "/marker" {
		return
	}
	for _, name := range a.verdict.without {
		if values := m.values(name); len(values) > 0 {
			t.Errorf("%.1000q: the origin gets %s %q", a.send, name, values)
		}
	}
	for _, f := range a.verdict.with {
		if name, value, _ := strings.Cut(f, ": "); !slices.Contains(m.values(name), value) {
			t.Errorf("%.1000q: the origin gets %s %q, want %q", a.send, name, m.values(name), value)
		}
	}
}

// sentinel asks the origin something through the edge, so that all that was
// sent to it before has arrived.
func sentinel(t *testing.T, e *edge) {
	t.Helper()
	resp, err := http.Get("http://" + e.address + "/sentinel")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the edge answers %d, %v", resp.StatusCode, err)
	}
}

// readAnswers reads from nc until all of these have been answered.
func readAnswers(nc net.Conn, asks []string) (in []byte, err error) {
	buf := make([]byte, 4<<10)
	for read := 0; ; {
		for m := (*message)(nil); len(asks) > 0; {
			method, _, _ := strings.Cut(asks[0], " ")
			n := 0
			if m, n, err = readResponse(in[read:], method, false); err != nil {
				break
			}
			if read += n; m.status >= 200 {
				asks = asks[1:]
			}
		}
		if len(asks) == 0 || err != nil && err != errShort {
			return in, err
		}
		n, err := nc.Read(buf)
		if in = append(in, buf[:n]...); err != nil {
			return in, err
		}
	}
}

// parseAnswers reads all that the edge has sent on a connection, and returns
// the final responses; methods are those of the requests that reached the origin.
func parseAnswers(t *testing.T, in []byte, methods []string) (answers []*message) {
	t.Helper()
	for len(in) > 0 {
		method := http.MethodGet
		if len(answers) < len(methods) {
			method = methods[len(answers)]
		}
		m, n, err := readResponse(in, method, true)
		if err != nil {
			t.Errorf("the edge answers %.1000q: %v", in, err)
			return answers
		}
		if in = in[n:]; m.status >= 200 {
			answers = append(answers, m)
		}
	}
	return answers
}

// isReset reports whether the peer has broken off the connection.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(fmt.Sprint(op.Err), "reset")
}
