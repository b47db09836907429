package route

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"marquee/grip"
)

// Proto is the kind of request that a route is for.
type Proto uint8

const (
	ProtoAny Proto = iota
	ProtoHTTP
	ProtoWebSocket
)

// Secure is whether a route is for requests that came over TLS.
type Secure uint8

const (
	SecureAny Secure = iota
	SecureNo
	SecureYes
)

// Field is a header field that a route gives to requests. An empty value takes
// the field away.
type Field struct{ Name, Value string }

// Secret is a text that is not shown: String tells only that there is one.
type Secret string

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "hidden"
}

// LogLevelUnset is the LogLevel of a route that does not say.
const LogLevelUnset = -1

// Route is one line of the routes file. It is immutable once it is in a Table.
type Route struct {
	// Line is where the route stands in its file, from 1; 0 for one that is in
	// no file.
	Line int
	// ID is the route's name in metrics and logs: the option id, or else the
	// text of the condition.
	ID string

	// The condition. Host is in lower case, an IPv6 address without brackets;
	// "*" is any host, and "" none: such a route is only taken by its ID.
	Host      string
	Proto     Proto
	Secure    Secure
	PathBegin string

	// What becomes of the request: the path loses its first PathRemove bytes and
	// gets ReplaceBegin in front. AsHost is its Host field, unless it is empty.
	// Headers are set in order, each instead of all fields of its name that came
	// with the request.
	PathRemove   int
	ReplaceBegin string
	AsHost       string
	Headers      []Field
	OrigHeaders  bool

	// What becomes of the answer.
	NoGrip      bool
	Prefix      string // before the name of every channel
	CrossOrigin bool   // aco
	JSONP       JSONP
	Debug       bool

	// SigIss and SigKey are for the signature of requests; empty where the
	// route does not say. The key is as it was written.
	SigIss string
	SigKey Secret

	// LogLevel is 0 for errors only, up to 3 for everything, or LogLevelUnset.
	LogLevel int

	// Slow and SlowBytes are for streams that cannot take what comes; unset and
	// 0 where the route does not say. SlowChannels go before Slow.
	Slow         SlowPolicy
	SlowBytes    int
	SlowChannels []SlowChannel

	// MaxHead is how long the head of a request may be and MaxBody how long its
	// content, both in bytes; 0 where the route does not say.
	MaxHead int
	MaxBody int64

	// For WebSocket only.
	Session      bool
	SockJSPath   string
	SockJSAsPath string

	// Targets are tried in order, each when those before cannot be reached.
	// There is at least one.
	Targets []Target
}

var conditionOptions = map[string]setting[Route]{
	"proto":           {set: setProto},
	"ssl":             {set: setSecure},
	"path_beg":        {set: func(r *Route, v string) error { r.PathBegin = v; return checkPath(v) }},
	"id":              {set: setID},
	"replace_beg":     {set: setReplaceBegin},
	"path_rem":        {set: func(r *Route, v string) (err error) { r.PathRemove, err = parseNumber(v, maxPath); return err }},
	"as_host":         {set: func(r *Route, v string) error { r.AsHost = v; return checkHost(v) }},
	"prefix":          {set: func(r *Route, v string) error { r.Prefix = v; return nil }},
	"header":          {repeats: true, set: addHeader},
	"debug":           {flag: true, set: func(r *Route, _ string) error { r.Debug = true; return nil }},
	"no_grip":         {flag: true, set: func(r *Route, _ string) error { r.NoGrip = true; return nil }},
	"log_level":       {set: func(r *Route, v string) (err error) { r.LogLevel, err = parseNumber(v, 3); return err }},
	"orig_headers":    {flag: true, set: func(r *Route, _ string) error { r.OrigHeaders = true; return nil }},
	"sig_iss":         {set: func(r *Route, v string) error { r.SigIss = v; return nil }},
	"sig_key":         {set: func(r *Route, v string) error { r.SigKey = Secret(v); return nil }},
	"aco":             {flag: true, set: func(r *Route, _ string) error { r.CrossOrigin = true; return nil }},
	"jsonp_mode":      {set: setJSONPMode},
	"jsonp_cb":        {set: func(r *Route, v string) error { r.JSONP.Callback = v; return nil }},
	"jsonp_body":      {set: func(r *Route, v string) error { r.JSONP.Body = v; return nil }},
	"jsonp_defcb":     {set: setDefaultCallback},
	"jsonp_defmethod": {set: setDefaultMethod},
	"slow":            {set: func(r *Route, v string) (err error) { r.Slow, err = ParseSlowPolicy(v); return err }},
	"slow_bytes":      {set: func(r *Route, v string) (err error) { r.SlowBytes, err = parseSlowBytes(v); return err }},
	"slow_channel":    {repeats: true, set: addSlowChannel},
	"max_head":        {set: func(r *Route, v string) (err error) { r.MaxHead, err = parseMaxHead(v); return err }},
	"max_body":        {set: func(r *Route, v string) (err error) { r.MaxBody, err = parseMaxBody(v); return err }},
	"session":         {flag: true, set: func(r *Route, _ string) error { r.Session = true; return nil }},
	"sockjs":          {set: func(r *Route, v string) error { r.SockJSPath = v; return checkPath(v) }},
	"sockjs_as_path":  {set: func(r *Route, v string) error { r.SockJSAsPath = v; return checkPath(v) }},
}

