package main

// validators are what an answer says by which a poll can tell what it has (RFC
// 9110 §8.8), to a server that knows no headline ids. Immutable.
type validators struct {
	etag, modified string // "": not given
}

// maxValidators bounds the validators that are remembered of a headline. It is
// one message to most servers, but one a channel, sent at different seconds, when
// each client has a channel of its own.
const maxValidators = 8

// validatorsOf returns the validators of an answer with the headline. Clients
// that were answered alike share them.
func (h *headline) validatorsOf(r response) *validators {
	for i := len(h.validators) - 1; i >= 0; i-- { // the newest first
		if v := h.validators[i]; v.etag == string(r.etag) && v.modified == string(r.modified) {
			return v
		}
	}
	v := &validators{string(r.etag), string(r.modified)}
	if len(h.validators) == maxValidators {
		h.validators = append(h.validators[:0], h.validators[1:]...)
	}
	h.validators = append(h.validators, v)
	return v
}

// append appends the header fields that repeat the validators, each with the end
// of the line before.
func (v *validators) append(b []byte) []byte {
	if v.etag != "" {
		b = append(append(b, "\r\nIf-None-Match: "...), v.etag...)
	}
	if v.modified != "" {
		b = append(append(b, "\r\nIf-Modified-Since: "...), v.modified...)
	}
	return b
}
