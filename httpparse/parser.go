package httpparse

import "github.com/evanphx/wildcat"

// Parser reads request heads. It serves any number of connections, one call at
// a time: an event loop owns one. It is not safe for concurrent use.
type Parser struct {
	limits   Limits
	overruns overruns

	// wild splits heads that Scan has accepted. Only its Parse, Method, Path,
	// Version and Headers are good to use: its lookups also see what earlier
	// requests left behind and remember their answers.
	wild    *wildcat.HTTPParser
	fields  []Field // as many as a head may have
	used    int     // how many of wild.Headers and fields the last head took
	target  []byte  // holds a target that is no part of the inbound bytes
	request Request
}

// NewParser returns a Parser with the given limits.
func NewParser(l Limits) *Parser {
	l = l.withDefaults()
	return &Parser{
		limits:   l,
		overruns: newOverruns(l),
		// wildcat grows its table when the last entry is taken, not when one
		// is missing.
		wild:   wildcat.NewSizedHTTPParser(l.Fields + 1),
		fields: make([]Field, l.Fields),
	}
}

// Parse looks for one request head at the start of in, the unconsumed inbound
// bytes of the connection that s belongs to. Until the head is complete, in
// must begin with the same byte and hold at least the same bytes each time.
//
// It returns the request and n, the number of bytes that its head took, empty
// lines in front of it included; the body follows at in[n:]. Or it returns
// ErrNeedMore: call again when bytes have been appended. Or an *Error: answer
// it and close. The outcome is the same however the bytes were cut into calls.
// Once warm it does not allocate.
func (p *Parser) Parse(s *Scan, in []byte) (req *Request, n int, err error) {
	n, err = s.advance(in, &p.limits, &p.overruns)
	if err != nil {
		return nil, 0, err
	}
	head, lines := in[s.emptyLine:n:n], int(s.fields)
	*s = Scan{}
	if !p.split(head, lines) {
		return nil, 0, errSplit
	}
	if refusal := p.request.judge(p.wild.Method, p.wild.Path, p.wild.Version, p.fields[:lines], &p.target); refusal != nil {
		return nil, 0, refusal
	}
	return &p.request, n, nil
}

// split has wildcat take head apart and fills p.fields with its lines. Given
// what Scan accepts, wildcat stores exactly one entry a line and takes the
// whole head; if it ever does anything else, panics included, split reports
// false.
func (p *Parser) split(head []byte, lines int) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	clear(p.wild.Headers[:p.used])
	clear(p.fields[:p.used])
	p.used = lines
	n, err := p.wild.Parse(head)
	if err != nil || n != len(head) {
		return false
	}
	for i := range lines {
		h := &p.wild.Headers[i]
		p.fields[i] = Field{h.Name, trimValue(h.Value)}
	}
	return true
}

// trimValue takes off the white space around a value as wildcat leaves it: the
// space in front is gone, and of an empty value the CR of its line remains.
func trimValue(v []byte) []byte {
	if len(v) == 1 && v[0] == '\r' {
		return v[:0]
	}
	return trimSpace(v)
}