func isConditionOption(name string) bool { _, ok := conditionOptions[name]; return ok }

// parseRoute reads a line. There is no route on a blank one.
func parseRoute(line string) (*Route, error) {
	sections, err := parseLine(line)
	if err != nil || len(sections) == 0 {
		return nil, err
	}
	r := &Route{LogLevel: LogLevelUnset}
	condition := sections[0]
	if condition.value != "" {
		host, err := parseConditionHost(condition.value)
		if err != nil {
			return nil, err
		}
		r.Host = host
	}
	if err := apply(r, condition.options, conditionOptions, "a condition", isTargetOption); err != nil {
		return nil, err
	}
	r.JSONP.complete()
	if has(condition.options, "replace_beg") {
		r.PathRemove = len(r.PathBegin) // whatever path_rem says, as in Pushpin
	}
	if r.Host == "" && r.ID == "" {
		return nil, errors.New("the condition has no host: write * for any, or an id by which the route is taken")
	}
	if r.ID == "" {
		r.ID = r.condition()
	}
	if len(sections) == 1 {
		return nil, errors.New("the route has no target")
	}
	for _, s := range sections[1:] {
		t, err := parseTarget(s)
		if err != nil {
			return nil, err
		}
		r.Targets = append(r.Targets, t)
	}
	return r, nil
}

// Target returns the request target that the origin is asked, for the one that
// the client asked. The query stays as it is. What is no path, the "*" of
// OPTIONS, stays too; and whatever is taken away, a path begins with a slash.
func (r *Route) Target(target string) string {
	if r.PathRemove == 0 && r.ReplaceBegin == "" || !strings.HasPrefix(target, "/") {
		return target
	}
	path, query := target, ""
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	path = r.ReplaceBegin + path[min(r.PathRemove, len(path)):]
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path + query
}

// SlowPolicy returns the policy for a stream's messages of a channel, the name
// with the route's prefix.
func (r *Route) SlowPolicy(channel string) SlowPolicy {
	for _, s := range r.SlowChannels {
		if fits(s.Pattern, channel) {
			return s.Policy
		}
	}
	return r.Slow
}

