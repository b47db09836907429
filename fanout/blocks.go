package fanout

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
)

// Streams that ask for a content coding share its bytes, too. A stream's coding
// usually has a memory: later bytes refer to earlier ones, which are others in
// every stream. Here each piece is coded without one:
//
//   - In gzip a stream is one member (RFC 1952) that goes on as long as the
//     stream. A piece is whole deflate blocks that refer to nothing before them and
//     end at a byte's end (RFC 1951 §3.2.3), so they can follow any others. The
//     trailer needs the checksum of everything sent: see Sum. (Members one after
//     the other would be simpler and as valid, but browsers stop at the end of
//     the first.)
//   - In zstd a piece is a frame; frames may follow each other (RFC 8878 §3).
//
// What that costs is the memory: many short pieces that are alike compress less
// well than one stream of them would.

// gzipHeader begins a gzip stream: deflate, no name, no time, unknown system.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// beginCoding returns what comes before a stream's first piece.
func beginCoding(coding Variant) []byte {
	if coding == Gzip {
		return gzipHeader
	}
	return nil
}

// endCoding returns what comes after a stream's last piece; sum is that of all
// its content.
func endCoding(coding Variant, sum Sum) []byte {
	if coding != Gzip {
		return nil
	}
	end := []byte{3, 0} // a last block, without content
	end = binary.LittleEndian.AppendUint32(end, sum.crc)
	return binary.LittleEndian.AppendUint32(end, uint32(sum.length))
}

// compressedBlocks returns content as a piece of a stream in the given coding,
// nil when that is not smaller. Never on an event loop.
func compressedBlocks(content []byte, coding Variant) []byte {
	if coding == Zstd {
		return compressed(content, Zstd)
	}
	buf := compressBuffers.Get()
	defer compressBuffers.Put(buf)
	w := flateWriters.Get().(*flate.Writer)
	defer flateWriters.Put(w)
	w.Reset(buf)
	if _, err := w.Write(content); err != nil {
		return nil
	}
	if err := w.Flush(); err != nil {
		return nil
	}
	if len(buf.B) >= len(content) {
		return nil
	}
	return append([]byte(nil), buf.B...)
}

// storedBlocks returns content as a piece of a stream in the given coding, but
// not compressed: a few bytes around it.
func storedBlocks(content []byte, coding Variant) []byte {
	switch coding {
	case Gzip:
		return storedDeflate(content)
	case Zstd:
		return storedZstd(content)
	}
	return content
}

// storedDeflate returns content in stored blocks (RFC 1951 §3.2.4). An empty one
// ends them, as it ends what a compressor flushes: some decoders, Go's among
// them, keep content back until they see that.
func storedDeflate(content []byte) []byte {
	const longest = 1<<16 - 1
	out := make([]byte, 0, len(content)+5*(len(content)/longest+2))
	for len(content) > 0 {
		n := min(len(content), longest)
		out = append(out, 0)
		out = binary.LittleEndian.AppendUint16(out, uint16(n))
		out = binary.LittleEndian.AppendUint16(out, ^uint16(n))
		out = append(out, content[:n]...)
		content = content[n:]
	}
	return append(out, 0, 0, 0, 0xff, 0xff)
}

// storedZstd returns content as a frame of raw blocks (RFC 8878 §3.1.1): a frame
// with a window of 128 KB, the longest block.
func storedZstd(content []byte) []byte {
	const longest = 128 << 10
	out := make([]byte, 0, len(content)+6+3*(len(content)/longest+1))
	out = append(out, 0x28, 0xb5, 0x2f, 0xfd, 0, 7<<3)
	for {
		n := min(len(content), longest)
		head := uint32(n) << 3 // type raw
		if n == len(content) {
			head |= 1 // the last
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16))
		out = append(out, content[:n]...)
		if content = content[n:]; len(content) == 0 {
			return out
		}
	}
}
