package fanout

import (
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/bytebufferpool"
)

// minCompress is the body length below which no content coding is tried: the
// coding's own framing and field cost more than it saves.
const minCompress = 256

// compressed returns body in the given coding, nil when that is not smaller.
// It takes tens of microseconds and more: never on an event loop.
func compressed(body []byte, coding Variant) []byte {
	var out []byte
	switch coding {
	case Gzip:
		buf := compressBuffers.Get()
		defer compressBuffers.Put(buf)
		w := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		w.Reset(buf)
		if _, err := w.Write(body); err != nil {
			return nil
		}
		if err := w.Close(); err != nil {
			return nil
		}
		out = append([]byte(nil), buf.B...)
	case Zstd:
		out = zstdEncoder().EncodeAll(body, nil)
	}
	if len(out) >= len(body) {
		return nil
	}
	return out
}

var (
	compressBuffers bytebufferpool.Pool

	gzipWriters = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.DefaultCompression) // the level is valid
		return w
	}}

	flateWriters = sync.Pool{New: func() any {
		w, _ := flate.NewWriter(nil, flate.DefaultCompression) // the level is valid
		return w
	}}

	// zstdEncoder serves the whole process. One encoder at a time is enough:
	// an item is coded once for all clients. The window stays within the 8 MB
	// that browsers accept (RFC 9659).
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(1<<20))
		if err != nil {
			panic("fanout: zstd options: " + err.Error()) // ours, and constant
		}
		return e
	})
)
