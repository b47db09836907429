package main

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// chunked writes text as chunks of at most size bytes, with the last chunk.
func chunked(text string, size int) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(size, len(text))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// checksum answers with length and checksum of the content.
func checksum(w http.ResponseWriter, r *http.Request) {
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%d bytes %08x", n, sum.Sum32())
}

// sumOf is what checksum answers.
func sumOf(content string) string {
	return fmt.Sprintf("%d bytes %08x", len(content), crc32.ChecksumIEEE([]byte(content)))
}

// Contents on both sides of what is collected arrive whole, and the connection
// is good for the next request, also for one that was sent behind.
func TestUpload(t *testing.T) {
	r := newRig(t, http.HandlerFunc(checksum))
	c := r.dial()
	for _, n := range []int{maxContent - 1, maxContent, maxContent + 1, 3*maxContent + 7} {
		content := strings.Repeat("0123456789abcdef", n/16+1)[:n]
		sized := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", n)
		const inChunks = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		for _, tt := range []struct{ name, request string }{
			{"sized", sized + content},
			{"in one chunk", inChunks + chunked(content, n)},
			{"in chunks", inChunks + chunked(content, 10_000)},
			{"in small chunks", inChunks + chunked(content, 100)},
		} {
			t.Run(fmt.Sprint(n, " bytes ", tt.name), func(t *testing.T) {
				c := *c
				c.t = t
				c.send(tt.request)
				c.wantAnswer(200, sumOf(content))
				c.send(tt.request + request("GET", "/"))
				c.wantAnswer(200, sumOf(content))
				c.wantAnswer(200, sumOf(""))
			})
		}
	}
}

// An upload goes on while its content arrives: the origin has the first part
// before the client sends the second.
func TestUploadAsItComes(t *testing.T) {
	partCh := make(chan int)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		part := make([]byte, maxContent)
		for {
			n, err := io.ReadFull(req.Body, part)
			if err != nil {
				break
			}
			partCh <- n
		}
		_, _ = io.WriteString(w, "done")
	}))
	for _, tt := range []struct{ name, head, part, last string }{
		{"sized", fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 3*maxContent), large, ""},
		{"chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", strings.TrimSuffix(chunked(large, 50_000), "0\r\n\r\n"), "0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, r.address)
			c.send(tt.head + tt.part + tt.part[:100]) // more than is collected
			await(t, partCh, "the first part")
			c.send(tt.part[100:])
			await(t, partCh, "the second part")
			c.send(tt.part)
			await(t, partCh, "the third part")
			c.send(tt.last)
			c.wantAnswer(200, "done")
		})
	}
}

// A request whose content was too long to be kept cannot be held.
func TestUploadCannotBeHeld(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "c")
	}))
	c := r.dial()
	post := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n))
	}
	c.send(post(maxContent + 1))
	c.wantAnswer(400, "Request too large to accept GRIP instruct.\n")
	c.send(post(maxContent))
	r.waitHolds(1)
	r.publish(item("c", "", "", "1"))
	c.wantAnswer(200, "1")
}

// An origin may answer before it has read the content; then the connection is
// of no use afterwards, for nobody reads the rest.
func TestUploadAnsweredEarly(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	t.Run("refused", func(t *testing.T) {
		r := newRawRig(t, func(nc net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(nc))
			_, _ = io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			_, _ = io.Copy(io.Discard, nc)
		})
		c := r.dial()
		c.send(head + strings.TrimSuffix(chunked(large+large, 1000), "0\r\n\r\n"))
		c.wantStatus(413)
		c.wantHeader("Connection", "close")
		c.wantBody("no")
		c.wantClosed()
	})
	t.Run("both at a time", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			w.WriteHeader(200)
			_ = control.Flush()
			part := make([]byte, maxContent)
			for {
				n, err := io.ReadFull(req.Body, part)
				_, _ = w.Write(part[:n])
				if err != nil {
					return
				}
				_ = control.Flush()
			}
		}))
		c := r.dial()
		part := fmt.Sprintf("%x\r\n%s\r\n", len(large), large)
		c.send(head + part + part)
		c.wantStatus(200)
		var got strings.Builder
		for sent := 2; ; sent++ {
			for got.Len() < sent*len(large) {
				data, err := c.readChunk()
				if data == "" || err != nil {
					t.Fatalf("after %d bytes: %v", got.Len(), err)
				}
				got.WriteString(data)
			}
			if sent == 5 {
				break
			}
			c.send(part)
		}
		c.send("0\r\n\r\n")
		c.wantChunk("")
		if got.String() != strings.Repeat(large, 5) {
			t.Error("what came back is not what was sent")
		}
	})
}

