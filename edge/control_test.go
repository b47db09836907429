package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// publishBody is a publish that every edge takes.
const publishBody = `{"items": [{"channel": "c", "formats": {"http-response": {"body": "b"}}}]}`

// controlCase is a request to the control endpoint, byte for byte, and the
// answer: its status line without the version, its fields but for Date, Connection
// and Content-Length, and its body.
type controlCase struct {
	name    string
	request string
	status  string
	fields  string
	body    string
	// differs says what Pushpin does otherwise; empty when it answers alike, but
	// for its name.
	differs string
}

// controlRequest makes a request whose connection ends after it. Fields are
// lines without their end; a body gets its Content-Length.
func controlRequest(method, target, body string, fields ...string) string {
	if body != "" {
		fields = append(fields, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	fields = append([]string{"Host: localhost", "Connection: close"}, fields...)
	return method + " " + target + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n" + body
}

// headOf makes a GET / whose head has n bytes.
func headOf(n int) string {
	return controlRequest("GET", "/", "", "X: "+strings.Repeat("x", n-len(controlRequest("GET", "/", "", "X: "))))
}

func controlCases() []controlCase {
	const (
		plain = "Content-Type: text/plain"
		js    = "Content-Type: application/json"
		allow = "Allow: POST\n" + plain
		none  = ""

		tooLarge    = "Request body too large.\n"
		noLength    = "Request requires Content-Length.\n"
		notFound    = "Not Found\n"
		neither     = "Not Acceptable. Supported formats are text/plain and application/json.\n"
		noJSON      = "Body is not valid JSON.\n"
		headTooLong = "Request header too large.\n"

		byStatusOnly = "another text"
		rfc          = "it takes what is not HTTP, or sends what is not"
		lenient      = "it does not know a path with a query, or a whole URL"
	)
	post := func(body string, fields ...string) string {
		return controlRequest("POST", "/publish/", body, fields...)
	}
	get := func(target string, fields ...string) string { return controlRequest("GET", target, "", fields...) }
	raw := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }
	published := func(name, request string) controlCase {
		return controlCase{name, request, "200 OK", plain, "Published\n", ""}
	}
	bad := func(name, body, line string) controlCase {
		return controlCase{name, post(body), "400 Bad Request", plain, line + "\n", ""}
	}
	chunked := "4a\r\n" + publishBody + "\r\n0\r\n\r\n"
	return []controlCase{
		{"root", get("/"), "200 OK", plain, "Marquee API\n", ""},
		{"root, any method", controlRequest("PUT", "/", "x"), "200 OK", plain, "Marquee API\n", ""},
		{"root, JSON", get("/", "Accept: application/json"), "200 OK", plain, "Marquee API\n", ""},
		{"root, query", get("/?a=b"), "200 OK", plain, "Marquee API\n", lenient},
		{"root, HEAD", controlRequest("HEAD", "/", ""), "200 OK", plain, "", rfc},
		{"RFC 9112 §3.2.2 whole URL", get("http://localhost/"), "200 OK", plain, "Marquee API\n", lenient},
		{"OPTIONS *", controlRequest("OPTIONS", "*", ""), "404 Not Found", plain, notFound, ""},

		published("publish", post(publishBody)),
		published("publish without the last slash", controlRequest("POST", "/publish", publishBody)),
		published("no items", post(`{"items": []}`)),
		published("HTTP/1.0", strings.Replace(post(publishBody), "HTTP/1.1", "HTTP/1.0", 1)),
		published("HTTP/1.0 without Host, as the least of clients", raw("POST /publish/ HTTP/1.0", "Content-Length: 74")+publishBody),
		published("as long as may be", post(`{"items": []}`+strings.Repeat(" ", maxPublish-13))),
		published("anything will do", post(publishBody, "Accept: */*")),
		published("any text will do", post(publishBody, "Accept: text/*")),
		published("the one that fits", post(publishBody, "Accept: text/html, text/plain;q=0.5")),
		published("the last of both", post(publishBody, "Accept: application/json, text/plain")),
		published("the last of all, as axios asks", post(publishBody, "Accept: application/json, text/plain, */*")),
		{"JSON", post(`{"items": []}`, "Accept: application/json"), "200 OK", js, `{"message":"Published","receipts":[]}` + "\n", "no receipts"},
		{"JSON the last of both", post(`{"items": []}`, "Accept: text/plain, application/*"), "200 OK", js, `{"message":"Published","receipts":[]}` + "\n", "no receipts"},
		{"query", controlRequest("POST", "/publish/?zone=1", publishBody), "200 OK", plain, "Published\n", lenient},

		{"recover", controlRequest("POST", "/recover/", "", "Content-Length: 0"), "200 OK", plain, "Updated\n", ""},
		{"recover without the last slash", controlRequest("POST", "/recover", "", "Content-Length: 0"), "200 OK", plain, "Updated\n", ""},
		{"recover with a body", controlRequest("POST", "/recover/", "x"), "200 OK", plain, "Updated\n", ""},
		{"recover, JSON", controlRequest("POST", "/recover/", "", "Content-Length: 0", "Accept: application/json"), "200 OK", js, `{"message":"Updated"}` + "\n", ""},
		{"recover by GET", get("/recover/"), "405 Method Not Allowed", allow, "Method not allowed: GET.\n", ""},

		{"other method", get("/publish/"), "405 Method Not Allowed", allow, "Method not allowed: GET.\n", ""},
		{"other method, JSON", get("/publish/", "Accept: application/json"), "405 Method Not Allowed", allow, "Method not allowed: GET.\n", ""},
		{"DELETE", controlRequest("DELETE", "/publish", ""), "405 Method Not Allowed", allow, "Method not allowed: DELETE.\n", ""},
		{"PUT", controlRequest("PUT", "/publish/", "x"), "405 Method Not Allowed", allow, "Method not allowed: PUT.\n", ""},
		{"OPTIONS", controlRequest("OPTIONS", "/publish/", ""), "405 Method Not Allowed", allow, "Method not allowed: OPTIONS.\n", ""},
		{"HEAD", controlRequest("HEAD", "/publish/", ""), "405 Method Not Allowed", allow, "", rfc},
		{"other path", get("/publisher"), "404 Not Found", plain, notFound, ""},
		{"other path, JSON", get("/publisher", "Accept: application/json"), "404 Not Found", plain, notFound, ""},
		{"below publish", controlRequest("POST", "/publish/x", publishBody), "404 Not Found", plain, notFound, ""},
		{"two slashes", controlRequest("POST", "/publish//", publishBody), "404 Not Found", plain, notFound, ""},
		{"two slashes before", controlRequest("POST", "//publish/", publishBody), "404 Not Found", plain, notFound, ""},
		{"dot", controlRequest("POST", "/./publish/", publishBody), "404 Not Found", plain, notFound, ""},
		{"capital", controlRequest("POST", "/Publish/", publishBody), "404 Not Found", plain, notFound, ""},
		{"escaped", controlRequest("POST", "/%70ublish/", publishBody), "404 Not Found", plain, notFound, ""},

		{"neither type", post(publishBody, "Accept: text/html"), "406 Not Acceptable", plain, neither, ""},
		{"neither type, before path and method", get("/x", "Accept: text/html"), "406 Not Acceptable", plain, neither, ""},
		{"neither type, before the body", post("x", "Accept: image/*"), "406 Not Acceptable", plain, neither, ""},
		{"no type", post(publishBody, "Accept: "), "406 Not Acceptable", plain, neither, ""},
		{"RFC 9110 §8.3.1 types in capitals", post(publishBody, "Accept: TEXT/PLAIN"), "200 OK", plain, "Published\n", "406"},

		bad("no JSON", "items", "Body is not valid JSON."),
		bad("no object", "[]", "Invalid format."),
		bad("no member items", "{}", "Invalid format: object does not contain 'items'"),
		bad("items no list", `{"items": {}}`, "Invalid format: object contains 'items' with wrong type"),
		bad("item without channel", `{"items": [{}]}`, "Invalid format: publish item object does not contain 'channel'"),
		bad("id a number", `{"items": [{"channel": "c", "id": 1}]}`, "Invalid format: publish item object contains 'id' with wrong type"),
		bad("no formats", `{"items": [{"channel": "c"}]}`, "Invalid format: no formats specified"),
		{"an error is plain for all", post("{}", "Accept: application/json"), "400 Bad Request", plain, "Invalid format: object does not contain 'items'\n", ""},
		{"the item at fault", post(`{"items": [{"channel": "c", "http-response": {"body": ""}}, {}]}`), "400 Bad Request", plain,
			"Invalid format: publish item object does not contain 'channel' (item 1)\n", "it does not say which"},
		{"empty", controlRequest("POST", "/publish/", "", "Content-Length: 0"), "400 Bad Request", plain, noJSON, ""},
		{"too long", post(`{"items": []}` + strings.Repeat(" ", maxPublish-12)), "400 Bad Request", plain, tooLarge, ""},
		{"too long, and no body yet", controlRequest("POST", "/publish/", "", "Content-Length: 1000001"), "400 Bad Request", plain, tooLarge, ""},
		{"too long, asked before", controlRequest("POST", "/publish/", "", "Content-Length: 1000001", "Expect: 100-continue"), "400 Bad Request", plain, tooLarge, ""},
		{"too long, for any path", controlRequest("POST", "/x", "", "Content-Length: 1000001"), "400 Bad Request", plain, tooLarge, ""},

		{"no length", controlRequest("POST", "/publish/", ""), "411 Length Required", plain, noLength, ""},
		{"no length, JSON", controlRequest("POST", "/publish/", "", "Accept: application/json"), "411 Length Required", plain, noLength, ""},
		{"no length, HTTP/1.0", raw("POST /publish/ HTTP/1.0") + publishBody, "411 Length Required", plain, noLength, ""},
		{"no length, other path", controlRequest("POST", "/x", ""), "411 Length Required", plain, noLength, ""},
		{"no length, PUT", controlRequest("PUT", "/", ""), "411 Length Required", plain, noLength, ""},
		{"no length, a method of its own", controlRequest("BREW", "/publish/", ""), "411 Length Required", plain, noLength, ""},
		{"no length, but expecting", controlRequest("POST", "/publish/", "", "Expect: 100-continue"), "411 Length Required", plain, noLength, ""},
		{"chunked", controlRequest("POST", "/publish/", "", "Transfer-Encoding: chunked") + chunked, "411 Length Required", plain, noLength, ""},
		{"chunked GET", get("/", "Transfer-Encoding: chunked") + "0\r\n\r\n", "411 Length Required", plain, noLength, ""},
		{"RFC 9112 §6.3 chunked, and a length", controlRequest("POST", "/publish/", "", "Content-Length: 74", "Transfer-Encoding: chunked") + chunked,
			"411 Length Required", plain, noLength, rfc},

		{"head as long as may be", headOf(maxPublishHead), "200 OK", plain, "Marquee API\n", ""},
		{"head too long", headOf(maxPublishHead + 1), "400 Bad Request", plain, headTooLong, ""},
		{"head far too long", headOf(60_000), "400 Bad Request", plain, headTooLong, ""},
		{"head far too long, publish", strings.Replace(headOf(20_000), "GET /", "POST /publish/", 1), "400 Bad Request", plain, headTooLong, ""},

		{"length no number", controlRequest("POST", "/publish/", "", "Content-Length: x") + publishBody, "400 Bad Request",
			plain + "; charset=utf-8", "400 Bad Request", byStatusOnly},
		{"length of more than 63 bits", controlRequest("POST", "/publish/", "", "Content-Length: 99999999999999999999"), "400 Bad Request",
			plain + "; charset=utf-8", "400 Bad Request", byStatusOnly},
		{"length negative", controlRequest("POST", "/publish/", "", "Content-Length: -1"), "400 Bad Request",
			plain + "; charset=utf-8", "400 Bad Request", byStatusOnly},
		{"no request", raw("items"), "400 Bad Request", plain + "; charset=utf-8", "400 Bad Request", byStatusOnly},
		{"no version", raw("GET /"), "400 Bad Request", plain + "; charset=utf-8", "400 Bad Request", byStatusOnly},
		{"head of 100 kB", headOf(100_000), "431 Request Header Fields Too Large", plain + "; charset=utf-8", "431 Request Header Fields Too Large", "400"},
		{"RFC 9112 §3.2 no Host", raw("GET / HTTP/1.1"), "400 Bad Request: missing required Host header", plain + "; charset=utf-8",
			"400 Bad Request: missing required Host header", rfc},
		{"RFC 9110 §10.1.1 other expectation", post(publishBody, "Expect: x"), "417 Expectation Failed", none, "", rfc},

		{"health", get("/healthz"), "200 OK", plain, "ok\n", "only here"},
		{"health, JSON", get("/healthz/", "Accept: application/json"), "200 OK", js, `{"message":"ok"}` + "\n", "only here"},
	}
}

// The control endpoint, as publishers of Pushpin know it (GRIP §5.2).
func TestControl(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	address := strings.TrimPrefix(r.control, "http://")
	for _, tt := range controlCases() {
		t.Run(tt.name, func(t *testing.T) {
			tt.check(t, exchange(t, address, tt.request))
		})
	}
}

// The same requests get the same answers from Pushpin, where it is installed, but
// for the differences that the table gives a reason for.
func TestControlOfPushpin(t *testing.T) {
	address := startPushpin(t)
	for _, tt := range controlCases() {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, address, tt.request)
			got.body = strings.Replace(got.body, "Pushpin API", "Marquee API", 1)
			if tt.differs == "" {
				tt.check(t, got)
			} else if got == (controlAnswer{tt.status, tt.fields, tt.body}) {
				t.Errorf("it answers alike, though the table says: %s", tt.differs)
			}
		})
	}
}

