package httpparse

// Request is a request head that has passed every check. See the package
// documentation for how long it may be used.
type Request struct {
	Method []byte // as received; methods are case-sensitive
	// Target is a path, with a query if there is one, or "*". The scheme and
	// authority of an absolute-form target have been taken off and its empty
	// path replaced: by "/", or by "*" for OPTIONS without a query (RFC 9112
	// §3.2.4).
	Target []byte
	// Host is the host and optional port the request is for: from an
	// absolute-form target, otherwise from the Host field (RFC 9112 §3.2.2).
	// Empty only in an HTTP/1.0 request that names none.
	Host   []byte
	Minor  int     // of the HTTP version: 0 or 1
	Fields []Field // every field line in order, as received

	ContentLength int64 // in bytes; -1 without a Content-Length field
	Chunked       bool  // the body is in the chunked transfer coding

	// Persistent says that the client wants the connection kept after this
	// request: HTTP/1.1 without the option close, or HTTP/1.0 with the option
	// keep-alive and without close (RFC 9112 §9.3).
	Persistent bool
	// ExpectContinue says that an HTTP/1.1 client waits for a 100 response
	// before it sends the body (RFC 9110 §10.1.1). From an HTTP/1.0 client the
	// expectation is ignored, as it must be.
	ExpectContinue bool

	// namesFields says that Connection lists more than close and keep-alive.
	namesFields bool
}

// HasBody reports whether there are body bytes to be read.
func (r *Request) HasBody() bool { return r.Chunked || r.ContentLength > 0 }

// seenFields is what the field lines of one head add up to.
type seenFields struct {
	hosts            int
	options          int // elements of all Connection fields
	close, keepAlive bool
	codings          bool // a Transfer-Encoding field is there
	unknownCoding    bool
}

// judge makes r the request with these parts, or says why there is none.
// scratch is memory for a target that has to be put together.
func (r *Request) judge(method, target, version []byte, fields []Field, scratch *[]byte) *Error {
	*r = Request{}
	r.Method, r.Fields, r.ContentLength = method, fields, -1
	r.Minor = int(version[len("HTTP/1.")] - '0')
	var seen seenFields
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		var err *Error
		switch len(name) {
		case len("host"):
			if equalFold(name, "host") {
				seen.hosts++
				r.Host = value
			}
		case len("expect"):
			if equalFold(name, "expect") {
				err = r.judgeExpectation(value)
			}
		case len("connection"):
			if equalFold(name, "connection") {
				err = r.judgeOptions(value, &seen)
			}
		case len("content-length"):
			if equalFold(name, "content-length") {
				err = r.judgeLength(value)
			}
		case len("transfer-encoding"):
			if equalFold(name, "transfer-encoding") {
				err = r.judgeCodings(value, &seen)
			}
		}
		if err != nil {
			return err
		}
	}
	r.Persistent = !seen.close && (r.Minor == 1 || seen.keepAlive)
	if err := r.judgeFraming(&seen); err != nil {
		return err
	}
	if err := r.judgeHost(seen.hosts); err != nil {
		return err
	}
	return r.judgeTarget(target, scratch)
}
