package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"time"
)

// web is the page: one document with its style, its script and its icon.
// Nothing of it is built, and nothing comes from elsewhere.
//
//go:embed web
var web embed.FS

// assets are the paths of the page, and what they serve.
var assets = []struct{ path, file, contentType string }{
	{"/{$}", "web/index.html", "text/html; charset=utf-8"},
	{"/style.css", "web/style.css", "text/css; charset=utf-8"},
	{"/app.js", "web/app.js", "text/javascript; charset=utf-8"},
	{"/icon.svg", "web/icon.svg", "image/svg+xml"},
}

// contentSecurityPolicy lets the page use its own origin and nothing else, and
// lets nobody frame it. Its script makes no markup from strings.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// newPage returns the page at / and what belongs to it; 404 for other paths, and
// 405 for methods other than GET and HEAD. Browsers keep the files, and ask each
// time whether they are still good.
func newPage() http.Handler {
	mux := http.NewServeMux()
	for _, a := range assets {
		content, err := web.ReadFile(a.file)
		if err != nil {
			panic(err) // embedded under another name
		}
		etag := fmt.Sprintf(`"%.16x"`, sha256.Sum256(content))
		mux.HandleFunc("GET "+a.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", a.contentType)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", etag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		// The page's forms are checked by their origin, which no-referrer would
		// make null.
		h.Set("Referrer-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}
