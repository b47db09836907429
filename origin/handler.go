package main

import (
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"marquee/bus"
	"marquee/grip"
)

const (
	// maxBody is the longest headline, in bytes. JSON writes a byte as six at
	// most, so every answer stays below the 100,000 bytes that GRIP proxies
	// buffer of an answer with Grip fields.
	maxBody = 16 * 1024

	// maxForm is the longest POST body, in bytes: a headline of maxBody in
	// percent-encoding, three bytes for one, and room for other fields.
	maxForm = 4 * maxBody
)

// A handler answers the HTTP API of the headline service.
type handler struct {
	// Immutable after newHandler.
	service     *service
	sigKeys     []grip.Key
	holdTimeout time.Duration
	keepAlive   time.Duration
	log         *slog.Logger
}

// newHandler returns the API over svc. A poll or a stream is held only when it came
// through a GRIP proxy: one whose Grip-Sig verifies with one of sigKeys, or, when
// there are none, one that says it is a GRIP proxy. holdTimeout, in whole seconds,
// is how long a proxy shall hold a poll; zero leaves that to the proxy. keepAlive,
// likewise, is after how long without a headline it shall send a stream a comment;
// zero is never.
func newHandler(svc *service, sigKeys []grip.Key, holdTimeout, keepAlive time.Duration, log *slog.Logger) http.Handler {
	h := &handler{service: svc, sigKeys: sigKeys, holdTimeout: holdTimeout, keepAlive: keepAlive, log: log}
	mux := http.NewServeMux()
	// With and without the last slash, since a redirected POST would arrive as
	// a GET. GET patterns match HEAD too, and for other methods and paths the
	// mux answers 405 with Allow, and 404.
	for _, path := range []string{"/headline/value/{$}", "/headline/value"} {
		mux.HandleFunc("GET "+path, h.get)
		mux.HandleFunc("POST "+path, h.post)
	}
	for _, path := range []string{eventsPath + "{$}", strings.TrimSuffix(eventsPath, "/")} {
		mux.HandleFunc("GET "+path, h.events)
	}
	mux.HandleFunc("GET /{$}", h.help)
	mux.HandleFunc("GET /healthz", h.healthz)
	return mux
}

// get answers with the headline, or, when the client has it already, with the
// instruct to hold the poll until the next one.
func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	lastID, hasLastID, err := parseLastID(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	current := h.service.current()
	if current == nil {
		refuse(w, http.StatusNotFound, "there is no headline yet")
		return
	}
	proxyErr := h.checkProxy(r.Header)
	if proxyErr == nil {
		w.Header().Set("Grip-Channel", channelName+"; prev-id="+current.idString())
	}
	if !hasLastID || lastID != current.id {
		// The answer names its channel although it holds nobody. A GRIP proxy
		// strips the field; Marquee's edge also learns from it that this answer
		// is good for everybody until the channel moves on from prev-id.
		answer(w, r, current.json)
		return
	}
	if proxyErr != nil {
		refuse(w, http.StatusNotImplemented, fmt.Sprintf("this poll would be held: %s, or without last_id", proxyErr))
		return
	}
	w.Header().Set("Grip-Hold", "response")
	if h.holdTimeout > 0 {
		w.Header().Set("Grip-Timeout", strconv.Itoa(int(h.holdTimeout/time.Second)))
	}
	answer(w, r, []byte("{}"))
}

// post makes the form field body the headline.
func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	body, err := formBody(r)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong) || len(body) > maxBody:
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a headline has at most %d bytes", maxBody))
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	changed, err := h.service.change(r.Context(), body)
	switch {
	case errors.Is(err, errAbandoned):
		return
	case errors.Is(err, syscall.ENOSPC):
		h.log.Error("headline not changed", "err", err)
		refuse(w, http.StatusInsufficientStorage, "there is no room to store the headline, which has not changed")
		return
	case errors.Is(err, errInDoubt):
		h.log.Error("headline in doubt", "err", err)
		refuse(w, http.StatusInternalServerError, "the headline has not changed, and whether it is stored is not known: it may change later")
		return
	case errors.Is(err, bus.ErrNotConnected):
		h.log.Error("headline not changed", "err", err)
		refuse(w, http.StatusServiceUnavailable, "the store cannot be reached, and the headline has not changed")
		return
	case err != nil:
		h.log.Error("headline not changed", "err", err)
		refuse(w, http.StatusInternalServerError, "the headline could not be stored and has not changed")
		return
	}
	h.log.Debug("headline changed", "id", changed.id, "bytes", len(body))
	answer(w, r, changed.json)
}

// checkProxy returns nil when a request with these header fields came through a
// GRIP proxy that will carry out a hold, and else an error that tells its
// reader what to do.
func (h *handler) checkProxy(header http.Header) error {
	sig := header.Get("Grip-Sig")
	if len(h.sigKeys) == 0 {
		if sig == "" && header.Get("Grip-Feature") == "" {
			return errors.New("ask through a GRIP proxy in front of this origin")
		}
		return nil
	}
	now := time.Now()
	for _, key := range h.sigKeys {
		if grip.Verify(sig, key, now) == nil {
			return nil
		}
	}
	return errors.New("ask through a GRIP proxy that signs with this origin's key (Grip-Sig)")
}

// parseLastID returns the id that the client has seen, and whether it says so
// at all.
func parseLastID(rawQuery string) (id uint64, ok bool, err error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return 0, false, errors.New("the query is malformed")
	}
	if !query.Has("last_id") {
		return 0, false, nil
	}
	id, err = strconv.ParseUint(query.Get("last_id"), 10, 64)
	if err != nil {
		return 0, false, errors.New("last_id is not a number")
	}
	return id, true, nil
}

// formBody returns the form field body of a POST, which may be empty but not
// missing. It is never longer than maxForm.
func formBody(r *http.Request) (string, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && mediaType == "application/x-www-form-urlencoded":
		err = r.ParseForm()
	case err == nil && mediaType == "multipart/form-data":
		err = r.ParseMultipartForm(maxForm)
	default:
		return "", errors.New("send the headline as form field body, application/x-www-form-urlencoded or multipart/form-data")
	}
	if err != nil {
		return "", fmt.Errorf("the form is malformed: %w", err)
	}
	if !r.PostForm.Has("body") {
		return "", errors.New("form field body is missing")
	}
	body := r.PostForm.Get("body")
	if !utf8.ValidString(body) {
		return "", errors.New("form field body is not UTF-8")
	}
	return body, nil
}

// help says what this is and what to type.
func (h *handler) help(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, helpText, r.Host)
}

const helpText = `The headline service: one line of text that anybody can read, wait for and change.

Read it:
    curl http://%[1]s/headline/value/
Change it:
    curl -d 'body=Flight 123 arriving in terminal A.' http://%[1]s/headline/value/
Wait until it is another than number 1 (through a GRIP proxy in front of this
origin, such as Marquee's edge, which by default listens on port 7999):
    curl 'http://localhost:7999/headline/value/?last_id=1'
The answer is {} when nothing changes for a while: just ask again.
Watch it, as server-sent events (likewise):
    curl -N http://localhost:7999/headline/events/
`

// healthz says that the service serves.
func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// answer sends a JSON body with status 200.
func answer(w http.ResponseWriter, r *http.Request, json []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(json)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(json) // a client that has gone misses it
	}
}

// refuse sends one plain line, without the Grip fields of an answer.
func refuse(w http.ResponseWriter, status int, line string) {
	http.Error(w, line, status)
}
