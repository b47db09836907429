package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// headline is a value of the service, and how its delivery goes if it is a
// change. Loop only, but for start and settledCh.
type headline struct {
	id   uint64 // 0: posted, and neither the POST's answer nor a delivery has come yet
	text string
	// validators are those that foreign servers sent with it, the newest last.
	validators []*validators

	// Of a change.
	recipients int      // clients that were to receive it
	received   int      // clients that did before it was settled
	shown      int      // value of received in the last line printed
	latency    *latency // without its histogram once settled
	spread     spread   // once settled
	settled    bool     // no longer counts deliveries; also true of what is no change

	start     atomic.Int64  // when the change began, nanoseconds of the pool's clock; 0: not yet. Any goroutine
	settledCh chan struct{} // closed by the loop when settled; nil unless posted
}

// noChange stands for {}, the answer to a poll whose hold timed out.
var noChange = &headline{}

// begins notes the start of the change, unless that was noted before. Safe
// from any goroutine.
func (h *headline) begins(now time.Duration) { h.start.CompareAndSwap(0, int64(now)) }

// missed is how many recipients did not receive the change.
func (h *headline) missed() int { return h.recipients - h.received }

// parseHeadline reads an answer's body: {"id": 1, "body": "text"}, or {} when
// there is no change, for which changed is false.
func parseHeadline(body []byte) (id uint64, text string, changed bool, err error) {
	var v struct {
		ID   *uint64 `json:"id"`
		Body *string `json:"body"`
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return 0, "", false, fmt.Errorf("body %.80q is no JSON object", body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return 0, "", false, fmt.Errorf("parse body %.80q: %w", body, err)
	}
	switch {
	case v.ID == nil && v.Body == nil:
		return 0, "", false, nil
	case v.ID == nil || *v.ID == 0:
		return 0, "", false, errors.New("headline has no id from 1 up")
	case v.Body == nil:
		return 0, "", false, errors.New("headline has no body")
	}
	return *v.ID, *v.Body, true, nil
}
