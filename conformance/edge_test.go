package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startEdge builds the edge and starts it with the suite's routes.
func (s *subject) startEdge() error {
	if err := s.makeDir(); err != nil {
		return err
	}
	binary := filepath.Join(s.dir, "edge")
	if out, err := exec.Command("go", "build", "-o", binary, "marquee/edge").CombinedOutput(); err != nil {
		return fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	err := s.start(exec.Command(binary, "-routes", s.routes, "-upstream-key", upstreamKey,
		"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-format", "json"))
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(s.log.String()) {
			var ready struct{ Msg, Listen, Control string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" {
				s.address, s.control = ready.Listen, ready.Control
				return nil
			}
		}
		select {
		case <-s.exitCh:
			return errors.New("the edge ended before it was ready")
		default:
		}
		if time.Now().After(deadline) {
			return errors.New("the edge is not ready")
		}
	}
}