// A publisher that expects 100 (Continue) gets it before it sends the body.
func TestControlContinue(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	c := dial(t, strings.TrimPrefix(r.control, "http://"))
	c.send("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 74\r\nExpect: 100-continue\r\n\r\n")
	c.wantStatus(100)
	c.send(publishBody)
	c.wantAnswer(200, "Published\n")
	c.send("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 74\r\n\r\n" + publishBody)
	c.wantAnswer(200, "Published\n") // on the same connection
	c.leave()
}

// Nothing is published of a body that ends too early.
func TestControlCutOff(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	c := dial(t, strings.TrimPrefix(r.control, "http://"))
	c.send("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 75\r\n\r\n" + publishBody)
	if err := c.nc.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.wantAnswer(400, "Request body could not be read.\n")
	c.leave()
	r.waitMetric("marquee_publishes_refused_total", 1)
}

// A publisher that has lost items has all ask the origin again who may miss them,
// and nobody gets what it said before.
func TestRecover(t *testing.T) {
	for _, args := range [][]string{nil, {"-share-all"}} {
		t.Run(fmt.Sprint("polls ", args), func(t *testing.T) {
			h := &headline{id: 1}
			r := newRig(t, h, args...)
			cs := r.poll(4, 1)
			r.waitHolds(4)
			h.change() // and the publish is lost
			r.recover()
			for _, c := range cs {
				c.wantAnswer(200, headlineBody(2))
			}
		})
		t.Run(fmt.Sprint("streams ", args), func(t *testing.T) {
			j := &journal{last: 1}
			r := newRig(t, j, append(args, "-loops", "1")...)
			f := r.follow(j, 1)
			r.waitHolds(1)
			r.recover() // and nothing was lost
			eventually(t, func() error {
				if _, links := j.asked(); links != 1 {
					return fmt.Errorf("the origin was asked for %d links, want 1", links)
				}
				return nil
			})
			r.waitLinked()
			j.write()
			r.recover()
			f.wantTo(2)
		})
	}
}