// A client that leaves is missed, too, when its content came to its end during the
// answer, and the origin has nothing to say.
func TestClientLeavesEarlyAnswer(t *testing.T) {
	readCh, overCh := make(chan struct{}), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.WriteHeader(200)
		_ = control.Flush()
		_, _ = io.Copy(io.Discard, req.Body)
		close(readCh)
		<-req.Context().Done()
		close(overCh)
	}))
	c := r.dial()
	part := fmt.Sprintf("%x\r\n%s\r\n", len(large), large)
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + part + part)
	c.wantStatus(200)
	c.send(part + "0\r\n\r\n")
	await(t, readCh, "the end of the content at the origin")
	c.leave()
	await(t, overCh, "the end of the request at the origin")
	r.waitMetric("marquee_connections", 0)
	r.waitMetric("marquee_origin_requests_open", 0)
}

// What is wrong with a content is the client's fault, not the origin's.
func TestUploadBreaksOff(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	part := strings.TrimSuffix(chunked(large+large, 1000), "0\r\n\r\n")
	start := func(t *testing.T) (*rig, *client, chan struct{}) {
		startedCh, endedCh := make(chan struct{}), make(chan struct{})
		r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			close(startedCh)
			if _, err := io.Copy(io.Discard, req.Body); err == nil {
				t.Error("the origin got a content that ends well")
			}
			close(endedCh)
			panic(http.ErrAbortHandler)
		}))
		c := r.dial()
		c.send(head + part)
		await(t, startedCh, "the request at the origin")
		return r, c, endedCh
	}
	t.Run("the client leaves", func(t *testing.T) {
		r, c, endedCh := start(t)
		c.leave()
		await(t, endedCh, "the end of the request at the origin")
		r.waitMetric("marquee_connections", 0)
		r.waitMetric("marquee_origin_requests_open", 0)
		if n := r.metric("marquee_origin_failures_total"); n != 0 {
			t.Errorf("%v failures of the origin are counted, want 0", n)
		}
	})
	t.Run("malformed chunk", func(t *testing.T) {
		r, c, endedCh := start(t)
		c.send("nonsense\r\n")
		await(t, endedCh, "the end of the request at the origin")
		c.wantAnswer(400, "A chunk size is not a hexadecimal number within range.\n")
		c.wantClosed()
		if n := r.metric("marquee_origin_failures_total"); n != 0 {
			t.Errorf("%v failures of the origin are counted, want 0", n)
		}
		if n := r.metric("marquee_requests_malformed_total"); n != 1 {
			t.Errorf("%v malformed requests are counted, want 1", n)
		}
	})
	t.Run("the client leaves while it waits", func(t *testing.T) {
		startedCh, endedCh := make(chan struct{}), make(chan struct{})
		r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			close(startedCh)
			<-req.Context().Done()
			close(endedCh)
		}))
		c := r.dial()
		c.send(head + part + "0\r\n\r\n")
		await(t, startedCh, "the request at the origin")
		c.leave()
		await(t, endedCh, "the end of the request at the origin")
		r.waitMetric("marquee_connections", 0)
	})
}
