package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

// nchanModule is where Debian's package has the module for nginx.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nchanSettings is nginx's configuration: the words in capitals are replaced.
const nchanSettings = `load_module MODULE;
USER
daemon off;
pid DIR/nginx.pid;
error_log stderr error;
worker_processes 2;
worker_rlimit_nofile 20000;
events { worker_connections 19500; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_buffer_size 128k;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	nchan_shared_memory_size 256M;
	server {
		listen ADDR reuseport backlog=65535;
		TLS
		location = /poll {
			nchan_subscriber longpoll;
			nchan_channel_id $arg_id;
			nchan_subscriber_first_message newest;
			nchan_subscriber_timeout 300s;
			gzip on;
			gzip_types *;
		}
		location = /events {
			nchan_subscriber eventsource;
			nchan_channel_id $arg_id;
			nchan_subscriber_first_message newest;
		}
		location = /publish {
			nchan_publisher;
			nchan_channel_id $arg_id;
		}
	}
}
`

// nchanContender is nginx with the module nchan, of the packages.
func nchanContender() *contender {
	return &contender{
		name: "nchan", polls: true, streams: true, tls: true, each: true, maxBody: 64 << 10,
		find: findNchan, start: startNchan,
	}
}

func findNchan() (string, []string, error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return "", nil, missing("nginx", "make bench-setup, or Debian's nginx-light")
	}
	if _, err := os.Stat(nchanModule); err != nil {
		return "", nil, missing(nchanModule, "make bench-setup, or Debian's libnginx-mod-nchan")
	}
	version, err := firstLine(nginx, "-v")
	if err != nil {
		return "", nil, err
	}
	version = strings.TrimPrefix(version, "nginx version: ")
	if module, err := firstLine("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"); err == nil {
		version += ", nchan " + module
	}
	var settings []string
	for line := range strings.Lines(nchanSettings) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		for _, name := range []string{"worker_", "listen", "keepalive_requests", "client_body_buffer_size", "nchan_sub", "nchan_shared", "gzip"} {
			if strings.HasPrefix(line, name) {
				settings = append(settings, line)
			}
		}
	}
	return version, settings, nil
}

func startNchan(ctx context.Context, stderr io.Writer, a arena) (*entrant, error) {
	e, err := newEntrant("nchan")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return e.abandon(err)
	}
	user, secure := "", ""
	if os.Getuid() == 0 {
		user = "user root;" // the workers are to reach the directory
	}
	if a.cert != nil {
		secure = fmt.Sprintf("listen %s ssl reuseport backlog=65535; ssl_certificate %s; ssl_certificate_key %s;", addrs[1], a.cert.cert, a.cert.key)
		e.secureURL = at("https://" + addrs[1] + "/events?id=")
	}
	config := strings.NewReplacer("MODULE", nchanModule, "USER", user, "DIR", e.dir, "ADDR", addrs[0], "TLS", secure).Replace(nchanSettings)
	if err := os.WriteFile(e.file("nginx.conf"), []byte(config), 0o600); err != nil {
		return e.abandon(fmt.Errorf("write the configuration of nginx: %w", err))
	}
	e.process, err = start(stderr, program{path: "nginx", args: []string{"-p", e.dir, "-e", "stderr", "-c", e.file("nginx.conf")}})
	if err == nil {
		err = e.awaitListening(ctx, addrs[0])
	}
	if err != nil {
		return e.abandon(err)
	}
	e.pollURL = at("http://" + addrs[0] + "/poll?id=")
	e.streamURL = at("http://" + addrs[0] + "/events?id=")
	publish := at("http://" + addrs[0] + "/publish?id=")
	header := http.Header{"Content-Type": {"application/json"}}
	e.publish = func(ctx context.Context, channel string, b *bulletin) error {
		_, err := e.post(ctx, publish(channel), header, b.json)
		return err
	}
	return e, nil
}
