package main

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

func TestPageServes(t *testing.T) {
	page := newPage()
	for _, c := range []struct {
		name, method, path string
		wantStatus         int
		wantType           string
	}{
		{"document", "GET", "/", 200, "text/html; charset=utf-8"},
		{"document's head", "HEAD", "/", 200, "text/html; charset=utf-8"},
		{"style", "GET", "/style.css", 200, "text/css; charset=utf-8"},
		{"script", "GET", "/app.js", 200, "text/javascript; charset=utf-8"},
		{"icon", "GET", "/icon.svg", 200, "image/svg+xml"},
		{"no directory", "GET", "/web/", 404, "text/plain; charset=utf-8"},
		{"no other file", "GET", "/page.go", 404, "text/plain; charset=utf-8"},
		{"no form here", "POST", "/", 405, "text/plain; charset=utf-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			page.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
			h := w.Header()
			if w.Code != c.wantStatus || h.Get("Content-Type") != c.wantType {
				t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.path, w.Code, h.Get("Content-Type"), c.wantStatus, c.wantType)
			}
			if hasBody := w.Body.Len() > 0; hasBody != (c.method != "HEAD") {
				t.Errorf("%s %s: got %d bytes of body", c.method, c.path, w.Body.Len())
			}
			policy := h.Get("Content-Security-Policy")
			for _, directive := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
				if !strings.Contains(policy, directive) {
					t.Errorf("%s %s: Content-Security-Policy %q lacks %q", c.method, c.path, policy, directive)
				}
			}
			if strings.Contains(policy, "unsafe") {
				t.Errorf("%s %s: Content-Security-Policy %q has something unsafe", c.method, c.path, policy)
			}
			for field, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
				if got := h.Get(field); got != want {
					t.Errorf("%s %s: %s: got %q, want %q", c.method, c.path, field, got, want)
				}
			}
		})
	}
}

// RFC 9110 §13.1.2: a browser that has the file already need not be sent it.
func TestPageIsSentOnce(t *testing.T) {
	page := newPage()
	etags := map[string]string{}
	for _, path := range []string{"/", "/style.css", "/app.js", "/icon.svg"} {
		first := httptest.NewRecorder()
		page.ServeHTTP(first, httptest.NewRequest("GET", path, nil))
		etag := first.Header().Get("ETag")
		if other, taken := etags[etag]; taken || etag == "" {
			t.Errorf("GET %s: ETag %q is that of %q", path, etag, other)
		}
		etags[etag] = path
		if got := first.Header().Get("Cache-Control"); got != "no-cache" {
			t.Errorf("GET %s: Cache-Control: got %q, want no-cache", path, got)
		}
		again := httptest.NewRequest("GET", path, nil)
		again.Header.Set("If-None-Match", etag)
		second := httptest.NewRecorder()
		page.ServeHTTP(second, again)
		if second.Code != 304 || second.Body.Len() > 0 {
			t.Errorf("GET %s with If-None-Match %s: got %d and %d bytes, want 304 and none", path, etag, second.Code, second.Body.Len())
		}
	}
}

// Whatever the document names is served here, and nothing is fetched from
// elsewhere.
func TestPageIsSelfContained(t *testing.T) {
	page := newPage()
	document, err := web.ReadFile("web/index.html")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`(?:<link[^>]* href|<script[^>]* src|<img[^>]* src)="([^"]*)"`).FindAllStringSubmatch(string(document), -1)
	if len(links) < 3 {
		t.Fatalf("index.html names %d files, want style, script and icon at least", len(links))
	}
	for _, link := range links {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest("GET", "/"+link[1], nil))
		if w.Code != 200 {
			t.Errorf("index.html names %q: got %d, want 200", link[1], w.Code)
		}
	}
	for _, a := range assets {
		content, err := web.ReadFile(a.file)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z0-9.-]+[^"'\s]*`).FindAllString(string(content), -1)
		elsewhere = slices.DeleteFunc(elsewhere, func(url string) bool { return url == "http://www.w3.org/2000/svg" }) // a name, not fetched
		if len(elsewhere) > 0 {
			t.Errorf("%s names %q", a.file, elsewhere)
		}
	}
}

