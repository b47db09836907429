package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"marquee/bus"
	"marquee/grip"
)

// maxForm bounds the body of a POST: a headline of 16 KiB, the origin's limit,
// in percent-encoding, and room for the other fields.
const maxForm = 64 << 10

// handler returns what the edge in front of the page asks: the page, the status
// and what changes things.
func (d *dashboard) handler() http.Handler {
	mux := http.NewServeMux()
	// With and without the last slash, since a redirected POST would arrive as
	// a GET.
	for _, end := range []string{"", "/{$}"} {
		mux.HandleFunc("GET /status"+end, d.getStatus)
		mux.HandleFunc("POST /headline"+end, d.guarded(d.postedHeadline))
		mux.HandleFunc("POST /capacity"+end, d.guarded(d.postedCapacity))
	}
	mux.Handle("/", newPage())
	return mux
}

// getStatus answers with the status document, or, when the client has it
// already, with the instruct to hold the poll until the next one.
func (d *dashboard) getStatus(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	var lastID uint64
	if err == nil && query.Has("last_id") {
		lastID, err = strconv.ParseUint(query.Get("last_id"), 10, 64)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, problem("last_id is not a number"))
		return
	}
	current := d.current.Load()
	isGRIP := r.Header.Get("Grip-Sig") != "" || r.Header.Get("Grip-Feature") != ""
	if isGRIP {
		w.Header().Set("Grip-Channel", grip.Channel{Name: statusChannel, PrevID: current.idString()}.String())
	}
	switch {
	case lastID != current.id:
		// The answer names its channel although it holds nobody: it is good for
		// everybody until the channel moves on.
		answer(w, http.StatusOK, json.RawMessage(current.body))
	case isGRIP:
		w.Header().Set("Grip-Hold", "response")
		answer(w, http.StatusOK, struct{}{})
	default:
		answer(w, http.StatusNotImplemented, problem("this poll would be held: ask through the page's address, or without last_id"))
	}
}

// guarded returns next for those who may change things, with the form parsed.
func (d *dashboard) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		var tooLong *http.MaxBytesError
		switch err := parseForm(r); {
		case errors.As(err, &tooLong):
			answer(w, http.StatusRequestEntityTooLarge, problem("the form is longer than "+strconv.Itoa(maxForm)+" bytes"))
			return
		case err != nil:
			answer(w, http.StatusBadRequest, problem("the form is malformed"))
			return
		}
		if err := d.guard.check(r); err != nil {
			d.log.Warn("request refused", "path", r.URL.Path, "from", r.RemoteAddr, "for", r.Header.Get("X-Forwarded-For"), "err", err)
			answer(w, http.StatusForbidden, problem(err.Error()))
			return
		}
		next(w, r)
	}
}

// parseForm reads the form in the body of r, in either encoding.
func parseForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	err := r.ParseMultipartForm(maxForm)
	if errors.Is(err, http.ErrNotMultipart) {
		return nil
	}
	return err
}

// postedHeadline makes the form field body the headline.
func (d *dashboard) postedHeadline(w http.ResponseWriter, r *http.Request) {
	body := r.PostForm.Get("body")
	if !r.PostForm.Has("body") || !utf8.ValidString(body) {
		answer(w, http.StatusBadRequest, problem("form field body is missing, or not UTF-8"))
		return
	}
	h, err := d.sendHeadline(r.Context(), body)
	var no *refusal
	switch {
	case err == nil:
		answer(w, http.StatusOK, h)
	case errors.Is(err, errNoOrigin):
		answer(w, http.StatusServiceUnavailable, problem(err.Error()))
	case errors.As(err, &no) && no.status >= 400 && no.status < 500:
		answer(w, no.status, problem(no.text))
	default:
		d.log.Error("headline not changed", "err", err)
		answer(w, http.StatusBadGateway, problem("the origin did not change the headline: "+err.Error()))
	}
}

// postedCapacity makes the form field capacity the capacity.
func (d *dashboard) postedCapacity(w http.ResponseWriter, r *http.Request) {
	capacity, err := parseCapacity(r.PostForm.Get("capacity"))
	if err == nil {
		err = d.cfg.checkCapacity(capacity)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, problem(err.Error()))
		return
	}
	switch err := d.setCapacity(r.Context(), capacity); {
	case err == nil:
		answer(w, http.StatusOK, map[string]int{"capacity": capacity})
	case errors.Is(err, bus.ErrNotConnected):
		answer(w, http.StatusServiceUnavailable, problem("the capacity has not changed: "+err.Error()))
	default:
		d.log.Error("capacity not changed", "err", err)
		answer(w, http.StatusBadGateway, problem("the capacity has not changed: "+err.Error()))
	}
}

// problem is the answer to a request that was not carried out.
func problem(text string) map[string]string { return map[string]string{"error": text} }

// answer sends v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, err := json.Marshal(v)
	if err != nil {
		panic("dashboard: no JSON: " + err.Error()) // all v are of types that have one
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone misses it
}