// String returns the route as the routes file writes it, but not the key.
func (r *Route) String() string {
	var w writer
	w.WriteString(r.condition())
	if r.Host == "" || r.ID != r.condition() {
		w.value("id", r.ID)
	}
	if r.ReplaceBegin != "" {
		w.value("replace_beg", r.ReplaceBegin)
	} else if r.PathRemove > 0 {
		w.value("path_rem", strconv.Itoa(r.PathRemove))
	}
	w.value("as_host", r.AsHost)
	w.value("prefix", r.Prefix)
	for _, f := range r.Headers {
		w.value("header", f.Name+": "+f.Value)
	}
	w.flag("debug", r.Debug)
	w.flag("no_grip", r.NoGrip)
	if r.LogLevel != LogLevelUnset {
		w.value("log_level", strconv.Itoa(r.LogLevel))
	}
	w.flag("orig_headers", r.OrigHeaders)
	w.value("sig_iss", r.SigIss)
	w.value("sig_key", r.SigKey.String())
	w.flag("aco", r.CrossOrigin)
	if r.JSONP.Mode == JSONPBasic {
		w.value("jsonp_mode", "basic")
	}
	plain := JSONP{Mode: r.JSONP.Mode}
	plain.complete()
	if r.JSONP.Callback != plain.Callback {
		w.value("jsonp_cb", r.JSONP.Callback)
	}
	w.value("jsonp_body", r.JSONP.Body)
	w.value("jsonp_defcb", r.JSONP.DefaultCallback)
	if r.JSONP.DefaultMethod != plain.DefaultMethod {
		w.value("jsonp_defmethod", r.JSONP.DefaultMethod)
	}
	if r.Slow != SlowUnset {
		w.value("slow", r.Slow.String())
	}
	if r.SlowBytes > 0 {
		w.value("slow_bytes", strconv.Itoa(r.SlowBytes))
	}
	for _, s := range r.SlowChannels {
		w.value("slow_channel", s.Pattern+":"+s.Policy.String())
	}
	if r.MaxHead > 0 {
		w.value("max_head", strconv.Itoa(r.MaxHead))
	}
	if r.MaxBody > 0 {
		w.value("max_body", strconv.FormatInt(r.MaxBody, 10))
	}
	w.flag("session", r.Session)
	w.value("sockjs", r.SockJSPath)
	w.value("sockjs_as_path", r.SockJSAsPath)
	for _, t := range r.Targets {
		w.WriteString(" " + t.String())
	}
	return w.String()
}

// condition returns the text of what a request must be for the route to fit.
// Routes of one table with a host have different ones.
func (r *Route) condition() string {
	var w writer
	w.WriteString(r.Host)
	switch r.Proto {
	case ProtoHTTP:
		w.value("proto", "http")
	case ProtoWebSocket:
		w.value("proto", "ws")
	}
	switch r.Secure {
	case SecureNo:
		w.value("ssl", "no")
	case SecureYes:
		w.value("ssl", "yes")
	}
	w.value("path_beg", r.PathBegin)
	return w.String()
}

func setProto(r *Route, value string) error {
	switch value {
	case "http":
		r.Proto = ProtoHTTP
	case "ws":
		r.Proto = ProtoWebSocket
	default:
		return errors.New("it takes http or ws, not " + clip(value))
	}
	return nil
}

func setSecure(r *Route, value string) error {
	switch value {
	case "no":
		r.Secure = SecureNo
	case "yes":
		r.Secure = SecureYes
	default:
		return errors.New("it takes yes or no, not " + clip(value))
	}
	return nil
}

func setID(r *Route, value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	r.ID = value
	return nil
}

func setReplaceBegin(r *Route, value string) error {
	r.ReplaceBegin = value
	if value == "" { // path_beg is taken away
		return nil
	}
	return checkPath(value)
}

func addHeader(r *Route, value string) error {
	name, text, ok := strings.Cut(value, ":")
	if !ok || !grip.IsToken(name) {
		return errors.New("it takes NAME:VALUE") // the value may be a secret
	}
	r.Headers = append(r.Headers, Field{name, strings.Trim(text, " \t")})
	return nil
}

func addSlowChannel(r *Route, value string) error {
	s, err := parseSlowChannel(value)
	r.SlowChannels = append(r.SlowChannels, s)
	return err
}

func setDefaultCallback(r *Route, value string) error {
	r.JSONP.DefaultCallback = value
	if !ValidCallback(value) {
		return errors.New("it takes the path to a JavaScript function, not " + clip(value))
	}
	return nil
}

func setDefaultMethod(r *Route, value string) error {
	r.JSONP.DefaultMethod = value
	if !grip.IsToken(value) {
		return errors.New("it takes a method, not " + clip(value))
	}
	return nil
}

// parseNumber reads a number from 0 to most.
func parseNumber(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("it takes a number, 0 to %d, not %s", most, clip(s))
	}
	return n, nil
}
