package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nchanModule is where Debian's package puts it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nginxConfig is one with nchan: long polls, streams, and where to publish. The
// argument id names the channel. There is one worker, since what is published before
// the last of several runs may get lost.
const nginxConfig = `
load_module %s;
worker_processes 1;
daemon off;
pid pid;
error_log stderr;
events { worker_connections 1000; }
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	client_body_buffer_size 256k;
	server {
		listen %s;
		nchan_channel_id $arg_id;
		nchan_subscriber_first_message newest;
		location /poll { nchan_subscriber longpoll; }
		location /events { nchan_subscriber eventsource; }
		location /publish { nchan_publisher; }
	}
}
`

// startNginx starts nginx with nchan, and returns its URL. It skips the test when
// there is none.
func startNginx(t *testing.T) string {
	t.Helper()
	nginx, err := exec.LookPath("/usr/sbin/nginx")
	if err == nil {
		_, err = os.Stat(nchanModule)
	}
	if err != nil {
		t.Skipf("the real nchan is not tested: %v. Install it: apt-get install nginx-light libnginx-mod-nchan", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, nchanModule, l.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(nginx, "-p", dir, "-c", file, "-e", "stderr")
	// As it hands its sockets to its successor: it listens before it runs.
	c.ExtraFiles = []*os.File{socket}
	c.Env = append(os.Environ(), "NGINX=3;")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", &stderr)
		}
	})
	return "http://" + l.Addr().String()
}

// publishTo returns what publishes to nchan's channels of those ids.
func publishTo(nginx string, ids ...string) func(message []byte) error {
	return func(message []byte) error {
		for _, id := range ids {
			r, err := http.Post(nginx+"/publish?id="+id, "application/json", bytes.NewReader(message))
			if err != nil {
				return err
			}
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || r.StatusCode/100 != 2 {
				return fmt.Errorf("publish to %s: %s %s, %v", id, r.Status, b, err)
			}
		}
		return nil
	}
}

// TestNchan has clients of the real nchan get changes.
func TestNchan(t *testing.T) {
	const clients, changes = 20, 3
	for _, tt := range []struct {
		name, path, flags string
		channels          int // 0: one for all
	}{
		{"polls", "/poll?id=c", "", 0},
		{"polls, 64 KB", "/poll?id=c", "-size 65536 -gzip", 0},
		{"polls, a channel a client", "/poll?id=c{client}", "", clients},
		{"streams", "/events?id=c", "-stream", 0},
		{"streams, 64 KB", "/events?id=c", "-stream -size 65536", 0},
		{"streams, a channel a client", "/events?id=c{client}", "-stream", clients},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nginx := startNginx(t)
			ids := []string{"c"}
			for i := range tt.channels {
				ids = append(ids, fmt.Sprintf("c%d", i))
			}
			post := startPublisher(t, publishTo(nginx, ids[min(1, tt.channels):]...))
			post.id, post.newest = 0, nil // so that the first is to be made
			flags := append([]string{"-speaks", "nchan", "-c", fmt.Sprint(clients), "-changes", fmt.Sprint(changes),
				"-url", nginx + tt.path, "-post", post.URL,
				"-repoll-delay", "0s", "-repoll-jitter", "0s", "-every", "0s"}, strings.Fields(tt.flags)...)
			cfg, err := parseConfig(flags, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := mustLoad(t, cfg)
			if len(s.Changes) != changes || s.Reconnects > 0 {
				t.Errorf("%d changes, %d reconnects", len(s.Changes), s.Reconnects)
			}
		})
	}
}
