package main

import (
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"marquee/fanout"
)

// RFC 9110 §12.5.3 and §12.4.2.
func TestAcceptedCodings(t *testing.T) {
	const identity, gzip, zstd = fanout.Variant(0), fanout.Gzip, fanout.Zstd
	tests := []struct {
		name   string
		fields []string
		want   fanout.Variant
	}{
		{"no field", nil, identity},
		{"empty field", []string{""}, identity},
		{"gzip", []string{"gzip"}, gzip},
		{"x-gzip is gzip (§8.4.1.3)", []string{"x-gzip"}, gzip},
		{"zstd", []string{"zstd"}, zstd},
		{"any case", []string{"GZip"}, gzip},
		{"a browser over http", []string{"gzip, deflate"}, gzip},
		{"a browser over https", []string{"gzip, deflate, br, zstd"}, zstd},
		{"several fields", []string{"gzip", "zstd"}, zstd},
		{"zstd if equal", []string{"zstd;q=0.5, gzip;q=0.5"}, zstd},
		{"the better one", []string{"zstd;q=0.5, gzip;q=0.8"}, gzip},
		{"not acceptable", []string{"gzip;q=0"}, identity},
		{"not acceptable, with digits", []string{"gzip;q=0.000"}, identity},
		{"one not acceptable", []string{"zstd;q=0, gzip"}, gzip},
		{"white space", []string{" gzip ; q=0.3 , zstd ; q=0.2"}, gzip},
		{"any", []string{"*"}, zstd},
		{"any but one", []string{"*, zstd;q=0"}, gzip},
		{"none but one", []string{"*;q=0, gzip"}, gzip},
		{"none", []string{"*;q=0"}, identity},
		{"identity only", []string{"identity"}, identity},
		{"others only", []string{"br, deflate"}, identity},
		{"upper case Q", []string{"gzip;Q=0, zstd;Q=0.5"}, zstd},
		{"weight out of range", []string{"gzip;q=2"}, identity},
		{"weight no number", []string{"gzip;q=x"}, identity},
		{"weight not a number", []string{"gzip;q=NaN"}, identity},
		{"other parameter", []string{"gzip;level=9"}, identity},
		{"empty members", []string{",, gzip,"}, gzip},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a acceptedCodings
			for _, f := range tt.fields {
				a.read([]byte(f))
			}
			if got := a.best(); got != tt.want {
				t.Errorf("Accept-Encoding %q: variant %d, want %d", tt.fields, got, tt.want)
			}
		})
	}
}

// What is not coded does not say that it is, whatever the client accepts: bodies that
// are passed on as they come, also after an upload, and the edge's own answers.
func TestUncodedSaysSo(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		for _, tt := range []struct {
			name, request string
			status        int
			body          string
		}{
			{"a long body", request("GET", "/a/long", "Accept-Encoding: "+coding), 200, long},
			{"one of unknown length", request("GET", "/a/unknown", "Accept-Encoding: "+coding), 200, long},
			{"one after an upload", "POST /a/long HTTP/1.1\r\nHost: h\r\nAccept-Encoding: " + coding + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(long, 10_000), 200, long},
			{"an answer of the edge", request("GET", "/b", "Accept-Encoding: "+coding), 502, noRoute + "\n"},
		} {
			t.Run(coding+", "+tt.name, func(t *testing.T) {
				r := newRouteRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					_, _ = io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/a/long" {
						w.Header().Set("Content-Length", strconv.Itoa(len(long)))
					}
					_, _ = io.WriteString(w, long)
				}), time.Minute, []string{"*,path_beg=/a"})
				c := r.dial()
				c.send(tt.request)
				c.wantStatus(tt.status)
				c.wantHeader("Content-Encoding")
				c.wantBody(tt.body)
			})
		}
	}
}
