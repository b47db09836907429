package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

func TestParseEndpoint(t *testing.T) {
	tests := []struct {
		name, url, wantName, wantPublish string
	}{
		{"host and port", "http://127.0.0.1:5561", "http://127.0.0.1:5561", "http://127.0.0.1:5561/publish/"},
		{"last slash", "http://127.0.0.1:5561/", "http://127.0.0.1:5561", "http://127.0.0.1:5561/publish/"},
		{"path", "https://example.com/realm/x/", "https://example.com/realm/x", "https://example.com/realm/x/publish/"},
		{"escaped path", "http://a/b%2Fc", "http://a/b%2Fc", "http://a/b%2Fc/publish/"},
		{"other parameters stay", "http://a/?key=s&zone=1&iss=i&verify-key=v", "http://a", "http://a/publish/?zone=1"},
		{"user", "http://user:pass@a:1", "http://a:1", "http://a:1/publish/"},
		{"IPv6", "http://[::1]:5561", "http://[::1]:5561", "http://[::1]:5561/publish/"},
		{"fragment", "http://a:1#x", "http://a:1", "http://a:1/publish/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ep, err := parseEndpoint(tt.url)
			if err != nil {
				t.Fatalf("parseEndpoint(%q): %v", tt.url, err)
			}
			if ep.name != tt.wantName || ep.publishURL != tt.wantPublish {
				t.Errorf("parseEndpoint(%q) = name %s, publish to %s, want %s, %s", tt.url, ep.name, ep.publishURL, tt.wantName, tt.wantPublish)
			}
		})
	}
}

// Errors name the problem, and no secret.
func TestParseEndpointRefuses(t *testing.T) {
	tests := []struct {
		name, url, want string
	}{
		{"no scheme", "localhost:5561", `"localhost:5561" is not of the form http://host:port`},
		{"other scheme", "tcp://a:5560", `"tcp://a:5560" is not`},
		{"no host", "http:///publish", `"http:///publish" is not`},
		{"malformed, with secrets", "http://user:secret@a:port/?key=secret", `"a:port/" is not`},
		{"malformed query", "http://a/?key=%zz", "parse query of control URL"},
		{"iss alone", "http://a/?iss=me", "iss but no key"},
		{"key and user", "http://user:secret@a/?key=secret", "both a key and a user"},
		{"verify-iss", "http://a/?key=secret&verify-iss=me", "verify-iss"},
		{"key not base64", "http://a/?key=base64:secret!&iss=me", "not base64"},
		{"verify-key not base64", "http://a/?verify-key=base64:secret!", "not base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseEndpoint(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("parseEndpoint(%q) error %v, want %q in it", tt.url, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("parseEndpoint(%q) error %q tells the secret", tt.url, err)
			}
		})
	}
}

func TestAuthorize(t *testing.T) {
	tests := []struct {
		name, url, want string
	}{
		{"nothing", "http://a:1", ""},
		{"user and password", "http://user:pa%3Ass@a:1", "Basic dXNlcjpwYTpzcw=="},
		{"key alone", "http://a:1?key=secret", "Bearer secret"},
		{"verify-key is for the other direction", "http://a:1?verify-key=secret", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/publish/", nil)
			testEndpoints(t, tt.url)[0].authorize(r, time.Now())
			if got := r.Header.Get("Authorization"); got != tt.want {
				t.Errorf("publish to %s has Authorization %q, want %q", tt.url, got, tt.want)
			}
		})
	}
	t.Run("key and iss", func(t *testing.T) {
		now := time.Now()
		r := httptest.NewRequest("POST", "/publish/", nil)
		testEndpoints(t, "http://a:1?iss=me&key=base64:c2VjcmV0")[0].authorize(r, now)
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		key, err := grip.ParseKey("secret")
		if err != nil {
			t.Fatal(err)
		}
		if err := grip.Verify(token, key, now); !ok || err != nil {
			t.Errorf("Authorization %q is no token signed with the key: %v", r.Header.Get("Authorization"), err)
		}
	})
}
