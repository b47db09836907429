package conformance

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long the suite waits for what must come. It is not reached
// unless something is broken.
const patience = 20 * time.Second

// How many cases run at a time. Most of them wait, some for timeouts of five
// seconds, and two or three connections each is all that they take. Pushpin
// forgets an item that is published one second after a first subscription, when
// it asks the origin again; with few at a time, cases are through by then.
const (
	atOnce        = "64"
	atOncePushpin = "8"
)

// What the subjects are given besides the routes.
const (
	upstreamKey = "upstream-secret"
	signatureID = "conformance" // iss of routes with a key
	routeKey    = "secret-key"  // key of the route sig.test
)

var (
	subjectName  = flag.String("subject", "edge", "`proxy` to build or find and start: edge or pushpin")
	proxyFlag    = flag.String("proxy", "", "`address` of a running proxy to examine instead")
	controlFlag  = flag.String("control", "", "`address` of its HTTP control endpoint")
	originListen = flag.String("origin-listen", "127.0.0.1:0", "`address` of the suite's origin")
	update       = flag.Bool("update", false, "write the table of docs/conformance.md anew")
)

// proxy is the subject of this run, and the origin that it asks.
var proxy *subject

// subject is a running proxy.
type subject struct {
	pushpin bool   // behaves as Pushpin does, where Marquee differs
	address string // for clients
	control string // for publishers
	routes  string // file of its routes; "" when it was not started here
	origin  *origin

	cmd    *exec.Cmd
	exitCh chan struct{} // closed when the process has ended
	dir    string        // its files, removed at the end
	log    processLog
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(examine(m))
}

// examine starts what the cases need, runs them and returns the exit code.
func examine(m *testing.M) int {
	parallel := atOnce
	if *subjectName == "pushpin" {
		parallel = atOncePushpin
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if proxy, err = startSubject(); err != nil {
		fmt.Fprintln(os.Stderr, "start the subject:", err)
		return 1
	}
	code := m.Run()
	if code != 0 && proxy.cmd != nil {
		fmt.Fprintf(os.Stderr, "the subject's log:\n%s", proxy.log.String())
	}
	proxy.stop()
	return code
}

// startSubject starts the origin and the subject that the flags name.
func startSubject() (*subject, error) {
	o, err := startOrigin(*originListen)
	if err != nil {
		return nil, err
	}
	s := &subject{pushpin: *subjectName == "pushpin", origin: o}
	switch {
	case *proxyFlag != "" && *controlFlag != "":
		s.address, s.control = *proxyFlag, *controlFlag
	case *proxyFlag != "" || *controlFlag != "":
		err = errors.New("-proxy and -control go together")
	case *subjectName == "edge":
		err = s.startEdge()
	case *subjectName == "pushpin":
		err = s.startPushpin()
	default:
		err = fmt.Errorf("-subject %s: want edge or pushpin", *subjectName)
	}
	if err == nil {
		err = s.awaitService()
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	return s, nil
}

// makeDir makes the directory of the subject and writes its routes there.
func (s *subject) makeDir() error {
	// short: the name of a unix socket in it may have 107 bytes
	dir, err := os.MkdirTemp("", "grip")
	if err != nil {
		return err
	}
	s.dir, s.routes = dir, filepath.Join(dir, "routes")
	ecFile, rsaFile := filepath.Join(dir, "ec.pem"), filepath.Join(dir, "rsa.pem")
	err = errors.Join(os.WriteFile(ecFile, pemOf(es256Key), 0o600), os.WriteFile(rsaFile, pemOf(rs256Key), 0o600))
	if err != nil {
		return err
	}
	table, err := os.ReadFile(filepath.Join("testdata", "routes"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer("ORIGIN", s.origin.address(), "ECKEY", ecFile, "RSAKEY", rsaFile).Replace(string(table))
	return os.WriteFile(s.routes, []byte(text), 0o600)
}

// start starts the process of the subject; its output goes to the log.
func (s *subject) start(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.exitCh = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(s.exitCh)
	}()
	return nil
}

// stop ends the process and removes its files.
func (s *subject) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exitCh:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			<-s.exitCh
		}
	}
	s.origin.stop()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// awaitService waits until the subject answers a held request with a published
// item: the last of its parts has then found the others.
func (s *subject) awaitService() error {
	probe := &scene{token: "t0000x", channel: "channel-t0000x",
		scripts: make(map[string]script), asks: make(map[string]chan *ask), counts: make(map[string]int)}
	probe.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"))
	s.origin.add(probe)
	item := `{"items":[{"channel":"channel-t0000x","formats":{"http-response":{"body":""}}}]}`
	deadline := time.Now().Add(patience)
	for pause := 20 * time.Millisecond; time.Now().Before(deadline); {
		select {
		case <-s.exitCh: // never when it was not started here
			return errors.New("ended before it answered")
		default:
		}
		nc, err := net.Dial("tcp", s.address)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		_, _ = io.WriteString(nc, "GET /t0000x HTTP/1.1\r\nHost: grip.test\r\n\r\n")
		for range 10 {
			if r, err := http.Post("http://"+s.control+"/publish/", "application/json", strings.NewReader(item)); err == nil {
				_ = r.Body.Close()
			}
			_ = nc.SetReadDeadline(time.Now().Add(pause))
			start := make([]byte, len("HTTP/1.1 200"))
			if n, _ := io.ReadFull(nc, start); n > 0 {
				if string(start) == "HTTP/1.1 200" {
					return nc.Close()
				}
				break // an error: a part of the subject is not there yet
			}
		}
		_ = nc.Close()
		pause += pause / 2
	}
	return errors.New("answers no held request")
}

// processLog is what a process writes.
type processLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *processLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
