package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"marquee/bus"
)

// clearEnv hides the environment's own settings from the test.
func clearEnv(t *testing.T) {
	t.Setenv("GRIP_URL", "")
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, "")
		}
	}
}

// edgeNames returns what cfg publishes to.
func edgeNames(cfg *config) []string {
	var names []string
	for _, ep := range cfg.edges {
		names = append(names, ep.Name)
	}
	return names
}

func TestConfigDefaults(t *testing.T) {
	clearEnv(t)
	cfg, err := parseConfig(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := &config{
		listen:    ":8080",
		store:     storeConfig{bus: bus.Config{Name: "origin"}, dir: "headline-data", listen: "127.0.0.1:4222"},
		keepAlive: 15 * time.Second,
		logLevel:  slog.LevelInfo, logFormat: "text",
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("defaults are %+v, want %+v", cfg, want)
	}
}

func TestConfigSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "origin.conf")
	if err := os.WriteFile(file, []byte("# edges\nedge http://c:1\nedge http://d:1\nhold-timeout 20s\nlisten :3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		args        []string
		env         map[string]string
		wantListen  string
		wantEdges   []string
		wantTimeout time.Duration
	}{
		{name: "flags", args: []string{"-listen", ":1", "-edge", "http://a:1/", "-edge", "http://b:1", "-hold-timeout", "5s"},
			wantListen: ":1", wantEdges: []string{"http://a:1", "http://b:1"}, wantTimeout: 5 * time.Second},
		{name: "environment", env: map[string]string{"MARQUEE_ORIGIN_LISTEN": ":2", "MARQUEE_ORIGIN_EDGE": "http://a:1 http://b:1", "MARQUEE_ORIGIN_HOLD_TIMEOUT": "10s"},
			wantListen: ":2", wantEdges: []string{"http://a:1", "http://b:1"}, wantTimeout: 10 * time.Second},
		{name: "file", args: []string{"-config", file},
			wantListen: ":3", wantEdges: []string{"http://c:1", "http://d:1"}, wantTimeout: 20 * time.Second},
		{name: "flags before environment before file", args: []string{"-config", file, "-listen", ":1"}, env: map[string]string{"MARQUEE_ORIGIN_LISTEN": ":2", "MARQUEE_ORIGIN_EDGE": "http://a:1"},
			wantListen: ":1", wantEdges: []string{"http://a:1"}, wantTimeout: 20 * time.Second},
		{name: "GRIP_URL counts as one more", args: []string{"-edge", "http://a:1"}, env: map[string]string{"GRIP_URL": "http://b:1/grip/?iss=me&key=k"},
			wantListen: ":8080", wantEdges: []string{"http://a:1", "http://b:1/grip"}},
		{name: "GRIP_URL counts once", args: []string{"-edge", "http://a:1/"}, env: map[string]string{"GRIP_URL": "http://a:1"},
			wantListen: ":8080", wantEdges: []string{"http://a:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			cfg, err := parseConfig(tt.args, io.Discard)
			if err != nil {
				t.Fatalf("parseConfig(%q): %v", tt.args, err)
			}
			if cfg.listen != tt.wantListen || cfg.holdTimeout != tt.wantTimeout || !reflect.DeepEqual(edgeNames(cfg), tt.wantEdges) {
				t.Errorf("parseConfig(%q) = listen %s, hold-timeout %s, edges %v; want %s, %s, %v",
					tt.args, cfg.listen, cfg.holdTimeout, edgeNames(cfg), tt.wantListen, tt.wantTimeout, tt.wantEdges)
			}
		})
	}
}

