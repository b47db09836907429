package grip

import (
	"errors"
	"fmt"
	"slices"
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
func (c Channel) String() string {
	s := c.param("prev-id")
	for _, filter := range c.Filters {
		s += "; filter=" + quote(filter)
	}
	return s
}

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

// check returns an error when c cannot be a channel of an instruct. Name and
// prev-id must fit into a Grip-Last field, so they must not end its line.
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
	case slices.ContainsFunc(c.Filters, breaksLine):
		return fmt.Errorf("filter of channel '%s' contains CR, LF or NUL", c.Name)
	}
	return nil
}

// channelList collects the channels of one instruct.
type channelList struct {
	channels []Channel
	index    map[string]int // where in channels a name is
}

// add appends c, which has been checked. A name that is there already keeps its
// place and takes the new prev-id and filters, so that nobody is subscribed
// twice.
func (l *channelList) add(c Channel) error {
	if len(c.Filters) > MaxFilters {
		return fmt.Errorf("too many filters for channel '%s'", c.Name)
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
		c := Channel{Name: e.value, PrevID: e.params.Get("prev-id"), Filters: e.params.Values("filter")}
		if err := c.check(); err != nil {
			return fmt.Errorf("failed to parse Grip-Channel: %w", err)
		}
		if err := l.add(c); err != nil {
			return err
		}
	}
	return nil
}

// addJSON adds one element of a JSON instruct's "channels".
func (l *channelList) addJSON(o object) error {
	name, err := required[string](o, "channel", "name")
	if err != nil {
		return err
	}
	c := Channel{Name: name}
	if raw, ok := o["prev-id"]; ok {
		// The 2013 headline origin writes its ids as numbers here, though as
		// strings in items.
		if _, isNumber := as[float64](raw); isNumber {
			c.PrevID = string(raw)
		} else if c.PrevID, ok = as[string](raw); !ok {
			return wrongType("channel", "prev-id")
		}
	}
	if c.Filters, err = member[[]string](o, "channel", "filters"); err != nil {
		return err
	}
	if len(c.Filters) == 0 {
		c.Filters = nil
	}
	if err := c.check(); err != nil {
		return err
	}
	return l.add(c)
}
