package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"marquee/grip"
	"marquee/route"
)

// jsonpError refuses a JSON-P request: the body of a 400, which is Pushpin's.
type jsonpError string

func (e jsonpError) Error() string { return string(e) }

const (
	errJSONPCallback = jsonpError("Invalid callback parameter.")
	errJSONPMethod   = jsonpError("Invalid _method parameter.")
	errJSONPHeaders  = jsonpError("Invalid _headers parameter.")
	errJSONPBody     = jsonpError("Invalid _body parameter.")
	errJSONPNamed    = jsonpError("Invalid body parameter.") // whatever its name is
)

// jsonpRequest is what a client asks by way of JSON-P (GRIP §10.1): a page that
// can only load scripts names in the query what it would have sent.
type jsonpRequest struct {
	// The real request, as the origin is asked. A shared answer is shared by
	// these, not by what the client sent: every page names another callback.
	method string
	target string
	header grip.Header
	body   []byte // nil for none

	// answer is how the answer is given.
	answer jsonp
}

// readJSONP returns the real request of a JSON-P request, nil of any other. Its
// header is the client's without Accept, which is that of a script, and with
// the fields named in _headers instead of the client's own. An error is a
// jsonpError. A GET that has content of its own should not be put to it: there
// is a place for one body only.
//
// Stricter than Pushpin: a callback is the path to a function and nothing else,
// a method is a token and not CONNECT, a percent sign begins an escape, and
// _headers has none of the fields that a client may not send through the edge
// either.
func readJSONP(cfg *route.JSONP, method, target string, header grip.Header) (*jsonpRequest, error) {
	path, query, _ := strings.Cut(target, "?")
	if method != http.MethodGet || query == "" {
		return nil, nil
	}
	q := readQuery(query)
	bodyName, errBody := "_body", errJSONPBody
	if cfg.Body != "" {
		bodyName, errBody = cfg.Body, errJSONPNamed
	}
	callback, named, ok := q.take(cfg.Callback)
	if !named {
		if cfg.DefaultCallback == "" || cfg.Body == "" || !q.has(cfg.Body) {
			return nil, nil
		}
		callback = cfg.DefaultCallback
	}
	if !ok || !route.ValidCallback(callback) {
		return nil, errJSONPCallback
	}
	r := &jsonpRequest{method: cfg.DefaultMethod, answer: jsonp{callback, cfg.Mode}}
	if m, given, ok := q.take("_method"); given {
		if !ok || !validMethod(m) {
			return nil, errJSONPMethod
		}
		r.method = m
	}
	var fields grip.Header
	if text, given, ok := q.take("_headers"); given {
		if fields, ok = readJSONPHeaders(text, ok); !ok {
			return nil, errJSONPHeaders
		}
	}
	if text, given, ok := q.take(bodyName); given {
		if !ok {
			return nil, errBody
		}
		r.body = []byte(text)
		if cfg.Body != "" {
			fields = with(fields.Without(func(name string) bool { return strings.EqualFold(name, "Content-Type") }),
				"Content-Type", "application/json")
		}
	}
	if r.target = path; len(q) > 0 {
		r.target += "?" + q.String()
	}
	r.header = append(header.Without(func(name string) bool {
		return strings.EqualFold(name, "Accept") || fields.Has(name)
	}), fields...)
	r.header = append(r.header, grip.Field{Name: "Accept", Value: "*/*"})
	return r, nil
}

// jsonp is how one client is answered: by a script that calls a function.
type jsonp struct {
	callback string
	mode     route.JSONPMode
}

