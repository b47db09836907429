package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// An inquiry counts every request that is not answered well, also those that
// clients usually try again by themselves.
func TestInquiry(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	for _, tt := range []struct {
		name    string
		answers string // on each connection, one a request; then it is closed
		failure string // "" for none
	}{
		{"answers", strings.Repeat(good+"|", 1000), ""},
		{"says that it closes, and closes", good + "|" + strings.Replace(good, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), ""},
		{"closes instead of the second answer", good + "|", "read answer 2 of a connection: unexpected EOF"},
		{"closes instead of an answer", "", "read answer 1 of a connection: unexpected EOF"},
		{"breaks off", strings.Replace(good, "Length: 2", "Length: 3", 1), "read answer 1 of a connection"},
		{"refuses", strings.Replace(good, "200 OK", "503 Busy", 1), `answer 1 of a connection: 503 Busy: "hi"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						in := bufio.NewReader(nc)
						for answer := range strings.SplitSeq(tt.answers, "|") {
							if _, err := http.ReadRequest(in); err != nil || answer == "" {
								return
							}
							_, _ = io.WriteString(nc, answer)
						}
					}()
				}
			}()
			in, err := newInquiry("http://" + ln.Addr().String() + "/headline/value/")
			if err != nil {
				t.Fatal(err)
			}
			defer in.stop()
			if err := in.await(t.Context(), 4*inquirers); err != nil {
				t.Fatal(err)
			}
			in.stop()
			all := in.failures()
			switch {
			case tt.failure == "" && (in.failed.Load() > 0 || len(all) > 0):
				t.Errorf("%d failed: %v, want none", in.failed.Load(), all)
			case tt.failure != "" && (in.failed.Load() == 0 || len(all) == 0 || !strings.Contains(all[0].Error(), tt.failure)):
				t.Errorf("%d failed: %v, want some with %q", in.failed.Load(), all, tt.failure)
			}
		})
	}
}
