package grip

import (
	"strings"
	"testing"
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
			ep, err := ParseEndpoint(tt.url)
			if err != nil {
				t.Fatalf("ParseEndpoint(%q): %v", tt.url, err)
			}
			if ep.Name != tt.wantName || ep.PublishURL != tt.wantPublish {
				t.Errorf("ParseEndpoint(%q) = name %s, publish to %s, want %s, %s", tt.url, ep.Name, ep.PublishURL, tt.wantName, tt.wantPublish)
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
		{"a question mark in the password", "http://user:sec?ret@a:1", `"…" is not`},
		{"an ampersand in the password", "http://user:sec&ret@a:port", `"…" is not`},
		{"an ampersand before the parameters", "http://a:1&key=secret", `"http://a:1" is not`},
		{"an at sign in a key", "http://a:port?key=sec@ret", `"…" is not`},
		{"malformed query", "http://a/?key=%zz", "parse query of control URL"},
		{"iss alone", "http://a/?iss=me", "iss but no key"},
		{"key and user", "http://user:secret@a/?key=secret", "both a key and a user"},
		{"verify-key that is not there", "http://a/?verify-key=file:", "parse key file"},
		{"key not base64", "http://a/?key=base64:secret!&iss=me", "not base64"},
		{"verify-key not base64", "http://a/?verify-key=base64:secret!", "not base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseEndpoint(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("ParseEndpoint(%q) error %v, want %q in it", tt.url, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("ParseEndpoint(%q) error %q tells the secret", tt.url, err)
			}
		})
	}
}

func parseEndpoint(t *testing.T, rawURL string) *Endpoint {
	t.Helper()
	ep, err := ParseEndpoint(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

func TestEndpointAuthorization(t *testing.T) {
	tests := []struct {
		name, url, want string
	}{
		{"nothing", "http://a:1", ""},
		{"§5.6 user and password", "http://user:pa%3Ass@a:1", "Basic dXNlcjpwYTpzcw=="},
		{"user without a password", "http://user@a:1", "Basic dXNlcjo="},
		{"§5.6 key alone", "http://a:1?key=secret", "Bearer secret"},
		{"verify-key is for the other direction", "http://a:1?verify-key=secret", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ep := parseEndpoint(t, tt.url)
			if got := ep.Authorization(signedAt); got != tt.want {
				t.Errorf("publish to %s has Authorization %q, want %q", tt.url, got, tt.want)
			}
			if got := ep.ShowsSecret(); got != (tt.want != "") {
				t.Errorf("publish to %s shows a secret: %v", tt.url, got)
			}
			if got := ep.WithAuth("Bearer other").Authorization(signedAt); got != "Bearer other" {
				t.Errorf("publish to %s with another Authorization has %q", tt.url, got)
			}
		})
	}
	t.Run("§5.6 key and iss", func(t *testing.T) {
		ep := parseEndpoint(t, "http://a:1?iss=me&key=base64:c2VjcmV0")
		token, ok := strings.CutPrefix(ep.Authorization(signedAt), "Bearer ")
		if err := VerifyBearer(token, "me", parseKey(t, "secret"), signedAt); !ok || err != nil {
			t.Errorf("Authorization %q is no token signed with the key: %v", token, err)
		}
		if ep.ShowsSecret() {
			t.Error("a signed token counts as a secret")
		}
		if got := ep.WithAuth("").Authorization(signedAt); got != "" {
			t.Errorf("with no Authorization it has %q", got)
		}
	})
}

func TestEndpointVerify(t *testing.T) {
	public := keyFile(t, publicPEM(t, &rsaKey(t).PublicKey))
	for _, tt := range []struct{ name, url, key, iss string }{
		{"nothing", "http://a:1", "", ""},
		{"§5.6 key", "http://a:1?key=secret", "HS256 key", ""},
		{"§5.6 verify-key before key", "http://a:1?key=secret&verify-key=" + public, "RS256 key", ""},
		{"§5.6 verify-iss", "http://a:1?verify-key=secret&verify-iss=edge", "HS256 key", "edge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ep := parseEndpoint(t, tt.url)
			got := ""
			for _, key := range ep.VerifyKeys {
				got += key.String()
			}
			if got != tt.key || ep.VerifyIss != tt.iss {
				t.Errorf("ParseEndpoint(%q) verifies with %q the issuer %q, want %q, %q", tt.url, got, ep.VerifyIss, tt.key, tt.iss)
			}
		})
	}
}
