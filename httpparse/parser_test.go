package httpparse

import (
	"bytes"
	"fmt"
	"testing"
)

// longPoll is the request that an edge reads most: a script's poll.
const longPoll = "GET /headline/value/?last_id=41 HTTP/1.1\r\n" +
	"Host: edge.example.com:7999\r\n" +
	"User-Agent: headline-client/2.1 (linux)\r\n" +
	"Accept: application/json\r\n" +
	"Accept-Encoding: gzip, zstd\r\n" +
	"Authorization: Bearer 4f1d3c7a90b2\r\n" +
	"Connection: keep-alive\r\n" +
	"\r\n"

func TestParsePipelined(t *testing.T) {
	p := NewParser(Limits{})
	wantOutcome(t, p,
		"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+
			"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"+
			"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"+
			"GET /4",
		"POST /1 HTTP/1.1 host=a length=5 persistent [Host: a] [Content-Length: 5]\n"+
			"content \"hello\"\n"+
			"POST /2 HTTP/1.1 host=a chunked persistent [Host: a] [Transfer-Encoding: chunked]\n"+
			"content \"GET /\"\n"+
			"GET /3 HTTP/1.1 host=a [Host: a] [Connection: close]\n"+
			"need more\n")
}

// TestParsersShareConnections has one parser read two connections whose bytes
// come in turns.
func TestParsersShareConnections(t *testing.T) {
	p := NewParser(Limits{})
	heads := [2][]byte{
		[]byte("GET /one HTTP/1.1\r\nHost: one\r\nX: 1\r\n\r\n"),
		[]byte("PUT /two HTTP/1.1\r\nHost: two\r\nY: 2\r\n\r\n"),
	}
	var scans [2]Scan
	for i := range len(heads[0]) {
		for c, head := range heads {
			req, n, err := p.Parse(&scans[c], head[:i+1])
			if i < len(head)-1 {
				if err != ErrNeedMore {
					t.Fatalf("connection %d, %d bytes: got %v, want %v", c, i+1, err, ErrNeedMore)
				}
				continue
			}
			if err != nil || n != len(head) || !bytes.Contains(head, req.Target) || len(req.Fields) != 2 {
				t.Errorf("connection %d: got %v, %d, %v", c, req, n, err)
			}
		}
	}
}

// TestSplitSurvivesWildcat gives wildcat what Scan keeps from it. None of it
// may be taken for a request, and nothing may panic.
func TestSplitSurvivesWildcat(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		lines      int
	}{
		{"panics: white space behind the request line", "GET / HTTP/1.1\r\n X: y\r\n\r\n", 1},
		{"waits for ever: no colon", "GET / HTTP/1.1\r\nFoo\r\n\r\n", 1},
		{"waits for ever: empty name", "GET / HTTP/1.1\r\n: v\r\n\r\n", 1},
		{"fails: CR in the version", "GET / HTTP/1\r1\r\n\r\n", 0},
		{"stops early: empty line inside", "GET / HTTP/1.1\r\n\r\nA: b\r\n\r\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewParser(Limits{})
			if p.split([]byte(tt.head), tt.lines) {
				t.Errorf("split accepted %q", tt.head)
			}
			wantOutcome(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 host=a persistent [Host: a]\n")
		})
	}
}

// TestParserForgets checks that what a request leaves in the parser does not
// keep the bytes of a later one's predecessor alive.
func TestParserForgets(t *testing.T) {
	p := NewParser(Limits{})
	var scan Scan
	for _, head := range []string{longPoll, "GET / HTTP/1.0\r\nX: y\r\n\r\n"} {
		if _, _, err := p.Parse(&scan, []byte(head)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < len(p.fields); i++ {
		if p.fields[i].Name != nil || p.wild.Headers[i].Name != nil {
			t.Errorf("entry %d still holds %q", i, p.fields[i].Name)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	p := NewParser(Limits{})
	var scan Scan
	for _, tt := range []struct{ name, in string }{
		{"long poll", longPoll},
		{"not complete", longPoll[:100]},
		{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"},
		{"absolute form with a query and no path", "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"options of the connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, x, upgrade\r\n\r\n"},
		{"folded line", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"},
		{"too many field lines", "GET / HTTP/1.0\r\n" + string(bytes.Repeat([]byte("A: b\r\n"), 101)) + "\r\n"},
	} {
		in := []byte(tt.in)
		if n := testing.AllocsPerRun(100, func() {
			scan = Scan{}
			p.Parse(&scan, in)
		}); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

func ExampleParser_Parse() {
	parser := NewParser(Limits{}) // one for an event loop
	var scan Scan                 // one for each connection

	var inbound []byte
	for _, read := range []string{"POST /echo HT", "TP/1.1\r\nHost: example.com\r\nContent-Length: 5\r", "\n\r\nhello"} {
		inbound = append(inbound, read...)
		request, n, err := parser.Parse(&scan, inbound)
		if err == ErrNeedMore {
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s for %s\n", request.Method, request.Target, request.Host)
		body := request.Body()
		content, _, _ := body.Next(inbound[n:])
		fmt.Printf("%s, done: %t\n", content, body.Done())
	}
	// Output:
	// POST /echo for example.com
	// hello, done: true
}
