package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"marquee/route"
)

// A head may be as long as the flag and its route say, and not longer.
func TestMaxHead(t *testing.T) {
	h := http.HandlerFunc(hi)
	origin := serve(t, h)
	r := startEdge(t, "", func(c *Config) { c.Route = []string{"*,path_beg=/small,max_head=1024 " + origin, "* " + origin} },
		"-origin", origin, "-max-head", "2048")
	withLength := func(method, target string, n int) string {
		const field = "X-Fill: "
		one := request(method, target, field)
		return request(method, target, field+strings.Repeat("x", n-len(one)))
	}
	tests := []struct {
		name, target string
		length       int
		want         int
	}{
		{"the flag's", "/", 2048, 200},
		{"beyond the flag's", "/", 2049, 431},
		{"the route's", "/small", 1024, 200},
		{"beyond the route's", "/small", 1025, 431},
		{"beyond both", "/small", 4000, 431},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				before := r.metric(`marquee_drops_total{reason="head_too_long",what="request"}`)
				c := dial(t, r.address)
				head := withLength(method, tt.target, tt.length)
				if method == "POST" {
					const field = "\r\nContent-Length: 3"
					head = withLength(method, tt.target, tt.length-len(field))
					head = strings.TrimSuffix(head, "\r\n\r\n") + field + "\r\n\r\n"
				}
				c.send(head)
				if method == "POST" && tt.want == 200 {
					c.send("abc")
				}
				c.wantStatus(tt.want)
				if tt.want == 200 {
					c.wantBody("hi " + tt.target)
					return
				}
				c.wantHeader("Connection", "close")
				_, _ = c.readBody(tt.want)
				c.wantClosed()
				if n := r.metric(`marquee_drops_total{reason="head_too_long",what="request"}`) - before; n != 1 {
					t.Errorf("%v heads were counted, want 1", n)
				}
			})
		}
	}
}

// A content may be as long as the flag says, or else its route, and not longer:
// whether the request tells its length or not, on the loop and streamed.
func TestMaxBody(t *testing.T) {
	var whole atomic.Int64
	origin := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if err == nil {
			whole.Add(1)
		}
		fmt.Fprint(w, n)
	}))
	r := startEdge(t, "", func(c *Config) {
		c.Route = []string{"*,path_beg=/small,max_body=10 " + origin, fmt.Sprintf("*,path_beg=/large,max_body=%d %s", 3*maxContent, origin), "* " + origin}
	}, "-origin", origin, "-max-body", "1000")
	tests := []struct {
		name, target string
		length       int
		most         int // want 413 beyond
	}{
		{"the flag's", "/", 1000, 1000},
		{"beyond the flag's", "/", 1001, 1000},
		{"the route's", "/small", 10, 10},
		{"beyond the route's", "/small", 11, 10},
		{"a route's that is more than the flag's", "/large", 3 * maxContent, 3 * maxContent},
		{"beyond a route's that is more", "/large", 3*maxContent + 1, 3 * maxContent},
	}
	for _, tt := range tests {
		for _, framing := range []string{"sized", "chunked"} {
			t.Run(tt.name+", "+framing, func(t *testing.T) {
				counted, wholes := r.metric(`marquee_drops_total{reason="body_too_long",what="request"}`), whole.Load()
				c := dial(t, r.address)
				content := strings.Repeat("x", tt.length)
				head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", tt.target, tt.length)
				if framing == "chunked" {
					head = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", tt.target)
					content = fmt.Sprintf("5\r\nxxxxx\r\n%x\r\n%s\r\n0\r\n\r\n", tt.length-5, content[5:])
				}
				_, _ = io.WriteString(c.nc, head+content) // it may be refused before its end
				if tt.length <= tt.most {
					c.wantAnswer(200, strconv.Itoa(tt.length))
					return
				}
				c.wantStatus(http.StatusRequestEntityTooLarge)
				c.wantHeader("Connection", "close")
				c.wantBody(fmt.Sprintf("The request's content is longer than %d bytes.\n", tt.most))
				c.leave()
				if n := r.metric(`marquee_drops_total{reason="body_too_long",what="request"}`) - counted; n != 1 {
					t.Errorf("%v contents were counted, want 1", n)
				}
				if n := whole.Load() - wholes; n != 0 {
					t.Errorf("the origin has got %d contents, want none", n)
				}
			})
		}
	}
	t.Run("nobody is told to go on with a content that is too long (RFC 9110 §10.1.1)", func(t *testing.T) {
		c := dial(t, r.address)
		c.send("POST /small HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
		c.wantStatus(http.StatusRequestEntityTooLarge)
	})
}

// What a route says of heads cannot be more than what is read of any.
func TestMaxHeadOfRouteAndFlag(t *testing.T) {
	cfg, err := parseConfig([]string{"-max-head", "2048", "-route", "*,max_head=2049 localhost:1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEdge(cfg, newLogger(cfg, io.Discard))
	if err == nil || !strings.Contains(err.Error(), "max_head is 2049") || !strings.Contains(err.Error(), "-max-head") {
		t.Errorf("newEdge: %v, %v, want an error that names both", e, err)
	}
}

// A limit that is set in a file that is read again is in force from then on.
func TestMaxBodyReload(t *testing.T) {
	table, err := route.Parse("test", []byte("*,max_body=7 localhost:1"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig([]string{"-origin", "localhost:1", "-max-body", "5"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEdge(cfg, newLogger(cfg, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range e.routing.Load().services {
		if s.maxBody != 5 {
			t.Errorf("max_body is %d, want the flag's 5", s.maxBody)
		}
	}
	next, err := e.newRouting(table, e.routing.Load())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range next.services {
		if s.maxBody != 7 {
			t.Errorf("max_body is %d, want the route's 7", s.maxBody)
		}
	}
}
