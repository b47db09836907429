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
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// clearEnv hides the environment's own settings from the test.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "MARQUEE_EDGE_") {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "edge.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		args []string // beside -origin
		env  map[string]string
		want []string // parts of the message
	}{
		{"no origin", []string{"-origin", ""}, nil, []string{`-origin is ""`, "host[:port]"}},
		{"origin with a scheme", []string{"-origin", "http://a:1"}, nil, []string{`-origin is "http://a:1"`, "without a scheme"}},
		{"origin with a path", []string{"-origin", "a/b"}, nil, []string{"-origin", "path"}},
		{"origin without a host", []string{"-origin", ":80"}, nil, []string{"-origin", "host[:port]"}},
		{"origin with an empty port", []string{"-origin", "a:"}, nil, []string{"-origin", "1 to 65535"}},
		{"origin with port 0", []string{"-origin", "a:0"}, nil, []string{"-origin", "1 to 65535"}},
		{"origin with a port too big", []string{"-origin", "a:65536"}, nil, []string{"-origin", "1 to 65535"}},
		{"origin with two colons", []string{"-origin", "a:b:c"}, nil, []string{"-origin", "host[:port]"}},
		{"listen without port", []string{"-listen", "localhost"}, nil, []string{`-listen is "localhost"`, "host:port"}},
		{"listen with a port too big", []string{"-listen", ":65536"}, nil, []string{`-listen is ":65536"`, "0 to 65535"}},
		{"listen empty", []string{"-listen", ""}, nil, []string{`-listen is empty`, "host:port", "-listen-tls"}},
		{"listen-tls without port", []string{"-listen-tls", "x", "-tls-cert", "c", "-tls-key", "k"}, nil, []string{`-listen-tls is "x"`, "host:port"}},
		{"listen-tls without certificate", []string{"-listen-tls", ":1"}, nil, []string{"-listen-tls needs a certificate", "-tls-cert", "-tls-key"}},
		{"certificate without key", []string{"-listen-tls", ":1", "-tls-cert", "c"}, nil, []string{"-tls-cert is given for 1 files and -tls-key for 0"}},
		{"certificate without listen-tls", []string{"-tls-cert", "c", "-tls-key", "k"}, nil, []string{`-tls-cert is "c"`, "no -listen-tls"}},
		{"second listen", []string{"-listen", ":1", "-listen", "x"}, nil, []string{`-listen is "x"`}},
		{"control", []string{"-control", "5561"}, nil, []string{`-control is "5561"`, "host:port"}},
		{"max-open-requests 0", []string{"-max-open-requests", "0"}, nil, []string{"-max-open-requests is 0", "1 to 10000"}},
		{"max-open-requests too many", []string{"-max-open-requests", "10001"}, nil, []string{"-max-open-requests is 10001", "1 to 10000"}},
		{"max-open-requests no number", []string{"-max-open-requests", "many"}, nil, []string{"-max-open-requests", "many"}},
		{"origin-timeout short", []string{"-origin-timeout", "999ms"}, nil, []string{"-origin-timeout is 999ms", "1s to 1h"}},
		{"origin-timeout long", []string{"-origin-timeout", "61m"}, nil, []string{"-origin-timeout is 1h1m0s", "1s to 1h"}},
		{"loops 0", []string{"-loops", "0"}, nil, []string{"-loops is 0", "1 to 64"}},
		{"loops too many", []string{"-loops", "65"}, nil, []string{"-loops is 65", "1 to 64"}},
		{"max-connections negative", []string{"-max-connections", "-1"}, nil, []string{"-max-connections is -1", "0 to 10000000"}},
		{"hold-timeout short", []string{"-hold-timeout", "4.9s"}, nil, []string{"-hold-timeout is 4.9s", "5s to 24h"}},
		{"hold-timeout long", []string{"-hold-timeout", "25h"}, nil, []string{"-hold-timeout is 25h", "5s to 24h"}},
		{"hold-timeout without a unit", []string{"-hold-timeout", "55"}, nil, []string{"-hold-timeout", "55"}},
		{"drain-timeout negative", []string{"-drain-timeout", "-1s"}, nil, []string{"-drain-timeout is -1s", "0s to 10m"}},
		{"drain-timeout long", []string{"-drain-timeout", "11m"}, nil, []string{"-drain-timeout is 11m", "0s to 10m"}},
		{"sig-key no base64", []string{"-sig-key", "base64:%"}, nil, []string{"-sig-key"}},
		{"sig-key without a file", []string{"-sig-key", "file:" + filepath.Join(t.TempDir(), "none")}, nil, []string{"-sig-key", "none"}},
		{"sig-iss empty", []string{"-sig-key", "k", "-sig-iss", ""}, nil, []string{"-sig-iss is empty"}},
		{"control-key no base64", []string{"-control-key", "base64:%"}, nil, []string{"-control-key", "base64"}},
		{"control-key in PEM, not in a file", []string{"-control-key", "-----BEGIN PUBLIC KEY-----\neA==\n-----END PUBLIC KEY-----\n"}, nil, []string{"-control-key", "file:PATH"}},
		{"control-iss without a key", []string{"-control-iss", "app"}, nil, []string{"-control-iss", "-control-key is empty"}},
		{"control-token of two words", []string{"-control-token", "a b"}, nil, []string{"-control-token", "without spaces"}},
		{"access-log-sample 0", []string{"-access-log", "-", "-access-log-sample", "0"}, nil, []string{"-access-log-sample is 0", "up to 1"}},
		{"access-log-sample too much", []string{"-access-log", "-", "-access-log-sample", "1.5"}, nil, []string{"-access-log-sample is 1.5", "up to 1"}},
		{"access-log-sample no number", []string{"-access-log", "-", "-access-log-sample", "NaN"}, nil, []string{"-access-log-sample is NaN"}},
		{"access-log-sample without a log", []string{"-access-log-sample", "0.5"}, nil, []string{"need -access-log"}},
		{"access-log-query without a log", []string{"-access-log-query"}, nil, []string{"need -access-log"}},
		{"max-head short", []string{"-max-head", "1023"}, nil, []string{"-max-head is 1023", "1024 to 262144"}},
		{"max-head long", []string{"-max-head", "262145"}, nil, []string{"-max-head is 262145", "1024 to 262144"}},
		{"max-body negative", []string{"-max-body", "-1"}, nil, []string{"-max-body is -1", "0 to 1125899906842624"}},
		{"address-connections negative", []string{"-address-connections", "-1"}, nil, []string{"-address-connections is -1", "0 to 1000000"}},
		{"address-requests too many", []string{"-address-requests", "1000001"}, nil, []string{"-address-requests is 1000001", "0 to 1000000"}},
		{"address-burst without a rate", []string{"-address-burst", "5"}, nil, []string{"-address-burst is 5", "-address-requests is 0"}},
		{"address-exempt no network", []string{"-address-exempt", "10.0.0.0/8,localhost"}, nil, []string{"-address-exempt", "networks", "localhost"}},
		{"address-exempt in IPv6", []string{"-address-exempt", "::ffff:10.0.0.0/104"}, nil, []string{"-address-exempt", "::ffff:10.0.0.0/104"}},
		{"log-level", []string{"-log-level", "loud"}, nil, []string{`-log-level is "loud"`, "debug, info, warn or error"}},
		{"log-format", []string{"-log-format", "xml"}, nil, []string{`-log-format is "xml"`, "text or json"}},
		{"unknown flag", []string{"-share"}, nil, []string{"-share"}},
		{"argument", []string{"localhost"}, nil, []string{`unexpected argument "localhost"`, "-help"}},
		{"environment", nil, map[string]string{"MARQUEE_EDGE_LOOPS": "0"}, []string{"-loops is 0"}},
		{"file", []string{"-config", file("hold-timeout 1s\n")}, nil, []string{"-hold-timeout is 1s"}},
		{"file with an unknown flag", []string{"-config", file("colour red\n")}, nil, []string{"colour"}},
		{"no such file", []string{"-config", filepath.Join(t.TempDir(), "none.conf")}, nil, []string{"none.conf"}},
		{"all at once", []string{"-loops", "0", "-log-format", "xml"}, nil, []string{"-loops is 0", `-log-format is "xml"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			cfg, err := parseConfig(append([]string{"-origin", "localhost"}, tt.args...), io.Discard)
			if err == nil {
				t.Fatalf("parseConfig(%q) = %+v, want an error", tt.args, cfg)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("parseConfig(%q): %q, want it to have %q", tt.args, err, want)
				}
			}
		})
	}
}

// The proxy in front signs; here its public key is enough.
func TestUpstreamKeyCanBePublic(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "proxy.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	clearEnv(t)
	c, err := parseConfig([]string{"-origin", "127.0.0.1:1", "-upstream-key", "file:" + file}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.upstreamKey.String(), "ES256 key"; got != want {
		t.Errorf("upstream key is %s, want %s", got, want)
	}
}

func TestConfigSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.conf")
	text := "# where\nlisten 127.0.0.1:3,127.0.0.1:4\norigin file.example\nhold-timeout 20s\nshare-all\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		env    map[string]string
		listen []string
		origin string
		hold   time.Duration
		share  bool
	}{
		{"defaults", []string{"-origin", "a"}, nil, []string{":7999"}, "a:80", 55 * time.Second, false},
		{"flags", []string{"-origin", "a:8080", "-listen", ":1", "-listen", ":2", "-hold-timeout", "5s", "-share-all"}, nil,
			[]string{":1", ":2"}, "a:8080", 5 * time.Second, true},
		{"environment", nil, map[string]string{"MARQUEE_EDGE_ORIGIN": "env.example", "MARQUEE_EDGE_LISTEN": ":5, :6", "MARQUEE_EDGE_SHARE_ALL": "true"},
			[]string{":5", ":6"}, "env.example:80", 55 * time.Second, true},
		{"file", []string{"-config", path}, nil, []string{"127.0.0.1:3", "127.0.0.1:4"}, "file.example:80", 20 * time.Second, true},
		{"flag before environment before file", []string{"-config", path, "-listen", ":1"},
			map[string]string{"MARQUEE_EDGE_ORIGIN": "env.example", "MARQUEE_EDGE_LISTEN": ":5"},
			[]string{":1"}, "env.example:80", 20 * time.Second, true},
		{"origin IPv6", []string{"-origin", "::1"}, nil, []string{":7999"}, "[::1]:80", 55 * time.Second, false},
		{"origin IPv6 in brackets", []string{"-origin", "[::1]"}, nil, []string{":7999"}, "[::1]:80", 55 * time.Second, false},
		{"origin IPv6 with port", []string{"-origin", "[::1]:8080"}, nil, []string{":7999"}, "[::1]:8080", 55 * time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			c, err := parseConfig(tt.args, io.Discard)
			if err != nil {
				t.Fatalf("parseConfig(%q): %v", tt.args, err)
			}
			if !reflect.DeepEqual(c.Listen, tt.listen) || c.Origin != tt.origin || c.HoldTimeout != tt.hold || c.ShareAll != tt.share {
				t.Errorf("parseConfig(%q) = listen %q, origin %s, hold-timeout %v, share-all %v; want %q, %s, %v, %v",
					tt.args, c.Listen, c.Origin, c.HoldTimeout, c.ShareAll, tt.listen, tt.origin, tt.hold, tt.share)
			}
		})
	}
}

// Every flag stands in the help, and every one that the issue of this command
// promises is there.
func TestHelp(t *testing.T) {
	clearEnv(t)
	var help bytes.Buffer
	if err := run(context.Background(), []string{"-help"}, io.Discard, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("run(-help): %v, want flag.ErrHelp", err)
	}
	for _, name := range []string{"listen", "listen-tls", "tls-cert", "tls-key", "control", "origin", "share-all", "max-open-requests", "origin-timeout", "loops",
		"max-connections", "hold-timeout", "drain-timeout", "sig-iss", "sig-key", "log-level", "log-format", "version", "config"} {
		if !strings.Contains(help.String(), "  -"+name) {
			t.Errorf("the help does not have -%s:\n%s", name, &help)
		}
	}
}

func TestVersion(t *testing.T) {
	clearEnv(t)
	var stdout bytes.Buffer
	if err := run(context.Background(), []string{"-version"}, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "edge " + version + "\n"; stdout.String() != want {
		t.Errorf("edge -version prints %q, want %q", &stdout, want)
	}
}

// A limit on open files that is too low for what was asked is told, and is not
// exceeded by the default.
func TestConnectionsByFileLimit(t *testing.T) {
	c := &Config{MaxOpenRequests: 100}
	limit, warning := c.connections()
	if limit < 1 || warning != "" {
		t.Errorf("by default %d connections, warning %q", limit, warning)
	}
	c.MaxConnections = limit
	if got, warning := c.connections(); got != limit || warning != "" {
		t.Errorf("-max-connections %d: %d connections, warning %q, want no warning", limit, got, warning)
	}
	c.MaxConnections = limit + 1
	if got, warning := c.connections(); got != limit+1 || !strings.Contains(warning, "-max-connections") {
		t.Errorf("-max-connections %d: %d connections, warning %q, want one that names the flag", limit+1, got, warning)
	}
}

// Running fails, and leaves nothing, where it cannot listen.
func TestListenFails(t *testing.T) {
	taken := startEdge(t, "127.0.0.1:1", nil)
	control := strings.TrimPrefix(taken.control, "http://")
	for _, tt := range []struct{ name, flag, address, want string }{
		{"clients", "-listen", taken.address, "listen for clients on " + taken.address},
		{"control", "-control", control, "listen for control on " + control},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantNoLeaks(t)
			err := run(context.Background(), []string{"-origin", "localhost", "-listen", "127.0.0.1:0",
				"-control", "127.0.0.1:0", tt.flag, tt.address}, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// The flags with which the service unit starts the edge, and its file, are good.
func TestDeployedFlags(t *testing.T) {
	clearEnv(t)
	unit, err := os.ReadFile("../deploy/marquee-edge.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	for _, name := range []string{"sig-key", "control-key"} {
		if !strings.Contains(string(unit), "\nLoadCredential="+name+":") {
			t.Errorf("no LoadCredential= for %s", name)
		}
		if err := os.WriteFile(filepath.Join(keys, name), []byte(strings.Repeat("0f", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(string(unit), "\nExecStart=/usr/local/lib/marquee/edge ")
	line, _, _ := strings.Cut(rest, "\n")
	line = strings.NewReplacer("%d", keys, "/etc/marquee/edge.conf", "../deploy/edge.conf").Replace(line)
	c, err := parseConfig(strings.Fields(line), io.Discard)
	if err != nil {
		t.Fatalf("parseConfig(%q): %v", line, err)
	}
	if c.key.IsZero() || c.controlKey.IsZero() || !c.ShareAll {
		t.Errorf("keys %v and %v, share-all %t, want two keys and share-all", c.key, c.controlKey, c.ShareAll)
	}
	_, rest, _ = strings.Cut(string(unit), "\nTimeoutStopSec=")
	seconds, _, _ := strings.Cut(rest, "\n")
	if stop, err := time.ParseDuration(seconds + "s"); err != nil || stop < c.DrainDelay+c.DrainTimeout+5*time.Second {
		t.Errorf("TimeoutStopSec=%s, %v: too short for a delay of %v and a drain of %v", seconds, err, c.DrainDelay, c.DrainTimeout)
	}
}