// TestPageInBrowser shows the page statuses that are hard to bring about for
// real. All of it runs in one real browser, a tab each.
func TestPageInBrowser(t *testing.T) {
	browser := startBrowser(t)

	t.Run("shows that nothing is up yet", func(t *testing.T) {
		origin := newStatusOrigin(t, nothingYet())
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#link') === 'live'`)
		tab.wait(`text('#body') === 'No headline yet.'`)
		tab.want("edges", `text('#edges p')`, "0/20")
		tab.want("received", `text('#received')`, "0")
		tab.want("capacity", `$('#capacity').value`, "100000")
		tab.want("delivery", `text('#delivery')`, "Delivery formula")
		tab.want("invitation shown", `$('#plot-empty').checkVisibility()`, true)
		tab.want("nodes", `$('#nodes').rows.length`, 0.0)
		tab.want("hint at nodes shown", `$('.nodes .empty').checkVisibility()`, true)
		tab.wantNoComplaints()
	})

	t.Run("follows a delivery", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 0))
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#received') === '0'`)
		tab.want("rows of nodes", `$('#nodes').rows.length`, 41.0)
		tab.do(`window.before = { row: $('#nodes').rows[7], elements: document.querySelectorAll('*').length }`)
		for _, share := range []float64{0.25, 0.5, 0.75} {
			origin.set(delivering(41, share))
			tab.wait(fmt.Sprintf(`text('#received') === '%d,000'`, int(share*100)))
		}
		tab.want("share", `text('#share')`, "75.0 %")
		tab.want("bar", `$('#bar').getAttribute('aria-valuetext')`, "75,000 of 100,000")
		tab.want("news", `text('#news')`, "Headline 41 is out.")
		origin.set(delivering(41, 1))
		tab.wait(`text('#received') === '100,000'`)
		tab.want("share", `text('#share')`, "all")
		tab.want("news", `text('#news')`, "All 100,000 clients received headline 41, the last after 640 milliseconds.")
		tab.want("points of the curve", `$('#plot .line').getAttribute('d').match(/L/g).length`, 32.0)
		tab.want("bars of the histogram", `$('#plot .histogram').getAttribute('d').match(/Z/g).length`, 8.0)
		tab.want("reading", `text('#plot .reading')`, "640 ms")
		tab.want("ping", `text('#ping')`, "Ping1.22.03.4")
		tab.want("delivery", `text('#delivery')`, "Delivery formula20320640")
		tab.want("true figure", `text('#true')`, "True clients’ clocks18318634")
		tab.want("difference", `text('#error')`, "on average the formula is 2.4 ms above the true figure")
		tab.want("best run", `text('#runs .best th')`, "#25")
		tab.want("an edge", `cells($('#nodes').rows[1])`, "edge-01, us-west-1, ap-southeast-1-group-01, 1.2, 5,000, 10,003, 0, 4,998 in 41 ms, 2 queued")
		tab.want("a group", `cells($('#nodes').rows[21])`, "group-01, us-west-1, ap-southeast-1-edge-10, 1.9, 5,000, 200,000, 3, ")
		tab.want("a group that is down", `cells($('#nodes tr.down'))`, "group-04, ap-southeast-1, us-west-1-edge-04, down, 5,000, 200,000, 3, ")
		tab.want("the origin", `cells($('#nodes').rows[0])`, "origin, , , 0.4, , , , ")
		tab.want("row kept", `before.row === $('#nodes').rows[7]`, true)
		tab.want("elements as many as before", `before.elements === document.querySelectorAll('*').length`, true)
		tab.wantNoComplaints()
	})

	t.Run("shows a headline as text", func(t *testing.T) {
		s := delivering(40, 1)
		s.Headline.Body = `<img src=x onerror=alert(1)> ` + strings.Repeat("all lines ", 500)
		origin := newStatusOrigin(t, s)
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#received') === '100,000'`)
		tab.want("headline", `$('#body').textContent`, s.Headline.Body)
		tab.want("elements in it", `$('#body').childElementCount`, 0.0)
		tab.wantNoComplaints()
	})

	t.Run("forgets nodes that left", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 1))
		tab := openTab(t, browser, origin.URL)
		tab.wait(`$('#nodes').rows.length === 41`)
		origin.set(nothingYet())
		tab.wait(`$('#nodes').rows.length === 0`)
		tab.wait(`$('#runs').rows.length === 0`)
		tab.wantNoComplaints()
	})

	t.Run("polls again after an empty answer", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 0))
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#received') === '0'`)
		origin.endHold()
		origin.set(delivering(41, 1))
		tab.wait(`text('#received') === '100,000'`)
		tab.wantNoComplaints()
	})

	t.Run("says that the connection is lost, and finds back", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 0))
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#link') === 'live'`)
		origin.fail(true)
		tab.wait(`text('#link') === 'connection lost, trying again'`)
		origin.set(delivering(41, 1))
		origin.fail(false)
		tab.wait(`text('#link') === 'live'`)
		tab.wait(`text('#received') === '100,000'`)
	})

	t.Run("asks for a token when refused", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 1))
		origin.token = "open sesame"
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#received') === '100,000'`)
		tab.press(kb.Tab, "Gate 7 is open.", kb.Enter)
		tab.wait(`text('#reason') === 'Read only here: only this machine, or who has the token'`)
		tab.wait(`document.activeElement === $('#token')`)
		tab.want("fields disabled", `$('#headline').matches(':disabled') && $('#capacity').matches(':disabled')`, true)
		tab.press("wrong", kb.Enter)
		tab.wait(`$('#token').selectionStart === 0 && $('#token').selectionEnd === 5`)
		tab.press("open sesame", kb.Enter)
		tab.wait(`$('#notice').hidden && document.activeElement === $('#headline')`)
		tab.want("box", `$('#headline').value`, "")
		origin.waitPosted("/headline/?body=Gate+7+is+open.")
		// The capacity comes after the box and its button, and needs no second
		// token.
		tab.press(kb.Tab, kb.Tab)
		tab.want("focus", `document.activeElement.id`, "capacity")
		tab.press("25000", kb.Enter)
		origin.waitPosted("/headline/?body=Gate+7+is+open.", "/capacity/?capacity=25000")
		tab.want("kept by the browser", `localStorage.length + sessionStorage.length + document.cookie.length`, 0.0)
	})

	t.Run("says why a change is refused", func(t *testing.T) {
		origin := newStatusOrigin(t, delivering(40, 1))
		tab := openTab(t, browser, origin.URL)
		tab.wait(`text('#received') === '100,000'`)
		tab.do(`$('#capacity').select()`)
		tab.press("123456789", kb.Enter)
		tab.wait(`text('#reason') === 'Not changed: capacity is at most 1000000'`)
		tab.want("token asked for", `$('#unlock').checkVisibility()`, false)
		origin.set(delivering(41, 1))
		tab.wait(`text('#headline-id') === '#41'`)
		tab.want("what was typed", `$('#capacity').value`, "123456789")
		tab.press(kb.Escape)
		tab.want("after Escape", `$('#capacity').value`, "100000")
	})

	for _, c := range []struct {
		name   string
		width  int64 // in CSS pixels
		scheme string
	}{
		{"a phone", 360, "light"},
		{"a phone at night", 360, "dark"},
		{"a tablet", 768, "light"},
		{"a laptop", 1280, "dark"},
		{"a large screen", 1920, "light"},
	} {
		t.Run("fits "+c.name, func(t *testing.T) {
			s := delivering(40, 1)
			s.Headline.Body = strings.Repeat("unbroken", 100)
			origin := newStatusOrigin(t, s)
			tab := openTab(t, browser, "about:blank")
			tab.size(c.width, 780, c.scheme)
			tab.open(origin.URL)
			tab.wait(`text('#received') === '100,000'`)
			tab.want("page's width", `document.documentElement.scrollWidth`, float64(c.width))
			// What sticks out of its panel is cut off there.
			tab.want("panels that something sticks out of", `Array.from(document.querySelectorAll('main section')).filter((s) => s.scrollWidth > s.clientWidth).map((s) => s.className).join()`, "")
			tab.want("rings stand out", contrast("#edges .lit", "stroke"), true)
			tab.want("labels stand out", contrast("label[for=headline]", "color"), true)
			tab.want("button's text stands out", contrast("#send button", "color"), true)
			tab.wantNoComplaints()
		})
	}
}

