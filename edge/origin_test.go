package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An origin that gives no good answer costs the client one plain line, not its
// connection.
func TestOriginGivesNoAnswer(t *testing.T) {
	const line = "Error while proxying to origin.\n"
	tests := []struct {
		name   string
		answer string // then the origin closes
	}{
		{"nothing", ""},
		{"nonsense", "\x00\x01\x02\r\n\r\n"},
		{"another protocol", "220 smtp.example ESMTP\r\n"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"half a short body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
		{"101 unasked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
		{"a head without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200_000)},
		{"control bytes in a field", "HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n"},
		{"an instruct too large", fmt.Sprintf("HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nContent-Length: %d\r\n\r\n%s", maxContent+1, large+"x")},
		{"an unknown hold mode", "HTTP/1.1 200 OK\r\nGrip-Hold: Response\r\nContent-Length: 0\r\n\r\n"},
		{"a bad timeout", "HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Timeout: soon\r\nContent-Length: 0\r\n\r\n"},
		{"a bad status", "HTTP/1.1 200 OK\r\nGrip-Status: 99\r\nContent-Length: 0\r\n\r\n"},
		{"a JSON instruct that is none", jsonInstruct("{")},
		{"a JSON instruct without channels", jsonInstruct(`{"hold": {"mode": "response"}}`)},
		{"a JSON instruct with another status", strings.Replace(jsonInstruct("{}"), "200 OK", "404 Not Found", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRawRig(t, func(nc net.Conn) {
				req, err := http.ReadRequest(bufio.NewReader(nc))
				switch {
				case err != nil:
				case req.URL.Path == "/good":
					_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
				default:
					_, _ = io.WriteString(nc, tt.answer)
				}
			})
			c := r.dial()
			c.get("/bad")
			c.wantStatus(502)
			c.wantHeader("Content-Type", "text/plain")
			c.wantHeader("Connection")
			c.wantBody(line)
			c.get("/good")
			c.wantAnswer(200, "hi")
			r.waitMetric("marquee_origin_failures_total", 1)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		wantNoLeaks(t)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		ln.Close()
		r := startEdge(t, address, nil)
		c := r.dial()
		for range 2 {
			c.get("/")
			c.wantAnswer(502, line)
		}
		c.ask("HEAD", "/")
		c.wantStatus(502)
		c.wantHeader("Content-Length", fmt.Sprint(len(line)))
		c.wantBody("")
		c.sentHead = false
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", 2*maxContent, large+large))
		c.wantAnswer(502, line)
		c.wantClosed() // nobody has read the content
	})
}

// Everybody who shares a request that fails is told.
func TestOriginFailsForAll(t *testing.T) {
	const clients = 6
	goCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		hang(req, goCh)
		panic(http.ErrAbortHandler)
	}), "-share-all")
	cs := r.poll(clients, 1)
	r.waitMetric("marquee_requests_total", clients)
	close(goCh)
	for _, c := range cs {
		c.wantAnswer(502, "Error while proxying to origin.\n")
	}
}

// An origin that says nothing is not waited for without end.
func TestOriginIsSilent(t *testing.T) {
	tests := []struct{ name, answer string }{
		{"no head", ""},
		{"no end of a short body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"},
		{"no end of an instruct", "HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nContent-Length: 5\r\n\r\nhel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantNoLeaks(t)
			origin := serveRaw(t, func(nc net.Conn) {
				in := bufio.NewReader(nc)
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				if req.URL.Path == "/good" {
					_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
					return
				}
				_, _ = io.WriteString(nc, tt.answer)
				_, _ = io.Copy(io.Discard, in) // until the edge gives up
			})
			inTime(t, func(timeout time.Duration) bool {
				r := startEdge(t, origin, func(c *Config) { c.OriginTimeout = timeout })
				c := r.dial()
				c.get("/bad")
				c.wantAnswer(504, "The origin did not answer in time.\n")
				c.get("/good")
				status, err := c.readHead()
				if status == 504 {
					return false
				}
				if status != 200 || err != nil {
					t.Fatalf("status %d, %v of the answer that follows", status, err)
				}
				c.wantBody("hi")
				return true
			})
		})
	}
}

// With one request open at a time the others wait in line: for as long as they
// are willing to, and not longer than is reasonable.
func TestLineForOrigin(t *testing.T) {
	startedCh, goCh := make(chan struct{}, 1), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			startedCh <- struct{}{}
			hang(req, goCh)
		}
		hi(w, req)
	}), "-max-open-requests", "1")
	slow, waits, leaves, late := r.dial(), r.dial(), r.dial(), r.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	leaves.get("/leaves")
	r.waitMetric("marquee_origin_requests_waiting", 1)
	leaves.leave()
	r.waitMetric("marquee_origin_requests_waiting", 0)
	late.get("/late")
	r.waitMetric("marquee_origin_requests_waiting", 1)
	late.wantStatus(503) // when it has waited long enough
	late.wantHeader("Retry-After", "1")
	late.wantBody("Too many requests are waiting for the origin.\n")
	waits.get("/waits")
	r.waitMetric("marquee_origin_requests_waiting", 1)
	close(goCh)
	slow.wantAnswer(200, "hi /slow")
	waits.wantAnswer(200, "hi /waits")
	late.get("/again")
	late.wantAnswer(200, "hi /again")
}
