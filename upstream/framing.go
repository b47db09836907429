package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
)

// errFraming is why an answer is refused of which it is in doubt where it ends,
// or whose head could be read in two ways.
var errFraming = errors.New("the answer is malformed")

const (
	// maxAnswerHead bounds the head of an answer, in bytes, and that of each
	// interim answer before it. net/http stops at about the same.
	maxAnswerHead = 64 << 10
	// maxAnswerExtras bounds the chunk extensions and trailer fields of an
	// answer together.
	maxAnswerExtras = 64 << 10
	// maxSizeDigits of a chunk size, leading zeros included.
	maxSizeDigits = 16
)

// framing finds where the answers on a connection end (RFC 9112 §6.3). net/http
// does so too, but keeps what comes behind an answer, and gives it to whoever
// asks next on the connection. The two judge alike what is sent by the rules;
// where framing is the stricter one the answer is refused. The zero value is a
// connection on which nothing has been asked.
type framing struct {
	state   framingState
	headed  bool   // the request is a HEAD: no content
	head    []byte // of the answer, as far as it has come
	line    int    // where its last line begins
	left    uint64 // content that is due: of the answer, or of the chunk
	digits  int    // of the chunk size
	extras  int    // bytes of extensions and trailer fields
	trailer int    // bytes of the trailer line, without its end
}

// framingState names what the next byte may be.
type framingState uint8

const (
	answered        framingState = iota // nothing: nothing is asked
	inAnswerHead                        // of the head of an answer
	inAnswer                            // content of a known length
	inRest                              // content up to the connection's end
	inChunkSize                         // a digit of a chunk size, or what follows the size
	inChunkExt                          // a chunk extension, or the CR behind it
	atChunkSizeLF                       // the LF of the size line
	inAnswerChunk                       // content of a chunk
	atAnswerChunkCR                     // the CR behind a chunk's content
	atAnswerChunkLF                     // the LF behind it
	inTrailerLine                       // a trailer field, or the CR behind it
	atTrailerLineLF                     // the LF of a trailer field, or of the last line
)

// begin says that something is asked, and whether by HEAD.
func (f *framing) begin(head bool) { *f = framing{state: inAnswerHead, headed: head} }

// next takes what has come and returns how much of it belongs to the answer. An
// error is for the byte behind that, or says that the head is not one; the
// connection is of no more use then.
func (f *framing) next(in []byte) (n int, err error) {
	for n < len(in) && f.state != answered && err == nil {
		switch f.state {
		case inAnswerHead:
			var took int
			took, err = f.headBytes(in[n:])
			n += took
		case inAnswer, inAnswerChunk:
			took := int(min(f.left, uint64(len(in)-n)))
			f.left -= uint64(took)
			n += took
			switch {
			case f.left > 0:
			case f.state == inAnswer:
				f.state = answered
			default:
				f.state = atAnswerChunkCR
			}
		case inRest:
			n = len(in)
		default:
			if err = f.chunkByte(in[n]); err == nil {
				n++
			}
		}
	}
	return n, err
}

// headBytes takes bytes of a head, and judges the head when it is complete. One
// that it refuses it leaves without its empty line, so that net/http finds it
// incomplete, and asks for the rest.
func (f *framing) headBytes(in []byte) (n int, err error) {
	for n < len(in) {
		end := bytes.IndexByte(in[n:], '\n')
		if end < 0 {
			end = len(in) - n - 1
		}
		f.head = append(f.head, in[n:n+end+1]...)
		n += end + 1
		line := f.head[f.line:]
		switch {
		case len(f.head) > maxAnswerHead:
			return n, fmt.Errorf("%w: head of more than %d bytes", errFraming, maxAnswerHead)
		case line[len(line)-1] != '\n':
		case len(line) == 1, len(line) == 2 && line[0] == '\r':
			if err := f.judge(string(f.head[:f.line])); err != nil {
				return max(n-len(line), 0), err
			}
			f.head, f.line = nil, 0
			return n, nil
		default:
			f.line = len(f.head)
		}
	}
	return n, nil
}

// judge reads a head without its empty line, and says what follows it.
func (f *framing) judge(head string) error {
	first, rest, _ := strings.Cut(head, "\n")
	minor, code, err := judgeStatusLine(strings.TrimSuffix(first, "\r"))
	if err != nil {
		return err
	}
	length, chunked, err := judgeFields(rest)
	switch {
	case err != nil:
		return err
	case chunked && length >= 0:
		return fmt.Errorf("%w: both Content-Length and Transfer-Encoding", errFraming)
	case chunked && minor == 0:
		return fmt.Errorf("%w: Transfer-Encoding in HTTP/1.0", errFraming)
	case code == 101:
		f.state = inRest
	case code < 200: // another head follows
	case f.headed, code == 204, code == 304, length == 0:
		f.state = answered
	case chunked:
		f.state = inChunkSize
	case length > 0:
		f.state, f.left = inAnswer, uint64(length)
	default:
		f.state = inRest
	}
	return nil
}

