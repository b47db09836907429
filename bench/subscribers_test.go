package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Subscribers get every event, without and with TLS, and say when.
func TestSubscribers(t *testing.T) {
	const n = 20
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			nextCh := make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != eventsPath {
					t.Errorf("asked for %s, want %s", r.URL.Path, eventsPath)
				}
				fmt.Fprint(w, `data: {"id": 1}`+"\n\n")
				_ = http.NewResponseController(w).Flush()
				<-nextCh
				fmt.Fprint(w, `data: {"more":{"id":2,"body":"\\"id\\":7"}}`+"\n\n")
			}))
			var config *tls.Config
			if secure {
				s.StartTLS()
				config = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
				config.RootCAs.AddCert(s.Certificate())
			} else {
				s.Start()
			}
			defer s.Close()
			c, err := subscribe(t.Context(), s.URL+eventsPath, n, config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.leave()
			if _, _, err := c.await(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			close(nextCh)
			median, last, err := c.await(t.Context(), 2)
			if err != nil || median.Before(start) || last.Before(median) {
				t.Errorf("median %v, last %v after the start, %v", median.Sub(start), last.Sub(start), err)
			}
		})
	}
}

// Who cannot be reached is an error, and nobody stays behind.
func TestSubscribersRefused(t *testing.T) {
	addr, err := freeAddr("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := subscribe(t.Context(), eventsURL(addr), 3, nil); err == nil {
		c.leave()
		t.Error("three clients have connected to nobody")
	}
}
