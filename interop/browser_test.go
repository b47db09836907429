package interop

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// findBrowser returns the path of a Chromium, or nothing.
func findBrowser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startPage opens a page in Chromium, which runs a reader of each kind that a
// browser has: its own EventSource, its fetch, and Pollymer. The page comes from
// the origin through the subject.
func startPage(t *testing.T, page, stream, next string) []*reader {
	t.Helper()
	source := &reader{name: "Chromium's EventSource", stream: true, reconnects: true}
	fetch := &reader{name: "Chromium's fetch", stream: true}
	pollymer := &reader{name: "pollymer"}
	readers := []*reader{source, fetch, pollymer}
	path := findBrowser()
	if path == "" {
		for _, r := range readers {
			r.missing = "there is no Chromium here"
		}
		return readers
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // which a container may not have; the page is our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx,
		chromedp.Navigate(page),
		void(fmt.Sprintf(`readEventSource(%q); readFetch(%q); readPollymer(%q)`, stream, stream, next)),
	); err != nil {
		t.Fatalf("open %s in %s: %v", page, path, err)
	}
	var mu sync.Mutex
	fetchEnded := false // guarded by mu
	fetch.ended = func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return fetchEnded, nil
	}

	stopCh, doneCh := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stopCh)
		<-doneCh
	})
	go func() { // asks the page what its readers have seen
		defer close(doneCh)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			now, err := chromedp.Run(ctx, chromedp.Evaluate[struct {
				Seen  struct{ EventSource, Fetch, Pollymer []message }
				Ended []string
			}](`({ seen, ended })`))
			if err != nil {
				source.add(message{Text: err.Error()})
				return
			}
			for r, seen := range map[*reader][]message{source: now.Seen.EventSource, fetch: now.Seen.Fetch, pollymer: now.Seen.Pollymer} {
				r.mu.Lock()
				r.seen = seen
				r.mu.Unlock()
			}
			mu.Lock()
			fetchEnded = slices.Contains(now.Ended, "fetch")
			mu.Unlock()
			select {
			case <-stopCh:
				return
			case <-ticker.C:
			}
		}
	}()
	return readers
}

// void is a script whose value does not matter.
func void(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](script)
}
