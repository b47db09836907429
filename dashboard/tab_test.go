package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// startBrowser starts Chromium, or skips the test where there is none. The
// context is for openTab.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: the page is not tested in a browser, because there is no Chromium here. Install it: apt-get install chromium")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // which a container may not have; the pages are our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// A tab is one page in the browser.
type tab struct {
	t          *testing.T
	ctx        context.Context
	complained func() []string // what the page wrote to its console so far
}

// openTab opens url in a new tab, and closes the tab when the test ends.
func openTab(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	var mu sync.Mutex
	var complaints []string
	messages := chromedp.Console(ctx)
	readCh := make(chan struct{}) // closed by the goroutine below, which ends with ctx
	go func() {
		defer close(readCh)
		for m, err := range messages {
			if err != nil {
				return
			}
			mu.Lock()
			complaints = append(complaints, m.String())
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-readCh
	})
	b.complained = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(complaints)
	}
	b.open(url)
	return b
}

func (b *tab) open(url string) {
	b.t.Helper()
	b.run("open "+url, chromedp.Navigate(url))
}

// size gives the tab a size and a colour scheme, light or dark, and lets nothing
// move in it.
func (b *tab) size(width, height int64, scheme string) {
	b.t.Helper()
	b.run("resize", chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme},
				{Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return err
	}))
}

// press types text and keys where the focus is.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.run(fmt.Sprintf("press %q", k), chromedp.KeyEvent(k))
	}
}

// picture writes what the tab shows to a file.
func (b *tab) picture(path string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		b.t.Errorf("keep the picture: %v", err)
	}
}

// do runs a script in the page, in which $ finds an element, text is its text
// on one line, cells are the texts of a row, and held is how many clients wait
// for the next headline.
func (b *tab) do(script string) {
	b.t.Helper()
	evaluate[any](b, script)
}

// wait waits until a script is true: once in a frame, since the page draws then.
// (chromedp.Poll makes a function of a string, which the page forbids.)
func (b *tab) wait(script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[any](vocabulary(fmt.Sprintf(
		`new Promise((done) => { const look = () => (%s) ? done() : requestAnimationFrame(look); look(); })`, script)), chromedp.EvalAwaitPromise))
	if errors.Is(err, context.DeadlineExceeded) {
		b.t.Fatalf("not within %v: %s\nthe page reads:\n%s\nconsole: %q", patience, script, evaluate[string](b, `document.body.innerText`), b.complained())
	}
	if err != nil {
		b.t.Fatalf("wait for %s: %v", script, err)
	}
}

// want fails unless the script's value is want: a string, a float64 or a bool.
func (b *tab) want(what, script string, want any) {
	b.t.Helper()
	if got := evaluate[any](b, script); got != want {
		b.t.Errorf("%s: got %#v, want %#v (%s)", what, got, want, script)
	}
}

// wantNoComplaints fails if there is anything on the page's console: errors of
// the script, files missing, what the Content-Security-Policy prevented.
func (b *tab) wantNoComplaints() {
	b.t.Helper()
	if complaints := b.complained(); len(complaints) > 0 {
		b.t.Errorf("console: got %q, want nothing", complaints)
	}
}

func (b *tab) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](vocabulary(script)))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", script, err)
	}
	return value
}

// vocabulary gives a script the functions that do names.
func vocabulary(script string) string {
	return `((
		$ = (selector) => document.querySelector(selector),
		text = (selector) => $(selector)?.textContent.replace(/\s+/g, ' ').trim(),
		held = () => Array.from(document.querySelectorAll('#nodes [data-key^=group] [data-label=held]'), (cell) => Number(cell.textContent)).reduce((a, b) => a + b, 0),
		cells = (row) => Array.from(row.cells, (cell) => cell.textContent).join(', '),
	) => ` + script + `)()`
}
