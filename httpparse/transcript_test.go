package httpparse

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// transcript plays a connection that receives the pieces one after the other:
// it parses requests and decodes their bodies as an event loop would and writes
// down what it sees. The inbound bytes move with every piece and the old ones
// are overwritten, as buffers do.
func transcript(p *Parser, pieces ...[]byte) string {
	var (
		out     strings.Builder
		scan    Scan
		body    Body
		content []byte
		inbound []byte
	)
	for _, piece := range pieces {
		moved := make([]byte, 0, len(inbound)+len(piece))
		moved = append(append(moved, inbound...), piece...)
		for i := range inbound {
			inbound[i] = 0
		}
		inbound = moved
		for {
			if !body.Done() {
				data, n, err := body.Next(inbound)
				content = append(content, data...)
				inbound = inbound[n:]
				if err != nil {
					fmt.Fprintf(&out, "content %q\n%v\n", content, err)
					return out.String()
				}
				if body.Done() {
					fmt.Fprintf(&out, "content %q\n", content)
				} else if n == 0 {
					break
				}
				continue
			}
			req, n, err := p.Parse(&scan, inbound)
			if errors.Is(err, ErrNeedMore) {
				break
			}
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
				return out.String()
			}
			writeRequest(&out, req)
			body, content = req.Body(), content[:0]
			inbound = inbound[n:]
		}
	}
	switch {
	case !body.Done():
		fmt.Fprintf(&out, "content %q and more\n", content)
	case len(inbound) > 0:
		fmt.Fprintf(&out, "need more\n")
	}
	return out.String()
}

// writeRequest writes r on one line: the request line as understood, what it
// says about framing and connection, and the fields in brackets.
func writeRequest(out *strings.Builder, r *Request) {
	fmt.Fprintf(out, "%s %s HTTP/1.%d host=%s", r.Method, r.Target, r.Minor, r.Host)
	if r.ContentLength >= 0 {
		fmt.Fprintf(out, " length=%d", r.ContentLength)
	}
	if r.Chunked {
		out.WriteString(" chunked")
	}
	if r.Persistent {
		out.WriteString(" persistent")
	}
	if r.ExpectContinue {
		out.WriteString(" expect")
	}
	for _, f := range r.Fields {
		fmt.Fprintf(out, " [%s: %s]", f.Name, f.Value)
	}
	out.WriteString("\n")
}

// outcome returns the transcript of in and fails the test unless it is the same
// whole, byte by byte, and cut at each offset.
func outcome(t *testing.T, p *Parser, in string) string {
	t.Helper()
	whole := transcript(p, []byte(in))
	if got := transcript(p, singly(in)...); got != whole {
		t.Errorf("%q byte by byte:\n%swhole:\n%s", in, got, whole)
	}
	for i := range in {
		if got := transcript(p, []byte(in[:i]), []byte(in[i:])); got != whole {
			t.Errorf("%q | %q:\n%swhole:\n%s", in[:i], in[i:], got, whole)
		}
	}
	return whole
}

// singly cuts s into its bytes.
func singly(s string) [][]byte {
	pieces := make([][]byte, len(s))
	for i := range pieces {
		pieces[i] = []byte(s[i : i+1])
	}
	return pieces
}

// wantOutcome checks what comes of in, however it is cut.
func wantOutcome(t *testing.T, p *Parser, in, want string) {
	t.Helper()
	if got := outcome(t, p, in); got != want {
		t.Errorf("%q\ngot:\n%swant:\n%s", in, got, want)
	}
}

// wantRefusal checks that the last thing to come of in is refusal, however in
// is cut.
func wantRefusal(t *testing.T, p *Parser, in string, refusal *Error) {
	t.Helper()
	if got := outcome(t, p, in); !strings.HasSuffix("\n"+got, "\n"+refusal.Error()+"\n") {
		t.Errorf("%q\ngot:\n%swant:\n%v", in, got, refusal)
	}
}

// isRefusal reports whether err is an *Error, and which.
func isRefusal(err error) (refused *Error, ok bool) {
	ok = errors.As(err, &refused)
	return refused, ok
}
