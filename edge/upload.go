package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"marquee/fanout"
	"marquee/httpparse"
	"marquee/upstream"
)

// upload streams the content of the pending request to the origin.
func (c *conn) upload() {
	p := c.pending
	s, err := c.detach()
	if err != nil {
		c.loop.edge.log.Debug("cannot stream from client", "err", err)
		c.pending = nil
		c.refuse(http.StatusServiceUnavailable, noStream)
		return
	}
	go s.end(func() bool { return s.exchange(p) })
}

// exchange puts a request whose content is still arriving.
func (s *lease) exchange(p *pending) (reusable bool) {
	in := &content{lease: s, body: p.body, ready: p.content, read: int64(len(p.content)), most: p.most, endCh: make(chan struct{}), releaseCh: make(chan struct{})}
	p.q.req.Stream = in
	resultCh := make(chan upstream.Result, 1)
	ticket := s.edge.origin.Ask(p.q.req, time.Time{}, func(r upstream.Result) { resultCh <- r })
	giveUp := func() {
		if !ticket.Leave() {
			if r := <-resultCh; r.Answer != nil && r.Answer.Body != nil {
				r.Answer.Body.Close()
			}
		}
		close(in.releaseCh)
	}
	select {
	case r := <-resultCh:
		close(in.releaseCh)
		return s.settle(p.q, r, in)
	case <-in.endCh:
	}
	if in.err != io.EOF {
		giveUp()
		return s.blame(in.err)
	}
	goneCh := make(chan struct{})
	stop := s.watch(func() { close(goneCh) })
	select {
	case r := <-resultCh:
		stop()
		close(in.releaseCh)
		return s.settle(p.q, r, in)
	case <-goneCh:
		stop()
		giveUp()
		return false
	}
}

// blame answers a client whose content cannot be read to its end, if it is
// still there.
func (s *lease) blame(err error) bool {
	s.variant |= fanout.Close
	var malformed *httpparse.Error
	var long longContent
	switch {
	case errors.As(err, &long):
		s.edge.limited[limitBody].Add(1)
		s.refused()
		return s.write(plain(http.StatusRequestEntityTooLarge, long.Error()), -1)
	case errors.As(err, &malformed):
		s.edge.malformed.Add(1)
		s.refused()
		return s.write(plain(malformed.Status, malformed.Reason), -1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.edge.limited[limitTime].Add(1)
		s.refused()
		return s.write(plain(http.StatusRequestTimeout, lateRequest), -1)
	}
	s.left.Store(true)
	return false
}

// refused notes that the client is to blame for how the request ends.
func (s *lease) refused() {
	if s.record != nil {
		s.record.ends(endRefused)
	}
}

// settle gives the client what came of its request. Where the content has not
// come to its end nobody reads the rest of it, so the connection ends.
func (s *lease) settle(q *question, r upstream.Result, in *content) bool {
	ended := in.ended()
	if !ended {
		s.variant |= fanout.Close
	}
	switch {
	case r.Failure != nil:
		return s.write(q.finish.On(q.service.failure(r.Failure)), -1)
	case r.Answer.Hold != nil, r.Answer.Next != nil:
		if r.Answer.Body != nil {
			r.Answer.Body.Close()
		}
		return s.write(plain(http.StatusBadRequest, "Request too large to accept GRIP instruct."), -1)
	case r.Answer.Body != nil:
		finished := *r.Answer
		finished.Response = q.finish.On(r.Answer.Response)
		if !ended {
			stop := in.watchEnded(func() { r.Answer.Body.Close() })
			defer stop()
		}
		return s.relay(&finished, ended)
	default:
		return s.write(q.finish.On(r.Answer.Response), r.Answer.Length)
	}
}

// longContent is the error when a request's content is longer than its route
// takes, which is so many bytes.
type longContent int64

func (most longContent) Error() string {
	return fmt.Sprintf("The request's content is longer than %d bytes.", int64(most))
}

// content reads a request's content from the client, as it arrives, for the
// goroutine that writes to the origin.
type content struct {
	lease *lease
	body  httpparse.Body
	ready []byte // decoded, not read
	read  int64  // bytes decoded so far
	most  int64  // how many there may be; 0 for any number
	// endCh is closed when the content has come to its end, or has broken off:
	// err is io.EOF or says why. From then on the lease is not touched here.
	endCh chan struct{}
	err   error // set before endCh is closed
	// releaseCh is closed by the exchange when it knows what becomes of the
	// request: until then it does not break off, so that the origin is not
	// held to have failed.
	releaseCh chan struct{}
}

// ended reports whether the content has come to its end.
func (r *content) ended() bool {
	select {
	case <-r.endCh:
		return r.err == io.EOF
	default:
		return false
	}
}

// watchEnded watches the client once the content has come to its end, until stop: from
// then on nobody else reads. gone is called when it has left.
func (r *content) watchEnded(gone func()) (stop func()) {
	stopCh, doneCh := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(doneCh)
		select {
		case <-stopCh:
			return
		case <-r.endCh:
		}
		if r.err == io.EOF { // else who reads has missed it
			unwatch := r.lease.watch(gone)
			<-stopCh
			unwatch()
		}
	}()
	return func() {
		close(stopCh)
		<-doneCh
	}
}

// Read implements io.Reader.
func (r *content) Read(p []byte) (int, error) {
	for len(r.ready) == 0 && r.err == nil {
		r.next()
	}
	if len(r.ready) == 0 {
		if r.err != io.EOF {
			<-r.releaseCh
		}
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// next decodes a run of the content. It ends with the run that is the last one
// of a sized content, for the origin may answer as soon as it has that.
func (r *content) next() {
	s := r.lease
	data, n, err := r.body.Next(s.unread)
	r.ready, s.unread = data, s.unread[n:]
	if r.read += int64(len(data)); err == nil && r.most > 0 && r.read > r.most {
		r.ready, err = nil, longContent(r.most)
	}
	if err == nil && n == 0 && !r.body.Done() {
		if err = s.fill(); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil && r.body.Done() {
		err = io.EOF
	}
	if err != nil {
		r.err = err
		close(r.endCh)
	}
}
