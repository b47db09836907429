package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A scene is what one trial is carried out on. Its methods are for the goroutine
// that runs the trial, but for note and fail, which any may call.
type scene struct {
	size       size
	short      bool
	trial      trial
	random     *rand.Rand  // of the seed; for one goroutine
	log        *log.Logger // what the processes warn of; it writes to complaints
	complaints *complaints
	stdout     io.Writer

	network *network         // of a trial with hosts
	hosts   map[string]*host // by the name of the server, and "clients"; none without network
	client  *http.Client     // where the origin can be reached
	addrs   addresses
	dataDir string // of whoever keeps the headline
	disk    *disk  // there, of a trial that makes one; else nil
	// Servers. nats is nil without trial.nats.
	nats, origin, edge *server
	others             []*server // that trial has added
	// proxy, of a trial that is proxied, is where the edge asks for the origin, and
	// natsProxy, of one with NATS too, where all do for NATS.
	proxy, natsProxy *proxy
	// edgeURL and eventsURL are the headline's address at the edge and its stream's,
	// originURL that at the origin, control the base of the edge's control endpoint.
	edgeURL, eventsURL, originURL, control string

	audiences []*audience
	changes   *changer

	mu     sync.Mutex
	result *trialResult
}

// addresses of a scene are on a loopback address of its own, below the ports that
// the kernel gives to who connects: so a server that is killed finds its address
// free when it comes back, and a client that asks for it meanwhile does not happen
// to get that very port, and itself for a peer.
type addresses struct{ edge, control, origin, proxy, nats, natsProxy string }

// A server is a process of the scene that can be killed and started again, with the
// same flags at the same address.
type server struct {
	program program
	at      ready
	process *process // nil while it is down
	scene   *scene
}

// play is the trial from the start of the servers to the verdict.
func (s *scene) play(ctx context.Context) (err error) {
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.changes.pause(ctx, s.size.changes); err != nil {
		return err
	}
	s.changes.enter(during)
	err = s.trial.run(ctx, s)
	ended := monotonic()
	if err != nil {
		return err
	}
	s.heal(ctx, ended)
	s.changes.enter(after)
	if err := s.changes.pause(ctx, s.size.changes); err != nil {
		return err
	}
	s.changes.stop()
	s.await(ctx, s.changes.newest())
	for _, a := range s.audiences {
		if err := a.end(); err != nil {
			return err
		}
	}
	s.judge()
	return context.Cause(ctx)
}

// start brings up the servers, the first headline, and the clients, all of which
// are held when it returns, and begins to change the headline.
func (s *scene) start(ctx context.Context) (err error) {
	if s.dataDir, err = os.MkdirTemp("", "marquee-"); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if s.trial.hosts {
		err = s.makeHosts()
	} else {
		s.addrs, err = newAddresses()
	}
	if err != nil {
		return err
	}
	s.client = clientIn(s.hosts["origin"])
	s.edgeURL, s.eventsURL = headlineURL(s.addrs.edge), eventsURL(s.addrs.edge)
	s.originURL, s.control = headlineURL(s.addrs.origin), "http://"+s.addrs.control
	if err := s.layOut(); err != nil {
		return err
	}
	if s.trial.prepare != nil {
		if err := s.trial.prepare(s); err != nil {
			return err
		}
	}
	for _, server := range []*server{s.nats, s.edge, s.origin} {
		if server == nil {
			continue
		}
		if err := server.start(ctx); err != nil {
			return err
		}
	}
	if err := postHeadline(ctx, s.client, s.originURL, headline); err != nil {
		return err
	}
	streams := s.size.clients / 2
	for _, a := range []*audience{
		{kind: "polls", clients: s.size.clients - streams, url: s.edgeURL},
		{kind: "streams", clients: streams, url: s.eventsURL},
	} {
		if err := a.start(s); err != nil {
			return err
		}
		s.audiences = append(s.audiences, a)
	}
	for _, a := range s.audiences {
		if err := a.awaitStarted(ctx); err != nil {
			return err
		}
	}
	s.result.Clients = s.size.clients
	s.changes = newChanger(s.client, s.originURL, s.size.every)
	return nil
}

