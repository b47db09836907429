package grip

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultKeepAlive is the Timeout of a KeepAlive that gives none.
	DefaultKeepAlive = 55 * time.Second
	// MinKeepAlive is the shortest; shorter ones are raised to it.
	MinKeepAlive = time.Second
)

// KeepAlive is what is appended to a stream from time to time.
type KeepAlive struct {
	Content []byte // not empty
	Timeout time.Duration
	// Interval: every Timeout. Otherwise only when nothing was sent for as long.
	Interval bool
}

var errNoKeepAlive = errors.New("Grip-Keep-Alive cannot be empty")

// parseKeepAlive reads Grip-Keep-Alive, "DATA; timeout=55; format=raw;
// mode=idle"; nil when there is none. Only the first field counts and it is no
// list: a comma is part of the data.
func parseKeepAlive(h Header) (*KeepAlive, error) {
	if !h.Has("Grip-Keep-Alive") {
		return nil, nil
	}
	e, err := parseListElement(h.Get("Grip-Keep-Alive"))
	if err != nil {
		return nil, fmt.Errorf("failed to parse Grip-Keep-Alive: %w", err)
	}
	k := &KeepAlive{Timeout: DefaultKeepAlive}
	if k.Content, err = keepAliveContent(e.value, e.params.Get("format")); err != nil {
		return nil, err
	}
	if len(k.Content) == 0 {
		return nil, errNoKeepAlive
	}
	switch mode := e.params.Get("mode"); mode {
	case "", "idle":
	case "interval":
		k.Interval = true
	default:
		return nil, fmt.Errorf("no such Grip-Keep-Alive mode '%s'", mode)
	}
	if e.params.Has("timeout") {
		seconds, err := strconv.ParseInt(e.params.Get("timeout"), 10, 32)
		switch {
		case err != nil:
			return nil, errors.New("failed to parse Grip-Keep-Alive timeout value")
		case seconds < 0:
			return nil, errors.New("Grip-Keep-Alive timeout has invalid value")
		}
		k.setTimeout(int(seconds))
	}
	return k, nil
}

func (k *KeepAlive) setTimeout(seconds int) {
	k.Timeout = max(time.Duration(seconds)*time.Second, MinKeepAlive)
}

// keepAliveContent decodes the data of Grip-Keep-Alive.
func keepAliveContent(data, format string) ([]byte, error) {
	switch format {
	case "", "raw":
		return []byte(data), nil
	case "cstring":
		content, ok := unescape(data)
		if !ok {
			return nil, errors.New("failed to parse Grip-Keep-Alive cstring format")
		}
		return content, nil
	case "base64":
		content, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(data, "="))
		if err != nil {
			return nil, errors.New("failed to parse Grip-Keep-Alive base64 format")
		}
		return content, nil
	}
	return nil, fmt.Errorf("no such Grip-Keep-Alive format '%s'", format)
}

// unescape decodes the escapes \\, \r, \n and \xHH. Of any other escape nothing
// is left, as in Pushpin. ok is false when one has no end.
func unescape(s string) (content []byte, ok bool) {
	content = make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			content = append(content, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, false
		}
		switch s[i] {
		case '\\':
			content = append(content, '\\')
		case 'r':
			content = append(content, '\r')
		case 'n':
			content = append(content, '\n')
		case 'x':
			if i+2 >= len(s) {
				return nil, false
			}
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, false
			}
			content = append(content, byte(c))
			i += 2
		}
	}
	return content, true
}

// withJSON returns k, which may be nil, changed by the "keep-alive" of a JSON
// instruct. Without content it is none.
func (k *KeepAlive) withJSON(o object) (*KeepAlive, error) {
	var out KeepAlive
	if k != nil {
		out = *k
	}
	content, err := o.bytes("'keep-alive'", "content")
	if err != nil {
		return nil, err
	}
	if content != nil {
		out.Content = content
	}
	out.Timeout = DefaultKeepAlive
	if _, ok := o["timeout"]; ok {
		seconds, err := o.count("'keep-alive'", "timeout")
		if err != nil {
			return nil, err
		}
		out.setTimeout(seconds)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	return &out, nil
}
