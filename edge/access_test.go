package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"marquee/grip"
)

// tokenOf returns a signed token, as GRIP libraries make it.
func tokenOf(t *testing.T, key, iss string, at time.Time) string {
	t.Helper()
	parsed, err := grip.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return grip.NewSigner(iss, parsed).Token(at)
}

// keyPair writes the files of an EC key and returns how flags name them, and the
// text of the public one.
func keyPair(t *testing.T) (private, public, text string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	public = file("public.pem", "PUBLIC KEY", publicDER)
	return file("private.pem", "PRIVATE KEY", privateDER), public,
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}))
}

// accessOf returns the access of an edge with those flags whose control endpoint
// listens at the IP address.
func accessOf(t *testing.T, ip string, args ...string) *access {
	t.Helper()
	clearEnv(t)
	cfg, err := parseConfig(append([]string{"-origin", "a"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return newAccess(cfg, &net.TCPAddr{IP: net.ParseIP(ip), Port: 5561})
}

// Every form of authorization that a GRIP library sends, and what is near it.
func TestAccessAuthorization(t *testing.T) {
	private, public, publicText := keyPair(t)
	now := time.Now()
	confused, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "app", "exp": now.Unix() + 60}).SignedString([]byte(publicText))
	if err != nil {
		t.Fatal(err)
	}
	signed := func(key, iss string) string { return "Bearer " + tokenOf(t, key, iss, now) }
	basic := grip.BasicAuth
	tests := []struct {
		name  string
		flags []string
		field string // Authorization
		want  string // part of the refusal; empty for none
	}{
		{"§5.6 key and iss", []string{"-control-key", "k"}, signed("k", "app"), ""},
		{"§5.6 key and iss, binary key", []string{"-control-key", "base64:aw=="}, signed("k", "app"), ""},
		{"the issuer that must be", []string{"-control-key", "k", "-control-iss", "app"}, signed("k", "app"), ""},
		{"scheme in small letters", []string{"-control-key", "k"}, "b" + signed("k", "app")[1:], ""},
		{"by public key", []string{"-control-key", public}, signed(private, "app"), ""},
		{"by private key", []string{"-control-key", private}, signed(private, "app"), ""},
		{"§5.6 key alone", []string{"-control-token", "t"}, "Bearer t", ""},
		{"§5.6 user and password", []string{"-control-token", "t"}, basic("user", "t"), ""},
		{"password without a user", []string{"-control-token", "t"}, basic("", "t"), ""},
		{"key and token: token", []string{"-control-key", "k", "-control-token", "t"}, "Bearer t", ""},
		{"key and token: key", []string{"-control-key", "k", "-control-token", "t"}, signed("k", "app"), ""},
		{"nothing asked", nil, "", ""},
		{"nothing asked, something shown", nil, "Bearer x", ""},

		{"nothing shown to key", []string{"-control-key", "k"}, "", "no Authorization"},
		{"nothing shown to token", []string{"-control-token", "t"}, "", "no Authorization"},
		{"no token after Bearer", []string{"-control-token", "t"}, "Bearer ", "token is wrong"},
		{"another token", []string{"-control-token", "token"}, "Bearer tokem", "token is wrong"},
		{"the beginning of the token", []string{"-control-token", "token"}, "Bearer tok", "token is wrong"},
		{"more than the token", []string{"-control-token", "token"}, "Bearer token1", "token is wrong"},
		{"the token without a scheme", []string{"-control-token", "token"}, "token", "scheme"},
		{"another scheme", []string{"-control-token", "token"}, "Digest token", "scheme"},
		{"another password", []string{"-control-token", "t"}, basic("user", "x"), "password"},
		{"the token as user", []string{"-control-token", "t"}, basic("t", ""), "password"},
		{"broken password", []string{"-control-token", "t"}, "Basic %", "password"},
		{"password where a key is asked", []string{"-control-key", "k"}, basic("user", "k"), "scheme"},
		{"the key itself", []string{"-control-key", "k"}, "Bearer k", "malformed"},
		{"another key", []string{"-control-key", "k"}, signed("x", "app"), "signature is invalid"},
		{"another issuer", []string{"-control-key", "k", "-control-iss", "app"}, signed("k", "App"), "invalid issuer"},
		{"expired", []string{"-control-key", "k"}, "Bearer " + tokenOf(t, "k", "app", now.Add(-time.Hour)), "expired"},
		{"RFC 8725 §2.1 the public key's text for a secret", []string{"-control-key", public},
			"Bearer " + confused, "signature is invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := accessOf(t, "192.0.2.1", tt.flags...)
			r := httptest.NewRequest("POST", "/publish/", nil)
			if tt.field != "" {
				r.Header.Set("Authorization", tt.field)
			}
			got := a.check(r, now)
			switch {
			case tt.want == "" && got != nil:
				t.Errorf("%q with Authorization %q: %v, want none", tt.flags, tt.field, got)
			case tt.want != "" && (got == nil || got.status != 401 || !strings.Contains(got.line, tt.want)):
				t.Errorf("%q with Authorization %q: %+v, want 401 with %q", tt.flags, tt.field, got, tt.want)
			}
		})
	}
}

