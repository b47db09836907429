package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "loadclient.conf")
	if err := os.WriteFile(file, []byte("c 7\nrepoll-delay 3s\nreconnect\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MARQUEE_LOADCLIENT_RATE", "123")
	for _, tt := range []struct {
		name string
		args string
		want func(config) bool
	}{
		{"defaults, with -c", "-c 5000", func(c config) bool {
			return c.clients == 5000 && c.url.String() == "http://127.0.0.1:7999/headline/value/" &&
				c.repollDelay == 2*time.Second && c.repollJitter == time.Second && c.requestTimeout == time.Minute &&
				!c.reconnect && c.post == "" && c.every == 5*time.Second && c.changes == 3 && c.json == ""
		}},
		{"environment", "", func(c config) bool { return c.rate == 123 }},
		{"flag before environment", "-rate 9", func(c config) bool { return c.rate == 9 }},
		{"file", "-config " + file, func(c config) bool { return c.clients == 7 && c.repollDelay == 3*time.Second && c.reconnect }},
		{"flag before file", "-c 8 -config " + file, func(c config) bool { return c.clients == 8 }},
		{"watching waits for rests", "", func(c config) bool { return c.deliverWithin == 13*time.Second && c.changesWanted() == 0 }},
		{"posting does not", "-post http://h/", func(c config) bool { return c.deliverWithin == 10*time.Second && c.changesWanted() == 3 }},
		{"streams", "-stream", func(c config) bool { return c.stream && c.url.String() == "http://127.0.0.1:7999/headline/events/" }},
		{"streams elsewhere", "-stream -url http://h/x", func(c config) bool { return c.stream && c.url.String() == "http://h/x" }},
		{"speaks as ever", "", func(c config) bool { return c.dialect.name == "headline" && c.settle == 0 && !c.gzip && c.size == 0 }},
		{"speaks nchan", "-speaks nchan -gzip", func(c config) bool { return c.dialect.name == "nchan" && c.settle == time.Second && c.gzip }},
		{"speaks mercure", "-speaks mercure -stream", func(c config) bool { return c.dialect.name == "mercure" && c.stream }},
		{"as large as can be", "-size 65536", func(c config) bool { return c.size == 64<<10 }},
		{"default port", "-url http://h/x", func(c config) bool { return c.hostport() == "h:80" }},
		{"IPv6", "-url http://[::1]:81/x", func(c config) bool { return c.hostport() == "[::1]:81" }},
		{"stands alone", "", func(c config) bool { return c.nats.URL == "" && c.watching() && c.logFormat == "text" }},
		{"a group", "-nats nats://h -region r -nats-cert c -nats-key k", func(c config) bool {
			return c.nats.URL == "nats://h" && strings.HasPrefix(c.nats.Name, "group-") && strings.HasSuffix(c.nats.Name, fmt.Sprintf("-%d", os.Getpid())) &&
				c.nats.Cert == "c" && c.nats.Key == "k" && c.region == "r" && c.clients == 5000 && !c.watching()
		}},
		{"a group with a name", "-nats nats://h -name n", func(c config) bool { return c.nats.Name == "n" }},
		{"waiting within", "-c 25 -rate 10 -request-timeout 1s", func(c config) bool { return c.waitingWithin() == (2+3+65+3)*time.Second }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parseConfig(strings.Fields(tt.args), nil)
			if err != nil || !tt.want(c) {
				t.Errorf("parseConfig(%q) = %+v, %v", tt.args, c, err)
			}
		})
	}
}

func TestParseConfigErrors(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-c 0", "-c 0: must be 1 to 1000000"},
		{"-c x", `invalid value "x" for flag -c`},
		{"-rate -1", "-rate -1: must be 0 to 1000000"},
		{"-changes -1", "-changes -1: must be 0 to"},
		{"-repoll-delay -1s", "-repoll-delay -1s: must be 0s to 24h0m0s"},
		{"-repoll-jitter -1s", "-repoll-jitter -1s: must be 0s to"},
		{"-request-timeout 0s", "-request-timeout 0s: must be 1ms to"},
		{"-every 25h", "-every 25h0m0s: must be 0s to"},
		{"-url https://h/", `-url "https://h/": must be http://host[:port]/path`},
		{"-url h:80", "-url"},
		{"-url http://:80/", "-url"},
		{"-url http://u:p@h/", "-url"},
		{"-post h", `-post "h": must be`},
		{"-log-format xml", "-log-format \"xml\": must be text or json"},
		{"-nats nats://h -url http://h/", "-nats and -url exclude each other"},
		{"-nats nats://h -post http://h/", "-nats and -post exclude each other"},
		{"-nats nats://h -every 1s", "-nats and -every exclude each other"},
		{"-nats nats://h -changes 1", "-nats and -changes exclude each other"},
		{"-nats nats://h -stream", "-nats and -stream exclude each other"},
		{"-nats nats://h -speaks nchan", "-nats and -speaks exclude each other"},
		{"-nats nats://h -size 100", "-nats and -size exclude each other"},
		{"-nats nats://h -gzip", "-nats and -gzip exclude each other"},
		{"-speaks x", `-speaks "x": must be one of headline, nchan, centrifugo, mercure`},
		{"-speaks mercure", "-speaks mercure needs -stream"},
		{"-speaks centrifugo", "-speaks centrifugo needs -stream"},
		{"-gzip -stream", "-gzip and -stream exclude each other"},
		{"-size 99", "-size 99: must be 0, or 100 to 65536"},
		{"-size 65537", "-size 65537: must be 0, or 100 to 65536"},
		{"-url http://h{client}/", "-url"},
		{"-nats nats://h -json x", "-nats and -json exclude each other"},
		{"-audit -post http://h/", "-audit excludes -post, -json and -nats"},
		{"-audit -json x", "-audit excludes -post, -json and -nats"},
		{"-audit -nats nats://h", "-audit excludes -post, -json and -nats"},
		{"-region r", "-region needs -nats"},
		{"-name n", "-name needs -nats"},
		{"-nats-creds f", "need -nats"},
		{"-nats nats://h -nats-cert f", "-nats-cert and -nats-key come together"},
		{"5000", `unexpected argument "5000"`},
		{"-config nowhere", "nowhere"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			_, err := parseConfig(strings.Fields(tt.args), nil)
			if !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseConfig(%q): %v, want a usage error with %q", tt.args, err, tt.want)
			}
		})
	}
}

func TestParseConfigHelp(t *testing.T) {
	var out strings.Builder
	if _, err := parseConfig([]string{"-h"}, &out); err != flag.ErrHelp || !strings.Contains(out.String(), "-repoll-delay") {
		t.Errorf("-h: %v, %q", err, out.String())
	}
}
