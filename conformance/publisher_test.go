package conformance

import (
	"fmt"
	"strings"
)

// publish posts items, JSON with $C and $P replaced, as one batch. They must be
// accepted.
func (s *scene) publish(items ...string) {
	s.Helper()
	s.post(`{"items":[`+strings.Join(items, ",")+`]}`).want(200, "Published\n")
}

// post posts a body to the control endpoint's /publish/.
func (s *scene) post(body string, fields ...string) *answer {
	s.Helper()
	body = s.expand(body)
	return s.control("POST", "/publish/", body, append(fields, fmt.Sprintf("Content-Length: %d", len(body)))...)
}

// control puts a request to the control endpoint as it is given.
func (s *scene) control(method, target, body string, fields ...string) *answer {
	s.Helper()
	c := s.dialTo(proxy.control)
	defer c.close()
	c.head = method == "HEAD"
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target)
	for _, f := range fields {
		head += f + "\r\n"
	}
	c.send(head + "\r\n" + body)
	return c.answer()
}

// response makes an item for held requests.
func response(id, prev, body string) string {
	return item(id, prev, fmt.Sprintf(`"http-response":{"body":%q}`, body))
}

// streamed makes an item for streams.
func streamed(id, prev, content string) string {
	return item(id, prev, fmt.Sprintf(`"http-stream":{"content":%q}`, content))
}

// item makes an item with formats and, if they are not empty, ids; more are
// further fields of the item.
func item(id, prev, formats string, more ...string) string {
	fields := append([]string{`"channel":"$C"`, `"formats":{` + formats + `}`}, more...)
	if id != "" {
		fields = append(fields, fmt.Sprintf(`"id":%q`, id))
	}
	if prev != "" {
		fields = append(fields, fmt.Sprintf(`"prev-id":%q`, prev))
	}
	return "{" + strings.Join(fields, ",") + "}"
}
