package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// environment stands for the process's.
func environment(gripURL string) func(string) string {
	return func(name string) string {
		if name == "GRIP_URL" {
			return gripURL
		}
		return ""
	}
}

// testFile writes a file and returns its path.
func testFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigItem(t *testing.T) {
	response := func(body string, change ...func(*grip.HTTPResponse)) *grip.HTTPResponse {
		f := &grip.HTTPResponse{Response: grip.Response{Code: 200, Body: []byte(body)}}
		for _, c := range change {
			c(f)
		}
		return f
	}
	stream := func(content string) *grip.HTTPStream { return &grip.HTTPStream{Content: []byte(content)} }
	message := func(content string) *grip.WSMessage { return &grip.WSMessage{Content: []byte(content)} }
	both := func(name string, args []string, stdin, http, ws string) (out struct {
		name  string
		args  []string
		stdin string
		want  grip.Item
	}) {
		out.name, out.args, out.stdin = name, args, stdin
		out.want = grip.Item{Channel: "c", HTTPResponse: response(http), HTTPStream: stream(http), WSMessage: message(ws)}
		return out
	}
	hint := grip.Item{Channel: "c", HTTPResponse: &grip.HTTPResponse{Action: grip.Hint}, HTTPStream: &grip.HTTPStream{Action: grip.Hint}}
	closing := grip.Item{Channel: "c", HTTPStream: &grip.HTTPStream{Action: grip.Close}, WSMessage: &grip.WSMessage{Action: grip.Close}}
	whole := both("", nil, "", "x\n", "x").want
	whole.ID, whole.PrevID, whole.NoSeq = "2", "1", true
	whole.Meta = grip.Meta{{Name: "a", Value: "c"}, {Name: "e", Value: "f=g"}, {Name: "sender", Value: "me"}}
	whole.HTTPResponse.Code = 201
	whole.HTTPResponse.Header = grip.Header{{Name: "X-A", Value: "b: c"}, {Name: "Y", Value: ""}}
	sender := both("", nil, "", "x\n", "x").want
	sender.Meta = grip.Meta{{Name: "sender", Value: "t"}}
	bin := both("", nil, "", "\xff\x00", "\xff\x00").want
	bin.WSMessage.Type = grip.Binary
	patch := grip.Item{Channel: "c", HTTPResponse: response("", func(f *grip.HTTPResponse) {
		f.Body, f.Patch = nil, []byte(`[{"op":"add"}]`)
	})}
	tests := []struct {
		name  string
		args  []string
		stdin string
		want  grip.Item
	}{
		both("§5.5 content", []string{"c", "hello"}, "", "hello\n", "hello"),
		both("§5.5 empty content", []string{"c", ""}, "", "\n", ""),
		both("§5.5 content that ends a line", []string{"c", "a\n"}, "", "a\n\n", "a\n"),
		both("§5.5 no-eol", []string{"--no-eol", "c", "hello"}, "", "hello", "hello"),
		both("§5.5 file", []string{"c", "@" + testFile(t, "from\nfile")}, "", "from\nfile", "from\nfile"),
		both("stdin", []string{"c", "-"}, "from stdin", "from stdin", "from stdin"),
		both("content like a flag", []string{"c", "--", "-x"}, "", "-x\n", "-x"),
		{"§5.5 file that is no text", []string{"c", "@" + testFile(t, "\xff\x00")}, "", bin},
		{"§5.5 everything", []string{"--id", "2", "--prev-id", "1", "--sender", "me", "--code", "201", "-H", "X-A: b: c", "--header", "Y:",
			"-M", "a=b", "--meta", "e=f=g", "-M", "a=c", "--no-seq", "c", "x"}, "", whole},
		{"§5.5 flags after the arguments", []string{"c", "--id=2", "x", "-prev-id=1", "-sender=me", "-code=201", "-H=X-A: b: c", "-H=Y:",
			"-M=e=f=g", "-M=a=c", "-no-seq"}, "", whole},
		{"§5.5 sender given twice", []string{"-sender", "s", "-M", "sender=t", "c", "x"}, "", sender},
		{"§5.5 hint", []string{"--hint", "c"}, "", hint},
		{"§5.5 hint with content", []string{"c", "x", "--hint"}, "", hint},
		{"§5.5 close", []string{"--close", "c"}, "", closing},
		{"§5.5 patch", []string{"c", "--patch", `[ {"op": "add"} ]`}, "", patch},
		{"§5.5 patch on stdin", []string{"c", "--patch", "-"}, "[{\"op\": \"add\"}]\n", patch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := parseConfig(tt.args, io.Discard, environment(""))
			if err != nil {
				t.Fatalf("parseConfig(%q): %v", tt.args, err)
			}
			got, err := cfg.item(strings.NewReader(tt.stdin))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%q is the item\n%s, %v, want\n%s", tt.args, grip.AppendItems(nil, []grip.Item{got}), err, grip.AppendItems(nil, []grip.Item{tt.want}))
			}
		})
	}
}

