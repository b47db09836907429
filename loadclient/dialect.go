package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A dialect is how a server speaks with its clients, as far as servers differ in
// that. Immutable.
type dialect struct {
	name  string
	polls bool // it has long polls; all have streams

	// foreign says that the server knows no headlines, only messages, under names
	// of its own. It tells a client nothing at the beginning, neither which message
	// is the present one nor, of a poll, that it is held. So a client waits as
	// soon as its request is written or its stream has begun. A poll repeats the
	// validators of the answer before, and is answered 304 or 408 when nothing has
	// come. The ids of events mean nothing here, and a stream is asked for from its
	// beginning each time.
	foreign bool

	// greets says that a stream has begun with its first event and not with its
	// head. Of foreign servers.
	greets bool

	// unwrap returns the JSON of the headline that an event's data carries, {} when
	// that is none; nil: the data are the JSON.
	unwrap func(data []byte) ([]byte, error)
}

// The dialects; the first is the headline service's own, and that of whatever
// stands before it.
var dialects = []*dialect{
	{name: "headline", polls: true},
	{name: "nchan", polls: true, foreign: true},
	{name: "centrifugo", foreign: true, greets: true, unwrap: publication},
	{name: "mercure", foreign: true},
}

// findDialect returns the dialect of that name. The error names those there are.
func findDialect(name string) (*dialect, error) {
	var names []string
	for _, d := range dialects {
		if d.name == name {
			return d, nil
		}
		names = append(names, d.name)
	}
	return nil, fmt.Errorf("%q: must be one of %s", name, strings.Join(names, ", "))
}

// none is the body that says there is no headline.
var none = []byte("{}")

// publication returns what was published of a message of Centrifugo's streams:
// X of {"pub": {"data": X}}. Its other messages, of which {} is a keep-alive, are
// none.
func publication(data []byte) ([]byte, error) {
	var message struct {
		Pub *struct {
			Data json.RawMessage `json:"data"`
		} `json:"pub"`
	}
	if err := json.Unmarshal(data, &message); err != nil {
		return nil, fmt.Errorf("parse message %.80q: %w", data, err)
	}
	if message.Pub == nil {
		return none, nil
	}
	return message.Pub.Data, nil
}
