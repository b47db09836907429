package fanout

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"marquee/grip"
)

const date = "Thu, 01 Jan 2026 00:00:00 GMT"

// fields makes a header of names and values in turn.
func fields(namesAndValues ...string) grip.Header {
	var h grip.Header
	for i := 0; i < len(namesAndValues); i += 2 {
		h = append(h, grip.Field{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return h
}

// offered makes an answer as a delivery does, with every coding that r allows.
func offered(r grip.Response) *Answer {
	d := &Delivery{item: grip.Item{HTTPResponse: &grip.HTTPResponse{Response: r}}}
	d.coded[0] = r.Body
	d.compress([codings]bool{Gzip: true, Zstd: true})
	return d.answer(NewTemplate(grip.Response{}, nil))
}

// decode undoes a content coding.
func decode(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch coding {
	case "":
		return body
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "zstd":
		r, err = zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderMaxWindow(8<<20))
	}
	if err != nil {
		t.Fatalf("body is no %s: %v", coding, err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("body is no %s: %v", coding, err)
	}
	return plain
}

// text is worth compressing.
var text = []byte(strings.Repeat("Flight 123 arriving in terminal A.\n", 50))

// Every variant, byte for byte, and as net/http reads it.
func TestWire(t *testing.T) {
	a := offered(grip.Response{Code: 200, Header: fields("Content-Type", "text/plain", "Date", date), Body: text})
	for v := range Variant(16) {
		if v.Coding() > Zstd {
			continue // no such coding
		}
		coding := [...]string{"", "gzip", "zstd"}[v.Coding()]
		name := coding
		want := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: " + date + "\r\n"
		if coding != "" {
			want += "Content-Encoding: " + coding + "\r\n"
		} else {
			name = "identity"
		}
		body := a.coded[v.Coding()]
		want += "Vary: Accept-Encoding\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
		if v&Close != 0 {
			want += "Connection: close\r\n"
			name += ", closing"
		}
		want += "\r\n"
		method := http.MethodGet
		if v&HeadOnly != 0 {
			method = http.MethodHead
			name += ", HEAD"
		} else {
			want += string(body)
		}
		t.Run(name, func(t *testing.T) {
			wire := a.Wire(v)
			if string(wire) != want {
				t.Errorf("got %q, want %q", wire, want)
			}
			in := bufio.NewReader(bytes.NewReader(wire))
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("net/http cannot read the answer: %v", err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || in.Buffered() > 0 {
				t.Fatalf("net/http reads the body with error %v, and leaves %d bytes", err, in.Buffered())
			}
			if resp.Close != (v&Close != 0) || resp.ContentLength != int64(len(body)) {
				t.Errorf("net/http reads close %t, length %d; want %t, %d", resp.Close, resp.ContentLength, v&Close != 0, len(body))
			}
			if method == http.MethodHead {
				return
			}
			if plain := decode(t, resp.Header.Get("Content-Encoding"), got); !bytes.Equal(plain, text) {
				t.Errorf("the body decodes to %.40q, want %.40q", plain, text)
			}
		})
	}
}

func TestHead(t *testing.T) {
	for _, tt := range []struct {
		name string
		head Head
		want string
	}{
		{"RFC 9110 §15: the zero code is 200",
			Head{Response: grip.Response{Header: fields("Date", date)}}, "HTTP/1.1 200 OK\r\nDate: " + date + "\r\nContent-Length: 0\r\n\r\n"},
		{"RFC 9112 §4: the origin's reason",
			Head{Response: grip.Response{Code: 200, Reason: "Fine", Header: fields("date", date)}}, "HTTP/1.1 200 Fine\r\ndate: " + date + "\r\nContent-Length: 0\r\n\r\n"},
		{"RFC 9112 §4: a code without a standard reason keeps its space",
			Head{Response: grip.Response{Code: 599, Header: fields("Date", date)}}, "HTTP/1.1 599 \r\nDate: " + date + "\r\nContent-Length: 0\r\n\r\n"},
		{"RFC 9112 §6.3: an unknown length",
			Head{Response: grip.Response{Code: 200, Header: fields("Date", date)}, Length: -1, Variant: Close}, "HTTP/1.1 200 OK\r\nDate: " + date + "\r\nConnection: close\r\n\r\n"},
		{"RFC 9112 §7.1: chunks",
			Head{Response: grip.Response{Code: 200, Header: fields("Date", date)}, Length: -1, Chunked: true}, "HTTP/1.1 200 OK\r\nDate: " + date + "\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"RFC 9110 §15.3.5: 204 has no length",
			Head{Response: grip.Response{Code: 204, Header: fields("Date", date)}, Length: 5}, "HTTP/1.1 204 No Content\r\nDate: " + date + "\r\n\r\n"},
		{"RFC 9110 §15.4.5: nor has 304",
			Head{Response: grip.Response{Code: 304, Header: fields("Date", date, "ETag", `"1"`)}, Chunked: true}, "HTTP/1.1 304 Not Modified\r\nDate: " + date + "\r\nETag: \"1\"\r\n\r\n"},
		{"fields in order, repeated ones too",
			Head{Response: grip.Response{Code: 200, Header: fields("B", "1", "Date", date, "A", "", "B", "2")}}, "HTTP/1.1 200 OK\r\nB: 1\r\nDate: " + date + "\r\nA: \r\nB: 2\r\nContent-Length: 0\r\n\r\n"},
	} {
		if got := string(tt.head.Append([]byte("before "))); got != "before "+tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, "before "+tt.want)
		}
	}
}

// RFC 9110 §6.6.1: who originates an answer dates it.
func TestDate(t *testing.T) {
	before := time.Now().Truncate(time.Second)
	a := NewAnswer(grip.Response{Code: 200})
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(a.Wire(0))), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || got.Before(before) || got.After(time.Now()) {
		t.Errorf("got date %v (%v), want the time of the answer, %v", got, err, before)
	}
}

// RFC 9110 §6.4.1: what has no body gets none, whatever the origin gave.
func TestBodiless(t *testing.T) {
	for _, code := range []int{204, 304} {
		wire := NewAnswer(grip.Response{Code: code, Header: fields("Date", date), Body: text}).Wire(0)
		if want := "HTTP/1.1 " + strconv.Itoa(code) + " " + http.StatusText(code) + "\r\nDate: " + date + "\r\n\r\n"; string(wire) != want {
			t.Errorf("got %q, want %q", wire, want)
		}
	}
}

func TestHeadAnswer(t *testing.T) {
	for length, want := range map[int64]string{
		1234: "HTTP/1.1 200 OK\r\nDate: " + date + "\r\nContent-Length: 1234\r\n\r\n",
		-1:   "HTTP/1.1 200 OK\r\nDate: " + date + "\r\n\r\n",
	} {
		a := NewHeadAnswer(grip.Response{Code: 200, Header: fields("Date", date)}, length)
		if got := string(a.Wire(HeadOnly | Gzip)); got != want {
			t.Errorf("a content of length %d: got %q, want %q", length, got, want)
		}
	}
}

// When a content coding may be put on an answer, and is worth it.
func TestCodingIsOffered(t *testing.T) {
	noise := make([]byte, 4096) // as good as random: a simple generator's high bits
	for x, i := uint64(1), 0; i < len(noise); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		noise[i] = byte(x >> 56)
	}
	for _, tt := range []struct {
		name   string
		code   int
		header grip.Header
		body   []byte
		want   bool
	}{
		{"text", 200, nil, text, true},
		{"an error's text", 404, nil, text, true},
		{"the shortest worth trying", 200, nil, text[:minCompress], true},
		{"shorter than that", 200, nil, text[:minCompress-1], false},
		{"no body", 200, nil, nil, false},
		{"not smaller", 200, nil, noise, false},
		{"RFC 9110 §8.8.1: a weak ETag", 200, fields("ETag", `W/"1"`), text, true},
		{"RFC 9110 §8.8.3.3: a strong ETag", 200, fields("etag", `"1"`), text, false},
		{"RFC 9110 §7.7: no-transform", 200, fields("Cache-Control", "max-age=0, No-Transform"), text, false},
		{"other directives", 200, fields("Cache-Control", "no-cache"), text, true},
		{"RFC 9110 §14.4: part of something", 206, fields("Content-Range", "bytes 0-9/100"), text, false},
		{"RFC 9110 §8.4: coded already", 200, fields("content-encoding", "br"), text, false},
		{"RFC 9110 §15.3.5: 204", 204, nil, text, false},
		{"RFC 9110 §15.4.5: 304", 304, nil, text, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := offered(grip.Response{Code: tt.code, Header: tt.header, Body: tt.body})
			for _, coding := range []Variant{Gzip, Zstd} {
				if got := a.coded[coding] != nil; got != tt.want {
					t.Errorf("coding %d is offered: %t, want %t", coding, got, tt.want)
				}
				wire := string(a.Wire(coding))
				if got := strings.Contains(wire, "\r\nVary: Accept-Encoding\r\n"); got != tt.want {
					t.Errorf("coding %d, answer varies: %t, want %t", coding, got, tt.want)
				}
				if !tt.want && wire != string(a.Wire(0)) {
					t.Errorf("coding %d that is not offered: got other bytes than without", coding)
				}
			}
		})
	}
}

