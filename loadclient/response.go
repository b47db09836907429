package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	maxHead = 16 << 10 // bytes of a response head, and of a chunked body's trailers
	maxBody = 1 << 20  // bytes of a response body
	maxLine = 4 << 10  // bytes of a chunk size line
)

// errPartial says that a response goes on past the bytes at hand. It is the
// normal case of a response that comes in pieces.
var errPartial = errors.New("response is not complete")

// response is one parsed HTTP/1 response.
type response struct {
	status     int
	body       []byte // valid until the parser's next use or the input's next change
	persistent bool   // the connection can carry another request
	size       int    // bytes of input the response took
	gzip       bool   // the body is coded so
	// etag and modified are its validators, nil when absent; valid as body is.
	etag, modified []byte
}

// responseParser parses responses to GET requests (RFC 9112). It keeps no
// state between calls but the memory for chunked bodies: the caller gives all
// bytes of a response again when more have come. Not safe for use by more than
// one goroutine.
type responseParser struct {
	unchunked []byte
}

// parse returns the response at the start of b, errPartial when its end is not
// there yet, with the size it will have if that is known, or what is wrong with it. Interim responses (1xx) before it are
// skipped. ended says that the server has closed its side after b, which is
// the only end that some responses have. Allocates nothing in the good case
// once the memory for chunked bodies has grown.
func (p *responseParser) parse(b []byte, ended bool) (response, error) {
	h, size, err := parseHeads(b)
	if err != nil {
		return response{}, err
	}
	return p.parseBody(h, b, size, ended)
}

// parseHeads parses the head of the response at the start of b, after those of
// interim responses, and returns the size of all; errPartial when the end is not
// there yet.
func parseHeads(b []byte) (h head, size int, err error) {
	for {
		h, n, err := parseHead(b[size:])
		if err != nil {
			return h, 0, err
		}
		size += n
		if h.status >= 200 {
			return h, size, nil
		}
		if h.status == 101 {
			return h, 0, errors.New("101 switching protocols, which nobody asked for")
		}
	}
}

// parseBody finds the body's end by RFC 9112 §6.3; it begins at b[start].
func (p *responseParser) parseBody(h head, b []byte, start int, ended bool) (response, error) {
	r := response{
		status: h.status, persistent: h.persistent(), size: start,
		gzip: h.gzip, etag: h.etag, modified: h.modified,
	}
	rest := b[start:]
	switch {
	case h.status == 204 || h.status == 304:
	case h.chunked:
		size, err := p.unchunk(rest)
		if err != nil {
			return response{}, err
		}
		r.body = p.unchunked
		r.size += size
	case h.length >= 0:
		if len(rest) < h.length {
			return response{size: start + h.length}, errPartial
		}
		r.body = rest[:h.length]
		r.size += h.length
	default:
		if len(rest) > maxBody {
			return response{}, errBodySize
		}
		if !ended {
			return response{}, errPartial
		}
		r.body = rest
		r.size = len(b)
		r.persistent = false
	}
	return r, nil
}

// unchunk decodes the chunked body at the start of b into p.unchunked and
// returns how many bytes of b it took, trailers included (RFC 9112 §7.1).
func (p *responseParser) unchunk(b []byte) (size int, err error) {
	p.unchunked = p.unchunked[:0]
	for {
		line, n, err := cutLine(b[size:], maxLine)
		if err != nil {
			return 0, err
		}
		size += n
		length, err := chunkLength(line)
		if err != nil {
			return 0, err
		}
		if length == 0 {
			break
		}
		if len(p.unchunked)+length > maxBody {
			return 0, errBodySize
		}
		chunk := b[size:]
		if len(chunk) > length && chunk[length] != '\r' || len(chunk) > length+1 && chunk[length+1] != '\n' {
			return 0, fmt.Errorf("chunk of %d bytes does not end with CRLF", length)
		}
		if len(chunk) < length+2 {
			return 0, errPartial
		}
		p.unchunked = append(p.unchunked, chunk[:length]...)
		size += length + 2
	}
	for trailers := 0; ; {
		line, n, err := cutLine(b[size:], maxLine)
		if err != nil {
			return 0, err
		}
		size += n
		if len(line) == 0 {
			return size, nil
		}
		if trailers += n; trailers > maxHead {
			return 0, errHeadSize
		}
		if _, _, err := cutField(line); err != nil {
			return 0, err
		}
	}
}

