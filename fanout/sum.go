package fanout

import "hash/crc32"

// Sum is the CRC-32 and the length of some content, from which those of a longer
// one can be computed: the trailer of a gzip stream (RFC 1952 §2.3.1) needs the
// sum of all pieces, of which each stream has had others, without looking at
// the bytes again for each stream. The zero value is the sum of nothing.
type Sum struct {
	crc    uint32
	length uint32 // modulo 2^32, as in the trailer
	shift  uint32 // the polynomial x^(8*length), which is never 0; 0 in the zero value
}

func sumOf(content []byte) Sum {
	return Sum{
		crc: crc32.ChecksumIEEE(content), length: uint32(len(content)),
		shift: powerOfX(8 * uint64(len(content))),
	}
}

// Then returns the sum of s's content followed by that of next. It costs some
// 30 steps, whatever the lengths.
func (s Sum) Then(next Sum) Sum {
	switch {
	case next.shift == 0:
		return s
	case s.shift == 0:
		return next
	}
	return Sum{
		crc:    times(next.shift, s.crc) ^ next.crc,
		length: s.length + next.length,
		shift:  times(s.shift, next.shift),
	}
}

// Polynomials over GF(2) modulo that of CRC-32, in its usual order of bits: the
// highest bit is the coefficient of 1.

const one uint32 = 1 << 31

// times multiplies two polynomials.
func times(a, b uint32) uint32 {
	var product uint32
	for bit := one; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}

// powerOfX returns x^n, by squaring.
func powerOfX(n uint64) uint32 {
	power, square := one, one>>1
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			power = times(power, square)
		}
		square = times(square, square)
	}
	return power
}
