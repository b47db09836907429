package httpparse

// IsHopByHop reports whether a field of that name, of this request, is for this
// connection only and must not be forwarded: it always is (HopByHop), or the
// request says so (Nominates).
func (r *Request) IsHopByHop(name []byte) bool { return HopByHop(name) || r.Nominates(name) }

// Nominates reports whether the Connection fields of the request list a field of that
// name (RFC 9110 §7.6.1).
func (r *Request) Nominates(name []byte) bool { return r.namesFields && r.connectionLists(name) }

// HopByHop reports whether a field of that name is always for one connection only.
// Those are, after RFC 9110:
//
//   - Connection itself (§7.6.1);
//   - Keep-Alive, Proxy-Connection, TE, Transfer-Encoding and Upgrade, which
//     §7.6.1 wants removed even when Connection does not list them;
//   - Trailer, because Body drops the trailer fields it would announce (§6.6.2);
//   - Proxy-Authorization, whose credentials are for a proxy the client has
//     chosen (§11.7.2): behind a gateway there is none, and they are not the
//     origin's to see.
//
// Proxy-Authenticate and Proxy-Authentication-Info are response fields and mean
// nothing here.
func HopByHop(name []byte) bool {
	switch len(name) {
	case len("te"):
		if equalFold(name, "te") {
			return true
		}
	case len("trailer"): // and upgrade
		if equalFold(name, "trailer") || equalFold(name, "upgrade") {
			return true
		}
	case len("connection"): // and keep-alive
		if equalFold(name, "connection") || equalFold(name, "keep-alive") {
			return true
		}
	case len("proxy-connection"):
		if equalFold(name, "proxy-connection") {
			return true
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			return true
		}
	case len("proxy-authorization"):
		if equalFold(name, "proxy-authorization") {
			return true
		}
	}
	return false
}

func (r *Request) connectionLists(name []byte) bool {
	for i := range r.Fields {
		if !equalFold(r.Fields[i].Name, "connection") {
			continue
		}
		for rest, more := r.Fields[i].Value, true; more; {
			var option []byte
			if option, rest, more = nextElement(rest); len(option) > 0 && equalNames(option, name) {
				return true
			}
		}
	}
	return false
}

// judgeOptions reads one Connection field (RFC 9110 §7.6.1). An option that is
// no token names no field and is passed over.
func (r *Request) judgeOptions(value []byte, seen *seenFields) *Error {
	for rest, more := value, true; more; {
		var option []byte
		option, rest, more = nextElement(rest)
		if seen.options++; seen.options > maxOptions {
			return errOptions
		}
		switch {
		case equalFold(option, "close"):
			seen.close = true
		case equalFold(option, "keep-alive"):
			seen.keepAlive = true
		case len(option) > 0:
			r.namesFields = true
		}
	}
	return nil
}

// judgeExpectation reads one Expect field (RFC 9110 §10.1.1).
func (r *Request) judgeExpectation(value []byte) *Error {
	for rest, more := value, true; more; {
		var expectation []byte
		expectation, rest, more = nextElement(rest)
		switch {
		case equalFold(expectation, "100-continue"):
			r.ExpectContinue = r.Minor == 1
		case len(expectation) > 0:
			return errExpectation
		}
	}
	return nil
}
