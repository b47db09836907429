package main

import (
	"context"
	"crypto/rand"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// centrifugoContender is Centrifugo, built into dir, with server-sent events as its
// unidirectional transport.
func centrifugoContender(dir string) *contender {
	path := filepath.Join(dir, "centrifugo")
	return &contender{
		name: "centrifugo", streams: true, tls: true, each: true, maxBody: 64 << 10,
		find: func() (string, []string, error) {
			version, err := moduleVersion(path, "github.com/centrifugal/centrifugo/v5")
			return version, []string{"uni_sse", "allow_anonymous_connect_without_token", "allow_subscribe_for_anonymous", "allow_subscribe_for_client", "no history", "log_level error"}, err
		},
		start: func(ctx context.Context, stderr io.Writer, a arena) (*entrant, error) {
			return startCentrifugo(ctx, stderr, path, a)
		},
	}
}

func startCentrifugo(ctx context.Context, stderr io.Writer, path string, a arena) (*entrant, error) {
	e, err := newEntrant("centrifugo")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2) // for clients and for publishers
	if err != nil {
		return e.abandon(err)
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return e.abandon(err)
	}
	_, internalPort, err := net.SplitHostPort(addrs[1])
	if err != nil {
		return e.abandon(err)
	}
	key := rand.Text()
	settings := map[string]any{
		"address": host, "port": port, "internal_port": internalPort,
		"api_key": key, "log_level": "error", "usage_stats_disable": true,
		"uni_sse": true, "allow_anonymous_connect_without_token": true,
		"allow_subscribe_for_anonymous": true, "allow_subscribe_for_client": true,
	}
	scheme := "http"
	if a.cert != nil {
		scheme = "https"
		settings["tls"], settings["tls_external"] = true, true
		settings["tls_cert"], settings["tls_key"] = a.cert.cert, a.cert.key
	}
	text, err := json.Marshal(settings)
	if err == nil {
		err = os.WriteFile(e.file("config.json"), text, 0o600)
	}
	if err != nil {
		return e.abandon(fmt.Errorf("write the configuration of centrifugo: %w", err))
	}
	e.process, err = start(stderr, program{path: path, args: []string{"--config", e.file("config.json")}})
	for _, addr := range addrs {
		if err == nil {
			err = e.awaitListening(ctx, addr)
		}
	}
	if err != nil {
		return e.abandon(err)
	}
	stream := func(channel string) string {
		// What a client sends to connect, with its subscription.
		return scheme + "://" + addrs[0] + "/connection/uni_sse?cf_connect=" + escape(fmt.Sprintf(`{"subs":{%q:{}}}`, channel))
	}
	if a.cert != nil {
		e.secureURL = stream
	} else {
		e.streamURL = stream
	}
	e.publishCentrifugo("http://"+addrs[1]+"/api/publish", key)
	return e, nil
}

// publishCentrifugo says that the entrant takes messages at this address from who
// has the key.
func (e *entrant) publishCentrifugo(to, key string) {
	header := http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {key}}
	e.publish = func(ctx context.Context, channel string, b *bulletin) error {
		// Not by json.Marshal, which would take the spaces out of the headline.
		answer, err := e.post(ctx, to, header, fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, b.json))
		if err != nil {
			return err
		}
		var result struct {
			Error json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(answer, &result); err != nil || result.Error != nil {
			return fmt.Errorf("publish to %s: %.200s", to, answer)
		}
		return nil
	}
}

// moduleVersion returns the version of a module that the program at path is built of.
func moduleVersion(path, module string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", missing(path, "make bench-setup")
	}
	if info.Main.Path == module {
		return info.Main.Version, nil
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version, nil
		}
	}
	return "", fmt.Errorf("%s is not built of %s: make bench-setup", path, module)
}
