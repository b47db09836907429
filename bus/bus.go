package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"
)

var (
	// ErrNotConnected is the error of whatever needs the NATS server while the
	// connection is down.
	ErrNotConnected = errors.New("not connected to nats")
	// ErrNobody is the error of a request to a name that nobody has.
	ErrNobody = errors.New("nobody answers to this name")
	// ErrDuplicateName is the error of a node whose name another node has.
	ErrDuplicateName = errors.New("name is taken")
	// ErrSubscribed is the error of subscribing twice to one channel.
	ErrSubscribed = errors.New("channel has a subscription already")
)

// How a dead connection is noticed. A ping unanswered for pingsOut intervals
// ends it, and so does a write that blocks: together within 4 s, before
// silence lets nodes be thought gone.
const (
	pingInterval = time.Second
	pingsOut     = 2
	writeTimeout = 2 * time.Second
)

const (
	dialTimeout = 2 * time.Second
	// Between two rounds of all servers: long enough for a cluster of
	// thousands to come back spread out.
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 750 * time.Millisecond
	// confirmTimeout bounds the wait for the server to confirm a subscription.
	confirmTimeout = 5 * time.Second
	// requestTimeout bounds the wait for an answer: whoever is asked may die
	// instead of answering.
	requestTimeout = 30 * time.Second
)

// Config says how to reach NATS.
type Config struct {
	// URL is nats://host:port, tls://host:port, or a list of them with commas.
	URL string
	// Credentials, CA, Cert and Key are files: a user's credentials (.creds),
	// and PEM certificates and key for TLS. Empty means none; Cert and Key come
	// together.
	Credentials, CA, Cert, Key string
	// Name is the connection's name, that of the node; not empty.
	Name string
	Log  *slog.Logger
	// Up is called after every reconnect, once the server has confirmed all
	// subscriptions: whatever was published before may have been missed. It is
	// not called for the first connection. Down is called when the connection
	// is lost. Both may be nil, are called in turn on one goroutine of the bus,
	// must return soon and must not call Close. What they are called for is theirs
	// to log, and is logged where they are nil.
	Up   func()
	Down func(error)
}

// Bus is one connection to the cluster. Its methods are safe from any
// goroutine. Those that send may block for up to 2 s behind a server that
// reads slowly: event loops leave them to other goroutines.
type Bus struct {
	// Immutable after Connect.
	nc           *nats.Conn
	log          *slog.Logger
	onUp         func()
	onDown       func(error)
	opening      []byte          // of every payload
	complaints   *rate.Limiter   // of logs about others' messages
	ctx          context.Context // ends when Close is called
	cancel       context.CancelFunc
	itemCh       chan *nats.Msg          // nc's reader → dispatchLoop
	slowCh       chan *nats.Subscription // nc's callbacks → dispatchLoop
	dispatchedCh chan struct{}           // closed when dispatchLoop has ended
	readyCh      chan struct{}           // closed at the first connection
	closedCh     chan struct{}           // closed by nc's last callback

	// Of nc's callbacks, which come one at a time. Others read dialErr when the
	// last has returned.
	connected atomic.Bool
	dialErr   error // of the last attempt to reach a server

	published, received, refused, lost atomic.Uint64 // see Counters

	mu            sync.RWMutex
	subscriptions map[string]*Subscription // by subject
}

// Connect connects to NATS. While no server can be reached it tries again until
// ctx ends; a later loss is repaired for as long as it takes. Settings that can
// never work are an error at once. The caller closes the bus.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	if cfg.Name == "" {
		return nil, errors.New("connect to nats: connection name is empty")
	}
	if err := checkName("connection", cfg.Name); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	servers, err := serverNames(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	b := &Bus{
		log:           cfg.Log,
		onUp:          cfg.Up,
		onDown:        cfg.Down,
		opening:       opening(cfg.Name),
		complaints:    rate.NewLimiter(10, 50),
		itemCh:        make(chan *nats.Msg, itemQueue),
		slowCh:        make(chan *nats.Subscription),
		dispatchedCh:  make(chan struct{}),
		readyCh:       make(chan struct{}),
		closedCh:      make(chan struct{}),
		subscriptions: make(map[string]*Subscription),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	options, err := b.options(cfg)
	if err == nil {
		b.nc, err = nats.Connect(cfg.URL, options...)
	}
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("connect to nats at %s: %w", servers, err)
	}
	go b.dispatchLoop()
	select {
	case <-b.readyCh:
		return b, nil
	case <-ctx.Done():
		last := b.nc.LastError()
		b.Close() // and with it all that writes dialErr
		return nil, fmt.Errorf("connect to nats at %s: %w, at last because: %w", servers, ctx.Err(), cmp.Or(last, b.dialErr, ErrNotConnected))
	}
}

// serverNames returns a list of server URLs without what may be secret in them.
func serverNames(urls string) (string, error) {
	var names []string
	for i, s := range strings.Split(urls, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return "", fmt.Errorf("server %d of the list is not nats://host:port", i+1)
		}
		names = append(names, u.Host)
	}
	return strings.Join(names, ", "), nil
}

