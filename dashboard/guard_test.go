package main

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	const token = "correct horse battery"
	local := map[string]string{"X-Forwarded-For": "127.0.0.1"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{"X-Forwarded-For": "127.0.0.1"}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	tests := []struct {
		name   string
		peer   string // default 127.0.0.1:1
		host   string // default localhost:8090
		header map[string]string
		form   url.Values
		noAuth bool // no -admin-token
		want   error
	}{
		{name: "local, through the page's edge", header: local},
		{name: "local, without a token set", header: local, noAuth: true},
		{name: "local, straight to the status address"},
		{name: "local, IPv6", peer: "[::1]:1", host: "[::1]:8090", header: map[string]string{"X-Forwarded-For": "::1"}},
		{name: "local by address", host: "127.0.0.1:8090", header: local},
		{name: "local by address on port 80", host: "127.0.0.1", header: local},
		{name: "local, capitals", host: "LocalHost:8090", header: local},
		{name: "local, own page", header: with(map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8090"})},
		{name: "local, typed into the address bar", header: with(map[string]string{"Sec-Fetch-Site": "none"})},
		{name: "local, own page, browser without Sec-Fetch-Site", header: with(map[string]string{"Origin": "http://localhost:8090"})},

		{name: "remote without token", header: map[string]string{"X-Forwarded-For": "192.0.2.1"}, want: errNoToken},
		{name: "remote without token set", header: map[string]string{"X-Forwarded-For": "192.0.2.1"}, noAuth: true, want: errNotAllowed},
		{name: "remote with a token, none set", header: map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer "}, noAuth: true, want: errNotAllowed},
		{name: "remote that claims to be local", header: map[string]string{"X-Forwarded-For": "127.0.0.1, 192.0.2.1"}, want: errNoToken},
		{name: "remote through a local proxy", header: map[string]string{"X-Forwarded-For": "192.0.2.1, 127.0.0.1"}, want: errNoToken},
		{name: "remote that says something odd", header: map[string]string{"X-Forwarded-For": "unknown"}, want: errNoToken},
		{name: "remote peer with X-Forwarded-For, which is not believed", peer: "192.0.2.1:1", header: local, want: errNoToken},

		{name: "remote with the token", header: map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer " + token}},
		{name: "remote with the token in the form", header: map[string]string{"X-Forwarded-For": "192.0.2.1"}, form: url.Values{"token": {token}}},
		{name: "remote with the token, own page", host: "demo.example", header: map[string]string{"X-Forwarded-For": "192.0.2.1", "Sec-Fetch-Site": "same-origin"}, form: url.Values{"token": {token}}},
		{name: "remote with a wrong token", header: map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer wrong"}, want: errWrongToken},
		{name: "remote with the beginning of the token", header: map[string]string{"X-Forwarded-For": "192.0.2.1"}, form: url.Values{"token": {token[:8]}}, want: errWrongToken},

		{name: "DNS rebinding", host: "evil.example:8090", header: local, want: errNoToken},
		{name: "DNS rebinding, and its own page", host: "evil.example:8090", header: with(map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example:8090"}), want: errNoToken},
		{name: "a name that only begins like localhost", host: "localhost.evil.example", header: local, want: errNoToken},

		{name: "cross-site", header: with(map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}), want: errCrossSite},
		{name: "cross-site, same machine, another port", header: with(map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:1"}), want: errCrossSite},
		{name: "cross-site, browser without Sec-Fetch-Site", header: with(map[string]string{"Origin": "https://evil.example"}), want: errCrossSite},
		{name: "cross-site, origin hidden", header: with(map[string]string{"Origin": "null"}), want: errCrossSite},
		{name: "cross-site with the token", header: with(map[string]string{"Sec-Fetch-Site": "cross-site"}), form: url.Values{"token": {token}}, want: errCrossSite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/capacity/", strings.NewReader(tt.form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:8090"
			if tt.peer != "" {
				r.RemoteAddr = tt.peer
			}
			if tt.host != "" {
				r.Host = tt.host
			}
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			if err := r.ParseForm(); err != nil {
				t.Fatal(err)
			}
			g := &guard{token: token}
			if tt.noAuth {
				g.token = ""
			}
			if err := g.check(r); !errors.Is(err, tt.want) {
				t.Errorf("from %s, host %s, %v: %v, want %v", r.RemoteAddr, r.Host, r.Header, err, tt.want)
			}
		})
	}
}
