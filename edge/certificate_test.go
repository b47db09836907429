package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shown returns the name in the certificate that a client is shown who asks for
// a name; "" for none.
func shown(address, name string) (string, error) {
	d := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(d, "tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// waitShown waits until clients are shown a certificate.
func (r *rig) waitShown(name, want string) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got, err := shown(r.secure, name); got != want || err != nil {
			return fmt.Errorf("who asks for %q is shown %q, %v, want %q", name, got, err, want)
		}
		return nil
	})
}

// The name that a client asks for chooses the certificate (RFC 6066 §3).
func TestCertificateByName(t *testing.T) {
	var args []string
	for _, name := range []string{"one.example", "two.example", "*.three.example"} {
		cert, key := authority.files(t, name, time.Hour)
		args = append(args, "-tls-cert", cert, "-tls-key", key)
	}
	r := newRig(t, http.HandlerFunc(hi), append(args, "-listen-tls", "127.0.0.1:0")...)
	for name, want := range map[string]string{
		"one.example": "one.example", "two.example": "two.example", "TWO.example": "two.example",
		"a.three.example": "*.three.example", "a.b.three.example": "one.example", "elsewhere.example": "one.example", "": "one.example",
	} {
		if got, err := shown(r.secure, name); got != want || err != nil {
			t.Errorf("who asks for %q is shown %q, %v, want %q", name, got, err, want)
		}
	}
}

// A changed certificate is shown to those who come after; a bad one changes
// nothing.
func TestCertificateReload(t *testing.T) {
	cert, key := authority.files(t, "one.example", time.Hour)
	second, secondKey := authority.files(t, "two.example", time.Hour)
	r := newRig(t, http.HandlerFunc(hi), "-listen-tls", "127.0.0.1:0",
		"-tls-cert", cert, "-tls-key", key, "-tls-cert", second, "-tls-key", secondKey)
	overTLS(t, func(c *tls.Config) { c.ServerName = "one.example" })
	c := dial(t, r.secure)
	put := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	authority.write(t, "three.example", time.Hour, cert, key)
	r.waitShown("", "three.example")
	c.get("/")
	c.wantAnswer(200, "hi /") // with the session that it has

	certPEM, keyPEM := authority.issue(t, "four.example", time.Hour)
	for _, tt := range []struct {
		name      string
		cert, key []byte
		reason    string
	}{
		{"key of another", certPEM, nil, "private key does not match public key"},
		{"no PEM", []byte("hello"), nil, "failed to find any PEM data"},
		{"files swapped", keyPEM, certPEM, "PEM inputs may have been switched"},
		{"empty", []byte{}, nil, "failed to find any PEM data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			put(cert, tt.cert)
			if tt.key != nil {
				put(key, tt.key)
			}
			r.waitLog(`"level":"ERROR"`, "the old ones stay", cert, key, tt.reason)
			r.waitShown("", "three.example")
			r.waitShown("two.example", "two.example")
		})
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	r.waitLog(`"level":"ERROR"`, "the old ones stay", cert, "no such file or directory")
	put(key, keyPEM)
	put(cert, certPEM)
	r.waitShown("", "four.example")

	authority.write(t, "five.example", -time.Hour, cert, key)
	r.waitLog(`"level":"WARN"`, "has expired", "five.example")
	r.waitShown("", "five.example")
}

// Kubernetes and certbot change files by moving a symbolic link.
func TestCertificateBehindLink(t *testing.T) {
	folder := t.TempDir()
	link := func(name string) {
		t.Helper()
		data := filepath.Join(folder, name)
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		authority.write(t, name, time.Hour, filepath.Join(data, "tls.crt"), filepath.Join(data, "tls.key"))
		if err := os.Symlink(name, filepath.Join(folder, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("one.example")
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("data", name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, http.HandlerFunc(hi), "-listen-tls", "127.0.0.1:0",
		"-tls-cert", filepath.Join(folder, "tls.crt"), "-tls-key", filepath.Join(folder, "tls.key"))
	r.waitShown("", "one.example")
	link("two.example")
	r.waitShown("", "two.example")
}

// SIGHUP reads the certificates, too.
func TestCertificateHangup(t *testing.T) {
	cert, key := authority.files(t, "localhost", time.Hour)
	p := startProcess(t, serve(t, http.HandlerFunc(hi)), "-listen-tls", "127.0.0.1:0", "-tls-cert", cert, "-tls-key", key)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := strings.Count(p.log.String(), "TLS certificate loaded"); n != 2 {
			return fmt.Errorf("the certificate has been loaded %d times, want 2", n)
		}
		return nil
	})
	p.waitShown("localhost", "localhost")
	if got := p.metric("marquee_tls_certificate_expiry_timestamp_seconds"); got < float64(time.Now().Unix()) {
		t.Errorf("the certificate expires at %v", got)
	}
}

// An edge does not start with a certificate that nobody could use.
func TestBadCertificate(t *testing.T) {
	cert, key := authority.files(t, "localhost", time.Hour)
	_, other := authority.files(t, "localhost", time.Hour)
	cfg, err := parseConfig([]string{"-origin", "localhost:1", "-listen-tls", "127.0.0.1:0", "-tls-cert", cert, "-tls-key", key,
		"-tls-cert", cert, "-tls-key", other, "-tls-cert", "/nonexistent", "-tls-key", key}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newEdge(cfg, newLogger(cfg, io.Discard))
	for _, want := range []string{"-tls-cert, -tls-key: ", other + ": tls: private key does not match public key", "open /nonexistent: no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("newEdge: %v, want it to say %q", err, want)
		}
	}
}
