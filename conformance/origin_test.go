package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// origin is the web service behind the subject: a listener on which each case
// has its own paths. It answers one request a connection, in the bytes that the
// case gives.
type origin struct {
	listener net.Listener

	mu     sync.Mutex // scenes
	scenes map[string]*scene
}

// ask is a request that the subject put to the origin.
type ask struct {
	nth    int    // 1 for the first at its path
	method string // of the request line, as the two after it
	target string
	proto  string
	lines  []string // header lines in order, without their ends
	header http.Header
	body   string
	conn   net.Conn // for what an answer as a whole cannot say
}

// script answers a request with the bytes to send; none, and the connection is
// closed unanswered.
type script func(a *ask) string

// startOrigin starts an origin that listens on address.
func startOrigin(address string) (*origin, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	o := &origin{listener: listener, scenes: make(map[string]*scene)}
	go o.acceptLoop()
	return o, nil
}

// address returns the host:port of the origin.
func (o *origin) address() string { return o.listener.Addr().String() }

// stop ends the listener. What is open ends with the process.
func (o *origin) stop() { _ = o.listener.Close() }

func (o *origin) acceptLoop() {
	for {
		nc, err := o.listener.Accept()
		if err != nil {
			return
		}
		go o.serve(nc)
	}
}

// serve answers the one request of a connection.
func (o *origin) serve(nc net.Conn) {
	defer nc.Close()
	a, err := readAsk(nc)
	if err != nil {
		return
	}
	s := o.find(a.target)
	if s == nil {
		_, _ = io.WriteString(nc, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	if answer := s.answer(a); answer != "" {
		_, _ = io.WriteString(nc, answer)
	}
}

// add makes the paths of a scene known.
func (o *origin) add(s *scene) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scenes[s.token] = s
}

// find returns the scene whose token is in the target, nil if there is none.
func (o *origin) find(target string) *scene {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.scenes[token.FindString(target)]
}

// token is what makes the paths and channels of a scene its own.
var token = regexp.MustCompile(`t[0-9]{4}x`)

// readAsk reads a request, keeping its header lines as they are.
func readAsk(nc net.Conn) (*ask, error) {
	in := bufio.NewReader(nc)
	var head bytes.Buffer
	a := &ask{conn: nc}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		head.WriteString(line)
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(&head, in)))
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(r.Body)
			a.header, a.body = r.Header, string(body)
			return a, err
		case a.method == "":
			if _, err := fmt.Sscanf(line, "%s %s %s", &a.method, &a.target, &a.proto); err != nil {
				return nil, err
			}
		default:
			a.lines = append(a.lines, line)
		}
	}
}

// field returns the values of a field joined with ", ", as they came.
func (a *ask) field(name string) string { return fieldOf(a.lines, name) }

// has reports whether a field is there at all, be it empty.
func (a *ask) has(name string) bool { return hasField(a.lines, name) }

// reply makes an answer with a Content-Length of its own, unless the fields
// have one. The connection ends with it.
func reply(code int, body string, fields ...string) string {
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	return replyStatus(status, body, fields...)
}

// replyStatus is reply with code and reason.
func replyStatus(status, body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", status)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	if !hasField(fields, "Content-Length") && !hasField(fields, "Transfer-Encoding") {
		b.WriteString("Content-Length: $L\r\n") // once $C and $P are replaced
	}
	b.WriteString("Connection: close\r\n\r\n" + body)
	return b.String()
}

// fieldOf returns the values of a field in header lines, joined with ", ".
func fieldOf(lines []string, name string) string {
	var values []string
	for _, line := range lines {
		if n, v, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return strings.Join(values, ", ")
}

// hasField reports whether header lines have a field.
func hasField(lines []string, name string) bool {
	for _, line := range lines {
		if n, _, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