// wrap returns the script that hands r to the page. It is for whole answers,
// also those that the edge makes; a stream cannot be handed over. Its status is
// 200 in any case: a page learns nothing of a script that fails. Of r's header
// only Cache-Control stands in the script's own.
//
// What the origin says is data in the script, never a part of the program. In
// the basic mode a body that is no JSON is handed over as a string, where
// Pushpin would put it into the program as it is, and an empty one as no
// argument. A body is text: bytes that are no UTF-8 become U+FFFD. What ends a
// line in older JavaScript (U+2028, U+2029) is escaped, and so is <, with which
// the end of a script in a page would begin.
func (j jsonp) wrap(r grip.Response) grip.Response {
	var b bytes.Buffer
	b.WriteString("/**/") // no file of another type begins so
	b.WriteString(j.callback)
	b.WriteByte('(')
	if j.mode == route.JSONPBasic {
		writeJSONPBasic(&b, r.Body)
	} else {
		writeJSONPExtended(&b, r)
	}
	b.WriteString(");\n")

	out := grip.Response{Code: http.StatusOK, Body: b.Bytes(), Header: grip.Header{
		{Name: "Content-Type", Value: "application/javascript"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
	}}
	for _, v := range r.Header.Values("Cache-Control") {
		out.Header = append(out.Header, grip.Field{Name: "Cache-Control", Value: v})
	}
	return out
}

func writeJSONPBasic(b *bytes.Buffer, body []byte) {
	switch {
	case len(body) == 0:
	case json.Valid(body):
		body = bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
		json.HTMLEscape(b, bytes.ToValidUTF8(body, []byte("\uFFFD")))
	default:
		writeJSONString(b, string(body))
	}
}

func writeJSONPExtended(b *bytes.Buffer, r grip.Response) {
	code, reason := r.Code, r.Reason
	if code == 0 {
		code = http.StatusOK
	}
	if reason == "" {
		reason = http.StatusText(code)
	}
	b.WriteString(`{"code": ` + strconv.Itoa(code) + `, "reason": `)
	writeJSONString(b, reason)
	b.WriteString(`, "headers": {`)
	for i, f := range r.Header {
		if r.Header[:i].Has(f.Name) {
			continue // an object has one value for a name: the first, as in Pushpin
		}
		if i > 0 {
			b.WriteString(", ")
		}
		writeJSONString(b, f.Name)
		b.WriteString(": ")
		writeJSONString(b, f.Value)
	}
	b.WriteString(`}, "body": `)
	writeJSONString(b, string(r.Body))
	b.WriteByte('}')
}

// writeJSONString writes s as a string of JSON that is also one of JavaScript.
func writeJSONString(b *bytes.Buffer, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic("edge: a string is no JSON: " + err.Error())
	}
	b.Write(text)
}

// readJSONPHeaders reads the value of _headers, an object of strings. The
// fields are in the order of their names, and those that a client may not send
// through the edge are left out, as Host and Accept are.
func readJSONPHeaders(text string, ok bool) (grip.Header, bool) {
	var values map[string]*string
	if !ok || json.Unmarshal([]byte(text), &values) != nil || values == nil {
		return nil, false
	}
	var h grip.Header
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if value == nil || !grip.IsToken(name) || strings.ContainsFunc(*value, isControl) {
			return nil, false
		}
		if !reservedField(strings.ToLower(name)) {
			h = append(h, grip.Field{Name: name, Value: strings.Trim(*value, " \t")})
		}
	}
	return h, true
}

// reservedField reports whether a field, its name in lower case, is not taken
// from _headers: it is for one connection, says how long a body is, or is the
// edge's own.
func reservedField(name string) bool {
	switch name {
	case "accept", "host", "connection", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "content-length", "expect", "accept-encoding",
		"proxy-authenticate", "proxy-authorization", "via", "x-forwarded-for":
		return true
	}
	return strings.HasPrefix(name, "grip-")
}

// validMethod reports whether a page may choose this method.
func validMethod(m string) bool { return grip.IsToken(m) && m != http.MethodConnect }

// isControl reports whether c may not stand in a field's value (RFC 9110 §5.5).
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// query is the parameters of a query, each as it was written.
type query []string

func readQuery(s string) query { return strings.Split(s, "&") }

func (q query) String() string { return strings.Join(q, "&") }

// has reports whether there is a parameter of that name.
func (q query) has(name string) bool {
	return slices.ContainsFunc(q, func(p string) bool { return isParameter(p, name) })
}

// take removes every parameter of a name and returns what the first one means:
// the text, whether there was one, and whether its escapes are whole. A plus
// sign is a plus sign.
func (q *query) take(name string) (text string, given, ok bool) {
	ok = true
	*q = slices.DeleteFunc(*q, func(p string) bool {
		if !isParameter(p, name) {
			return false
		}
		if !given {
			_, value, _ := strings.Cut(p, "=")
			text, ok = unescape(value)
			given = true
		}
		return true
	})
	return text, given, ok
}

func isParameter(parameter, name string) bool {
	key, _, _ := strings.Cut(parameter, "=")
	if strings.IndexByte(key, '%') >= 0 {
		key, _ = unescape(key)
	}
	return key == name
}

// unescape decodes percent escapes (RFC 3986 §2.1). It reports false for a
// percent sign that begins none.
func unescape(s string) (string, bool) {
	text, err := url.PathUnescape(s)
	return text, err == nil
}
