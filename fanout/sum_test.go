package fanout

import (
	"bytes"
	"hash/crc32"
	"testing"
)

// checkSums cuts content at i and at j and checks that the sums of the parts, put
// together in either order, are that of the whole.
func checkSums(t *testing.T, content []byte, i, j int) {
	t.Helper()
	a, b, c := sumOf(content[:i]), sumOf(content[i:j]), sumOf(content[j:])
	want := sumOf(content)
	if got := a.Then(b).Then(c); got != want {
		t.Errorf("%.40q cut at %d and %d: got sum %+v, want %+v", content, i, j, got, want)
	}
	if got := a.Then(b.Then(c)); got != want {
		t.Errorf("%.40q cut at %d and %d, the end first: got sum %+v, want %+v", content, i, j, got, want)
	}
	if want.crc != crc32.ChecksumIEEE(content) || int(want.length) != len(content) {
		t.Errorf("%.40q: got sum %+v, want checksum %08x and length %d", content, want, crc32.ChecksumIEEE(content), len(content))
	}
}

func TestSumThen(t *testing.T) {
	for _, tt := range []struct {
		name    string
		content []byte
	}{
		{"nothing", nil},
		{"one byte", []byte("x")},
		{"a zero", []byte{0}},
		{"zeros, whose checksum depends on their number", make([]byte, 40)},
		{"ones", bytes.Repeat([]byte{0xff}, 33)},
		{"the check value of CRC-32", []byte("123456789")},
		{"content whose checksum is 0", []byte{0xff, 0xff, 0xff, 0xff}},
		{"text", text},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := len(tt.content)
			step := max(1, n/20)
			for i := 0; i <= n; i += step {
				for j := i; j <= n; j += step {
					checkSums(t, tt.content, i, j)
				}
			}
			var zero Sum
			if sum := sumOf(tt.content); zero.Then(sum) != sum || sum.Then(zero) != sum {
				t.Errorf("sum %+v with the sum of nothing: got %+v and %+v, want no change", sum, zero.Then(sum), sum.Then(zero))
			}
		})
	}
}

// The length wraps, and with it what the trailer of gzip says (RFC 1952 §2.3.1);
// the checksum goes on.
func TestSumOf4GB(t *testing.T) {
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	sum := sumOf(block)
	for range 12 { // doubles
		sum = sum.Then(sum)
	}
	if sum.length != 0 {
		t.Fatalf("after 4 GB: length %d modulo 2^32, want 0", sum.length)
	}
	if got := sum.Then(sumOf([]byte("x"))); got.length != 1 || got.crc == sumOf([]byte("x")).crc {
		t.Errorf("a byte after 4 GB: got %+v, want length 1 and the checksum of all", got)
	}
	if got := sumOf([]byte("x")).Then(sum); got.length != 1 || got.crc == sumOf([]byte("x")).crc {
		t.Errorf("4 GB after a byte: got %+v, want length 1 and the checksum of all", got)
	}
}

func FuzzSumThen(f *testing.F) {
	f.Add([]byte(nil), uint(0), uint(0))
	f.Add([]byte{0, 0, 0}, uint(1), uint(1))
	f.Add([]byte("123456789"), uint(4), uint(7))
	f.Fuzz(func(t *testing.T, content []byte, i, j uint) {
		n := uint(len(content)) + 1
		i, j = i%n, j%n
		checkSums(t, content, int(min(i, j)), int(max(i, j)))
	})
}

func BenchmarkSumThen(b *testing.B) {
	s, next := sumOf(text), sumOf(text[1:])
	for b.Loop() {
		s = s.Then(next)
	}
}
