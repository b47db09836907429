package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"marquee/fanout"
)

const (
	// maxPublish is how long the body of a request may be, in bytes (GRIP §5.2).
	maxPublish = 1_000_000
	// maxPublishHead is how long its request line and fields may be, in bytes,
	// with all line ends (GRIP §5.2). What is longer than readPublishHead is
	// refused by net/http, which says 431 where we say 400.
	maxPublishHead  = 10_000
	readPublishHead = 64 << 10
)

const (
	// publisherPause is how long a process that has a successor waits, when the
	// clients have left, for the connections of publishers: with their next answer
	// they are sent there. Who publishes more seldom finds the connection closed.
	publisherPause = time.Second
	// publisherCheck is how often it looks.
	publisherCheck = 5 * time.Millisecond
	// controlTimeout is how long the requests may take that are left then.
	controlTimeout = time.Second
)

const (
	plainText = "text/plain"
	jsonText  = "application/json"
)

// control is the endpoint for publishers and operators (GRIP §5.2). Its answers
// are those of Pushpin, but for the receipts; and connections stay open, so that
// a publisher need not connect for each item.
type control struct {
	edge     *edge
	access   *access
	metrics  http.Handler
	profiles *http.ServeMux
}

// refusal is the answer to a request that is not carried out. It is an error
// whose text is the line for the publisher.
type refusal struct {
	status int
	line   string
}

func (r *refusal) Error() string { return r.line }

// controlServer returns the server of the control endpoint at that address.
func (e *edge) controlServer(at net.Addr) *http.Server {
	c := &control{edge: e, access: newAccess(e.cfg, at), metrics: e.metrics.handler(), profiles: http.NewServeMux()}
	if !c.access.asks() && !isLoopback(at) {
		e.log.Warn("whoever reaches the control endpoint may publish: set -control-key or -control-token, or let -control listen on loopback",
			"control", at.String())
	}
	c.profiles.HandleFunc("/debug/pprof/", pprof.Index)
	c.profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	c.profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	c.profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &http.Server{
		Handler:                      c,
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  time.Minute,
		IdleTimeout:                  5 * time.Minute,
		MaxHeaderBytes:               readPublishHead,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				e.controlConns.Add(1)
			case http.StateClosed, http.StateHijacked:
				e.controlConns.Add(-1)
			}
		},
	}
}

// endControl ends the control endpoint. A process without a successor closes idle
// connections at once; one that has one loses no request of a publisher who goes
// on, in whose next one the closing would cross.
func (e *edge) endControl(server *http.Server) {
	if e.successor.Load() {
		ticker := time.NewTicker(publisherCheck)
		defer ticker.Stop()
		for until := time.Now().Add(publisherPause); e.controlConns.Load() > 0 && time.Now().Before(until); {
			<-ticker.C
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	_ = server.Shutdown(ctx)
	server.Close()
}

// ServeHTTP implements http.Handler. A slash at the end of the path does not
// matter, and the path is not cleaned otherwise.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.EscapedPath(), "/")
	if c.edge.successor.Load() {
		w.Header().Set("Connection", "close") // the next request is for the successor
	}
	if path == "/healthz" {
		c.edge.healthz(w, r)
		return
	}
	if refused := c.access.check(r, time.Now()); refused != nil {
		c.edge.log.Debug("control request refused", "method", r.Method, "path", path, "from", r.RemoteAddr, "err", refused)
		c.access.challenge(w, r, refused)
		refused.answer(w)
		return
	}
	if refused := checkFrame(r); refused != nil {
		refused.answer(w)
		return
	}
	switch {
	case path == "/metrics":
		c.metrics.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/debug/pprof"):
		c.profiles.ServeHTTP(w, r)
	case mediaType(r) == "":
		refused := &refusal{http.StatusNotAcceptable, "Not Acceptable. Supported formats are text/plain and application/json."}
		refused.answer(w)
	case path == "":
		reply(w, http.StatusOK, plainText, "Marquee API")
	case path == "/holds" && r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		reply(w, http.StatusMethodNotAllowed, plainText, "Method not allowed: "+r.Method+".")
	case path == "/holds":
		c.holds(w, r)
	case path != "/publish" && path != "/recover":
		reply(w, http.StatusNotFound, plainText, "Not Found")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		reply(w, http.StatusMethodNotAllowed, plainText, "Method not allowed: "+r.Method+".")
	case path == "/publish":
		c.publish(w, r)
	default:
		c.edge.recover()
		reply(w, http.StatusOK, mediaType(r), "Updated")
	}
}

// checkFrame refuses a request by its size, or because it does not tell it: only
// GET, HEAD, DELETE and OPTIONS need no Content-Length.
func checkFrame(r *http.Request) *refusal {
	needsLength := len(r.TransferEncoding) > 0
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
	default:
		needsLength = needsLength || r.Header.Get("Content-Length") == ""
	}
	switch {
	case headSize(r) > maxPublishHead:
		return &refusal{http.StatusBadRequest, "Request header too large."}
	case needsLength:
		return &refusal{http.StatusLengthRequired, "Request requires Content-Length."}
	case r.ContentLength > maxPublish:
		return &refusal{http.StatusBadRequest, "Request body too large."}
	}
	return nil
}

// headSize returns how long the head of r was, in bytes, if it was written as
// most are, with one space after a colon.
func headSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n\r\n")
	if r.Host != "" {
		n += len("Host: \r\n") + len(r.Host)
	}
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + len(": \r\n")
		}
	}
	return n
}

// mediaType returns which of the two media types of an answer the publisher
// accepts, "" when neither. Of several it is the last, as in Pushpin, whatever
// their weights.
func mediaType(r *http.Request) string {
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return plainText
	}
	found := ""
	for member := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, _, _ := strings.Cut(member, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case plainText, "text/*", "*/*":
			found = plainText
		case jsonText, "application/*":
			found = jsonText
		}
	}
	return found
}

// answer writes the refusal, which is plain text for everybody.
func (r *refusal) answer(w http.ResponseWriter) { reply(w, r.status, plainText, r.line) }

// reply answers with one line, or with an object that has it as its message.
func reply(w http.ResponseWriter, code int, mediaType, line string) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(code)
	if mediaType == jsonText {
		_ = json.NewEncoder(w).Encode(struct {
			Message string `json:"message"`
		}{line})
		return
	}
	fmt.Fprintln(w, line)
}

// recover makes every loop ask the origin again for what it holds: items may
// have been missed, and nothing tells of them but what the origin says from now on.
func (e *edge) recover() {
	e.origin.Outdate()
	e.doubt((*fanout.Shard).DoubtAll)
}

// healthz says whether the edge serves: 503 when it leaves for good, or when a loop
// has not come round for a while. Where there is a successor the service goes on.
func (e *edge) healthz(w http.ResponseWriter, r *http.Request) {
	say := func(code int, line string) {
		typ := plainText
		if code == http.StatusOK && mediaType(r) == jsonText {
			typ = jsonText
		}
		reply(w, code, typ, line)
	}
	if (e.leaving.Load() || e.draining.Load()) && !e.successor.Load() {
		say(http.StatusServiceUnavailable, "draining")
		return
	}
	if e.stuck(5*time.Second) != nil {
		say(http.StatusServiceUnavailable, "an event loop does not come round")
		return
	}
	if e.cluster != nil && !e.cluster.bus.Connected() {
		say(http.StatusOK, "ok, but cut off from NATS: items published elsewhere do not come")
		return
	}
	say(http.StatusOK, "ok")
}