// gunzip decodes a body, which takes no more memory than one that was not coded.
func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decode the body: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode the body: %w", err)
	case len(plain) > maxBody:
		return nil, errBodySize
	}
	return plain, nil
}

// chunkLength reads the hex number a chunk size line begins with.
func chunkLength(line []byte) (int, error) {
	digits, extension, _ := bytes.Cut(line, semicolon)
	if bytes.IndexByte(extension, '\r') >= 0 {
		return 0, fmt.Errorf("bare CR in chunk size line %.80q", line)
	}
	if len(digits) == 0 || len(digits) > 16 {
		return 0, fmt.Errorf("chunk size %.80q is no hex number", line)
	}
	length := 0
	for _, d := range digits {
		switch {
		case d >= '0' && d <= '9':
			d -= '0'
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, fmt.Errorf("chunk size %.80q is no hex number", line)
		}
		if length = length<<4 | int(d); length > maxBody {
			return 0, errBodySize
		}
	}
	return length, nil
}

var (
	errHeadSize = fmt.Errorf("head or trailers of more than %d bytes", maxHead)
	errBodySize = fmt.Errorf("body of more than %d bytes", maxBody)
	headEnd     = []byte("\r\n\r\n")
	semicolon   = []byte(";")
)

// head is what a response's head says about where it ends, what it carries, and
// which version of that.
type head struct {
	status    int
	minor     int // of the version, HTTP/1.minor
	length    int // Content-Length, -1 when absent
	chunked   bool
	closing   bool // Connection: close
	keepAlive bool // Connection: keep-alive, which HTTP/1.0 needs to be persistent
	events    bool // Content-Type: text/event-stream
	gzip      bool // Content-Encoding: gzip
	// ETag and Last-Modified as they are, nil when absent; part of the input.
	etag, modified []byte
}

// persistent follows RFC 9112 §9.3.
func (h head) persistent() bool { return !h.closing && (h.minor == 1 || h.keepAlive) }

// parseHead parses the head at the start of b and returns its size, errPartial
// when its end is not there yet.
func parseHead(b []byte) (h head, size int, err error) {
	end := bytes.Index(b[:min(len(b), maxHead+len(headEnd))], headEnd)
	if end < 0 {
		if len(b) >= maxHead+len(headEnd) {
			return h, 0, errHeadSize
		}
		return h, 0, errPartial
	}
	size = end + len(headEnd)
	fields := b[:end+2]
	line, n, err := cutLine(fields, maxHead)
	if err != nil {
		return h, 0, err
	}
	if h, err = parseStatusLine(line); err != nil {
		return h, 0, err
	}
	for fields = fields[n:]; len(fields) > 0; fields = fields[n:] {
		if line, n, err = cutLine(fields, maxHead); err != nil {
			return h, 0, err
		}
		if err = h.field(line); err != nil {
			return h, 0, err
		}
	}
	if h.chunked && h.length >= 0 {
		return h, 0, errors.New("both Content-Length and Transfer-Encoding")
	}
	if h.chunked && h.minor == 0 {
		return h, 0, errors.New("Transfer-Encoding in HTTP/1.0")
	}
	return h, size, nil
}

