package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// FuzzAnswer has an origin answer anything at all: nothing panics, what a client
// would be given can be written as a response, and is complete if it seems so.
func FuzzAnswer(f *testing.F) {
	for _, tt := range framingCases {
		if len(tt.sent) < 1000 {
			f.Add(tt.sent, tt.head, true)
		}
	}
	for _, fields := range []string{
		"Grip-Hold: response\r\nGrip-Channel: a; prev-id=1", "Grip-Hold: stream\r\nGrip-Channel: a\r\nGrip-Link: </b>; rel=next",
		"Grip-Channel: a; prev-id=1", "Set-Cookie: a=b\r\nConnection: x\r\nX: y",
	} {
		f.Add(head("HTTP/1.1 200 OK", fields, "Content-Length: 2")+"ab", false, true)
		f.Add(head("HTTP/1.1 200 OK", fields)+"ab", false, false)
	}
	instruct := `{"hold": {"mode": "response", "channels": [{"name": "a", "prev-id": "1"}]}, "response": {"code": 201, "reason": "a", "headers": {"Y": "z"}, "body-bin": "YQ=="}}`
	f.Add(head("HTTP/1.1 200 OK", "Content-Type: application/grip-instruct")+instruct, false, true)

	var sent string // one input at a time
	c := newClient(f, "origin:80")
	c.dial = func(context.Context, string, string) (net.Conn, error) {
		client, origin := net.Pipe()
		go func(sent string) {
			defer origin.Close()
			if _, err := readRequest(origin); err == nil {
				io.WriteString(origin, sent)
			}
		}(sent)
		return client, nil
	}
	f.Fuzz(func(t *testing.T, answer string, headed, shared bool) {
		sent = answer
		r := get("")
		r.Service = c.service
		if r.Method = http.MethodGet; headed {
			r.Method = http.MethodHead
		}
		if shared {
			r.Key = "k"
		}
		a, _ := c.fetch(t.Context(), r)
		if a == nil {
			return
		}
		if a.Body != nil {
			_, _ = io.Copy(io.Discard, a.Body) // it may break off, which the client sees
			a.Body.Close()
		} else if a.Hold == nil && !isComplete(sent, r.Method) {
			t.Errorf("%q: a part is passed on as the whole, %q", sent, a.Response.Body)
		}
		if code := a.Response.Code; code < 200 || code > 999 || !printable(a.Response.Reason) {
			t.Errorf("%q: status %d %q", sent, code, a.Response.Reason)
		}
		for _, f := range a.Response.Header {
			if !isToken(f.Name) || !printable(f.Value) {
				t.Errorf("%q: field %q: %q", sent, f.Name, f.Value)
			}
		}
	})
}

// isComplete reports whether net/http finds a whole answer in what was sent.
func isComplete(sent, method string) bool {
	for in := bufio.NewReader(strings.NewReader(sent)); ; {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return false
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return false
		}
		if resp.StatusCode >= 200 {
			return true
		}
	}
}