// recover tells the edge that items may have been missed.
func (r *rig) recover() {
	r.t.Helper()
	resp, err := web.Post(r.control+"/recover/", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		r.t.Errorf("recover: status %d, want 200", resp.StatusCode)
	}
}

// controlAnswer is what a controlCase wants.
type controlAnswer struct{ status, fields, body string }

func (tt *controlCase) check(t *testing.T, got controlAnswer) {
	t.Helper()
	if want := (controlAnswer{tt.status, tt.fields, tt.body}); got != want {
		t.Errorf("%s is answered %s\n%s\n%s\nwant %s\n%s\n%s", brief(tt.request),
			got.status, got.fields, brief(got.body), want.status, want.fields, brief(want.body))
	}
}

// exchange sends one request on a connection of its own and reads the answer to
// the end of the connection. One that is too long may be reset before the answer
// has been read: then it is sent again.
func exchange(t *testing.T, address, request string) (answer controlAnswer) {
	t.Helper()
	eventually(t, func() (err error) {
		answer, err = tryExchange(t, address, request)
		reset := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
		if err != nil && !(reset && len(request) > maxPublish) {
			t.Fatalf("%s: %v", brief(request), err)
		}
		return err
	})
	return answer
}

// tryExchange is exchange without another attempt.
func tryExchange(t *testing.T, address, request string) (controlAnswer, error) {
	t.Helper()
	c := dial(t, address)
	defer c.leave()
	_ = c.nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.nc, request); err != nil {
		return controlAnswer{}, err
	}
	in := textproto.NewReader(bufio.NewReader(c.nc))
	line, err := in.ReadLine()
	if err != nil {
		return controlAnswer{}, fmt.Errorf("read the status line: %w", err)
	}
	version, status, _ := strings.Cut(line, " ")
	if want := "HTTP/1.1"; version != want && !strings.Contains(request, version+"\r\n") {
		t.Errorf("%s is answered in %s", brief(request), version)
	}
	head, err := in.ReadMIMEHeader()
	if err != nil {
		return controlAnswer{}, fmt.Errorf("read the head: %w", err)
	}
	var fields []string
	for name, values := range head {
		if name != "Date" && name != "Connection" && name != "Content-Length" {
			fields = append(fields, name+": "+strings.Join(values, ", "))
		}
	}
	sort.Strings(fields)
	body, err := io.ReadAll(in.R)
	if err != nil && len(request) <= maxPublish { // else it is not read to its end, and so reset
		return controlAnswer{}, fmt.Errorf("read the body: %w", err)
	}
	return controlAnswer{status, strings.Join(fields, "\n"), string(body)}, nil
}

