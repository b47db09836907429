package interop

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the origin knows the subject by.
const (
	issuer = "interop"
	secret = "the key of subject and origin"
)

var subjectFlag = flag.String("subject", "", "what to test: edge, pushpin, or nothing if empty; `make test-interop` says edge")

// A subject is a running GRIP proxy in front of one origin.
type subject struct {
	address string // host:port for clients
	control string // URL for publishers
	pull    string // ZeroMQ specification for publishers
}

// needSubject skips the test unless a subject is asked for.
func needSubject(t *testing.T) {
	t.Helper()
	switch *subjectFlag {
	case "edge", "pushpin":
	case "":
		t.Skip("no -subject: `make test-interop` gives one")
	default:
		t.Fatalf("-subject is %q: it takes edge or pushpin", *subjectFlag)
	}
}

// startSubject starts the proxy that -subject names, in front of an origin that
// need not run yet.
func startSubject(t *testing.T, origin string) *subject {
	t.Helper()
	needSubject(t)
	if *subjectFlag == "pushpin" {
		return startPushpin(t, origin)
	}
	return startEdge(t, origin)
}

// gripURL is where the subject is, as GRIP's libraries are told, with the key of
// its signatures.
func (s *subject) gripURL() string {
	return s.control + "/?" + url.Values{
		"verify-iss": {issuer},
		"verify-key": {"base64:" + base64.StdEncoding.EncodeToString([]byte(secret))},
	}.Encode()
}

// url is the address of a path at the subject.
func (s *subject) url(path string) string { return "http://" + s.address + path }

// startEdge starts the edge that `make build` has built.
func startEdge(t *testing.T, origin string) *subject {
	t.Helper()
	path, err := filepath.Abs("../bin/edge")
	if err != nil {
		t.Fatal(err)
	}
	readyCh := make(chan *subject, 1)
	pull := "tcp://" + freeAddress(t)
	p := start(t, command{
		path: path,
		args: []string{
			"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-zmq-pull", pull,
			"-origin", origin, "-sig-iss", issuer, "-sig-key", secret, "-log-format", "json",
		},
		stderr: func(line string) {
			var at struct{ Msg, Listen, Control string }
			if json.Unmarshal([]byte(line), &at) == nil && at.Msg == "ready" {
				readyCh <- &subject{address: at.Listen, control: "http://" + at.Control, pull: pull}
			}
		},
	})
	select {
	case s := <-readyCh:
		return s
	case <-p.doneCh:
		t.Fatalf("the edge ended: %v", p.err)
	case <-time.After(patience):
		t.Fatalf("the edge is not ready after %v", patience)
	}
	return nil
}

// startPushpin starts Debian's Pushpin, and the Zurl by which it asks the origin,
// with a configuration of their own in a folder of their own. Both are as
// installed, but for what would not be fair: Zurl may ask at loopback addresses,
// and nothing limits how many messages are delivered in a second. Nor does
// Pushpin ask again a second after a channel's first subscription, which would
// make good some of what is lost before the tests see how it is noticed.
func startPushpin(t *testing.T, origin string) *subject {
	t.Helper()
	const installed = "/etc/pushpin/pushpin.conf"
	pushpin, zurl := find(t, "pushpin"), find(t, "zurl")
	dir, err := os.MkdirTemp("", "pushpin-") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listen, control, pull := freeAddress(t), freeAddress(t), freeAddress(t)
	controlHost, controlPort, _ := net.SplitHostPort(control)

	zurlConf := adapt(t, "/etc/zurl.conf", dir, map[string]string{
		"in_spec":        "ipc://" + dir + "/zurl-in",
		"in_stream_spec": "ipc://" + dir + "/zurl-in-stream",
		"out_spec":       "ipc://" + dir + "/zurl-out",
		"in_req_spec":    "ipc://" + dir + "/zurl-req",
		"deny":           "",
	}, "")
	pushpinConf := adapt(t, installed, dir, map[string]string{
		"rundir":            dir,
		"logdir":            dir,
		"http_port":         listen,
		"routesfile":        filepath.Join(dir, "routes"),
		"sig_iss":           issuer,
		"sig_key":           secret,
		"push_in_spec":      "tcp://" + pull,
		"push_in_sub_specs": "ipc://{rundir}/{ipc_prefix}sub",
		"push_in_http_addr": controlHost,
		"push_in_http_port": controlPort,
		"command_spec":      "ipc://{rundir}/{ipc_prefix}command",
		"message_rate":      "100000",
		"message_hwm":       "1000000",
	}, fmt.Sprintf("[proxy]\nzurl_out_specs=ipc://%[1]s/zurl-in\nzurl_out_stream_specs=ipc://%[1]s/zurl-in-stream\nzurl_in_specs=ipc://%[1]s/zurl-out\n"+
		"[handler]\nupdate_on_first_subscription=false\n", dir))
	if err := os.WriteFile(filepath.Join(dir, "routes"), []byte("* "+origin+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	start(t, command{path: zurl, args: []string{"--config=" + zurlConf}})
	start(t, command{path: pushpin, args: []string{"--config", pushpinConf, "--merge-output"}})
	for _, address := range []string{listen, control} {
		eventually(t, func() error {
			nc, err := net.Dial("tcp", address)
			if err == nil {
				nc.Close()
			}
			return err
		})
	}
	return &subject{address: listen, control: "http://" + control, pull: "tcp://" + pull}
}

// adapt copies a configuration file to dir with other values, and with text at
// its end. It returns the copy's path.
func adapt(t *testing.T, path, dir string, values map[string]string, end string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		key, _, _ := strings.Cut(line, "=")
		if value, ok := values[key]; ok {
			lines[i] = key + "=" + value
			delete(values, key)
		}
	}
	if len(values) > 0 {
		t.Fatalf("%s has no %v", path, values)
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(copied, []byte(strings.Join(lines, "\n")+"\n"+end), 0o644); err != nil {
		t.Fatal(err)
	}
	return copied
}

// freeAddress returns an address of the loopback where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