// No page of a web site publishes from the browser of somebody who can.
func TestAccessOfPages(t *testing.T) {
	key := []string{"-control-token", "t"}
	tests := []struct {
		name   string
		ip     string
		flags  []string
		method string
		host   string
		fields []string
		want   int // status; 0 for none
	}{
		{"no browser", "127.0.0.1", nil, "POST", "localhost:5561", nil, 0},
		{"by address", "127.0.0.1", nil, "POST", "127.0.0.1:5561", nil, 0},
		{"by IPv6 address", "::1", nil, "POST", "[::1]:5561", nil, 0},
		{"by address without a port", "::1", nil, "POST", "[::1]", nil, 0},
		{"by a forwarded address", "127.0.0.1", nil, "POST", "192.0.2.7", nil, 0},
		{"in capitals", "127.0.0.1", nil, "POST", "LocalHost:5561", nil, 0},
		{"HTTP/1.0 without Host", "127.0.0.1", nil, "POST", "", nil, 0},
		{"by the bound name", "127.0.0.1", []string{"-control", "edge.internal:5561"}, "POST", "Edge.Internal:5561", nil, 0},
		{"on every address", "0.0.0.0", nil, "POST", "edge.example:5561", nil, 0},
		{"by any name with a token", "127.0.0.1", key, "POST", "edge.example:5561", []string{"Authorization: Bearer t"}, 0},
		{"typed into the address bar", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Sec-Fetch-Site: none"}, 0},
		{"by a link on a page", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Sec-Fetch-Site: cross-site"}, 0},

		{"by a link on a page, as browsers say", "127.0.0.1", nil, "GET", "localhost:5561",
			[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 0},

		{"image on a page", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 403},
		{"script that reads", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, 403},
		{"script that reads, in an old browser", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Origin: https://evil.example"}, 403},
		{"frame on a page", "127.0.0.1", nil, "GET", "localhost:5561", []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"DNS rebinding", "127.0.0.1", nil, "POST", "evil.example:5561", nil, 403},
		{"DNS rebinding, reading", "127.0.0.1", nil, "GET", "evil.example", nil, 403},
		{"a name that begins like localhost", "127.0.0.1", nil, "POST", "localhost.evil.example", nil, 403},
		{"a name that begins like an address", "127.0.0.1", nil, "POST", "127.0.0.1.evil.example", nil, 403},
		{"another name than the bound one", "127.0.0.1", []string{"-control", "edge.internal:5561"}, "POST", "internal:5561", nil, 403},
		{"page of another site", "127.0.0.1", nil, "POST", "localhost:5561", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"page of another port", "127.0.0.1", nil, "POST", "localhost:5561", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"page in an old browser", "127.0.0.1", nil, "POST", "localhost:5561", []string{"Origin: https://evil.example"}, 403},
		{"page that hides its origin", "192.0.2.1", nil, "POST", "a", []string{"Origin: null"}, 403},
		{"page with other methods", "127.0.0.1", nil, "PUT", "localhost:5561", []string{"Origin: null"}, 403},
		{"page with the token", "127.0.0.1", key, "POST", "localhost:5561", []string{"Origin: https://a.example", "Authorization: Bearer t"}, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := accessOf(t, tt.ip, tt.flags...)
			r := httptest.NewRequest(tt.method, "/publish/", nil)
			r.Host = tt.host
			for _, field := range tt.fields {
				name, value, _ := strings.Cut(field, ": ")
				r.Header.Set(name, value)
			}
			status := 0
			refused := a.check(r, time.Now())
			if refused != nil {
				status = refused.status
			}
			if status != tt.want {
				t.Errorf("%s to %s, host %s, %q: %v, want status %d", tt.method, tt.ip, tt.host, tt.fields, refused, tt.want)
			}
		})
	}
}

// With a key or token all is closed but the health, on the wire as well.
func TestAccessOfPaths(t *testing.T) {
	const token = "correct-horse-battery"
	r := newRig(t, http.HandlerFunc(hi), "-control-key", "staple", "-control-token", token)
	for _, tt := range []struct{ method, path string }{
		{"POST", "/publish/"}, {"POST", "/recover/"}, {"GET", "/"}, {"GET", "/metrics"}, {"GET", "/metrics/"},
		{"GET", "/debug/pprof/"}, {"GET", "/debug/pprof/heap"}, {"GET", "/holds"}, {"GET", "/x"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			ask := func(auth string) *http.Response {
				t.Helper()
				req, err := http.NewRequest(tt.method, r.control+tt.path, strings.NewReader(`{"items": []}`))
				if err != nil {
					t.Fatal(err)
				}
				if auth != "" {
					req.Header.Set("Authorization", auth)
				}
				resp, err := web.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
				return resp
			}
			for auth, challenge := range map[string]string{
				"":                    `Bearer realm="marquee control"|Basic realm="marquee control", charset="UTF-8"`,
				"Bearer " + token[1:]: `Bearer realm="marquee control", error="invalid_token"|Basic realm="marquee control", charset="UTF-8"`,
			} {
				resp := ask(auth)
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != 401 || !strings.HasPrefix(string(body), "Unauthorized: ") || err != nil {
					t.Errorf("Authorization %q: %d %q, %v, want 401", auth, resp.StatusCode, body, err)
				}
				if got := strings.Join(resp.Header.Values("WWW-Authenticate"), "|"); got != challenge {
					t.Errorf("Authorization %q: WWW-Authenticate %s, want %s", auth, got, challenge)
				}
				if got := resp.Header.Get("Content-Type"); got != plainText {
					t.Errorf("Authorization %q: Content-Type %s, want %s", auth, got, plainText)
				}
			}
			for _, auth := range []string{"Bearer " + token, grip.BasicAuth("u", token), "Bearer " + tokenOf(t, "staple", "app", time.Now())} {
				if resp := ask(auth); resp.StatusCode == 401 || resp.StatusCode == 403 {
					t.Errorf("Authorization %q: %s", auth, resp.Status)
				}
			}
		})
	}
	resp, err := web.Get(r.control + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("healthz without a token: %s", resp.Status)
	}
	if log := r.log.String(); strings.Contains(log, "staple") || strings.Contains(log, token[1:]) {
		t.Errorf("the log tells a secret:\n%s", log)
	}
}

// An endpoint that others than this machine reach is warned of, unless it asks.
func TestOpenControlWarning(t *testing.T) {
	const warning = "whoever reaches the control endpoint may publish"
	for _, tt := range []struct {
		name string
		args []string
		want bool
	}{
		{"every address", []string{"-control", ":0"}, true},
		{"loopback", nil, false},
		{"every address, token", []string{"-control", ":0", "-control-token", "t"}, false},
		{"every address, key", []string{"-control", ":0", "-control-key", "k"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(hi), tt.args...)
			if got := strings.Contains(r.log.String(), warning); got != tt.want {
				t.Errorf("%q: warning %v, want %v", tt.args, got, tt.want)
			}
		})
	}
}

func TestReadToken(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	for _, tt := range []struct{ name, in, want, err string }{
		{"none", "", "", ""},
		{"value", "abc", "abc", ""},
		{"file", file("abc"), "abc", ""},
		{"file with a line end", file("abc\n"), "abc", ""},
		{"empty file", file(" \n"), "", "is empty"},
		{"no file", "file:" + filepath.Join(t.TempDir(), "none"), "", "no such file"},
		{"two words", "ab secret", "", "visible ASCII"},
		{"two lines", file("ab\nsecret"), "", "visible ASCII"},
		{"other letters", "sécret", "", "visible ASCII"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readToken(tt.in)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("readToken(%q) = %q, %v, want %q, an error with %q", tt.in, got, err, tt.want, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("readToken(%q): the error tells the token: %v", tt.in, err)
			}
		})
	}
}

