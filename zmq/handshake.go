package zmq

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// handshakeTimeout bounds the time from the connection to the peer's READY.
const handshakeTimeout = 10 * time.Second

// partners are the types of sockets that may talk to one of ours (ZeroMQ RFC
// 23, the socket-type property).
var partners = map[string][]string{
	"PULL": {"PUSH"},
	"SUB":  {"PUB", "XPUB"},
	"PUB":  {"SUB", "XSUB"},
	"REP":  {"REQ", "DEALER"},
}

var (
	// errGreeting says that whoever connected does not speak ZMTP.
	errGreeting = errors.New("peer does not speak ZMTP")
	// errVersion says that the peer is older than libzmq 4.0.
	errVersion = errors.New("peer speaks a ZMTP older than 3.0")
	// errMechanism says that the peer wants another security mechanism.
	errMechanism = errors.New("peer wants another security mechanism than NULL")
	// errReady says that the peer's READY cannot be read, or did not come first.
	errReady = errors.New("peer sent no valid READY")
)

// greeting is what either side opens with.
var greeting = func() []byte {
	b := make([]byte, 64)
	b[0], b[9], b[10] = 0xff, 0x7f, 3
	copy(b[12:], "NULL")
	return b
}()

// shakeHands makes a peer of a connection, for a socket of a type that must be
// a key of partners. It blocks for up to 10 s. The caller closes the connection
// when there is an error.
func shakeHands(nc net.Conn, socketType string) (*peer, error) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if _, err := nc.Write(greeting); err != nil {
		return nil, fmt.Errorf("send greeting: %w", err)
	}
	r := bufio.NewReaderSize(nc, 4096)
	if err := readGreeting(r); err != nil {
		return nil, err
	}
	if _, err := nc.Write(appendCommand(nil, "READY", property("Socket-Type", socketType), property("Identity", ""))); err != nil {
		return nil, fmt.Errorf("send READY: %w", err)
	}
	peerType, err := readReady(r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(partners[socketType], peerType) {
		reason := "a " + socketType + " has nothing to say to you"
		_, _ = nc.Write(appendCommand(nil, "ERROR", []byte{byte(len(reason))}, []byte(reason)))
		return nil, fmt.Errorf("peer is a %q, and the socket a %s", peerType, socketType)
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return &peer{nc: nc, r: r}, nil
}

// readGreeting reads a greeting up to the version and judges it before it waits
// for the rest, which older peers never send.
func readGreeting(r io.Reader) error {
	var b [64]byte
	if _, err := io.ReadFull(r, b[:11]); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if b[0] != 0xff || b[9]&1 == 0 {
		return errGreeting
	}
	if b[10] < 3 {
		return errVersion
	}
	if _, err := io.ReadFull(r, b[11:]); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if strings.TrimRight(string(b[12:32]), "\x00") != "NULL" {
		return errMechanism
	}
	return nil
}

// readReady reads the peer's READY and returns the type of its socket. A peer
// that does not want us says so with an ERROR instead.
func readReady(r *bufio.Reader) (socketType string, err error) {
	flags, size, err := readHead(r)
	if err != nil {
		return "", fmt.Errorf("read READY: %w", err)
	}
	if flags&flagCommand == 0 {
		return "", errReady
	}
	name, data, err := readCommand(r, size)
	if err != nil {
		return "", fmt.Errorf("read READY: %w", err)
	}
	if name == "ERROR" && len(data) > 0 {
		return "", fmt.Errorf("peer refused: %q", data[1:])
	}
	if name != "READY" {
		return "", errReady
	}
	for len(data) > 0 {
		key, value, rest, ok := cutProperty(data)
		if !ok {
			return "", errReady
		}
		if strings.EqualFold(key, "Socket-Type") {
			socketType = value
		}
		data = rest
	}
	return socketType, nil
}

// property returns a property of a READY: its name after its length in one
// byte, its value after its length in four.
func property(name, value string) []byte {
	b := append([]byte{byte(len(name))}, name...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

// cutProperty reads the property that data begins with.
func cutProperty(data []byte) (name, value string, rest []byte, ok bool) {
	n := int(data[0])
	data = data[1:]
	if len(data) < n+4 {
		return "", "", nil, false
	}
	name, data = string(data[:n]), data[n:]
	size := uint64(binary.BigEndian.Uint32(data))
	data = data[4:]
	if uint64(len(data)) < size {
		return "", "", nil, false
	}
	return name, string(data[:size]), data[size:], true
}
