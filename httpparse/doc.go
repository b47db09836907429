// Package httpparse turns the bytes of an HTTP/1.x connection into requests:
// strictly (RFC 9112), resumably and without allocating. It does no I/O, knows
// no clock and logs nothing.
//
// # Terms
//
// The head of a request is its request line, its field lines and the empty
// line that ends them. The body is what follows, framed by Content-Length or
// by the chunked transfer coding; its content is what remains when the framing
// has been taken off. Inbound bytes are what has been received on a connection
// and not been consumed yet.
//
// # How a head is read
//
//	inbound bytes → Scan → wildcat → Request
//
// Scan accepts or refuses every byte of the head by the grammar and finds its
// end. It looks at each byte once, however the head is cut into reads. Only a
// complete head that Scan has accepted is given to wildcat, which splits it
// into method, target and fields. By itself wildcat takes much that is no HTTP
// (line feeds inside names, folded lines, a space before the colon); each of
// those is a request that a second parser could read differently, so none gets
// that far. The fields that decide where the body ends are then judged here,
// and what is doubtful is refused: an edge that guesses is an edge through
// which requests can be smuggled (RFC 9112 §11.2).
//
// # Whose memory
//
// A Request and all its slices alias the inbound bytes and the Parser. They are
// valid until the Parser's next Parse or until the inbound bytes are consumed,
// moved or reused, whichever comes first, and must not be written or appended
// to. Content returned by Body.Next aliases its input in the same way. Scan and
// Body hold no pointers and live with the connection.
package httpparse