// startPushpin starts the part of Pushpin that takes publishes and returns where
// it does so. The test is skipped where it is not installed.
func startPushpin(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("pushpin-handler")
	if err != nil {
		t.Skip("Pushpin is not installed")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	socket := func(name string) string { return "ipc://" + filepath.Join(dir, name) }
	lines := []string{"[global]", "rundir=" + dir, "ipc_prefix=p-", "port_offset=0",
		"[handler]", "push_in_http_addr=127.0.0.1", "push_in_http_port=" + port,
		"push_in_http_max_headers_size=10000", "push_in_http_max_body_size=1000000"}
	for _, name := range []string{"push_in_spec", "push_in_sub_specs", "command_spec", "stats_spec", "proxy_inspect_spec",
		"proxy_accept_spec", "proxy_retry_out_spec", "proxy_stats_spec", "proxy_command_spec", "proxy_ws_control_in_spec",
		"proxy_ws_control_out_spec", "m2a_in_stream_specs", "m2a_out_specs"} {
		lines = append(lines, name+"="+socket(name))
	}
	config := filepath.Join(dir, "pushpin.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(binary, "--config="+config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Pushpin's log:\n%s", &log)
		}
	})
	eventually(t, func() error {
		nc, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			nc.Close()
		}
		return err
	})
	return address
}

// An edge whose loops hang is not healthy.
func TestHealthOfLoops(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	now := time.Now()
	r.onLoops(func(l *loop) { l.ticked.Store(&now) })
	check := func(want int) {
		t.Helper()
		resp, err := web.Get(r.control + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("healthz says %d, want %d", resp.StatusCode, want)
		}
	}
	check(200)
	stuckCh := make(chan struct{})
	for _, l := range r.edge.loops {
		l.post(func() {
			past := now.Add(-time.Minute)
			l.ticked.Store(&past)
			<-stuckCh
		})
		break
	}
	eventually(t, func() error {
		for _, l := range r.edge.loops {
			if time.Since(*l.ticked.Load()) > 30*time.Second {
				return nil
			}
		}
		return fmt.Errorf("no loop hangs")
	})
	check(503)
	close(stuckCh)
	r.turn()
}

// Operators see a profile of the running edge.
func TestProfiles(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/symbol"} {
		resp, err := web.Get(r.control + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || n == 0 || err != nil {
			t.Errorf("%s: status %d, %d bytes, %v", path, resp.StatusCode, n, err)
		}
	}
}
