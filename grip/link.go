package grip

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultLinkTimeout is the Timeout of a Link that gives none.
const DefaultLinkTimeout = 120 * time.Second

// Link is where a stream goes on (Grip-Link with rel=next).
type Link struct {
	// URL is absolute, of the scheme http or https, or relative to the one that
	// the client asked for. It has no space, CR, LF or NUL in it.
	URL string
	// Timeout is after how long without an item on every channel the link is
	// asked, to see whether one was lost.
	Timeout time.Duration
}

var (
	errLinkValue = errors.New("failed to parse Grip-Link value")
	errLinkURL   = errors.New("Grip-Link contains invalid link")
)

// parseLinks reads every Grip-Link: what is to be asked next, nil for nothing,
// and what is to be told when the client has gone, "" for nothing. Of several
// links of one kind the last one counts. Unlike Pushpin it does not end a link
// at a comma or semicolon within its angle brackets (RFC 8288 §3).
func parseLinks(h Header) (next *Link, gone string, err error) {
	for _, line := range h.Values("Grip-Link") {
		for line != "" {
			var e listElement
			if e, line, err = cutLink(line); err != nil {
				return nil, "", err
			}
			if len(e.params) == 0 {
				continue
			}
			target, ok := unbracket(e.value)
			if !ok {
				return nil, "", errLinkValue
			}
			if !isLinkURL(target) {
				return nil, "", errLinkURL
			}
			switch e.params.Get("rel") {
			case "next":
				if next, err = newLink(target, e.params); err != nil {
					return nil, "", err
				}
			case "gone":
				gone = target
			}
		}
	}
	return next, gone, nil
}

// cutLink cuts the first element off a Grip-Link value.
func cutLink(s string) (e listElement, rest string, err error) {
	var target string
	if s = strings.TrimLeft(s, " \t"); strings.HasPrefix(s, "<") {
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return e, "", errLinkValue
		}
		target, s = s[:end+1], s[end+1:]
	}
	s, rest, err = cutUnquoted(s, ',')
	if err == nil {
		e, err = parseListElement(s)
	}
	if err != nil {
		return e, "", fmt.Errorf("failed to parse Grip-Link: %w", err)
	}
	e.value = target + e.value
	return e, rest, nil
}

// unbracket returns what is between the angle brackets of s; ok is false when
// it has none around it, or nothing between them.
func unbracket(s string) (target string, ok bool) {
	if len(s) <= 2 || s[0] != '<' || s[len(s)-1] != '>' {
		return "", false
	}
	return s[1 : len(s)-1], true
}

// isLinkURL reports whether s can be asked for over HTTP, once it has been
// resolved against the URL of a request.
func isLinkURL(s string) bool {
	if breaksLine(s) || strings.Contains(s, " ") {
		return false
	}
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "":
		return true
	case "http", "https":
		return u.Hostname() != ""
	}
	return false
}

func newLink(target string, params Header) (*Link, error) {
	link := &Link{URL: target, Timeout: DefaultLinkTimeout}
	if params.Has("timeout") {
		seconds, err := strconv.ParseInt(params.Get("timeout"), 10, 32)
		switch {
		case err != nil:
			return nil, errors.New("failed to parse Grip-Link timeout value")
		case seconds < 0:
			return nil, errors.New("Grip-Link timeout has invalid value")
		}
		link.Timeout = time.Duration(seconds) * time.Second
	}
	return link, nil
}
