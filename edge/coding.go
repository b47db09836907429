package main

import (
	"bytes"
	"strconv"

	"marquee/fanout"
)

// acceptedCodings is what a request's Accept-Encoding fields allow (RFC 9110
// §12.5.3): quality values, to be looked up with quality. The zero value allows
// no coding.
type acceptedCodings struct {
	gzip, zstd, other weight
}

// weight is a coding's quality value, if it is mentioned.
type weight struct {
	mentioned bool
	q         float64
}

// read adds one field value. A member that is malformed counts as q=0.
func (a *acceptedCodings) read(value []byte) {
	for len(value) > 0 {
		var member []byte
		member, value, _ = bytes.Cut(value, []byte(","))
		name, params, _ := bytes.Cut(member, []byte(";"))
		w := weight{mentioned: true, q: 1}
		if params = bytes.TrimSpace(params); len(params) > 0 {
			w.q = 0
			if len(params) > 2 && equalFold(params[:2], "q=") {
				if v, err := strconv.ParseFloat(string(params[2:]), 64); err == nil && v >= 0 && v <= 1 {
					w.q = v
				}
			}
		}
		switch name = bytes.TrimSpace(name); {
		case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
			a.gzip = w
		case equalFold(name, "zstd"):
			a.zstd = w
		case string(name) == "*":
			a.other = w
		}
	}
}

// best returns the coding to use: the one of higher quality, zstd if equal.
func (a *acceptedCodings) best() fanout.Variant {
	gzip, zstd := a.gzip, a.zstd
	if !gzip.mentioned {
		gzip = a.other
	}
	if !zstd.mentioned {
		zstd = a.other
	}
	switch {
	case zstd.q > 0 && zstd.q >= gzip.q:
		return fanout.Zstd
	case gzip.q > 0:
		return fanout.Gzip
	}
	return 0
}