// What the hold's response says counts, too: the item alone would allow it.
func TestCodingIsNotOfferedAgainstTheHold(t *testing.T) {
	d := &Delivery{item: grip.Item{HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 200, Body: text}}}}
	d.coded[0] = text
	d.compress([codings]bool{Gzip: true})
	for _, tt := range []struct {
		header grip.Header
		want   bool
	}{
		{nil, true},
		{fields("Cache-Control", "no-transform"), false},
		{fields("ETag", `"7"`), true},            // also of that body
		{fields("Content-Encoding", "br"), true}, // of the hold's body, which is not sent
	} {
		a := d.answer(NewTemplate(grip.Response{Header: tt.header}, nil))
		if got := strings.Contains(string(a.Wire(Gzip)), "\r\nContent-Encoding: gzip\r\n"); got != tt.want {
			t.Errorf("hold with %v: gzip is offered %t, want %t", tt.header, got, tt.want)
		}
	}
}

// The bytes are built once, however many loops ask for them at once.
func TestWireIsBuiltOnce(t *testing.T) {
	a := offered(grip.Response{Code: 200, Body: text})
	for v := range Variant(16) {
		if v.Coding() > Zstd {
			continue
		}
		const loops = 16
		var wires [loops]*byte
		var wg sync.WaitGroup
		for i := range wires {
			wg.Go(func() { wires[i] = unsafe.SliceData(a.Wire(v)) })
		}
		wg.Wait()
		for i, w := range wires {
			if w != wires[0] {
				t.Errorf("variant %04b: goroutine %d got bytes of its own", v, i)
			}
		}
	}
}
