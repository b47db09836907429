package grip

import (
	"errors"
	"fmt"
)

// maxNameLen is the longest channel name, id and prev-id, in bytes. The edge
// keeps names and ids of past items to find duplicates and gaps, so their
// length decides what that memory costs; and a hold's channels travel back to
// the origin in Grip-Last fields, several of which must fit into a request
// header of the usual 8 KB.
const maxNameLen = 1024

// Channel is a channel as a hold or an answer names it.
type Channel struct {
	Name string
	// PrevID is the id of the last item that the origin had seen; empty means
	// that the origin did not say.
	PrevID string
	// Filters are applied to the channel's items, in order.
	Filters []string
}

// String returns c as a value of the Grip-Channel field. That field has no way
// to write a name with a comma, a semicolon or an unmatched quote in it; such
// a channel needs an application/grip-instruct body.
func (c Channel) String() string { return c.param("prev-id") }

// Last returns c as a value of the Grip-Last request field, by which the edge
// tells the origin, when it asks once more for a hold, where the client is. The
// hold's prev-id is the last id.
func (c Channel) Last() string { return c.param("last-id") }

func (c Channel) param(key string) string {
	if c.PrevID == "" {
		return c.Name
	}
	return c.Name + "; " + key + "=" + quote(c.PrevID)
}

// check returns an error when c cannot be a channel of an instruct. Both parts
// must fit into a Grip-Last field, so they must not end its line.
func (c Channel) check() error {
	switch {
	case c.Name == "":
		return errors.New("channel has no name")
	case len(c.Name) > maxNameLen:
		return fmt.Errorf("channel name is longer than %d bytes", maxNameLen)
	case breaksLine(c.Name):
		return errors.New("channel name contains CR, LF or NUL")
	case len(c.PrevID) > maxNameLen:
		return fmt.Errorf("prev-id of channel '%s' is longer than %d bytes", c.Name, maxNameLen)
	case breaksLine(c.PrevID):
		return fmt.Errorf("prev-id of channel '%s' contains CR, LF or NUL", c.Name)
	}
	return nil
}

// channelList collects the channels of one instruct.
type channelList struct {
	channels []Channel
	index    map[string]int // where in channels a name is
	filtered string         // the first channel that asks for a filter
}

// add appends c. A name that is there already keeps its place and takes the
// new prev-id, so that nobody is subscribed twice.
func (l *channelList) add(c Channel, hasFilter bool) error {
	if err := c.check(); err != nil {
		return err
	}
	if hasFilter && l.filtered == "" {
		l.filtered = c.Name
	}
	if i, ok := l.index[c.Name]; ok {
		l.channels[i] = c
		return nil
	}
	if l.index == nil {
		l.index = make(map[string]int)
	}
	l.index[c.Name] = len(l.channels)
	l.channels = append(l.channels, c)
	return nil
}

// addHeader adds the channels of every Grip-Channel field in h.
func (l *channelList) addHeader(h Header) error {
	list, err := parseList(h.Values("Grip-Channel"))
	if err != nil {
		return fmt.Errorf("failed to parse Grip-Channel: %w", err)
	}
	for _, e := range list {
		c := Channel{Name: e.value, PrevID: e.params.Get("prev-id")}
		if err := l.add(c, e.params.Has("filter")); err != nil {
			return fmt.Errorf("failed to parse Grip-Channel: %w", err)
		}
	}
	return nil
}
