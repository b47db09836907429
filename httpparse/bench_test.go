package httpparse

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"

	"github.com/evanphx/wildcat"
)

// heads are the requests that the benchmarks read.
var heads = []struct{ name, head string }{
	{"poll", longPoll},
	{"short", "GET /headline/value/?last_id=41 HTTP/1.1\r\nHost: 127.0.0.1:7999\r\n\r\n"},
	{"browser", "GET /headline/value/?last_id=41 HTTP/1.1\r\n" +
		"Host: edge.example.com\r\n" +
		"Connection: keep-alive\r\n" +
		"sec-ch-ua-platform: \"Linux\"\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
		"Accept: application/json, text/plain, */*\r\n" +
		"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n" +
		"sec-ch-ua-mobile: ?0\r\n" +
		"Sec-Fetch-Site: same-origin\r\n" +
		"Sec-Fetch-Mode: cors\r\n" +
		"Sec-Fetch-Dest: empty\r\n" +
		"Referer: https://edge.example.com/board\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: en-GB,en;q=0.9\r\n" +
		"Cookie: session=0f8b1c6d2e5a4793; theme=dark\r\n\r\n"},
}

// BenchmarkParse reads each head with this package, with wildcat alone, which
// checks nothing and looks nothing up, and with net/http.
func BenchmarkParse(b *testing.B) {
	for _, h := range heads {
		in := []byte(h.head)
		run := func(name string, parse func() error) {
			b.Run(h.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					if err := parse(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		p := NewParser(Limits{})
		var scan Scan
		run("httpparse", func() error {
			_, _, err := p.Parse(&scan, in)
			return err
		})
		wild := wildcat.NewSizedHTTPParser(100)
		run("wildcat", func() error {
			_, err := wild.Parse(in)
			return err
		})
		source := bytes.NewReader(in)
		buffered := bufio.NewReader(source)
		run("nethttp", func() error {
			source.Reset(in)
			buffered.Reset(source)
			_, err := http.ReadRequest(buffered)
			return err
		})
	}
}

// BenchmarkDrip reads a head that comes byte by byte.
func BenchmarkDrip(b *testing.B) {
	in := []byte(longPoll)
	p := NewParser(Limits{})
	var scan Scan
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for i := range in {
			p.Parse(&scan, in[:i+1])
		}
	}
}

// BenchmarkBody decodes 64 KB of content.
func BenchmarkBody(b *testing.B) {
	content := bytes.Repeat([]byte("x"), 4096)
	var chunked []byte
	for range 16 {
		chunked = append(append(append(chunked, "1000\r\n"...), content...), "\r\n"...)
	}
	pieces := [][]byte{append(chunked, "0\r\n\r\n"...)}
	b.SetBytes(int64(len(pieces[0])))
	b.ReportAllocs()
	for b.Loop() {
		body := Body{state: inSize}
		if err := decode(&body, pieces); err != nil {
			b.Fatal(err)
		}
	}
}