// The help shows what may be set, and not what is.
func TestHelpTellsNoSecret(t *testing.T) {
	clearEnv(t)
	t.Setenv("MARQUEE_EDGE_CONTROL_KEY", "staple")
	t.Setenv("MARQUEE_EDGE_CONTROL_TOKEN", "battery")
	var help bytes.Buffer
	if err := run(context.Background(), []string{"-help"}, io.Discard, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("run(-help): %v, want flag.ErrHelp", err)
	}
	for _, name := range []string{"control-key", "control-iss", "control-token"} {
		if !strings.Contains(help.String(), "  -"+name) {
			t.Errorf("the help does not have -%s", name)
		}
	}
	if strings.Contains(help.String(), "staple") || strings.Contains(help.String(), "battery") {
		t.Errorf("the help tells a secret:\n%s", &help)
	}
}

// Unless it is told otherwise, the control endpoint is for this machine alone.
func TestControlIsPrivate(t *testing.T) {
	clearEnv(t)
	cfg, err := parseConfig([]string{"-origin", "a"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", strings.Replace(cfg.Control, ":5561", ":0", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if !isLoopback(ln.Addr()) {
		t.Errorf("-control is %q by default, which others reach", cfg.Control)
	}
}

// What operators see is on the control endpoint only, and what the process was
// started with is nowhere. To clients the same paths are the origin's.
func TestOperatorsPaths(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	c := r.dial()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/profile", "/debug/vars", "/metrics", "/holds", "/healthz", "/publish/", "/recover/"} {
		c.get(path)
		c.wantAnswer(200, "hi "+path)
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/vars"} {
		resp, err := web.Get(r.control + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%s: %s, want 404", path, resp.Status)
		}
	}
}
