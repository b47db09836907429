package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// clearEnv hides the environment's own settings from the test.
func clearEnv(t *testing.T) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, "")
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	clearEnv(t)
	cfg, err := parseConfig(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := &config{listen: ":8090", capacity: -1, nodeCapacity: 5000, regions: fourRegions, logFormat: "text"}
	want.bus.URL = "nats://127.0.0.1:4222"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("defaults are %+v, want %+v", cfg, want)
	}
}

func TestConfigSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dashboard.conf")
	if err := os.WriteFile(file, []byte("# of the demonstration\ncapacity 3\nnats nats://file:1\nspawn local\nregions a, b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name         string
		args         []string
		env          map[string]string
		wantCapacity int
		wantNATS     string
		wantSpawn    bool
	}{
		{"flags", []string{"-capacity", "1", "-nats", "nats://flag:1", "-spawn", "local"}, nil, 1, "nats://flag:1", true},
		{"zero is a capacity", []string{"-capacity", "0"}, nil, 0, "nats://127.0.0.1:4222", false},
		{"environment", nil, map[string]string{"MARQUEE_DASHBOARD_CAPACITY": "2", "MARQUEE_DASHBOARD_NATS": "nats://env:1"}, 2, "nats://env:1", false},
		{"file", []string{"-config", file}, nil, 3, "nats://file:1", true},
		{"flags before environment before file", []string{"-config", file, "-capacity", "1"}, map[string]string{"MARQUEE_DASHBOARD_CAPACITY": "2", "MARQUEE_DASHBOARD_NATS": "nats://env:1"}, 1, "nats://env:1", true},
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
			if cfg.capacity != tt.wantCapacity || cfg.bus.URL != tt.wantNATS || cfg.spawn != tt.wantSpawn {
				t.Errorf("parseConfig(%q) = capacity %d, nats %s, spawn %t; want %d, %s, %t",
					tt.args, cfg.capacity, cfg.bus.URL, cfg.spawn, tt.wantCapacity, tt.wantNATS, tt.wantSpawn)
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"-lisen", ":1"}, "-lisen"},
		{"argument", []string{"serve"}, `unexpected argument "serve"`},
		{"no NATS", []string{"-nats", ""}, "-nats is empty"},
		{"certificate without key", []string{"-nats-cert", "c"}, "-nats-cert and -nats-key come together"},
		{"listen without port", []string{"-listen", "localhost"}, `-listen "localhost": want host:port`},
		{"listen with port too big", []string{"-listen", ":65536"}, `-listen ":65536": port must be 0 to 65535`},
		{"capacity negative", []string{"-capacity", "-1"}, "capacity must be a number from 0 to 20000000"},
		{"capacity too big", []string{"-capacity", "20000001"}, "capacity must be a number from 0 to 20000000"},
		{"capacity no number", []string{"-capacity", "many"}, "capacity must be a number"},
		{"capacity that one machine cannot start", []string{"-spawn", "local", "-capacity", "20000000"}, "-capacity 20000000: that needs 4000 edges and as many client groups, and -spawn local starts 256 of each at most"},
		{"node-capacity zero", []string{"-node-capacity", "0"}, "-node-capacity 0: must be 1 to 1000000"},
		{"no regions", []string{"-regions", ""}, `-regions "": a region is 1 to 64`},
		{"empty region", []string{"-regions", "a,,b"}, "a region is 1 to 64"},
		{"region with a space", []string{"-regions", "a b"}, "a region is 1 to 64"},
		{"region with a slash at its end", []string{"-regions", "a/"}, "a region is 1 to 64"},
		{"region too long", []string{"-regions", strings.Repeat("a", 65)}, "a region is 1 to 64"},
		{"region twice", []string{"-regions", "a,b,a"}, `-regions "a,b,a": a is there twice`},
		{"spawn", []string{"-spawn", "cloud"}, `-spawn "cloud": must be local, or empty`},
		{"admin-token too short", []string{"-admin-token", "secretsecretsec"}, "-admin-token has 15 characters: must be 16 or more"},
		{"log-level", []string{"-log-level", "loud"}, `-log-level "loud": must be debug, info, warn or error`},
		{"log-format", []string{"-log-format", "xml"}, `-log-format "xml": must be text or json`},
		{"config missing", []string{"-config", filepath.Join(t.TempDir(), "none")}, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnv(t)
			cfg, err := parseConfig(tt.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("parseConfig(%q) = %+v, %v, want an error with %q", tt.args, cfg, err, tt.want)
			}
			if strings.Contains(err.Error(), "secretsecretsec") {
				t.Errorf("parseConfig(%q) shows the token: %v", tt.args, err)
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
	for _, name := range []string{"-nats", "-listen", "-capacity", "-node-capacity", "-regions", "-spawn", "-admin-token", "-log-level", "-log-format", "-version", "-config", envPrefix} {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("help does not have %s:\n%s", name, &stdout)
		}
	}
}
