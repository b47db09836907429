package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"marquee/grip"
)

// control is a control endpoint that answers as it is told, and keeps what it
// was sent.
type control struct {
	url    string
	status int
	answer string

	mu    sync.Mutex // all below
	seen  []*http.Request
	items []grip.Item
}

func newControl(t *testing.T, status int, answer string) *control {
	t.Helper()
	c := &control{status: status, answer: answer}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	items, parseErr := grip.ParseItems(body)
	if err != nil || parseErr != nil {
		http.Error(w, string(body), http.StatusTeapot)
		return
	}
	c.mu.Lock()
	c.seen, c.items = append(c.seen, r), append(c.items, items...)
	c.mu.Unlock()
	if c.status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(c.status)
	_, _ = io.WriteString(w, c.answer)
}

// command runs the command.
func command(t *testing.T, gripURL string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs strings.Builder
	err = run(context.Background(), args, strings.NewReader("from stdin"), &out, &errs, environment(gripURL))
	return out.String(), errs.String(), err
}

func TestPublish(t *testing.T) {
	goroutines := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := goleak.Find(goroutines); err != nil {
			t.Errorf("goroutines are left: %v", err)
		}
	})
	a, b := newControl(t, 200, "Published\n"), newControl(t, 204, "")
	stdout, stderr, err := command(t, a.url+"/x/?key=k,"+b.url, "news", "-", "-id", "2")
	if err != nil || stdout != "Published\n" || stderr != "" {
		t.Fatalf("publish: %v, prints %q and %q, want Published", err, stdout, stderr)
	}
	for i, c := range []*control{a, b} {
		if len(c.items) != 1 || c.items[0].Channel != "news" || c.items[0].ID != "2" || string(c.items[0].HTTPResponse.Body) != "from stdin" {
			t.Errorf("endpoint %d has the items %+v, want one", i, c.items)
			continue
		}
		r := c.seen[0]
		wantPath, wantAuth := "/publish/", ""
		if c == a {
			wantPath, wantAuth = "/x/publish/", "Bearer k"
		}
		if r.Method != "POST" || r.URL.Path != wantPath || r.Header.Get("Authorization") != wantAuth {
			t.Errorf("endpoint %d is asked %s %s with Authorization %q, want POST %s, %q", i, r.Method, r.URL, r.Header.Get("Authorization"), wantPath, wantAuth)
		}
		if r.ContentLength <= 0 || r.Header.Get("Accept") != "" {
			t.Errorf("endpoint %d is asked with Content-Length %d, Accept %q: want some length, no Accept", i, r.ContentLength, r.Header.Get("Accept"))
		}
	}
}

func TestPublishReceipt(t *testing.T) {
	const line = `"channel":"c","matched":5,"written":4,"queued":1,"dropped":2,"missed":3,"elapsed_ms":1.25`
	full := newControl(t, 200, `{"message":"Published","receipts":[{`+line+`,"fate":"delivered","complete":true}]}`)
	early := newControl(t, 200, `{"message":"Published","receipts":[{`+line+`,"fate":"delivered","complete":false}],"warning":"cut off"}`)
	plain := newControl(t, 200, `{"message":"Published"}`)
	stdout, stderr, err := command(t, "", "-receipt", "-spec", full.url+","+early.url+","+plain.url, "c", "x")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Published", "matched written queued dropped missed ms fate endpoint",
		"5 4 1 2 3 1.2 delivered " + full.url, "5 4 1 2 3 1.2 delivered " + early.url}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("publish -receipt prints\n%s, want\n%s", stdout, strings.Join(want, "\n"))
	}
	for _, want := range []string{early.url + ": it was still writing", early.url + ": cut off", plain.url + ": it gives no receipts"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("publish -receipt warns %q, want %q in it", stderr, want)
		}
	}
	if got := full.seen[0].Header.Get("Accept"); got != "application/json" {
		t.Errorf("publish -receipt accepts %q", got)
	}
	stdout, _, err = command(t, plain.url, "-receipt", "c", "x")
	if err != nil || stdout != "Published\n" {
		t.Errorf("publish -receipt where there are none: %v, prints %q, want Published only", err, stdout)
	}
}

func TestPublishFails(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(silent.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	good := newControl(t, 200, "Published\n")
	tests := []struct {
		name, url string
		want      []string
	}{
		{"bad item", newControl(t, 400, "Invalid format: no formats specified\nmore").url, []string{"refuses the item: Invalid format: no formats specified (400 Bad Request)"}},
		{"unauthorized", newControl(t, 401, "").url, []string{"401 Unauthorized; show a token with -token-file"}},
		{"address for clients", newControl(t, 404, "Not Found\n").url, []string{"Not Found (404 Not Found); -spec or GRIP_URL must name the control endpoint"}},
		{"redirect", newControl(t, 302, "").url, []string{"it redirects"}},
		{"nobody there", "http://" + gone.Addr().String(), []string{"connection refused; is an edge running there"}},
		{"no answer", silent.URL, []string{silent.URL + ": EOF"}},
		{"two of three", newControl(t, 400, "first").url + "," + good.url + "," + newControl(t, 500, "third").url, []string{"first (400", "third (500"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, _, err := command(t, tt.url, "c", "x")
			if err == nil || stdout != "" {
				t.Fatalf("publish: %v, prints %q, want an error only", err, stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("publish: %q, want it to have %q", err, want)
				}
			}
		})
	}
	if len(good.items) != 1 {
		t.Errorf("the one good endpoint has %d items, want 1", len(good.items))
	}
}

// Ctrl-C ends a publish that is not answered.
func TestPublishInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	err := run(ctx, []string{"c", "x"}, nil, io.Discard, io.Discard, environment(s.URL))
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("publish: %v, want it to be canceled", err)
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"-version", "--version", "-V"} {
		if stdout, _, err := command(t, "", arg); err != nil || stdout != "publish "+version+"\n" {
			t.Errorf("publish %s prints %q, %v", arg, stdout, err)
		}
	}
	if stdout, _, err := command(t, "", "-h"); err != nil || !strings.HasPrefix(stdout, "publish sends one item") {
		t.Errorf("publish -h prints %.40q, %v", stdout, err)
	}
}
