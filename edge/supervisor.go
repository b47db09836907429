package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// statusInterval is how often the supervisor is told what there is to say.
	statusInterval = 5 * time.Second
	// notifyTimeout bounds the wait for room in its queue.
	notifyTimeout = time.Second
)

// supervisor is who has started the process, if it wants to be told how it is:
// systemd, with Type=notify (sd_notify(3)). Its methods are safe from any
// goroutine, and do nothing where nobody wants to know.
type supervisor struct {
	log      *slog.Logger
	address  string        // of its socket; "" when it does not want to know
	watchdog time.Duration // it wants a sign of life within this time; 0: none
}

func newSupervisor(log *slog.Logger) supervisor {
	s := supervisor{log: log, address: os.Getenv("NOTIFY_SOCKET")}
	var err error
	if s.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("no sign of life is given", "err", err)
	}
	return s
}

// say sends a state, of lines NAME=VALUE. A supervisor that does not listen holds
// nothing up for long, which it does with the library's SdNotify.
func (s supervisor) say(state string) {
	if s.address == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.address, Net: "unixgram"})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(notifyTimeout))
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		s.log.Warn("cannot notify the supervisor", "err", err)
	}
}

func (s supervisor) ready()    { s.say(daemon.SdNotifyReady) }
func (s supervisor) stopping() { s.say(daemon.SdNotifyStopping) }

// reloading is followed by ready.
func (s supervisor) reloading() {
	s.say(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// mainProcess says which process is the main one from here on.
func (s supervisor) mainProcess(pid int) { s.say("MAINPID=" + strconv.Itoa(pid)) }

// superviseLoop tells the supervisor what the edge does, until ctx ends: a status
// for people, and a sign of life as long as every loop comes round.
func (e *edge) superviseLoop(ctx context.Context) {
	s := e.supervisor
	if s.address == "" {
		<-ctx.Done()
		return
	}
	interval := statusInterval
	if s.watchdog > 0 {
		interval = min(interval, s.watchdog/3)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for last := ""; ; {
		state := ""
		if status := e.status(); status != last {
			last, state = status, "STATUS="+status
		}
		if s.watchdog > 0 && e.stuck(s.watchdog/2) == nil {
			state = daemon.SdNotifyWatchdog + "\n" + state
		}
		if state != "" && !e.successor.Load() { // the successor speaks for the service
			s.say(state)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// status says in one line what the edge does.
func (e *edge) status() string {
	doing := "serving"
	switch {
	case e.draining.Load():
		doing = "draining"
	case e.leaving.Load():
		doing = "about to drain"
	}
	return fmt.Sprintf("%s: %d clients, %d requests held", doing, e.connections.Load(), e.held())
}

// stuck returns a loop that has not come round for so long; nil for none.
func (e *edge) stuck(limit time.Duration) *loop {
	for _, l := range e.loops {
		if last := l.ticked.Load(); last != nil && time.Since(*last) > limit {
			return l
		}
	}
	return nil
}