func TestConfigSigKeys(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want int
	}{
		{"none", []string{"-edge", "http://a:1"}, 0},
		{"of the control URLs", []string{"-edge", "http://a:1?key=x", "-edge", "http://b:1", "-edge", "http://c:1?key=x&verify-key=y"}, 2},
		{"the flag overrides them", []string{"-edge", "http://a:1?key=x", "-edge", "http://c:1?key=x", "-sig-key", "z"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			cfg, err := parseConfig(tt.args, io.Discard)
			if err != nil || len(cfg.sigKeys) != tt.want {
				t.Errorf("parseConfig(%q): %d keys, %v, want %d", tt.args, len(cfg.sigKeys), err, tt.want)
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"unknown flag", []string{"-lisen", ":1"}, nil, "-lisen"},
		{"argument", []string{"serve"}, nil, `unexpected argument "serve"`},
		{"listen without port", []string{"-listen", "localhost"}, nil, `-listen "localhost": want host:port`},
		{"listen with port too big", []string{"-listen", ":65536"}, nil, `-listen ":65536": port must be 0 to 65535`},
		{"listen with port no number", []string{"-listen", ":x y"}, nil, `port must be 0 to 65535`},
		{"empty data", []string{"-data", ""}, nil, "-data must name a directory"},
		{"hold-timeout with a fraction", []string{"-hold-timeout", "1500ms"}, nil, "-hold-timeout 1.5s: must be whole seconds from 0s to 1h"},
		{"hold-timeout negative", []string{"-hold-timeout", "-1s"}, nil, "-hold-timeout -1s: must be"},
		{"hold-timeout too long", []string{"-hold-timeout", "3601s"}, nil, "-hold-timeout 1h0m1s: must be"},
		{"keep-alive with a fraction", []string{"-keep-alive", "1500ms"}, nil, "-keep-alive 1.5s: must be whole seconds from 0s to 1h"},
		{"keep-alive negative", []string{"-keep-alive", "-1s"}, nil, "-keep-alive -1s: must be"},
		{"hold-timeout without unit", nil, map[string]string{"MARQUEE_ORIGIN_HOLD_TIMEOUT": "55"}, "MARQUEE_ORIGIN_HOLD_TIMEOUT"},
		{"log-level", []string{"-log-level", "INFO+1"}, nil, `-log-level "INFO+1": must be debug, info, warn or error`},
		{"log-format", []string{"-log-format", "xml"}, nil, `-log-format "xml": must be text or json`},
		{"edge", []string{"-edge", "127.0.0.1:5561"}, nil, `-edge: control URL "127.0.0.1:5561" is not of the form http://host:port`},
		{"empty edge", []string{"-edge", " "}, nil, "want a control URL"},
		{"second of two edges", nil, map[string]string{"MARQUEE_ORIGIN_EDGE": "http://a:1 b"}, `control URL "b"`},
		{"GRIP_URL", nil, map[string]string{"GRIP_URL": "tcp://a:1"}, `GRIP_URL: control URL "tcp://a:1"`},
		{"edge with verify-iss", []string{"-edge", "http://a/?key=x&verify-iss=me"}, nil, "-edge: control URL has verify-iss"},
		{"sig-key", []string{"-sig-key", "base64:%"}, nil, "-sig-key: parse key"},
		{"config missing", []string{"-config", filepath.Join(t.TempDir(), "none")}, nil, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			cfg, err := parseConfig(tt.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseConfig(%q) = %+v, %v, want an error with %q", tt.args, cfg, err, tt.want)
			}
		})
	}
}

func TestConfigHelp(t *testing.T) {
	clearEnv(t)
	var stdout bytes.Buffer
	if _, err := parseConfig([]string{"-h"}, &stdout); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parseConfig(-h) error %v, want flag.ErrHelp", err)
	}
	for _, name := range []string{"-listen", "-data", "-edge", "-sig-key", "-hold-timeout", "-keep-alive", "-log-level", "-log-format", "-version", "-config", envPrefix} {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("help does not have %s:\n%s", name, &stdout)
		}
	}
}

// The flags and the control URL with which the service unit starts the origin are
// good.
func TestDeployedFlags(t *testing.T) {
	clearEnv(t)
	unit, err := os.ReadFile("../deploy/marquee-origin.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	for _, name := range []string{"sig-key", "control-key"} {
		if err := os.WriteFile(filepath.Join(keys, name), []byte(strings.Repeat("0f", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	value := func(before, after string) string {
		_, rest, _ := strings.Cut(string(unit), before)
		text, _, found := strings.Cut(rest, after)
		if !found {
			t.Fatalf("the unit has no %q", before)
		}
		return strings.NewReplacer("%d", keys, "%S", t.TempDir()).Replace(text)
	}
	t.Setenv("GRIP_URL", value("\nEnvironment=\"GRIP_URL=", "\"\n"))
	line := value("\nExecStart=/usr/local/lib/marquee/origin ", "\n")
	cfg, err := parseConfig(strings.Fields(line), io.Discard)
	if err != nil {
		t.Fatalf("parseConfig(%q): %v", line, err)
	}
	if len(cfg.edges) != 1 || len(cfg.sigKeys) != 1 {
		t.Errorf("%d edges and %d keys, want one of each", len(cfg.edges), len(cfg.sigKeys))
	}
	if got := cfg.edges[0].Authorization(time.Now()); !strings.HasPrefix(got, "Bearer ") {
		t.Errorf("a publish carries %q, want a signed token", got)
	}
}
