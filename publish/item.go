package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"marquee/grip"
)

// maxContent bounds what is read as content, in bytes. Edges take publishes of at
// most a million.
const maxContent = 1_000_000

// item returns the item that the configuration describes, in every format that
// its action has. Content from stdin is read to its end.
func (c *config) item(stdin io.Reader) (grip.Item, error) {
	it := grip.Item{Channel: c.channel, ID: c.id, PrevID: c.prevID, NoSeq: c.noSeq, Meta: c.meta}
	switch c.action {
	case grip.Hint:
		it.HTTPResponse = &grip.HTTPResponse{Action: grip.Hint}
		it.HTTPStream = &grip.HTTPStream{Action: grip.Hint}
		return it, nil
	case grip.Close:
		it.HTTPStream = &grip.HTTPStream{Action: grip.Close}
		it.WSMessage = &grip.WSMessage{Action: grip.Close}
		return it, nil
	}
	content, err := c.read(stdin)
	if err != nil {
		return it, err
	}
	answer := grip.Response{Code: c.code, Header: c.header}
	if c.patch {
		patch, err := compactPatch(content)
		it.HTTPResponse = &grip.HTTPResponse{Response: answer, Patch: patch}
		return it, err
	}
	it.WSMessage = &grip.WSMessage{Type: grip.Text, Content: content}
	if !utf8.Valid(content) {
		it.WSMessage.Type = grip.Binary
	}
	// A line end is for who reads in a terminal what was typed in one; a file has
	// what it has.
	if !c.noEOL && !c.isElsewhere() {
		content = append(bytes.Clone(content), '\n')
	}
	answer.Body = content
	it.HTTPResponse = &grip.HTTPResponse{Response: answer}
	it.HTTPStream = &grip.HTTPStream{Content: content}
	return it, nil
}

// isElsewhere reports whether the content is in a file or on stdin.
func (c *config) isElsewhere() bool { return c.content == "-" || strings.HasPrefix(c.content, "@") }

// read returns the content.
func (c *config) read(stdin io.Reader) ([]byte, error) {
	if !c.isElsewhere() {
		return []byte(c.content), nil
	}
	if c.content != "-" {
		f, err := os.Open(c.content[1:])
		if err != nil {
			return nil, fmt.Errorf("read content: %w", err)
		}
		defer f.Close()
		stdin = f
	}
	content, err := io.ReadAll(io.LimitReader(stdin, maxContent+1))
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	if len(content) > maxContent {
		return nil, fmt.Errorf("read content: %s has more than the %d bytes that edges take", c.content, maxContent)
	}
	return content, nil
}

// compactPatch checks a JSON Patch as far as the edge cannot answer for it: it
// must be a list to be sent at all.
func compactPatch(content []byte) ([]byte, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(content, &list); err != nil || list == nil {
		return nil, errors.New("-patch takes a list of operations in JSON, such as [{\"op\": \"replace\", \"path\": \"/a\", \"value\": 1}]")
	}
	var out bytes.Buffer
	err := json.Compact(&out, content)
	return out.Bytes(), err
}