// parseStatusLine reads "HTTP/1.x 200 reason" (RFC 9112 §4).
func parseStatusLine(line []byte) (head, error) {
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." ||
		line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return head{}, fmt.Errorf("status line %.80q", line)
	}
	h := head{length: -1, minor: int(line[7] - '0')}
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return head{}, fmt.Errorf("status line %.80q", line)
		}
		h.status = h.status*10 + int(d-'0')
	}
	if h.status < 100 {
		return head{}, fmt.Errorf("status line %.80q", line)
	}
	return h, nil
}

// field takes in one header field line if it is one of those that head is about.
func (h *head) field(line []byte) error {
	name, value, err := cutField(line)
	if err != nil {
		return err
	}
	switch len(name) {
	case len(contentLength):
		if bytes.EqualFold(name, contentLength) {
			return h.contentLength(value)
		}
	case len(transferEncoding):
		if bytes.EqualFold(name, transferEncoding) {
			if h.chunked || !bytes.EqualFold(value, chunked) {
				return fmt.Errorf("header line %.80q", line)
			}
			h.chunked = true
		}
	case len(contentType):
		if bytes.EqualFold(name, contentType) {
			media, _, _ := bytes.Cut(value, semicolon)
			h.events = bytes.EqualFold(bytes.TrimRight(media, " \t"), eventStream)
		}
	case len(contentEncoding):
		if bytes.EqualFold(name, contentEncoding) {
			h.gzip = bytes.EqualFold(value, gzipToken)
		}
	case len(etag):
		if bytes.EqualFold(name, etag) {
			h.etag = value
		}
	case len(lastModified):
		if bytes.EqualFold(name, lastModified) {
			h.modified = value
		}
	case len(connection):
		if bytes.EqualFold(name, connection) {
			h.connection(value)
		}
	}
	return nil
}

// cutField splits a field line; the value comes without white space around it.
func cutField(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || bytes.ContainsAny(line[:colon], " \t") {
		return nil, nil, fmt.Errorf("header line %.80q", line)
	}
	return line[:colon], bytes.Trim(line[colon+1:], " \t"), nil
}

var (
	contentLength    = []byte("Content-Length")
	transferEncoding = []byte("Transfer-Encoding")
	chunked          = []byte("chunked")
	contentType      = []byte("Content-Type")
	eventStream      = []byte("text/event-stream")
	contentEncoding  = []byte("Content-Encoding")
	gzipToken        = []byte("gzip")
	etag             = []byte("ETag")
	lastModified     = []byte("Last-Modified")
	connection       = []byte("Connection")
	closeToken       = []byte("close")
	keepAliveToken   = []byte("keep-alive")
)

func (h *head) contentLength(value []byte) error {
	length := 0
	for _, d := range value {
		if d < '0' || d > '9' {
			return fmt.Errorf("Content-Length %.80q", value)
		}
		if length = length*10 + int(d-'0'); length > maxBody {
			return errBodySize
		}
	}
	if len(value) == 0 || h.length >= 0 && h.length != length {
		return fmt.Errorf("Content-Length %.80q", value)
	}
	h.length = length
	return nil
}

// connection takes in the tokens of a Connection field.
func (h *head) connection(value []byte) {
	for len(value) > 0 {
		token := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			token, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		switch token = bytes.Trim(token, " \t"); {
		case bytes.EqualFold(token, closeToken):
			h.closing = true
		case bytes.EqualFold(token, keepAliveToken):
			h.keepAlive = true
		}
	}
}

// cutLine returns the line at the start of b without its CRLF, and its size
// with it; errPartial when its end is not there yet.
func cutLine(b []byte, limit int) (line []byte, size int, err error) {
	i := bytes.IndexByte(b[:min(len(b), limit)], '\n')
	switch {
	case i > 0 && b[i-1] == '\r':
		return b[:i-1], i + 1, nil
	case i >= 0:
		return nil, 0, fmt.Errorf("line %.80q does not end with CRLF", b[:i])
	case len(b) >= limit:
		return nil, 0, fmt.Errorf("line of more than %d bytes", limit)
	}
	return nil, 0, errPartial
}