// judgeStatusLine reads a status line (RFC 9112 §4). The space before a reason
// that is not there is not missed.
func judgeStatusLine(line string) (minor, code int, err error) {
	const form = "HTTP/1.d ddd"
	bad := fmt.Errorf("%w: status line %.80q", errFraming, line)
	if len(line) < len(form) || len(line) > len(form) && line[len(form)] != ' ' || strings.Contains(line, "\r") {
		return 0, 0, bad
	}
	for i := range len(form) {
		if c := line[i]; c != form[i] && (form[i] != 'd' || c < '0' || c > '9') {
			return 0, 0, bad
		}
	}
	minor = int(line[len("HTTP/1.")] - '0')
	for _, digit := range line[len("HTTP/1.d "):len(form)] {
		code = 10*code + int(digit-'0')
	}
	if code < 100 {
		return 0, 0, bad
	}
	return minor, code, nil
}

// judgeFields reads the field lines of an answer (RFC 9112 §5): the length that
// they give, -1 for none, and whether the content comes in chunks. A folded line
// goes on with the value before it, but not where that says how long the content
// is (§5.2). Lines may end with a LF alone (§2.2).
func judgeFields(lines string) (length int64, chunked bool, err error) {
	length = -1
	folds := false // the next line may be folded
	for line := range strings.Lines(lines) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		bad := func(what string) error { return fmt.Errorf("%w: %s in %.80q", errFraming, what, line) }
		if strings.Contains(line, "\r") {
			return 0, false, bad("carriage return")
		}
		if line[0] == ' ' || line[0] == '\t' {
			if !folds {
				return 0, false, bad("folded line")
			}
			continue
		}
		name, value, colon := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		folds = true
		switch {
		case !colon || !isToken(name):
			return 0, false, bad("no field name")
		case strings.EqualFold(name, "Content-Length"):
			n, ok := parseLength(value)
			if !ok || length >= 0 && n != length {
				return 0, false, bad("bad length")
			}
			length, folds = n, false
		case strings.EqualFold(name, "Transfer-Encoding"):
			if chunked || !strings.EqualFold(value, "chunked") {
				return 0, false, bad("not just chunked")
			}
			chunked, folds = true, false
		}
	}
	return length, chunked, nil
}

// parseLength reads the value of a Content-Length (RFC 9110 §8.6).
func parseLength(s string) (n int64, ok bool) {
	for _, c := range []byte(s) {
		digit := int64(c) - '0'
		if digit < 0 || digit > 9 || n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, s != ""
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// chunkByte judges a byte of the framing of a chunked answer (RFC 9112 §7.1).
func (f *framing) chunkByte(c byte) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s: %q", errFraming, what, c) }
	switch f.state {
	case inChunkSize:
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		switch {
		case c >= '0' && digit >= 0:
			if f.digits++; f.digits > maxSizeDigits || f.left > math.MaxInt64>>4 {
				return bad("chunk size out of range")
			}
			f.left = f.left<<4 | uint64(digit)
		case f.digits == 0:
			return bad("no chunk size")
		case c == '\r':
			f.state = atChunkSizeLF
		case c == ';' || c == ' ' || c == '\t': // some pad the size
			f.state = inChunkExt
		default:
			return bad("behind a chunk size")
		}
	case inChunkExt:
		switch {
		case c == '\r':
			f.state = atChunkSizeLF
		case c == '\n':
			return bad("in a chunk extension")
		default:
			return f.extra()
		}
	case atChunkSizeLF, atAnswerChunkLF, atTrailerLineLF:
		if c != '\n' {
			return bad("behind a carriage return")
		}
		switch {
		case f.state == atAnswerChunkLF:
			f.state = inChunkSize
		case f.state == atTrailerLineLF && f.trailer == 0:
			f.state = answered
		case f.state == atTrailerLineLF, f.left == 0:
			f.state, f.trailer = inTrailerLine, 0
		default:
			f.state = inAnswerChunk
		}
		f.digits = 0
	case atAnswerChunkCR:
		if c != '\r' {
			return bad("behind a chunk")
		}
		f.state = atAnswerChunkLF
	case inTrailerLine:
		switch c {
		case '\r':
			f.state = atTrailerLineLF
		case '\n':
			return bad("in a trailer field")
		default:
			f.trailer++
			return f.extra()
		}
	}
	return nil
}

// extra counts a byte that says nothing.
func (f *framing) extra() error {
	if f.extras++; f.extras > maxAnswerExtras {
		return fmt.Errorf("%w: more than %d bytes of chunk extensions and trailer fields", errFraming, maxAnswerExtras)
	}
	return nil
}