// makeHosts makes a host for each server and one for the clients, and says where the
// servers listen.
func (s *scene) makeHosts() (err error) {
	if s.network, err = newNetwork(); err != nil {
		return err
	}
	s.hosts = make(map[string]*host)
	for _, name := range []string{"edge", "origin", "nats", "clients"} {
		if s.hosts[name], err = s.network.join(name); err != nil {
			return err
		}
	}
	s.addrs = addresses{
		edge: s.hosts["edge"].at(edgePort), control: s.hosts["edge"].at(controlPort),
		origin: s.hosts["origin"].at(originPort), nats: s.hosts["nats"].at(natsPort),
	}
	return nil
}

// layOut says how the servers are started.
func (s *scene) layOut() (err error) {
	paths := map[string]string{}
	for _, name := range []string{"edge", "origin"} {
		path, err := binary(name)
		if err != nil {
			return err
		}
		paths[name] = path
	}
	asked, natsURL := s.addrs.origin, "nats://"+s.addrs.nats
	if s.trial.proxied {
		if s.proxy, err = newProxy(s.addrs.proxy, s.addrs.origin, s.newRandom()); err != nil {
			return err
		}
		asked = s.addrs.proxy
	}
	if s.trial.proxied && s.trial.nats {
		if s.natsProxy, err = newProxy(s.addrs.natsProxy, s.addrs.nats, s.newRandom()); err != nil {
			return err
		}
		natsURL = "nats://" + s.addrs.natsProxy
	}
	edgeArgs := []string{"-origin", asked, "-share-all", "-listen", s.addrs.edge, "-control", s.addrs.control, "-log-format", "json"}
	originArgs := []string{"-listen", s.addrs.origin, "-log-format", "json"}
	if s.trial.nats {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find own executable: %w", err)
		}
		s.nats = s.server("nats", self, "nats", "-listen", s.addrs.nats, "-data", s.dataDir)
		edgeArgs = append(edgeArgs, "-nats", natsURL)
		originArgs = append(originArgs, "-nats", natsURL)
	} else {
		originArgs = append(originArgs, "-nats-listen", "127.0.0.1:0", "-data", s.dataDir, "-edge", s.control)
	}
	s.edge = s.server("edge", paths["edge"], append(edgeArgs, s.trial.edge...)...)
	s.origin = s.server("origin", paths["origin"], append(originArgs, s.trial.origin...)...)
	return nil
}

// newRandom returns a source of random numbers for another goroutine.
func (s *scene) newRandom() *rand.Rand { return rand.New(rand.NewPCG(s.random.Uint64(), 0)) }

// server returns a server that is not started yet. Its address is among args.
func (s *scene) server(name, path string, args ...string) *server {
	return &server{program: program{name: name, path: path, args: args, host: s.hosts[name]}, scene: s}
}

// add starts one more server, which is stopped with the scene.
func (s *scene) add(ctx context.Context, name, path string, args ...string) (*server, error) {
	added := s.server(name, path, args...)
	if err := added.start(ctx); err != nil {
		return nil, err
	}
	s.others = append(s.others, added)
	return added, nil
}

// heal waits until all clients have the newest of the headlines that were published
// before the end of the fault, at ended, and judges how long that took with the long
// size; with the short one they only have to get there.
func (s *scene) heal(ctx context.Context, ended time.Duration) {
	id := s.changes.newestBefore(ended)
	s.await(ctx, id)
	healed := time.Duration(0)
	for _, a := range s.audiences {
		passed, ok := a.passed(id)
		if !ok {
			return // await has said so
		}
		healed = max(healed, passed-ended)
	}
	s.result.HealedMS = milliseconds(healed)
	if healed > healWithin && !s.short {
		s.fail("the last client had headline %d only %v after the end, which is more than %v", id, healed.Round(time.Millisecond), healWithin)
	}
}

// await returns when all clients have the headline of that id or a newer one. It
// waits for longer than they may take, to tell late from never.
func (s *scene) await(ctx context.Context, id uint64) {
	ctx, cancel := context.WithTimeout(ctx, awaitWithin)
	defer cancel()
	for _, a := range s.audiences {
		if err := a.awaitPassed(ctx, id); err != nil {
			s.fail("not all %d %s have headline %d or a newer one after %v", a.clients, a.kind, id, awaitWithin)
			return
		}
	}
}