func TestConfigEndpoints(t *testing.T) {
	token := testFile(t, "secret\n")
	tests := []struct {
		name    string
		args    []string
		gripURL string
		want    []string // URL and Authorization
	}{
		{"§5.5 default", nil, "", []string{"http://localhost:5561/publish/ "}},
		{"§5.5 GRIP_URL", nil, "http://edge:1/x/", []string{"http://edge:1/x/publish/ "}},
		{"§5.5 spec before GRIP_URL", []string{"--spec", "http://a:1"}, "http://edge:1", []string{"http://a:1/publish/ "}},
		{"several", []string{"-spec", "http://a:1, http://b:1", "-spec", "http://c:1,"}, "", []string{"http://a:1/publish/ ", "http://b:1/publish/ ", "http://c:1/publish/ "}},
		{"several in GRIP_URL", nil, "http://a:1,http://b:1", []string{"http://a:1/publish/ ", "http://b:1/publish/ "}},
		{"one that is given twice", []string{"-spec", "http://a:1/,http://a:1"}, "", []string{"http://a:1/publish/ "}},
		{"comma in a URL", []string{"-spec", "http://a:1/?zone=1,2"}, "", []string{"http://a:1/publish/?zone=1%2C2 "}},
		{"§5.6 key alone, loopback", nil, "http://127.0.0.1:1?key=secret", []string{"http://127.0.0.1:1/publish/ Bearer secret"}},
		{"§5.6 user, IPv6 loopback", nil, "http://u:p@[::1]:1", []string{"http://[::1]:1/publish/ Basic dTpw"}},
		{"§5.6 key alone, https", nil, "https://edge.example?key=secret", []string{"https://edge.example/publish/ Bearer secret"}},
		{"§5.5 -u", []string{"-u", "u:p:q"}, "", []string{"http://localhost:5561/publish/ Basic dTpwOnE="}},
		{"§5.5 -B", []string{"-B", "t"}, "https://edge.example?key=secret", []string{"https://edge.example/publish/ Bearer t"}},
		{"token file", []string{"-token-file", token}, "", []string{"http://localhost:5561/publish/ Bearer secret"}},
		{"without TLS, as it is asked for", []string{"-insecure-auth", "-B", "t"}, "http://edge.example", []string{"http://edge.example/publish/ Bearer t"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := parseConfig(append(tt.args, "c", "x"), io.Discard, environment(tt.gripURL))
			if err != nil {
				t.Fatalf("parseConfig(%q): %v", tt.args, err)
			}
			var got []string
			for _, ep := range cfg.endpoints {
				got = append(got, ep.PublishURL+" "+ep.Authorization(time.Now()))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%q with GRIP_URL %q publishes to %q, want %q", tt.args, tt.gripURL, got, tt.want)
			}
		})
	}
	t.Run("§5.6 key and iss, without TLS", func(t *testing.T) {
		cfg, err := parseConfig([]string{"c", "x"}, io.Discard, environment("http://edge.example?iss=app&key=secret"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := grip.ParseKey("secret")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := strings.CutPrefix(cfg.endpoints[0].Authorization(time.Now()), "Bearer ")
		if err := grip.VerifyBearer(got, "app", key, time.Now()); err != nil {
			t.Errorf("token %q: %v", got, err)
		}
	})
}

// What is wrong is told before anything is sent, and no secret is.
func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		gripURL string
		want    string
	}{
		{"nothing", nil, "", "no channel"},
		{"no content", []string{"c"}, "", "no content: publish CHANNEL CONTENT, or -hint, or -close"},
		{"three arguments", []string{"c", "a", "b"}, "", `unexpected argument "b": content of several words`},
		{"unknown flag", []string{"-x", "c", "a"}, "", "-x"},
		{"unknown flag after the arguments", []string{"c", "a", "-x"}, "", "-x"},
		{"code", []string{"-code", "1000", "c", "a"}, "", "-code is 1000: it takes 0 to 999"},
		{"header without a value", []string{"-H", "X", "c", "a"}, "", "NAME: VALUE"},
		{"header without a name", []string{"-H", ": x", "c", "a"}, "", "NAME: VALUE"},
		{"meta without a value", []string{"-M", "x", "c", "a"}, "", "NAME=VALUE"},
		{"hint and close", []string{"-hint", "-close", "c"}, "", "which one?"},
		{"hint and patch", []string{"-hint", "-patch", "c"}, "", "-patch is about content"},
		{"channel that is no text", []string{"\xff", "a"}, "", "not UTF-8"},
		{"header that is no text", []string{"-H", "X: \xff", "c", "a"}, "", "not UTF-8"},
		{"ZeroMQ", []string{"-spec", "tcp://localhost:5560", "c", "a"}, "", "ZeroMQ: publish speaks HTTP, name the control URL"},
		{"no URL", []string{"-spec", "localhost:5561", "c", "a"}, "", "-spec or GRIP_URL: control URL"},
		{"malformed GRIP_URL", []string{"c", "a"}, "http://u:secret@a:port/?key=secret", "GRIP_URL"},
		{"user without a password", []string{"-u", "u", "c", "a"}, "", "-user takes USER:PASSWORD"},
		{"user and token", []string{"-u", "u:secret", "-B", "secret", "c", "a"}, "", "only one"},
		{"no token file", []string{"-token-file", filepath.Join(t.TempDir(), "none"), "c", "a"}, "", "-token-file: open"},
		{"empty token file", []string{"-token-file", testFile(t, "\n"), "c", "a"}, "", "one line with a token"},
		{"token file of two lines", []string{"-token-file", testFile(t, "a\nsecret\n"), "c", "a"}, "", "one line with a token"},
		{"token without TLS", []string{"-B", "secret", "c", "a"}, "http://edge.example", "another machine, without TLS"},
		{"password without TLS", []string{"c", "a"}, "http://u:secret@192.0.2.1:5561", "another machine, without TLS"},
		{"key alone without TLS", []string{"c", "a"}, "http://localhost,http://localhost.example?key=secret", "http://localhost.example is another machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseConfig(tt.args, io.Discard, environment(tt.gripURL))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("parseConfig(%q): %v, want an error with %q", tt.args, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("parseConfig(%q): the error tells a secret: %v", tt.args, err)
			}
		})
	}
}

