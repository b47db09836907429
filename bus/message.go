package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
)

// version is that of all payloads.
const version = 1

// currentVersion is how a payload of this package begins.
var currentVersion = []byte(`{"v":1,`)

// header is the part that all payloads and all versions share.
type header struct {
	V    int    `json:"v"`
	From string `json:"from"`
}

// opening returns the beginning of every payload from the connection of that
// name, up to where the next member follows.
func opening(from string) []byte {
	data := marshal(header{version, from})
	return data[:len(data)-1]
}

// seal returns the payload with the members of the JSON object body, which is
// without white space at its ends.
func (b *Bus) seal(body []byte) []byte {
	payload := make([]byte, 0, len(b.opening)+len(body))
	payload = append(payload, b.opening...)
	if len(body) > len("{}") {
		payload = append(payload, ',')
	}
	return append(payload, body[1:]...)
}

// marshal returns the JSON of v, which is made of types that have one.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("bus: no JSON: " + err.Error())
	}
	return data
}

// unmarshal reads the members of a payload into v.
func unmarshal(payload []byte, v any) error {
	if err := checkVersion(payload); err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("decode payload: %w", err)
	}
	return nil
}

// checkVersion returns an error unless payload is of this package's version. It
// looks at the first bytes alone when they are as this package writes them.
func checkVersion(payload []byte) error {
	if bytes.HasPrefix(payload, currentVersion) {
		return nil
	}
	var h header
	if err := json.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("decode payload: %w", err)
	}
	if h.V != version {
		return fmt.Errorf("unknown version %d", h.V)
	}
	return nil
}

// refuse counts and logs a message that could not be understood.
func (b *Bus) refuse(m *nats.Msg, err error) {
	b.refused.Add(1)
	var h header
	if json.Unmarshal(m.Data, &h) != nil || h.From == "" {
		h.From = "unknown"
	}
	b.complain(slog.LevelWarn, "message refused", "subject", m.Subject, "from", h.From, "bytes", len(m.Data), "err", err)
}

// subjectName returns the name in the subject of m, which begins with prefix.
func subjectName(m *nats.Msg, prefix string) (string, error) {
	name, err := nameOf(strings.TrimPrefix(m.Subject, prefix))
	if err != nil {
		return "", fmt.Errorf("read subject: %w", err)
	}
	return name, nil
}

// errForged is the error of a payload that names another than its subject does.
var errForged = errors.New("name differs from the subject's")

// complain logs, but not without end: what others send must not fill the disk.
func (b *Bus) complain(level slog.Level, msg string, args ...any) {
	if b.complaints.Allow() {
		b.log.Log(b.ctx, level, msg, args...)
	}
}
