package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"marquee/grip"
)

// named is an origin that holds polls and streams on c, and else says its name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/poll":
			w.Header().Set("Grip-Hold", "response")
			w.Header().Set("Grip-Channel", "c")
		case "/stream":
			w.Header().Set("Grip-Hold", "stream")
			w.Header().Set("Grip-Channel", "c")
			_, _ = io.WriteString(w, name)
		default:
			_, _ = io.WriteString(w, name)
		}
	})
}

// writeRoutes replaces a routes file as an editor does.
func writeRoutes(t *testing.T, file, text string) {
	t.Helper()
	next := file + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// waitLog waits until a record with all these texts is in the log.
func (r *rig) waitLog(texts ...string) {
	r.t.Helper()
	eventually(r.t, func() error {
	records:
		for record := range strings.Lines(r.log.String()) {
			for _, text := range texts {
				if !strings.Contains(record, text) {
					continue records
				}
			}
			return nil
		}
		return fmt.Errorf("the log has no record with %q", texts)
	})
}

// Nor does it matter what else changes in the folder, all the time.
func TestReloadInBusyFolder(t *testing.T) {
	wantNoLeaks(t)
	one, two := serve(t, named("one")), serve(t, named("two"))
	folder := t.TempDir()
	file := filepath.Join(folder, "routes")
	writeRoutes(t, file, "* "+one+"\n")
	r := startEdge(t, one, func(c *Config) { c.Origin, c.Routes = "", file })
	stopCh := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		ticker := time.NewTicker(reloadDelay / 20)
		defer ticker.Stop()
		for {
			if err := os.WriteFile(filepath.Join(folder, "log"), []byte("x"), 0o600); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-ticker.C:
			case <-stopCh:
				return
			}
		}
	})
	defer busy.Wait()
	defer close(stopCh)
	writeRoutes(t, file, "* "+two+"\n")
	r.waitLog(`"msg":"routes loaded"`)
	c := r.dial()
	c.get("/")
	c.wantAnswer(200, "two")
}

// A changed routes file counts for the requests after it; what is held goes on.
// A bad one changes nothing.
func TestReload(t *testing.T) {
	wantNoLeaks(t)
	one, two := serve(t, named("one")), serve(t, named("two"))
	file := filepath.Join(t.TempDir(), "routes")
	writeRoutes(t, file, "*,prefix=a- "+one+"\n")
	r := startEdge(t, one, func(c *Config) { c.Origin, c.Routes = "", file })
	poll, stream, c := r.dial(), r.dial(), r.dial()
	poll.get("/poll")
	stream.get("/stream")
	stream.wantStatus(200)
	stream.wantChunk("one")
	r.waitHolds(2)
	c.get("/")
	c.wantAnswer(200, "one")

	writeRoutes(t, file, "*,prefix=b- "+two+"\n")
	r.waitLog(`"msg":"routes loaded"`)
	c.get("/")
	c.wantAnswer(200, "two")
	fresh := r.dial()
	fresh.get("/stream")
	fresh.wantStatus(200)
	fresh.wantChunk("two")
	r.waitHolds(3)

	for _, tt := range []struct{ name, text, line, reason string }{
		{"no target", "# nothing\n*,prefix=c-\n", `"line":2`, "target"},
		{"unknown policy", "* " + one + "\n*,slow=later " + one + "\n", `"line":2`, "slow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			writeRoutes(t, file, tt.text)
			r.waitLog(`"level":"ERROR"`, "the old routes stay", `"file":"`+file+`"`, tt.line, tt.reason)
			c.get("/")
			c.wantAnswer(200, "two")
		})
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.waitLog(`"level":"ERROR"`, "the old ones stay")
	c.get("/")
	c.wantAnswer(200, "two")

	// Everybody who was held is, under the channels of the route that he came by.
	news := func(channel, text string) grip.Item {
		it := item(channel, "", "", text)
		it.HTTPStream = &grip.HTTPStream{Content: []byte(text)}
		return it
	}
	r.publish(news("a-c", "old news"))
	poll.wantAnswer(200, "old news")
	stream.wantChunk("old news")
	r.publish(news("b-c", "new news"))
	fresh.wantChunk("new news")
	stream.wantNothing()
}

// A route that stands in the file as before, be it on another line, keeps its
// service, with what is shared and the connections, unless a file that it names
// has changed.
func TestReloadKeepsServices(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "routes"), filepath.Join(dir, "key")
	origin := serve(t, named("one"))
	routes := func(changed string) string {
		return fmt.Sprintf("same.test %s\nkey.test,sig_key=file:%s %s\nchanged.test%s %s\n", origin, key, origin, changed, origin)
	}
	writeRoutes(t, key, "00")
	writeRoutes(t, file, routes(""))
	r := startEdge(t, origin, func(c *Config) { c.Origin, c.Routes = "", file })
	services := func() map[string]*service {
		all := make(map[string]*service)
		for rt, s := range r.edge.routing.Load().services {
			all[rt.Host] = s
		}
		return all
	}
	before := services()
	writeRoutes(t, file, "# A comment.\n"+routes(",debug"))
	eventually(t, func() error {
		if services()["changed.test"] == before["changed.test"] {
			return fmt.Errorf("the changed route has its old service")
		}
		return nil
	})
	if now := services(); now["same.test"] != before["same.test"] || now["key.test"] != before["key.test"] {
		t.Error("a route that has not changed has another service")
	}
	writeRoutes(t, key, "01")
	eventually(t, func() error {
		if services()["key.test"] == before["key.test"] {
			return fmt.Errorf("the route whose key has changed has its old service")
		}
		return nil
	})
	if services()["same.test"] != before["same.test"] {
		t.Error("a route that has not changed has another service")
	}
}

// SIGHUP reads the routes as well, those of a file that did not change too.
func TestHangup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes")
	writeRoutes(t, file, "* "+serve(t, named("one"))+"\n")
	p := startProcess(t, "", "-routes", file)
	c := p.dial()
	c.get("/")
	c.wantAnswer(200, "one")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitLog(`"msg":"routes loaded"`, `"routes":1`)
	c.get("/")
	c.wantAnswer(200, "one")
}

// The files that routes name are followed like the routes: here, the authority of
// an https origin.
func TestReloadAuthority(t *testing.T) {
	certPEM, keyPEM := authority.issue(t, "127.0.0.1", time.Hour)
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(named("secure"))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeRoutes(t, file, string(newIssuer().pem))
	wantNoLeaks(t)
	r := startEdge(t, "replaced", func(c *Config) {
		c.Origin, c.Route = "", []string{"* " + s.Listener.Addr().String() + ",ssl,trust_connect_host,ca=" + file}
	})
	c := r.dial()
	c.get("/")
	c.wantAnswer(502, "Error while proxying to origin.\n")
	r.waitLog(`"level":"WARN"`, "origin gives no good answer", "not trusted", "ca=FILE")
	writeRoutes(t, file, string(authority.pem))
	r.waitLog(`"msg":"routes loaded"`)
	c.get("/")
	c.wantAnswer(200, "secure")
	writeRoutes(t, file, "nonsense")
	r.waitLog(`"level":"ERROR"`, "the old ones stay", file)
	c.get("/")
	c.wantAnswer(200, "secure")
}
