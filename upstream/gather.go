package upstream

import (
	"io"
	"time"
)

// gather reads body to its end, to at least limit bytes, or until patience is
// over, and returns what it has got. rest is nil when that is everything;
// otherwise it yields what follows, and closing it closes body. So a short
// answer is kept together even when its length is not announced, and one that
// trickles, such as an event stream, is not waited for.
func gather(body io.ReadCloser, limit int, patience time.Duration) (data []byte, rest io.ReadCloser, err error) {
	t := &trickle{body: body, pieceCh: make(chan piece), stopCh: make(chan struct{})}
	go t.readLoop()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(data) < limit {
		select {
		case p := <-t.pieceCh:
			data = append(data, p.data...)
			if p.err == io.EOF {
				return data, nil, nil
			}
			if p.err != nil {
				return nil, nil, p.err
			}
		case <-timer.C:
			return data, t, nil
		}
	}
	return data, t, nil
}

// trickle is a body that one goroutine reads ahead, by one piece.
type trickle struct {
	body    io.ReadCloser
	pieceCh chan piece    // closed by readLoop at the end
	stopCh  chan struct{} // closed by Close

	left []byte // of the last piece; reader only
	err  error  // after left; reader only
}

// piece is the result of one Read.
type piece struct {
	data []byte
	err  error
}

// readLoop ends with the body, or with Close.
func (t *trickle) readLoop() {
	defer close(t.pieceCh)
	for {
		buf := make([]byte, 16<<10)
		n, err := t.body.Read(buf)
		select {
		case t.pieceCh <- piece{buf[:n], err}:
		case <-t.stopCh:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (t *trickle) Read(p []byte) (int, error) {
	for len(t.left) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		next, ok := <-t.pieceCh
		if !ok {
			return 0, io.ErrClosedPipe
		}
		t.left, t.err = next.data, next.err
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	return n, nil
}

// Close implements io.Closer. It must be called once; it ends a Read.
func (t *trickle) Close() error {
	close(t.stopCh)
	return t.body.Close()
}
