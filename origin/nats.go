package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// startTimeout bounds the start of the NATS server.
	startTimeout = 10 * time.Second

	// reserve is how many bytes must be free where the headline is kept for it to
	// be changed: many times what the longest takes. So a disk that gets full is
	// noticed before a write fails halfway.
	reserve = 1 << 20

	// maxStore bounds what the server keeps, in bytes, above what a disk has: the
	// bound is the disk, by reserve.
	maxStore = 1 << 40
)

// A natsServer is a NATS server with JetStream inside this process: the
// headline's store and, for those who are told its URL, the cluster's bus.
type natsServer struct {
	dir    string
	lock   *os.File // holds the flock for as long as it is open
	server *server.Server
}

// startNATS starts a server that keeps its files in dir, which it creates when
// there is none, and listens on the address host:port; port 0 is any free one.
// It fails when another process has the same directory open. The caller closes
// the server.
func startNATS(dir, listen string, log *slog.Logger) (*natsServer, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &natsServer{dir: dir, lock: lock}
	if err := s.start(dir, listen, log); err != nil {
		s.close()
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	return s, nil
}

// lockDir takes the directory for this process. The kernel lets go of the lock
// when the process ends, however it ends, so there is no stale lock to clear.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another origin", dir)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f, nil
}

// start brings up the server. What it leaves half done on an error, close
// undoes.
func (s *natsServer) start(dir, listen string, log *slog.Logger) error {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return fmt.Errorf("nats address: %w", err)
	}
	if addr.Port == 0 {
		addr.Port = server.RANDOM_PORT // its own 0 means 4222
	}
	host := ""
	if addr.IP != nil {
		host = addr.IP.String()
	}
	s.server, err = server.NewServer(&server.Options{
		ServerName:      "headline-origin",
		Host:            host,
		Port:            addr.Port,
		NoSigs:          true, // signals are run's business
		NoSystemAccount: true,
		JetStream:       true,
		StoreDir:        dir,
		// Not what happens to be free now.
		JetStreamMaxStore: maxStore,
		// An advertisement in ASCII art, at Debug.
		DisableJetStreamBanner: true,
		// fsync before every acknowledgement. A killed process loses nothing
		// without it, but a machine that crashes would. BenchmarkStorePut on an
		// ext4 virtual disk: 0.22 ms a change, and 0.02 ms without this line;
		// both are nothing beside the time between two headlines.
		SyncAlways: true,
	})
	if err != nil {
		return fmt.Errorf("configure nats server: %w", err)
	}
	slogger := &serverLog{log: log}
	s.server.SetLoggerV2(slogger, false, false, false)
	s.server.Start()
	// A failure is told to the log alone; then waiting is of no use.
	for deadline := time.Now().Add(startTimeout); slogger.fatal.Load() == nil; {
		if s.server.ReadyForConnections(startStep) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start nats server: not ready within %s", startTimeout)
		}
	}
	return fmt.Errorf("start nats server: %s", *slogger.fatal.Load())
}

// startStep is how long one look at the server's start takes.
const startStep = 100 * time.Millisecond

// ready returns nil when the server can be expected to store something, and else
// why not. It is for one goroutine at a time.
func (s *natsServer) ready() error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return fmt.Errorf("look for room in %s: %w", s.dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < reserve {
		return fmt.Errorf("%d bytes are free for %s, %d must be, make room: %w", free, s.dir, reserve, syscall.ENOSPC)
	}
	if s.server.JetStreamEnabled() {
		return nil
	}
	return s.enable()
}

// reopen has the server read again what is on the disk. After a write that failed it
// takes no other one, whatever has become of the reason, and answers none. When there
// is an error, ready tries again. It is for one goroutine at a time.
func (s *natsServer) reopen() error {
	if err := s.server.ShutdownJetStream(); err != nil {
		return fmt.Errorf("close jetstream after a failure: %w", err)
	}
	return s.enable()
}

func (s *natsServer) enable() error {
	if err := s.server.EnableJetStream(&server.JetStreamConfig{StoreDir: s.dir, MaxStore: maxStore}); err != nil {
		return fmt.Errorf("open jetstream after a failure: %w", err)
	}
	return nil
}

// url returns where the server listens.
func (s *natsServer) url() string { return "nats://" + s.server.Addr().String() }

// close ends the server, waits for its goroutines, and lets go of the
// directory.
func (s *natsServer) close() {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	s.lock.Close()
}

// A serverLog hands the NATS server's own messages to slog. Its notices are
// about a server that nobody runs as such, so they are Debug here.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // what Fatalf was told last; nil for nothing
}

func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

// Fatalf keeps the message for natsServer.start to return. It does not exit.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", "text", fmt.Sprintf(format, v...))
}
