package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"marquee/httpparse"
)

const (
	// accessQueue is how many lines may wait for the file; with one more it is
	// lost, and counted. About a second of the most that one loop can answer.
	accessQueue = 1 << 14
	// accessBuffer is how many bytes are written at a time while lines wait.
	accessBuffer = 64 << 10
	// accessFailurePause is how long a failure to write is not told again.
	accessFailurePause = 10 * time.Second
)

// accessLog writes a line for each request of a client, or for a share of them,
// when it has come to its end: to a file, or to standard output. One goroutine
// writes; loops only put lines in its queue, and never wait. On nil, which is
// no access log, its methods do nothing.
//
// A line has the client's address, method, host, path, status, the bytes given
// to its socket, seconds from the end of the request's head, how it ended, the
// route, the mode and seconds of a hold, and the user agent. It has no query,
// for there tokens are, unless -access-log-query is set; and no other field of
// the request or of the answer, no content, and no user or password of a URL. A
// path is written as it came.
type accessLog struct {
	// Immutable.
	path   string  // "-" for standard output
	sample float64 // share of the requests
	query  bool
	json   bool
	log    *slog.Logger

	lineCh   chan *record  // loops and leases → writeLoop
	reopenCh chan struct{} // a message for any number of wishes
	stopCh   chan struct{} // closed by close
	doneCh   chan struct{} // closed when writeLoop has ended
	stop     sync.Once

	lost atomic.Int64 // lines for which there was no room, or that could not be written

	// writeLoop only.
	file   *os.File
	buffer *bufio.Writer
	lines  int       // in buffer
	toldAt time.Time // that lines cannot be written
}

// openAccessLog opens what -access-log names, nil for nothing, and starts to
// write. The caller closes it.
func openAccessLog(cfg *Config, log *slog.Logger) (*accessLog, error) {
	if cfg.AccessLog == "" {
		return nil, nil
	}
	a := &accessLog{
		path: cfg.AccessLog, sample: cfg.AccessLogSample, query: cfg.AccessLogQuery, json: cfg.LogFormat == "json",
		log:    log,
		lineCh: make(chan *record, accessQueue), reopenCh: make(chan struct{}, 1),
		stopCh: make(chan struct{}), doneCh: make(chan struct{}),
		buffer: bufio.NewWriterSize(nil, accessBuffer),
	}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	go a.writeLoop()
	return a, nil
}

// begin returns the record of a request that c has sent, or of one that was not
// understood with nil; nil for a request that gets no line. Loop only.
func (a *accessLog) begin(c *conn, req *httpparse.Request) *record {
	if a == nil || a.sample < 1 && rand.Float64() >= a.sample {
		return nil
	}
	r := &record{began: time.Now(), client: c.gc.RemoteAddr().String()}
	if req == nil {
		return r
	}
	target := req.Target
	if !a.query {
		target, _, _ = bytes.Cut(target, []byte("?"))
	}
	r.method, r.host, r.path = method(req.Method), string(req.Host), string(target)
	return r
}

// add gives a record of an ended request to the writer. Safe from any goroutine.
func (a *accessLog) add(r *record) {
	if a == nil || r == nil {
		return
	}
	r.took = time.Since(r.began)
	select {
	case a.lineCh <- r:
	default:
		a.lost.Add(1)
	}
}

// dropped returns how many lines were lost. Safe from any goroutine.
func (a *accessLog) dropped() int64 {
	if a == nil {
		return 0
	}
	return a.lost.Load()
}

// waiting returns how many lines wait for the file. Safe from any goroutine.
func (a *accessLog) waiting() int64 {
	if a == nil {
		return 0
	}
	return int64(len(a.lineCh))
}

// reopen makes the writer open its file anew, after the old one has been moved
// away. Safe from any goroutine.
func (a *accessLog) reopen() {
	if a == nil {
		return
	}
	select {
	case a.reopenCh <- struct{}{}:
	default:
	}
}

// close writes what waits and closes the file. What is added later is lost.
func (a *accessLog) close() {
	if a == nil {
		return
	}
	a.stop.Do(func() { close(a.stopCh) })
	<-a.doneCh
}

// open opens the file, for others of its group to read, and keeps the one that
// was open when that fails.
func (a *accessLog) open() error {
	if a.path == "-" {
		a.file = os.Stdout
		a.buffer.Reset(a.file)
		return nil
	}
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if a.file != nil {
		a.file.Close()
	}
	a.file = f
	a.buffer.Reset(f)
	return nil
}

// writeLoop writes lines until close: as many at a time as wait.
func (a *accessLog) writeLoop() {
	defer close(a.doneCh)
	handler := a.handler()
	for {
		select {
		case r := <-a.lineCh:
			a.write(handler, r)
		case <-a.reopenCh:
			a.flush()
			if err := a.open(); err != nil {
				a.log.Error("cannot open the access log again, the old file stays open", "file", a.path, "err", err)
			} else {
				a.log.Info("access log opened again", "file", a.path)
			}
		case <-a.stopCh:
			for len(a.lineCh) > 0 {
				a.write(handler, <-a.lineCh)
			}
			a.flush()
			if a.path != "-" {
				a.file.Close()
			}
			return
		}
		if len(a.lineCh) == 0 {
			a.flush()
		}
	}
}

// handler returns what makes lines of records, in the form of the log.
func (a *accessLog) handler() slog.Handler {
	options := &slog.HandlerOptions{ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
		if at.Key == slog.LevelKey || at.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return at
	}}
	if a.json {
		return slog.NewJSONHandler(a.buffer, options)
	}
	return slog.NewTextHandler(a.buffer, options)
}

// write puts a line into the buffer, and what is full into the file.
func (a *accessLog) write(h slog.Handler, r *record) {
	line := slog.NewRecord(r.began.Add(r.took), slog.LevelInfo, "", 0)
	line.AddAttrs(r.attrs()...)
	a.lines++
	if err := h.Handle(context.Background(), line); err != nil {
		a.failed(err)
	} else if a.buffer.Buffered() == 0 {
		a.lines = 0
	}
}

// flush writes what is in the buffer.
func (a *accessLog) flush() {
	if err := a.buffer.Flush(); err != nil {
		a.failed(err)
	}
	a.lines = 0
}

// failed counts the lines that cannot be written, and begins anew: the disk may
// have room again.
func (a *accessLog) failed(err error) {
	a.lost.Add(int64(a.lines))
	a.lines = 0
	a.buffer.Reset(a.file)
	if now := time.Now(); now.Sub(a.toldAt) > accessFailurePause {
		a.toldAt = now
		a.log.Error("lines of the access log are lost", "file", a.path, "err", err)
	}
}