// options returns cfg as nats.go takes it, and what this package decides.
func (b *Bus) options(cfg Config) ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name(cfg.Name),
		nats.NoEcho(),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// Nothing is sent late: a stale item would come after those who missed
		// it have asked the origin, and a stale announcement is of no use.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(b.handleConnect),
		nats.DisconnectErrHandler(b.handleDisconnect),
		nats.ReconnectHandler(b.handleReconnect),
		nats.ReconnectErrHandler(b.handleReconnectError),
		nats.ErrorHandler(b.handleError),
		nats.ClosedHandler(b.handleClosed),
	}
	if cfg.Credentials != "" {
		// nats.go reads the file at each connect; here it is checked that one
		// is there at all.
		if _, err := os.ReadFile(cfg.Credentials); err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		options = append(options, nats.UserCredentials(cfg.Credentials))
	}
	if cfg.CA != "" {
		options = append(options, nats.RootCAs(cfg.CA))
	}
	if (cfg.Cert == "") != (cfg.Key == "") {
		return nil, errors.New("certificate and key come together")
	}
	if cfg.Cert != "" {
		options = append(options, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	return options, nil
}

// Connected reports whether the connection is up and all subscriptions are
// confirmed. It never blocks.
func (b *Bus) Connected() bool { return b.connected.Load() }

// Counters count since Connect.
type Counters struct {
	Published uint64 // items sent
	Received  uint64 // items received and understood
	Refused   uint64 // messages of any kind that were not understood
	Lost      uint64 // messages dropped because this process read too slowly
}

// Counters returns the present counts.
func (b *Bus) Counters() Counters {
	return Counters{b.published.Load(), b.received.Load(), b.refused.Load(), b.lost.Load()}
}

// Close ends the connection and all subscriptions, and returns when no function
// of the caller is running any more. It must not be called from one of them.
func (b *Bus) Close() {
	b.cancel()
	b.connected.Store(false)
	b.nc.Close()
	<-b.closedCh
	<-b.dispatchedCh
}

func (b *Bus) handleConnect(nc *nats.Conn) {
	b.connected.Store(true)
	close(b.readyCh)
	b.log.Info("nats connected", "server", nc.ConnectedAddr())
}

func (b *Bus) handleDisconnect(_ *nats.Conn, err error) {
	if b.ctx.Err() != nil {
		return
	}
	err = cmp.Or(err, ErrNotConnected)
	b.connected.Store(false)
	if b.onDown != nil {
		b.onDown(err)
	} else {
		b.log.Warn("nats connection lost", "err", err)
	}
}

// handleReconnect waits until the server has confirmed the subscriptions, which
// nats.go has sent again before this is called. When the connection is lost
// meanwhile, the next call of it does that.
func (b *Bus) handleReconnect(nc *nats.Conn) {
	err := b.flush(b.ctx)
	for errors.Is(err, context.DeadlineExceeded) {
		err = b.flush(b.ctx)
	}
	if err != nil {
		return
	}
	b.connected.Store(true)
	if b.onUp != nil {
		b.onUp()
	} else {
		b.log.Info("nats connected again", "server", nc.ConnectedAddr())
	}
}

func (b *Bus) handleReconnectError(_ *nats.Conn, err error) {
	b.dialErr = err
	b.complain(slog.LevelWarn, "nats not reached, will try again", "err", err)
}

// handleError is told of errors that belong to no call.
func (b *Bus) handleError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.handleSlow(sub)
		return
	}
	b.complain(slog.LevelError, "nats error", "err", err)
}

// handleClosed is called once, for good.
func (b *Bus) handleClosed(nc *nats.Conn) {
	if b.ctx.Err() == nil {
		// Only an error that the server itself calls fatal leads here.
		b.connected.Store(false)
		b.log.Error("nats connection closed by the server for good", "err", nc.LastError())
	}
	close(b.closedCh)
}

// publish sends a payload.
func (b *Bus) publish(subject string, payload []byte) error {
	if !b.Connected() {
		return ErrNotConnected
	}
	return ownError(b.nc.Publish(subject, payload))
}

// request sends a payload and returns the answer to it, within requestTimeout.
func (b *Bus) request(ctx context.Context, subject string, payload []byte) (*nats.Msg, error) {
	if !b.Connected() {
		return nil, ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, subject, payload)
	return m, ownError(err)
}

// listen subscribes msgCh to subjects until stop is called. It returns when the
// server has confirmed it, however often the connection is lost before.
func (b *Bus) listen(ctx context.Context, msgCh chan *nats.Msg, subjects ...string) (stop func(), err error) {
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			// Fails only when the connection is closed, which unsubscribes, too.
			_ = sub.Unsubscribe()
		}
	}
	for _, subject := range subjects {
		sub, err := b.nc.ChanSubscribe(subject, msgCh)
		if err != nil {
			stop()
			return nil, ownError(err)
		}
		subs = append(subs, sub)
	}
	for {
		err = b.confirm(ctx, subjects...)
		if err == nil {
			return stop, nil
		}
		if ctx.Err() != nil || b.ctx.Err() != nil || errors.Is(err, nats.ErrPermissionViolation) {
			stop()
			return nil, err
		}
	}
}

// confirm returns when the server knows all subscriptions sent so far, or has
// refused that to one of subjects.
func (b *Bus) confirm(ctx context.Context, subjects ...string) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	// The server's refusal is no answer to a call, but it comes before the
	// answer to the flush.
	if err := b.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		for _, subject := range subjects {
			if strings.Contains(err.Error(), `"`+subject+`"`) {
				return err
			}
		}
	}
	return nil
}

// flush returns when the server has read all that was sent so far.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return ownError(b.nc.FlushWithContext(ctx))
}

// ownError returns the error of this package that err means, or err.
func ownError(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNobody
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected):
		return ErrNotConnected
	}
	return err
}
