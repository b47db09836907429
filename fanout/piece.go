package fanout

import "strconv"

// Piece is content that is appended to streams. Its bytes are built once for
// every form that some stream needs, however many streams get it: a chunk (RFC
// 9112 §7.1) or the bare content, in each content coding. No coding of a piece
// refers to what came before it (see blocks), which is why streams can share
// it. Safe from any goroutine.
type Piece struct {
	content []byte
	parts   []*Piece // of which it is made, one chunk each; content is nil then
	sum     Sum
	// fragment: it is not whole by itself.
	fragment bool
	// coded is the content in each coding, where it is smaller so; set before the
	// piece is shared. Where it is nil, the content is stored in the coding as
	// it is.
	coded [codings][]byte

	wires wires
}

// NewPiece makes a piece of content, which must not change any more.
func NewPiece(content []byte) *Piece {
	return &Piece{content: content, sum: sumOf(content)}
}

// NewFragment makes a piece of a part of some longer content, cut anywhere: who has
// been given one part is to be given all, without a gap, or to be cut off.
func NewFragment(content []byte) *Piece {
	p := NewPiece(content)
	p.fragment = true
	return p
}

// joinPieces makes one piece of several, to be written at once.
func joinPieces(parts []*Piece) *Piece {
	if len(parts) == 1 {
		return parts[0]
	}
	p := &Piece{parts: parts}
	for _, part := range parts {
		p.sum = p.sum.Then(part.sum)
		p.fragment = p.fragment || part.fragment
	}
	return p
}

// Len returns the length of the content in bytes.
func (p *Piece) Len() int { return int(p.sum.length) }

// Sum returns the checksum of the content.
func (p *Piece) Sum() Sum { return p.sum }

// Fragment reports whether the piece, or one of those that it is made of, is from
// NewFragment.
func (p *Piece) Fragment() bool { return p.fragment }

// Items returns how many pieces this one is made of, to be written at once: 1 for
// one by itself.
func (p *Piece) Items() int { return max(1, len(p.parts)) }

// Newest returns the last of those pieces.
func (p *Piece) Newest() *Piece {
	if n := len(p.parts); n > 0 {
		return p.parts[n-1]
	}
	return p
}

// Wire returns the bytes to append for a variant. They are shared: nobody may
// change them. A piece without content has none.
func (p *Piece) Wire(v Variant) []byte {
	return p.wires.of(v&(codingMask|Raw), p.build)
}

func (p *Piece) build(v Variant) []byte {
	if p.parts != nil {
		var w []byte
		for _, part := range p.parts {
			w = append(w, part.Wire(v)...)
		}
		return w
	}
	if len(p.content) == 0 {
		return nil // an empty chunk would be the last one
	}
	data := p.coded[v.Coding()]
	if data == nil {
		data = storedBlocks(p.content, v.Coding())
	}
	if v&Raw != 0 {
		return data
	}
	return appendChunk(make([]byte, 0, len(data)+16), data)
}

// appendChunk appends data, which is not empty, as a chunk.
func appendChunk(dst, data []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(len(data)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}
