package hostile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is a server that reads the same attacks as the edge.
type peer struct {
	address string
	take    func() []string // what it has been asked since the last take; see askPeer
}

// askPeer is what a peer has been asked: as ask, but with the path of the
// target alone, and without the host. Peers differ in how they tell these.
func askPeer(method, target, content string) string {
	if _, rest, absolute := strings.Cut(target, "://"); absolute && !strings.HasPrefix(target, "/") {
		end := strings.IndexAny(rest+"/", "/?")
		if target = rest[end:]; !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		if target == "/" && method == http.MethodOptions {
			target = "*"
		}
	}
	asked := ask(method, target, "", content)
	return strings.Replace(asked, "  ", " ", 1)
}

// startNetHTTP starts a server of net/http.
func startNetHTTP(t *testing.T) *peer {
	t.Helper()
	var mu sync.Mutex // asked
	var asked []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		content, err := io.ReadAll(req.Body)
		if err != nil {
			return // it has not been read to its end
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, askPeer(req.Method, req.RequestURI, string(content)))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Config.DisableGeneralOptionsHandler = true // OPTIONS * is the handler's, too
	s.Start()
	t.Cleanup(s.Close)
	return &peer{address: s.Listener.Addr().String(), take: func() (all []string) {
		mu.Lock()
		defer mu.Unlock()
		all, asked = asked, nil
		return all
	}}
}

// startNode starts a server of Node.js, and returns its version too. The test
// is skipped where there is no Node.js.
func startNode(t *testing.T) (*peer, string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node.js: how it reads the attacks is not compared")
	}
	cmd := exec.Command(node, "testdata/server.mjs")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var port, reportPort int
	var version string
	if _, err := fmt.Fscan(bufio.NewReader(out), &port, &reportPort, &version); err != nil {
		t.Fatalf("read what %s says: %v", node, err)
	}
	report := fmt.Sprintf("http://127.0.0.1:%d", reportPort)
	return &peer{address: fmt.Sprintf("127.0.0.1:%d", port), take: func() (all []string) {
		resp, err := http.Get(report)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var asked [][3]string
		if err := json.NewDecoder(resp.Body).Decode(&asked); err != nil {
			t.Fatal(err)
		}
		for _, a := range asked {
			var content []byte
			for _, c := range a[2] {
				content = append(content, byte(c)) // each is one byte
			}
			all = append(all, askPeer(a[0], a[1], string(content)))
		}
		return all
	}}, version
}

// read puts an attack and the marker to the peer, and returns what it has been
// asked.
func (p *peer) read(t *testing.T, a attack) []string {
	t.Helper()
	nc, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	send := a.send + marker
	if a.verdict.open && len(a.verdict.asks) > 0 {
		send += marker
	}
	go func() {
		_, _ = io.WriteString(nc, send) // it may close before it has read all
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(io.Discard, nc); err != nil && !isReset(err) {
		t.Fatalf("%.1000q: the connection does not end: %v", a.send, err)
	}
	return p.take()
}