// judge makes the report of what the changes and the clients' sequences say.
func (s *scene) judge() {
	s.changes.judge(s)
	for _, a := range s.audiences {
		a.judge(s, s.changes.newest())
	}
	before, during := s.result.Before.Last.median(), s.result.During.Last.median()
	if most := s.trial.most; most > 0 && !s.short && during > most*before {
		s.fail("a change took %s ms to the last client, %.2f times as long as before, which may be %v at most", number(during), during/before, most)
	}
}

// sleep waits for d, or returns ctx's cause when ctx ends first.
func (s *scene) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// note adds to what the report says of the trial.
func (s *scene) note(format string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Notes = append(s.result.Notes, fmt.Sprintf(format, values...))
}

// figure adds a figure to the report.
func (s *scene) figure(name, unit string, values ...float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Figures = append(s.result.Figures, trialFigure{name, unit, values})
}

// wantSaid fails the trial if no server has warned of what.
func (s *scene) wantSaid(what string) {
	if !s.complaints.contain(what) {
		s.fail("no server's log has a warning that says %q", what)
	}
}

// fail notes what went wrong: the trial has failed, and goes on.
func (s *scene) fail(format string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Failures = append(s.result.Failures, fmt.Sprintf(format, values...))
}

// command has the report name a command that was started.
func (s *scene) command(path string, args []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	command := strings.Join(append([]string{filepath.Base(path)}, args...), " ")
	if !slices.Contains(s.result.Commands, command) {
		s.result.Commands = append(s.result.Commands, command)
	}
}

// say shows what happens, for who watches.
func (s *scene) say(format string, values ...any) {
	fmt.Fprintf(s.stdout, "\t%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, values...))
}

// close ends all that runs, and removes the data directory. Clients go first, so
// that nobody misses a server. It says which server was gone that nobody killed.
func (s *scene) close() error {
	var errs []error
	if s.changes != nil {
		s.changes.stop()
	}
	for _, a := range s.audiences {
		errs = append(errs, a.end())
	}
	for _, server := range slices.Concat(s.others, []*server{s.edge, s.origin, s.nats}) {
		if server != nil {
			errs = append(errs, server.stop())
		}
	}
	for _, p := range []*proxy{s.proxy, s.natsProxy} {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	if s.disk != nil {
		errs = append(errs, s.disk.close())
	}
	if s.network != nil {
		errs = append(errs, s.network.close())
	}
	if s.dataDir != "" {
		errs = append(errs, os.RemoveAll(s.dataDir))
	}
	return errors.Join(errs...)
}

// start starts the server, the first time or again, and returns when it is ready.
func (v *server) start(ctx context.Context) error {
	p, at, err := startServer(ctx, v.scene.log, v.program)
	if err != nil {
		return err
	}
	v.process, v.at = p, at
	v.scene.command(v.program.path, v.program.args)
	return nil
}

// kill ends the server as a crash would. A server that is gone already has crashed
// by itself, which is an error.
func (v *server) kill() error {
	p := v.process
	v.process = nil
	select {
	case <-p.doneCh:
		return p.failure("ended by itself")
	default:
	}
	p.kill()
	return nil
}

// stop ends the server in order, if it runs.
func (v *server) stop() error {
	if v.process == nil {
		return nil
	}
	p := v.process
	v.process = nil
	return p.stop()
}

// newAddresses finds free addresses for a scene.
func newAddresses() (addresses, error) {
	const attempts = 20
	var a addresses
	var err error
	for range attempts {
		ip := fmt.Sprintf("127.%d.%d.%d", 64+rand.N(64), rand.N(256), 1+rand.N(254))
		port := 10000 + rand.N(20000)
		err = nil
		for i, to := range []*string{&a.edge, &a.control, &a.origin, &a.proxy, &a.nats, &a.natsProxy} {
			want := fmt.Sprintf("%s:%d", ip, port+i)
			if *to, err = freeAddr(want); err == nil && *to != want {
				err = fmt.Errorf("find a free port: %s is in use", want)
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			return a, nil
		}
	}
	return a, cmp.Or(err, errors.New("find a free port: none"))
}
