package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/golang-jwt/jwt/v5"
)

// mercureKey names the environment variable that tells the hub the key of its
// publishers.
const mercureKey = "MERCURE_PUBLISHER_KEY"

// mercureContender is Mercure's hub, built into dir, see bench/mercure.
func mercureContender(dir string) *contender {
	path := filepath.Join(dir, "mercure")
	return &contender{
		name: "mercure", streams: true, tls: true, each: true, maxBody: 64 << 10,
		find: func() (string, []string, error) {
			version, err := moduleVersion(path, "github.com/dunglas/mercure")
			return version, []string{"its hub as a library, on net/http", "anonymous subscribers", "no history"}, err
		},
		start: func(ctx context.Context, stderr io.Writer, a arena) (*entrant, error) {
			return startMercure(ctx, stderr, path, a)
		},
	}
}

func startMercure(ctx context.Context, stderr io.Writer, path string, a arena) (*entrant, error) {
	e, err := newEntrant("mercure")
	if err != nil {
		return nil, err
	}
	key := rand.Text()
	args := []string{"-listen", "127.0.0.1:0"}
	if a.cert != nil {
		args = append(args, "-listen-tls", "127.0.0.1:0", "-tls-cert", a.cert.cert, "-tls-key", a.cert.key)
	}
	var addrs ready
	e.process, addrs, err = startServer(ctx, childLog(stderr), program{path: path, args: args, env: []string{mercureKey + "=" + key}})
	if err != nil {
		return e.abandon(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"mercure": map[string]any{"publish": []string{"*"}},
	}).SignedString([]byte(key))
	if err != nil {
		return e.abandon(fmt.Errorf("sign a token for the publisher: %w", err))
	}
	const hub = "/.well-known/mercure"
	e.streamURL = at("http://" + addrs.Listen + hub + "?topic=")
	if a.cert != nil {
		e.secureURL = at("https://" + addrs.ListenTLS + hub + "?topic=")
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {"Bearer " + token}}
	e.publish = func(ctx context.Context, channel string, b *bulletin) error {
		form := url.Values{"topic": {channel}, "data": {string(b.json)}}.Encode()
		_, err := e.post(ctx, "http://"+addrs.Listen+hub, header, []byte(form))
		return err
	}
	return e, nil
}
