package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The grammar of messages, as narrow as what the edge has a reason to send: no
// folded lines, no bare line feeds, no chunk extensions, no trailer fields, and
// framing that can be read in one way only. It is written for clarity, and with
// regular expressions, so that it has nothing in common with the edge's own
// parser.

// errShort says that a message is not complete yet.
var errShort = errors.New("message is not complete")

const tchar = "[!#$%&'*+.^_`|~0-9A-Za-z-]"

var (
	requestLine = regexp.MustCompile("^(" + tchar + `+) (/[!-~]*|\*) HTTP/1\.1$`)
	statusLine  = regexp.MustCompile(`^HTTP/1\.1 ([1-9][0-9]{2}) ([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	fieldLine   = regexp.MustCompile("^(" + tchar + `+): ([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	hostValue   = regexp.MustCompile(`^([0-9A-Za-z._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$`)
	lengthValue = regexp.MustCompile(`^[0-9]+$`)
	chunkSize   = regexp.MustCompile(`^[0-9A-Fa-f]{1,15}$`)
)

// message is a request or a response as the grammar reads it.
type message struct {
	method, target string // of a request
	status         int    // of a response
	fields         []field
	content        string
	closes         bool // Connection says so
}

type field struct{ name, value string }

// values returns the values of all fields of a name, in any case.
func (m *message) values(name string) (values []string) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// String returns what a request asks for: method, target, host and content.
func (m *message) String() string {
	return ask(m.method, m.target, strings.Join(m.values("Host"), " and "), m.content)
}

// ask is what a request asks for, as verdicts write it. Long contents are told
// by their beginning and length.
func ask(method, target, host, content string) string {
	if len(content) > 200 {
		content = fmt.Sprintf("%.20s…%d", content, len(content))
	}
	if len(target) > 200 {
		target = fmt.Sprintf("%.20s…%d", target, len(target))
	}
	return fmt.Sprintf("%s %s %s %q", method, target, host, content)
}

// readRequest reads the request at the start of in, and returns how many bytes
// it takes. The error is errShort for one that has only begun.
func readRequest(in []byte) (*message, int, error) {
	first, m, n, err := readHead(in)
	if err != nil {
		return nil, 0, err
	}
	line := requestLine.FindStringSubmatch(first)
	if line == nil {
		return nil, 0, fmt.Errorf("request line %q", first)
	}
	m.method, m.target = line[1], line[2]
	if hosts := m.values("Host"); len(hosts) != 1 || hosts[0] != "" && !hostValue.MatchString(hosts[0]) {
		return nil, 0, fmt.Errorf("Host fields %q", hosts)
	}
	if m.target == "*" && m.method != "OPTIONS" {
		return nil, 0, fmt.Errorf("target * of %s", m.method)
	}
	size, chunked, err := m.framing()
	switch {
	case err != nil:
		return nil, 0, err
	case chunked:
		return m.readChunks(in, n)
	case size > 0:
		return m.readSized(in, n, size)
	}
	return m, n, nil
}

// readResponse reads the response to a request of that method at the start of
// in. ended says that nothing follows in.
func readResponse(in []byte, method string, ended bool) (*message, int, error) {
	first, m, n, err := readHead(in)
	if err != nil {
		return nil, 0, err
	}
	line := statusLine.FindStringSubmatch(first)
	if line == nil {
		return nil, 0, fmt.Errorf("status line %q", first)
	}
	m.status, _ = strconv.Atoi(line[1])
	size, chunked, err := m.framing()
	if err != nil {
		return nil, 0, err
	}
	if m.status < 200 {
		if m.status != 100 || len(m.fields) > 0 {
			return nil, 0, fmt.Errorf("interim response %d with %d fields", m.status, len(m.fields))
		}
		return m, n, nil
	}
	if dates := m.values("Date"); len(dates) != 1 {
		return nil, 0, fmt.Errorf("Date fields %q", dates)
	}
	switch bodiless := m.status == 204 || m.status == 304; {
	case bodiless && (size >= 0 || chunked):
		return nil, 0, fmt.Errorf("response %d says how long its content is", m.status)
	case bodiless, method == "HEAD":
		return m, n, nil
	case chunked:
		return m.readChunks(in, n)
	case size >= 0:
		return m.readSized(in, n, size)
	case !m.closes:
		return nil, 0, errors.New("response that does not say where it ends")
	case !ended:
		return nil, 0, errShort
	}
	m.content = string(in[n:])
	return m, len(in), nil
}

// readHead reads the lines up to the empty one.
func readHead(in []byte) (first string, m *message, n int, err error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return "", nil, 0, errShort
	}
	lines := strings.Split(string(in[:end]), "\r\n")
	m = new(message)
	for _, text := range lines[1:] {
		line := fieldLine.FindStringSubmatch(text)
		if line == nil || strings.Trim(line[2], " \t") != line[2] {
			return "", nil, 0, fmt.Errorf("field line %q", text)
		}
		m.fields = append(m.fields, field{line[1], line[2]})
	}
	return lines[0], m, end + len("\r\n\r\n"), nil
}

// framing returns what the fields say of the content's length: size is -1 when
// they say nothing of it.
func (m *message) framing() (size int, chunked bool, err error) {
	size = -1
	lengths, codings, options := m.values("Content-Length"), m.values("Transfer-Encoding"), m.values("Connection")
	switch {
	case len(lengths)+len(codings) > 1:
		return 0, false, fmt.Errorf("Content-Length %q and Transfer-Encoding %q", lengths, codings)
	case len(codings) == 1 && codings[0] != "chunked":
		return 0, false, fmt.Errorf("Transfer-Encoding %q", codings[0])
	case len(options) > 1, len(options) == 1 && options[0] != "close":
		return 0, false, fmt.Errorf("Connection %q", options)
	case len(lengths) == 1:
		if size, err = strconv.Atoi(lengths[0]); err != nil || !lengthValue.MatchString(lengths[0]) {
			return 0, false, fmt.Errorf("Content-Length %q", lengths[0])
		}
	}
	m.closes = len(options) == 1
	return size, len(codings) == 1, nil
}

func (m *message) readSized(in []byte, n, size int) (*message, int, error) {
	if len(in)-n < size {
		return nil, 0, errShort
	}
	m.content = string(in[n : n+size])
	return m, n + size, nil
}

func (m *message) readChunks(in []byte, n int) (*message, int, error) {
	var content []byte
	for {
		line, _, whole := bytes.Cut(in[n:], []byte("\r\n"))
		switch {
		case whole && !chunkSize.Match(line), len(line) > len("0123456789abcdef"):
			return nil, 0, fmt.Errorf("chunk size %.40q", line)
		case !whole:
			return nil, 0, errShort
		}
		n += len(line) + len("\r\n")
		size, _ := strconv.ParseInt(string(line), 16, 64)
		if int64(len(in)-n) < size+int64(len("\r\n")) {
			return nil, 0, errShort
		}
		content = append(content, in[n:n+int(size)]...)
		n += int(size)
		if !bytes.HasPrefix(in[n:], []byte("\r\n")) {
			return nil, 0, fmt.Errorf("%.10q behind a chunk", in[n:])
		}
		n += len("\r\n")
		if size == 0 {
			m.content = string(content)
			return m, n, nil
		}
	}
}

// The grammar refuses what it is there to find.
func TestGrammar(t *testing.T) {
	const head = "POST /a HTTP/1.1\r\nHost: a\r\n"
	for _, tt := range []struct {
		name, in string
		want     string // what is asked, or the beginning of the error
	}{
		{"no content", head + "\r\n", `POST /a a ""`},
		{"sized", head + "Content-Length: 5\r\n\r\nhellooo", `POST /a a "hello"`},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `POST /a a "hello"`},
		{"begun", head, "message is not complete"},
		{"sized, begun", head + "Content-Length: 5\r\n\r\nhell", "message is not complete"},
		{"chunked, begun", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "message is not complete"},
		{"bare LF", "POST /a HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", "field line"},
		{"bare CR", head + "B: c\rd\r\n\r\n", "field line"},
		{"NUL", head + "B: \x00\r\n\r\n", "field line"},
		{"fold", head + "B: c\r\n d\r\n\r\n", "field line"},
		{"space before colon", head + "B : c\r\n\r\n", "field line"},
		{"white space that is not trimmed", head + "B: c \r\n\r\n", "field line"},
		{"no host", "POST /a HTTP/1.1\r\n\r\n", "Host fields"},
		{"two hosts", head + "Host: b\r\n\r\n", "Host fields"},
		{"no host name", "POST /a HTTP/1.1\r\nHost: a@b\r\n\r\n", "Host fields"},
		{"absolute-form", "POST http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "request line"},
		{"two lengths", head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "Content-Length"},
		{"length and coding", head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length"},
		{"signed length", head + "Content-Length: +5\r\n\r\nhello", "Content-Length"},
		{"coding", head + "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"},
		{"chunk extension", head + "Transfer-Encoding: chunked\r\n\r\n0;a\r\n\r\n", "chunk size"},
		{"trailer field", head + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", `"A: b`},
		{"long chunk", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", `"b\r\n`},
	} {
		m, _, err := readRequest([]byte(tt.in))
		got := fmt.Sprint(err)
		if err == nil {
			got = m.String()
		}
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q is read as %s, want %s", tt.name, tt.in, got, tt.want)
		}
	}
}
