package fanout

// Variant says which of an answer's possible byte forms a client gets: its
// content coding, whether the connection closes after it, and whether the body
// is left out. An HTTP/1.0 client gets a closing variant: the status line is
// HTTP/1.1 for all (RFC 9110 §6.2).
type Variant uint8

// The parts of a Variant, to be or-ed together. The zero value is the plain,
// persistent form.
const (
	// Gzip and Zstd name the content coding; with neither the body is sent
	// as it is (identity).
	Gzip Variant = 1
	Zstd Variant = 2
	// Close adds Connection: close.
	Close Variant = 1 << 2
	// HeadOnly leaves the body out, as an answer to HEAD.
	HeadOnly Variant = 1 << 3
	// Raw is for who knows no chunks, as HTTP/1.0 does not: a stream's content
	// stands as it is, and ends with the connection.
	Raw Variant = 1 << 4

	codingMask Variant = 0b11
)

// codings is the number of content codings, identity among them.
const codings = 3

// Coding returns the content coding alone: 0, Gzip or Zstd.
func (v Variant) Coding() Variant { return v & codingMask }

// Uncoded returns the variant without its content coding.
func (v Variant) Uncoded() Variant { return v &^ codingMask }
