package main

import (
	"reflect"
	"testing"

	"marquee/grip"
)

func TestCrossOrigin(t *testing.T) {
	const all = "OPTIONS, HEAD, GET, POST, PUT, DELETE"
	for _, tt := range []struct {
		name     string
		request  grip.Header
		response grip.Header
		want     grip.Header // behind the response's own
	}{
		{"§10.1 nothing asked", nil, nil,
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Allow-Credentials", "true",
				"Access-Control-Allow-Origin", "*", "Access-Control-Max-Age", "3600", "Vary", "Origin")},
		{"§10.1 a page of another origin", headerOf("Origin", "http://a"), nil,
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Allow-Credentials", "true",
				"Access-Control-Allow-Origin", "http://a", "Access-Control-Max-Age", "3600", "Vary", "Origin")},
		{"§10.1 preflight",
			headerOf("origin", "http://a", "Access-Control-Request-Method", "PATCH",
				"Access-Control-Request-Headers", "x-a,, x-b", "access-control-request-headers", "x-c"), nil,
			headerOf("Access-Control-Allow-Methods", "PATCH", "Access-Control-Allow-Headers", "x-a, x-b, x-c",
				"Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Origin", "http://a",
				"Access-Control-Max-Age", "3600", "Vary", "Origin")},
		{"§10.1 exposed: all that are not simple, each once", nil,
			headerOf("X-B", "1", "cache-control", "no-store", "Content-Language", "en", "Content-Type", "a/b",
				"Expires", "0", "Last-Modified", "0", "Pragma", "x", "Content-Length", "1",
				"x-b", "2", "Date", "now", "Grip-Link", "x", "Access-Control-X", "y"),
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Expose-Headers", "X-B, Date",
				"Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Origin", "*",
				"Access-Control-Max-Age", "3600", "Vary", "Origin")},
		{"§10.1 what the origin says stays", headerOf("Origin", "http://a", "Access-Control-Request-Headers", "x"),
			headerOf("access-control-allow-methods", "GET", "Access-Control-Allow-Headers", "y",
				"Access-Control-Expose-Headers", "", "Access-Control-Allow-Credentials", "false",
				"Access-Control-Allow-Origin", "http://b", "Access-Control-Max-Age", "1", "X-A", "1"),
			nil},
		{"§10.1 some of it missing", nil,
			headerOf("Access-Control-Allow-Origin", "http://b", "Access-Control-Allow-Credentials", "true"),
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Max-Age", "3600")},
		{"RFC 9110 §12.5.5 it varies by Origin already", nil, headerOf("Vary", "Accept, origin"),
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Expose-Headers", "Vary",
				"Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Origin", "*",
				"Access-Control-Max-Age", "3600")},
		{"RFC 9110 §12.5.5 it varies by everything", nil, headerOf("Vary", "*"),
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Expose-Headers", "Vary",
				"Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Origin", "*",
				"Access-Control-Max-Age", "3600")},
		{"RFC 9110 §12.5.5 it varies by something else", nil, headerOf("Vary", "Accept"),
			headerOf("Access-Control-Allow-Methods", all, "Access-Control-Expose-Headers", "Vary",
				"Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Origin", "*",
				"Access-Control-Max-Age", "3600", "Vary", "Origin")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spare := append(make(grip.Header, 0, 20), tt.response...) // room that others may be using
			r := grip.Response{Code: 502, Reason: "No", Header: spare, Body: []byte("body")}
			got := newCrossOrigin(tt.request).apply(r)
			want := grip.Response{Code: 502, Reason: "No", Body: []byte("body"),
				Header: append(append(grip.Header{}, tt.response...), tt.want...)}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("request %v, response %v\n got %v\nwant %v", tt.request, tt.response, got.Header, want.Header)
			}
			if beyond := spare[:len(spare)+1][len(spare)]; beyond != (grip.Field{}) {
				t.Errorf("%v was written behind the shared header", beyond)
			}
		})
	}
}
