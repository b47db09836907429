package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// mirror answers with the request as it arrived at the origin.
func mirror(w http.ResponseWriter, r *http.Request) {
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
	w.Header().Set("X-Target", r.RequestURI)
	_, _ = w.Write(dump)
}

// mirrored reads an answer of mirror and returns the request that it shows,
// with its content.
func (c *client) mirrored() (*http.Request, string) {
	c.t.Helper()
	c.wantStatus(200)
	body, err := c.readBody(200)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(body)))
	if err != nil {
		c.t.Fatalf("origin got %q: %v", body, err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r, string(content)
}

// What a client asks reaches the origin, and the connection is good for the
// next request each time.
func TestRequestPassesThrough(t *testing.T) {
	r := newRig(t, http.HandlerFunc(mirror))
	c := r.dial()
	tests := []struct {
		name    string
		request string
		method  string
		target  string
		length  string // as the origin saw it
		content string
	}{
		{"GET", "GET /a?b=%20c HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a?b=%20c", "0", ""},
		{"POST", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST", "/a", "3", "abc"},
		{"POST, no content", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST", "/a", "0", ""},
		{"POST, chunked", "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "POST", "/a", "3", "abc"},
		{"PUT, chunked, empty", "PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "PUT", "/a", "0", ""},
		{"PUT", "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n.", "PUT", "/a", "1", "."},
		{"PATCH", "PATCH /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n.", "PATCH", "/a", "1", "."},
		{"DELETE", "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE", "/a", "0", ""},
		{"GET with content", "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n.", "GET", "/a", "1", "."},
		{"OPTIONS", "OPTIONS /a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "/a", "0", ""},
		{"OPTIONS * (RFC 9112 §3.2.4)", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "0", ""},
		{"a method of its own", "PURGE /a HTTP/1.1\r\nHost: h\r\n\r\n", "PURGE", "/a", "0", ""},
		{"absolute form (RFC 9112 §3.2.2)", "GET http://h/a?b HTTP/1.1\r\nHost: other\r\n\r\n", "GET", "/a?b", "0", ""},
		{"escapes stay", "GET /%2F/a%2fb/;x=1?%zz HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/%2F/a%2fb/;x=1?%zz", "0", ""},
		{"two slashes", "GET //a//b?c HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "//a//b?c", "0", ""},
		{"dots stay", "GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a/../b", "0", ""},
		{"empty line before (RFC 9112 §2.2)", "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := *c
			c.t = t
			c.send(tt.request)
			got, content := c.mirrored()
			if got.Method != tt.method || content != tt.content || got.Host != "h" {
				t.Errorf("%q reached the origin as %s with content %q for host %s, want %s, %q, h",
					tt.request, got.Method, content, got.Host, tt.method, tt.content)
			}
			c.wantHeader("X-Target", tt.target)
			c.wantHeader("X-Length", tt.length)
			c.wantHeader("Connection")
		})
	}
}

// RFC 9110 §7.6: what is for one connection stays on it.
func TestRequestFields(t *testing.T) {
	r := newRig(t, http.HandlerFunc(mirror), "-sig-key", "secret")
	tests := []struct {
		name   string
		send   []string
		arrive map[string]string // values joined with |; "" for none
	}{
		{"end-to-end fields pass", []string{"X-A: 1", "x-a: 2", "Cookie: c=d", "Authorization: Basic x", "Accept: */*", "Range: bytes=0-1"},
			map[string]string{"X-A": "1|2", "Cookie": "c=d", "Authorization": "Basic x", "Accept": "*/*", "Range": "bytes=0-1"}},
		{"nothing is added for the client", nil, map[string]string{"User-Agent": "", "Accept": "", "Accept-Encoding": ""}},
		{"User-Agent passes", []string{"User-Agent: u"}, map[string]string{"User-Agent": "u"}},
		{"hop-by-hop (§7.6.1)", []string{"Connection: keep-alive, X-B", "Keep-Alive: timeout=5", "X-B: 1", "TE: trailers", "Trailer: X-C",
			"Upgrade: websocket", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic x", "X-D: 1"},
			map[string]string{"Connection": "", "Keep-Alive": "", "X-B": "", "Te": "", "Trailer": "", "Upgrade": "",
				"Proxy-Connection": "", "Proxy-Authorization": "", "X-D": "1"}},
		{"the edge codes for itself", []string{"Accept-Encoding: gzip"}, map[string]string{"Accept-Encoding": ""}},
		{"X-Forwarded-For begins", nil, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}},
		{"X-Forwarded-For goes on", []string{"X-Forwarded-For: 10.0.0.1, 10.0.0.2", "X-Forwarded-For: 10.0.0.3"},
			map[string]string{"X-Forwarded-For": "10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1"}},
		{"X-Forwarded-Proto stays", []string{"X-Forwarded-Proto: https"}, map[string]string{"X-Forwarded-Proto": "https"}},
		{"Via begins (§7.6.3)", nil, map[string]string{"Via": viaEntry}},
		{"Via goes on (§7.6.3)", []string{"Via: 1.0 a", "Via: 1.1 b"}, map[string]string{"Via": "1.0 a, 1.1 b, " + viaEntry}},
		{"nobody speaks as a GRIP proxy in other spellings (RFC 3875 §4.1.18)", []string{"GRIP-SIG: forged", "Grip_Sig: forged", "grip-Sig: forged",
			"GRIP_LAST: c; last-id=1", "Meta-User: root", "META_USER: root", "mEtA-x: 1",
			"Sub-Meta: {}", "Sub_Meta: {}", "sub-meta: {}", "Pub-Meta: {}", "PUB_META: {}"},
			map[string]string{"Grip_Sig": "", "Grip_last": "", "Meta-User": "", "Meta_user": "", "Meta-X": "", "Sub-Meta": "", "Sub_meta": "",
				"Pub-Meta": "", "Pub_meta": "", "Grip-Last": ""}},
		{"nobody says in other spellings where a request came from", []string{"X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6", "x_forwarded-for: 6.6.6.6",
			"X_Forwarded_Proto: https", "X_FORWARDED_HOST: evil", "CDN_Loop: x", "Content_Length: 5", "Transfer_Encoding: chunked",
			"EB9BF0F5_Cookie: c", "eb9bf0f5-Cookie: c"},
			map[string]string{"X-Forwarded-For": "127.0.0.1", "X_forwarded_for": "", "X-Forwarded_for": "", "X_forwarded-For": "",
				"X-Forwarded-Proto": "http", "X_forwarded_proto": "", "X_forwarded_host": "", "Cdn_loop": "", "Content_length": "",
				"Transfer_encoding": "", "Eb9bf0f5_cookie": "", "Eb9bf0f5-Cookie": ""}},
		{"other underscores pass", []string{"X_Api_Key: k", "Metadata: m", "_: u", "Gripped: g", "Sub-Metadata: s"},
			map[string]string{"X_api_key": "k", "Metadata": "m", "_": "u", "Gripped": "g", "Sub-Metadata": "s"}},
		{"nobody speaks as a GRIP proxy", []string{"Grip-Sig: forged", "grip-last: c; last-id=1", "Grip-Feature: all", "Grip-X: 1"},
			map[string]string{"Grip-Last": "", "Grip-Feature": "status, link:next, link:gone, filter:skip-self, filter:skip-users, " +
				"filter:require-sub, filter:build-id, filter:var-subst, filter:http-check, filter:http-modify", "Grip-X": ""}},
		{"an expectation ends here", []string{"Expect: 100-continue"}, map[string]string{"Expect": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, r.address)
			c.get("/", tt.send...)
			got, _ := c.mirrored()
			for name, want := range tt.arrive {
				if values := strings.Join(got.Header.Values(name), "|"); values != want {
					t.Errorf("%s arrived as %q, want %q", name, values, want)
				}
			}
			key, err := grip.ParseKey("secret")
			if err != nil {
				t.Fatal(err)
			}
			if err := grip.Verify(got.Header.Get("Grip-Sig"), key, time.Now()); err != nil {
				t.Errorf("Grip-Sig %q: %v", got.Header.Get("Grip-Sig"), err)
			}
		})
	}
}

// jsonInstruct makes an origin's answer of a JSON instruct.
func jsonInstruct(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/grip-instruct\r\nX-A: 1\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// What the origin answers reaches the client, and the connection is good for
// the next request unless it says that it is not.
func TestAnswerPassesThrough(t *testing.T) {
	const date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	tests := []struct {
		name    string
		request string
		origin  string // closes after it
		status  int
		fields  map[string]string // values joined with |; "" for none
		body    string
		closed  bool
	}{
		{"sized", request("GET", "/"), "HTTP/1.1 200 OK\r\n" + date + "X-A: 1\r\nX-A: 2\r\nServer: s\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"X-A": "1|2", "Server": "s", "Content-Length": "2", "Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Connection": ""}, "hi", false},
		{"chunked", request("GET", "/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200,
			map[string]string{"Transfer-Encoding": "chunked", "Content-Length": ""}, "hi", false},
		{"until close", request("GET", "/"), "HTTP/1.0 200 OK\r\n\r\nhi", 200,
			map[string]string{"Transfer-Encoding": "chunked", "Content-Length": ""}, "hi", false},
		{"trailers are dropped", request("GET", "/"), "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", 200,
			map[string]string{"Trailer": "", "X-T": ""}, "hi", false},
		{"no body", request("GET", "/"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, map[string]string{"Content-Length": "0"}, "", false},
		{"204 (RFC 9110 §8.6)", request("DELETE", "/"), "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", 204,
			map[string]string{"X-A": "1", "Content-Length": "", "Transfer-Encoding": ""}, "", false},
		{"304 (RFC 9110 §15.4.5)", request("GET", "/", `If-None-Match: "x"`), "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304,
			map[string]string{"Etag": `"x"`, "Content-Length": ""}, "", false},
		{"404", request("GET", "/"), "HTTP/1.1 404 Nowhere\r\nContent-Length: 4\r\n\r\nnone", 404, nil, "none", false},
		{"1xx is for the edge", request("GET", "/"), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Link": ""}, "hi", false},
		{"hop-by-hop (RFC 9110 §7.6.1)", request("GET", "/"), "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-B\r\nKeep-Alive: timeout=1\r\nX-B: 1\r\n" +
			"Proxy-Connection: close\r\nUpgrade: h2c\r\nX-C: 1\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Connection": "", "Keep-Alive": "", "X-B": "", "Proxy-Connection": "", "Upgrade": "", "X-C": "1"}, "hi", false},
		{"HEAD, sized", request("HEAD", "/"), "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nX-A: 1\r\n\r\n", 200,
			map[string]string{"Content-Length": "1000000", "X-A": "1"}, "", false},
		{"HEAD, chunked", request("HEAD", "/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200,
			map[string]string{"Content-Length": ""}, "", false},
		{"Connection: close", request("GET", "/", "Connection: close"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Connection": "close"}, "hi", true},
		{"Connection: close, chunked", request("GET", "/", "Connection: close"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200,
			map[string]string{"Connection": "close", "Transfer-Encoding": "chunked"}, "hi", true},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Connection": "close", "Content-Length": "2"}, "hi", true},
		{"HTTP/1.0, keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Connection": "close"}, "hi", true},
		{"HTTP/1.0 knows no chunks", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200,
			map[string]string{"Connection": "close", "Transfer-Encoding": "", "Content-Length": ""}, "hi", true},
		{"an instruct without a hold", request("GET", "/"), "HTTP/1.1 200 OK\r\nGrip-Channel: a; prev-id=1\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi", 200,
			map[string]string{"Grip-Channel": "", "X-A": "1", "Content-Length": "2"}, "hi", false},
		{"Grip-Status", request("GET", "/"), "HTTP/1.1 200 OK\r\nGrip-Status: 404 Nowhere\r\nContent-Length: 2\r\n\r\nhi", 404, nil, "hi", false},
		{"a JSON instruct without a hold", request("GET", "/"),
			jsonInstruct(`{"response": {"code": 201, "headers": {"X-J": "1", "Grip-X": "1"}, "body": "j"}}`), 201,
			map[string]string{"X-J": "1", "Grip-X": "", "X-A": "", "Content-Length": "1"}, "j", false},
		{"Via is not named to the client", request("GET", "/"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, map[string]string{"Via": ""}, "hi", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRawRig(t, func(nc net.Conn) {
				in := bufio.NewReader(nc)
				if _, err := http.ReadRequest(in); err == nil {
					_, _ = io.WriteString(nc, tt.origin)
				}
			})
			c := r.dial()
			for range 2 { // on the same connection, if it stays
				c.sentHead = strings.HasPrefix(tt.request, "HEAD")
				c.send(tt.request)
				c.wantStatus(tt.status)
				for name, want := range tt.fields {
					if got := strings.Join(c.head.Values(name), "|"); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if len(c.head.Values("Date")) != 1 {
					t.Errorf("Date is %q, want one (RFC 9110 §6.6.1)", c.head.Values("Date"))
				}
				got, err := c.readBody(tt.status)
				if err != nil || got != tt.body {
					t.Fatalf("body %q, %v, want %q", got, err, tt.body)
				}
				if tt.closed {
					c.wantClosed()
					return
				}
			}
		})
	}
}
