package route

import "errors"

// JSONPMode is the shape of a JSON-P answer.
type JSONPMode uint8

const (
	JSONPExtended JSONPMode = iota // the callback gets code, reason, headers and body
	JSONPBasic                     // the callback gets the body
)

// JSONP is how a route speaks JSON-P (GRIP §10.1).
type JSONP struct {
	Mode JSONPMode
	// Callback is the name of the query parameter that names the callback;
	// "callback" when the route does not say.
	Callback string
	// Body is the name of the query parameter that holds the body as JSON. When
	// it is empty, the parameter is _body and its type is the client's affair.
	Body string
	// DefaultCallback is the callback of a request that has the Body parameter
	// but names no callback; empty means that such a request is no JSON-P.
	DefaultCallback string
	// DefaultMethod is the method of a request that names none with _method:
	// GET, or POST in the basic mode, when the route does not say.
	DefaultMethod string
}

// defaultCallback is the parameter that names the callback.
const defaultCallback = "callback"

// complete fills in what depends on other options.
func (j *JSONP) complete() {
	if j.Callback == "" {
		j.Callback = defaultCallback
	}
	switch {
	case j.DefaultMethod != "":
	case j.Mode == JSONPBasic:
		j.DefaultMethod = "POST"
	default:
		j.DefaultMethod = "GET"
	}
}

// maxCallback is the longest callback, in bytes: no path to a function is
// longer, and it is sent back.
const maxCallback = 256

// ValidCallback reports whether s is the path to a JavaScript function and
// nothing else: identifiers of ASCII letters, digits, _ and $, joined by dots,
// each with any number of indexes in digits behind it, as in "app.cb[2].done".
// Anything more, written into a script, would be somebody's program.
func ValidCallback(s string) bool {
	if len(s) > maxCallback {
		return false
	}
	for {
		n := 0
		for n < len(s) && isIdentifierByte(s[n], n > 0) {
			n++
		}
		if n == 0 {
			return false
		}
		s = s[n:]
		for len(s) > 0 && s[0] == '[' {
			n = 1
			for n < len(s) && '0' <= s[n] && s[n] <= '9' {
				n++
			}
			if n == 1 || n == len(s) || s[n] != ']' {
				return false
			}
			s = s[n+1:]
		}
		if s == "" {
			return true
		}
		if s[0] != '.' {
			return false
		}
		s = s[1:]
	}
}

// isIdentifierByte reports whether c may stand in an identifier; a digit only
// where it is not the first.
func isIdentifierByte(c byte, digits bool) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$' ||
		digits && '0' <= c && c <= '9'
}

func setJSONPMode(r *Route, value string) error {
	switch value {
	case "extended":
		r.JSONP.Mode = JSONPExtended
	case "basic":
		r.JSONP.Mode = JSONPBasic
	default:
		return errors.New("it takes extended or basic, not " + clip(value))
	}
	return nil
}
