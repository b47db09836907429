package zmq

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The bounds of what a peer can send.
const (
	// maxMessage is how many bytes the frames of a message can have together:
	// what an item may have on the control endpoint, and what is around it.
	// What is longer is read past.
	maxMessage = 1 << 20
	// maxFrames is how many frames a message can have; those after them are read
	// past. A command has two, or a few more when it came through ROUTERs.
	maxFrames = 16
	// maxCommand is how long a command of ZMTP can be. The longest are READY and
	// the subscriptions; a longer one ends the connection.
	maxCommand = 4096
	// prompt is how much memory is taken at once for what a length promises.
	prompt = 64 << 10
)

// The flags of a frame (ZeroMQ RFC 23, framing).
const (
	flagMore    = 0b001
	flagLong    = 0b010
	flagCommand = 0b100
)

// errFrame ends a connection: what follows cannot be understood.
var errFrame = errors.New("not a ZMTP frame")

// message is a list of frames.
type message struct {
	frames [][]byte
	// cut is true when the message was longer than the bounds, and the frames
	// are those that came before.
	cut bool
}

// appendFrame appends a frame to dst and returns it.
func appendFrame(dst []byte, flags byte, body []byte) []byte {
	if len(body) > 255 {
		dst = append(dst, flags|flagLong)
		dst = binary.BigEndian.AppendUint64(dst, uint64(len(body)))
	} else {
		dst = append(dst, flags, byte(len(body)))
	}
	return append(dst, body...)
}

// appendMessage appends a message of these frames to dst and returns it.
func appendMessage(dst []byte, frames ...[]byte) []byte {
	for i, body := range frames {
		flags := byte(flagMore)
		if i == len(frames)-1 {
			flags = 0
		}
		dst = appendFrame(dst, flags, body)
	}
	return dst
}

// readHead reads the flags and the length of a frame.
func readHead(r *bufio.Reader) (flags byte, size uint64, err error) {
	if flags, err = r.ReadByte(); err != nil {
		return 0, 0, err
	}
	if flags&^(flagMore|flagLong|flagCommand) != 0 || flags&flagCommand != 0 && flags&flagMore != 0 {
		return 0, 0, fmt.Errorf("%w: its flags are %#02x", errFrame, flags)
	}
	var length [8]byte
	field := length[7:]
	if flags&flagLong != 0 {
		field = length[:]
	}
	if _, err = io.ReadFull(r, field); err != nil {
		return 0, 0, unexpected(err)
	}
	size = binary.BigEndian.Uint64(length[:])
	if size > 1<<63-1 {
		return 0, 0, fmt.Errorf("%w: its length is %#x", errFrame, size)
	}
	return flags, size, nil
}

// readBody reads n bytes. Memory grows as they arrive.
func readBody(r *bufio.Reader, n int) ([]byte, error) {
	if n <= prompt {
		body := make([]byte, n)
		_, err := io.ReadFull(r, body)
		return body, unexpected(err)
	}
	buf := bytes.NewBuffer(make([]byte, 0, prompt))
	_, err := io.CopyN(buf, r, int64(n))
	return buf.Bytes(), unexpected(err)
}

// readCommand reads the body of a command of ZMTP, its name and its data.
func readCommand(r *bufio.Reader, size uint64) (name string, data []byte, err error) {
	if size > maxCommand {
		return "", nil, fmt.Errorf("%w: a command of %d bytes", errFrame, size)
	}
	body, err := readBody(r, int(size))
	if err != nil {
		return "", nil, err
	}
	if len(body) == 0 || len(body) < 1+int(body[0]) {
		return "", nil, fmt.Errorf("%w: a command without its name", errFrame)
	}
	n := 1 + int(body[0])
	return string(body[1:n]), body[n:], nil
}

// appendCommand appends a command of ZMTP to dst and returns it.
func appendCommand(dst []byte, name string, data ...[]byte) []byte {
	body := append([]byte{byte(len(name))}, name...)
	return appendFrame(dst, flagCommand, append(body, slices.Concat(data...)...))
}

// unexpected returns err, or io.ErrUnexpectedEOF when it is io.EOF and
// something has been read already.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
