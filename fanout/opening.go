package fanout

import "marquee/grip"

// Opening is how streams begin: the head of the response and the content that
// the origin gave with it. Its bytes are built once per variant. Safe from any
// goroutine.
type Opening struct {
	response grip.Response
	coded    bool // the content may be given a coding
	content  *Piece

	wires wires
}

// NewOpening makes an opening of r, which must not change any more.
func NewOpening(r grip.Response) *Opening {
	return &Opening{response: r, coded: transformable(r), content: NewPiece(r.Body)}
}

// Bodiless reports whether a response of that status has no content, so that it
// cannot be streamed.
func (o *Opening) Bodiless() bool { return bodiless(o.response.Code) }

// Variant returns the form of the stream that a client gets who would like v:
// without a content coding where the response does not allow one.
func (o *Opening) Variant(v Variant) Variant {
	if !o.coded {
		return v.Uncoded()
	}
	return v
}

// Sum returns the checksum of the content.
func (o *Opening) Sum() Sum { return o.content.Sum() }

// Wire returns the bytes to begin with for a variant that Variant has returned.
// They are shared: nobody may change them.
func (o *Opening) Wire(v Variant) []byte {
	return o.wires.of(v, o.build)
}

func (o *Opening) build(v Variant) []byte {
	h := Head{Response: o.response, Length: -1, Chunked: v&Raw == 0, Variant: v, Varies: o.coded}
	w := h.Append(make([]byte, 0, 512+len(o.response.Body)))
	if v&HeadOnly == 0 && !o.Bodiless() {
		w = append(w, frame(beginCoding(v.Coding()), v)...)
		w = append(w, o.content.Wire(v)...)
	}
	return w
}

// End returns the bytes that end a stream whose content has that sum.
func End(v Variant, sum Sum) []byte {
	end := frame(endCoding(v.Coding(), sum), v)
	if v&Raw == 0 {
		end = append(end, "0\r\n\r\n"...)
	}
	return end
}

// frame returns data as a chunk where the variant has chunks; nothing stays
// nothing.
func frame(data []byte, v Variant) []byte {
	if len(data) == 0 || v&Raw != 0 {
		return data
	}
	return appendChunk(nil, data)
}
