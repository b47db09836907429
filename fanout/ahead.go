package fanout

// A Send is what one client is about to be given, by Deliver or Append.
type Send struct {
	Client Client
	Wire   []byte
}

// SendAhead has send called on the loop with what many clients are about to be given,
// in that order and one after the other, so that it may be sent by fewer system calls.
// It is valid until given is called, which is when all of them have been given it, or
// have left. To be called before anything is published.
func (s *Shard) SendAhead(send func(sends []Send), given func()) {
	s.ahead, s.given = send, given
}

// sendAhead tells of the holds that the batch comes to with that budget. Once they have
// been given it, sentAhead is to be called.
func (s *Shard) sendAhead(b *batch, budget int) {
	s.sends = s.sends[:0]
	for _, h := range b.group.holds[b.next:b.end] {
		if len(s.sends) == budget {
			break
		}
		if h != nil {
			s.sends = append(s.sends, Send{h.client, b.wire(h)})
		}
	}
	s.ahead(s.sends)
}

// sentAhead says that those have been given it who were told of.
func (s *Shard) sentAhead() {
	s.given()
	clear(s.sends)
}

// wire returns what give is going to give to h first; nil for nothing.
func (b *batch) wire(h *Hold) []byte {
	switch {
	case b.answer != nil:
		return b.answer.Wire(h.Variant)
	case b.piece != nil:
		return b.piece.Wire(h.Variant)
	}
	return nil
}
