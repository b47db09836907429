package upstream

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// testTarget is the target "test" of a routes file (GRIP §10): an origin within
// the process, for trying out a client or an installation. It knows
//
//	/          a plain answer
//	/response  a hold of mode response
//	/stream    a hold of mode stream
//	/ws        for WebSockets, which nobody holds yet: 501
//
// and the holds are on the channel that the parameter "channel" names, "test"
// without one.
type testTarget struct{}

// testInstruct is an application/grip-instruct body (GRIP §1.4).
type testInstruct struct {
	Hold struct {
		Mode     string        `json:"mode"`
		Channels []testChannel `json:"channels"`
	} `json:"hold"`
	Response struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"response"`
}

type testChannel struct {
	Name string `json:"name"`
}

// RoundTrip implements http.RoundTripper. It takes the request's content for
// read.
func (testTarget) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	path, rawQuery, _ := strings.Cut(req.URL.RequestURI(), "?")
	query, _ := url.ParseQuery(rawQuery) // what it can make of it
	channel := cmp.Or(query.Get("channel"), "test")
	switch path {
	case "/":
		return testAnswer(req, http.StatusOK, "text/plain", "Hello from the Pushpin test handler!\n"), nil
	case "/response":
		return testHold(req, "response", channel, "nothing for now\n"), nil
	case "/stream":
		return testHold(req, "stream", channel, "[stream opened]\n"), nil
	case "/ws":
		return testAnswer(req, http.StatusNotImplemented, "text/plain", "WebSockets are not supported.\n"), nil
	}
	return testAnswer(req, http.StatusNotFound, "text/plain", "no such test resource\n"), nil
}

// testHold makes an instruct by JSON: there a channel may have any name.
func testHold(req *http.Request, mode, channel, body string) *http.Response {
	var in testInstruct
	in.Hold.Mode, in.Hold.Channels = mode, []testChannel{{channel}}
	in.Response.Headers, in.Response.Body = map[string]string{"Content-Type": "text/plain"}, body
	text, _ := json.Marshal(in) // strings only: no error
	resp := testAnswer(req, http.StatusOK, "application/grip-instruct", string(text))
	resp.ContentLength = -1 // that of the instruct says nothing to HEAD
	return resp
}

// testAnswer makes an answer with its content even to HEAD: it may be an instruct,
// and nothing of it is for the client.
func testAnswer(req *http.Request, code int, mediaType, body string) *http.Response {
	return &http.Response{
		Status: fmt.Sprint(code, " ", http.StatusText(code)), StatusCode: code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {mediaType}},
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(strings.NewReader(body)),
		Request:       req,
	}
}