func TestItemRefuses(t *testing.T) {
	long := testFile(t, strings.Repeat("x", maxContent+1))
	for _, tt := range []struct{ name, content, stdin, want string }{
		{"no file", "@" + filepath.Join(t.TempDir(), "none"), "", "read content: open"},
		{"directory", "@" + t.TempDir(), "", "read content: read"},
		{"long file", "@" + long, "", "more than the 1000000 bytes"},
		{"long stdin", "-", strings.Repeat("x", maxContent+1), "more than the 1000000 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &config{channel: "c", content: tt.content, hasContent: true}
			if _, err := cfg.item(strings.NewReader(tt.stdin)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("content %q: %v, want an error with %q", tt.content, err, tt.want)
			}
		})
	}
	for _, patch := range []string{"", "x", "{}", "null", "[", "[1] x"} {
		cfg := &config{channel: "c", content: patch, hasContent: true, patch: true}
		if _, err := cfg.item(nil); err == nil || !strings.Contains(err.Error(), "-patch takes a list") {
			t.Errorf("-patch %q: %v, want an error with -patch", patch, err)
		}
	}
}

// Every flag of pushpin-publish stands in the help (GRIP §5.5).
func TestHelp(t *testing.T) {
	var help strings.Builder
	if _, err := parseConfig([]string{"--help"}, &help, environment("http://a?key=secret")); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parseConfig(--help): %v, want flag.ErrHelp", err)
	}
	for _, name := range []string{"id", "prev-id", "sender", "code", "H", "header", "M", "meta", "hint", "close", "patch", "no-seq", "no-eol",
		"spec", "u", "user", "B", "token-file", "receipt", "version", "V"} {
		if !strings.Contains(help.String(), "\n  -"+name) {
			t.Errorf("the help does not have -%s:\n%s", name, &help)
		}
	}
	if strings.Contains(help.String(), "secret") {
		t.Errorf("the help tells a secret:\n%s", &help)
	}
}
