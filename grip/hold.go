package grip

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// DefaultTimeout is how long a hold lasts when its Timeout is zero.
	DefaultTimeout = 55 * time.Second
	// MinTimeout is the shortest timeout of a hold; shorter ones are raised to
	// it, so that a mistaken origin does not turn long polls into busy ones.
	MinTimeout = 5 * time.Second
	// MaxChannels is how many channels one hold can have; more are left out.
	MaxChannels = 20
	// MaxFilters is how many filters a channel can have.
	MaxFilters = 5
)

// HoldMode says how a hold ends.
type HoldMode uint8

const (
	// HoldResponse is the long poll: one whole answer, by an item or by the
	// timeout, ends the hold.
	HoldResponse HoldMode = iota + 1
	// HoldStream is HTTP streaming: the answer begins at once, items are appended
	// to it, and it ends when an item or the client says so.
	HoldStream
)

// String returns the mode as GRIP writes it.
func (m HoldMode) String() string {
	switch m {
	case HoldResponse:
		return "response"
	case HoldStream:
		return "stream"
	}
	return fmt.Sprintf("HoldMode(%d)", uint8(m))
}

// Hold is the part of an instruct that keeps the client's request open.
type Hold struct {
	Mode HoldMode
	// Channels has each name once, and at most MaxChannels. Without channels a
	// hold waits for its timeout.
	Channels []Channel
	// Timeout is at least MinTimeout; zero means that none was given. Of mode
	// response only.
	Timeout time.Duration
	// KeepAlive is what a hold of mode stream gets when there is nothing else;
	// nil for nothing.
	KeepAlive *KeepAlive
	// Meta is what the origin says of the subscription, for filters.
	Meta Meta
}

// readHeader reads Grip-Hold, Grip-Timeout and Grip-Keep-Alive. Without
// Grip-Hold the mode stays zero.
func (hold *Hold) readHeader(h Header) (err error) {
	if h.Has("Grip-Hold") {
		hold.Mode, err = parseMode(h.Get("Grip-Hold"), "Grip-Hold")
		if err != nil {
			return err
		}
	}
	if h.Has("Grip-Timeout") {
		seconds, err := strconv.ParseInt(h.Get("Grip-Timeout"), 10, 32)
		switch {
		case err != nil:
			return errors.New("failed to parse Grip-Timeout")
		case seconds < 0:
			return errors.New("Grip-Timeout has invalid value")
		}
		hold.setTimeout(int(seconds))
	}
	hold.KeepAlive, err = parseKeepAlive(h)
	return err
}

func parseMode(s, owner string) (HoldMode, error) {
	switch s {
	case "response":
		return HoldResponse, nil
	case "stream":
		return HoldStream, nil
	}
	return 0, fmt.Errorf("%s must be set to either 'response' or 'stream'", owner)
}

func (hold *Hold) setTimeout(seconds int) {
	hold.Timeout = max(time.Duration(seconds)*time.Second, MinTimeout)
}

// readJSON reads the "hold" of a JSON instruct, when it has one, and adds its
// channels to list and its meta to meta.
func (hold *Hold) readJSON(body object, list *channelList, meta map[string]string) error {
	if _, ok := body["hold"]; !ok {
		return nil
	}
	o, err := member[object](body, "instruct", "hold")
	if err != nil {
		return err
	}
	hold.Mode = HoldResponse
	if _, ok := o["mode"]; ok {
		mode, err := member[string](o, "hold", "mode")
		if err != nil {
			return err
		}
		if hold.Mode, err = parseMode(mode, "hold 'mode'"); err != nil {
			return err
		}
	}
	if _, ok := o["timeout"]; ok {
		seconds, err := o.count("hold", "timeout")
		if err != nil {
			return err
		}
		hold.setTimeout(seconds)
	}
	channels, err := required[[]object](o, "hold", "channels")
	if err != nil {
		return err
	}
	for _, c := range channels {
		if err := list.addJSON(c); err != nil {
			return err
		}
	}
	if _, ok := o["keep-alive"]; ok {
		keepAlive, err := member[object](o, "hold", "keep-alive")
		if err != nil {
			return err
		}
		if hold.KeepAlive, err = hold.KeepAlive.withJSON(keepAlive); err != nil {
			return err
		}
	}
	return o.readMeta("hold", meta)
}

// settle leaves of a hold that has been read what its mode has a use for.
func (hold *Hold) settle() {
	if hold.Mode == HoldStream {
		hold.Timeout = 0
	} else {
		hold.KeepAlive = nil
	}
}
