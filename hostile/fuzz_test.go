package hostile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"marquee/httpparse"
)

// FuzzForward sends the edge anything at all, as far as it is complete: what
// the origin gets is well-formed, and is what the edge's parser has read.
func FuzzForward(f *testing.F) {
	rec := startRecorder(f)
	e := startEdge(f, rec.address())
	for i, a := range allAttacks() {
		if i%5 == 0 && len(a.send) < 2000 { // there are many that are much alike
			f.Add([]byte(a.send))
		}
	}
	parser := httpparse.NewParser(httpparse.Limits{})
	f.Fuzz(func(t *testing.T, in []byte) {
		send, want := expected(parser, in)
		if len(send) == 0 {
			return
		}
		got := attack{send: string(send), verdict: want}.run(t, e, rec, len(send))
		asks := want.asksAll()
		if !slices.EqualFunc(got.asks, asks, sameAsk) || got.status != want.status {
			t.Errorf("%q asks the origin\n\t%s\nand is answered %d at the end, want %d and\n\t%s", send,
				strings.Join(got.asks, "\n\t"), got.status, want.status, strings.Join(asks, "\n\t"))
		}
	})
}

// expected returns the beginning of in that ends with a request, or with what is
// none, and what becomes of it as the edge's parser reads it.
func expected(parser *httpparse.Parser, in []byte) (send []byte, v verdict) {
	for read := 0; ; {
		var scan httpparse.Scan
		req, n, err := parser.Parse(&scan, in[read:])
		var refusal *httpparse.Error
		if errors.As(err, &refusal) {
			v.status = refusal.Status
			return in, v
		}
		if err != nil {
			return in[:read], v
		}
		host := string(req.Host)
		if host == "" {
			host = "origin"
		}
		method, target, persistent := string(req.Method), string(req.Target), req.Persistent && req.Minor == 1
		var content []byte
		at := read + n
		for body := req.Body(); !body.Done(); {
			data, n, err := body.Next(in[at:])
			if errors.As(err, &refusal) {
				v.status = refusal.Status
				return in, v
			}
			if n == 0 {
				return in[:read], v
			}
			content = append(content, data...)
			at += n
		}
		v.asks = append(v.asks, ask(method, target, host, string(content)))
		if read = at; !persistent {
			v.closes = true
			return in[:read], v
		}
	}
}

// sameAsk reports whether the origin has been asked what the parser has read.
// What cannot stand in a path is percent-encoded in one that begins with two
// slashes.
func sameAsk(got, want string) bool {
	if got == want {
		return true
	}
	const slashes = " //"
	gotMethod, got, ok1 := strings.Cut(got, slashes)
	wantMethod, want, ok2 := strings.Cut(want, slashes)
	_, got, _ = strings.Cut(got, " ")
	_, want, _ = strings.Cut(want, " ")
	return ok1 && ok2 && gotMethod == wantMethod && got == want
}