// TestPageOfDemonstration sends headlines through the page of a whole small
// demonstration, each part its own process, with the keyboard alone. It leaves a
// picture in out/dashboard.png.
func TestPageOfDemonstration(t *testing.T) {
	browser := startBrowser(t)
	_, natsURL := startRealOrigin(t)
	dashboard, url := startReal(t, natsURL, "-node-capacity", "50", "-capacity", "150", "-regions", "us-west-1,us-east-1")
	tab := openTab(t, browser, "about:blank")
	tab.size(1280, 800, "light")
	tab.open(url)
	tab.wait(`text('#edges p') === '3/3' && text('#groups p') === '3/3'`)

	// The box is the first stop, its button the second, the capacity the third.
	tab.press(kb.Tab)
	tab.want("first focus", `document.activeElement.id`, "headline")
	tab.press("Good morning.", kb.Enter)
	tab.wait(`text('#body') === 'Good morning.' && text('#received') === '150' && text('#started') === '150'`)

	tab.press(kb.Tab, kb.Tab)
	tab.want("focus after the button", `document.activeElement.id`, "capacity")
	tab.press("200", kb.Enter)
	tab.wait(`text('#edges p') === '4/4' && text('#groups p') === '4/4' && text('#capacity-now') === '200' && text('#started') === '200'`)
	tab.do(`$('#headline').focus()`)
	for _, body := range []string{"Flight 123 arriving in terminal A.", "Flight 123 arriving in terminal B.", "Flight 123 has landed."} {
		tab.wait(`held() === 200`)
		tab.press(body, kb.Enter)
		tab.wait(fmt.Sprintf(`text('#body') === %q`, body) + ` && text('#received') === '200' && text('#share') === 'all'`)
		tab.wait(`text('#news').startsWith('All 200 clients received headline ')`)
		tab.want("box", `$('#headline').value`, "")
	}
	tab.want("run", `text('#runs tr .text')`, "Flight 123 has landed.")
	tab.want("run's receipts", `$('#runs').rows[0].cells[3].textContent`, "200")
	tab.want("points in the curve", `$('#plot .line').getAttribute('d').split('L').length > 2`, true)
	tab.want("curve is full", `$('#plot').getAttribute('aria-label').startsWith('Received over time: 200 of 200 after ')`, true)
	tab.want("bars in the histogram", `$('#plot .histogram').getAttribute('d') !== ''`, true)
	tab.want("nodes", `$('#nodes').rows.length`, 9.0)
	tab.want("nodes with another region's pair", `Array.from($('#nodes').rows).filter((row) => row.cells[2].textContent && !row.cells[2].textContent.startsWith(row.cells[1].textContent)).length`, 8.0)
	tab.want("difference told", `text('#error').startsWith('on average the formula ')`, true)

	tab.do(`document.activeElement.blur()`)
	tab.picture("../out/dashboard.png")
	tab.size(360, 780, "light")
	tab.want("width on a phone", `document.documentElement.scrollWidth`, 360.0)
	tab.wantNoComplaints()
	dashboard.end(t, syscall.SIGTERM)
	tab.wait(`text('#link') === 'connection lost, trying again'`)
}

// contrast is a script that is true when a colour of an element stands out from
// what is behind it: 4.5 to 1 or more (WCAG 2.2 §1.4.3).
func contrast(selector, property string) string {
	return fmt.Sprintf(`(() => {
		const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
		const behind = (element) => getComputedStyle(element).backgroundColor === 'rgba(0, 0, 0, 0)' ? behind(element.parentElement) : element;
		const luminance = (colour) => {
			canvas.fillStyle = colour;
			canvas.fillRect(0, 0, 1, 1);
			const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data, (c) => c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const [a, b] = [getComputedStyle($(%q))[%q], getComputedStyle(behind($(%q))).backgroundColor].map(luminance);
		return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) >= 4.5;
	})()`, selector, property, selector)
}
