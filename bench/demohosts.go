package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// hostsTimeout bounds each wait: for a delivery with a fault in it, for
	// example, where a node is missed after 5 s and its clients come back after
	// some more.
	hostsTimeout = 60 * time.Second
	// shortCut is shorter than the silence after which a node counts as gone,
	// and long enough for TCP to have lost something.
	shortCut = 2 * time.Second
)

// hostsRegions are the regions of the hosts, in turn.
var hostsRegions = []string{"us-west-1", "us-east-1", "eu-west-1"}

// Ports of an edge in a host of its own.
const (
	edgePort    = 7999
	controlPort = 5561
)

// A demoHosts is the demonstration on many hosts, made here, on which things go
// wrong.
type demoHosts struct {
	groups, clients int // client groups, and clients of each
	stdout, stderr  io.Writer

	network *network
	town    *demonstration
	edges   map[string]*process // that run
	loads   []*process
	watcher *http.Client // in the origin's host
	shown   *status      // what was said of; nil before the first
}

// demoHostsCommand is "bench demo-hosts", which make demo-hosts runs.
func demoHostsCommand(stdout, stderr io.Writer) *ffcli.Command {
	d := demoHosts{stdout: stdout, stderr: stderr, edges: make(map[string]*process)}
	return subcommand(stderr, "demo-hosts", "cut hosts off and kill an edge while headlines are delivered (needs root)",
		func(set *flag.FlagSet) {
			set.IntVar(&d.groups, "groups", 4, "number of client `groups`, 3 to 50; edges are one more, each on a host of its own")
			set.IntVar(&d.clients, "clients", 1000, "number of `clients` of each group, 1 to 20000")
		},
		func(ctx context.Context) error {
			if err := inRange("groups", d.groups, 3, 50); err != nil {
				return err
			}
			if err := inRange("clients", d.clients, 1, maxClients); err != nil {
				return err
			}
			return d.run(ctx)
		})
}

// run fails unless every client has every headline in the end, whatever went
// wrong in between. Then it also prints what the nodes have complained of.
func (d *demoHosts) run(ctx context.Context) (err error) {
	if err := checkSupply(d.all(), d.clients); err != nil {
		return err
	}
	if d.network, err = newNetwork(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.network.close()) }()
	var complaints bytes.Buffer // written by log, which is safe for several at once
	log := childLog(&complaints)
	defer func() {
		err = errors.Join(err, d.stop())
		if err != nil {
			_, _ = d.stderr.Write(complaints.Bytes())
		}
	}()
	originHost, err := d.network.join("origin")
	if err != nil {
		return err
	}
	dashboardHost, err := d.network.join("dashboard")
	if err != nil {
		return err
	}
	d.watcher = clientIn(originHost)
	d.town, err = startDemonstration(ctx, d.stdout, log, demonstrationConfig{
		originHost: originHost, dashboardHost: dashboardHost,
		dashboardArgs: []string{
			"-capacity", strconv.Itoa(d.groups * d.clients), "-node-capacity", strconv.Itoa(d.clients),
			"-regions", strings.Join(hostsRegions, ","),
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := until(ctx, d.town.origin, d.town.dashboard)
	defer cancel()
	for i := range d.groups + 1 {
		if err := d.startEdge(ctx, log, i); err != nil {
			return err
		}
	}
	for i := range d.groups {
		if err := d.startGroup(log, i); err != nil {
			return err
		}
	}
	return d.play(ctx)
}

func edgeName(i int) string  { return "edge-" + strconv.Itoa(i+1) }
func groupName(i int) string { return "group-" + strconv.Itoa(i+1) }

// startEdge starts the i-th edge, on a host of its own.
func (d *demoHosts) startEdge(ctx context.Context, log *log.Logger, i int) error {
	path, err := binary("edge")
	if err != nil {
		return err
	}
	h, err := d.network.join(edgeName(i))
	if err != nil {
		return err
	}
	d.edges[h.name], _, err = startServer(ctx, log, program{name: h.name, path: path, host: h, args: []string{
		"-name", h.name, "-region", hostsRegions[i%len(hostsRegions)], "-nats", d.town.natsURL,
		"-origin", d.town.originAddr, "-share-all", "-log-format", "json",
		"-listen", h.at(edgePort), "-control", h.at(controlPort),
	}})
	if err != nil {
		delete(d.edges, h.name)
	}
	return err
}

// startGroup starts the i-th client group, on a host of its own.
func (d *demoHosts) startGroup(log *log.Logger, i int) error {
	path, err := binary("loadclient")
	if err != nil {
		return err
	}
	h, err := d.network.join(groupName(i))
	if err != nil {
		return err
	}
	p, err := startLogging(log, program{name: h.name, path: path, host: h, args: []string{
		"-name", h.name, "-region", hostsRegions[i%len(hostsRegions)], "-nats", d.town.natsURL,
		"-c", strconv.Itoa(d.clients), "-log-format", "json",
	}}, nil)
	if err != nil {
		return err
	}
	d.loads = append(d.loads, p)
	return nil
}

// stop ends all that runs: clients first, so that nobody misses an edge.
func (d *demoHosts) stop() error {
	var errs []error
	for _, p := range slices.Concat(d.loads, slices.Collect(maps.Values(d.edges))) {
		errs = append(errs, p.stop())
	}
	if d.town != nil {
		errs = append(errs, d.town.stop())
	}
	return errors.Join(errs...)
}

// play is what happens: three headlines with a fault, and one before and after
// each that nothing disturbs.
func (d *demoHosts) play(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.cutGroup, d.cutEdge, d.killEdge} {
		if err := d.deliver(ctx, "", "", nil); err != nil {
			return err
		}
		if err := act(ctx); err != nil {
			return err
		}
	}
	if err := d.deliver(ctx, "", "", nil); err != nil {
		return err
	}
	if err := d.awaitHeld(ctx, d.all()); err != nil {
		return err
	}
	d.say("all %s clients have the newest headline and wait for the next", thousands(d.all()))
	return nil
}

// all is how many clients there are.
func (d *demoHosts) all() int { return d.groups * d.clients }

// cutGroup cuts off a client group for a time that the cluster bears with: all
// stays as it is, and the answers come late.
func (d *demoHosts) cutGroup(ctx context.Context) error {
	group := groupName(0)
	edge := d.town.viewer.newest.edgeOf(group)
	h := d.network.host(group)
	err := d.deliver(ctx, edge, "", func(ctx context.Context) error {
		if err := h.unplug(); err != nil {
			return err
		}
		d.say("%s is cut off", group)
		select {
		case <-time.After(shortCut):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		d.say("%s is back", group)
		return h.plug()
	})
	if err != nil {
		return err
	}
	if now := d.town.viewer.newest.edgeOf(group); now != edge {
		return fmt.Errorf("%s asked %s before it was cut off for %v, and asks %q now", group, edge, shortCut, now)
	}
	return nil
}

// cutEdge cuts off an edge until its group has got another, and all clients the
// headline. Then it is the spare one.
func (d *demoHosts) cutEdge(ctx context.Context) error {
	group := groupName(1)
	edge := d.town.viewer.newest.edgeOf(group)
	h := d.network.host(edge)
	err := d.deliver(ctx, edge, group, func(context.Context) error {
		defer d.say("%s is cut off", edge)
		return h.unplug()
	})
	if err != nil {
		return err
	}
	d.say("%s is back", edge)
	return h.plug()
}

// killEdge kills an edge for good. Its group gets the one that was cut off
// before.
func (d *demoHosts) killEdge(ctx context.Context) error {
	group := groupName(2)
	edge := d.town.viewer.newest.edgeOf(group)
	err := d.deliver(ctx, edge, group, func(context.Context) error {
		d.edges[edge].kill()
		d.say("%s is killed", edge)
		return nil
	})
	delete(d.edges, edge)
	return err
}

// deliver sends a headline. As soon as one client of that edge has it, fault
// happens; nothing does if edge is "". deliver returns when all clients have the
// headline, what happens is over, and the group that is to move, if any, asks
// another edge.
func (d *demoHosts) deliver(ctx context.Context, edge, moves string, fault func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx) // the cause is what went wrong first
	defer cancel(nil)
	held := d.all()
	overCh := make(chan struct{})
	if edge == "" {
		close(overCh)
	} else {
		// Those who have just got the last headline poll again in 2 s: our poll
		// comes before theirs, and so will its answer.
		held++
		last := d.town.viewer.newest.Headline.ID
		go func() {
			defer close(overCh)
			err := d.awaitAnswer(ctx, edge, last)
			if err == nil {
				err = fault(ctx)
			}
			if err != nil {
				cancel(err)
			}
		}()
	}
	err := d.awaitHeld(ctx, held)
	if err == nil {
		err = d.send(ctx)
	}
	if err == nil && moves != "" {
		err = d.await(ctx, moves+" asks another edge than "+edge, func(s *status) bool {
			now := s.edgeOf(moves)
			return now != "" && now != edge
		})
	}
	if err != nil {
		cancel(err)
	}
	<-overCh
	return context.Cause(ctx)
}

// send sends a headline and returns when all clients have it.
func (d *demoHosts) send(ctx context.Context) error {
	start := time.Now()
	id, err := d.town.viewer.send(ctx, "The clock says "+start.Format(time.TimeOnly)+".")
	if err != nil {
		return err
	}
	d.say("headline %d is sent", id)
	err = d.await(ctx, "all clients have it", func(s *status) bool { return s.hasReached(id, d.all()) })
	if err != nil {
		return err
	}
	d.say("all %s clients have headline %d, after %v", thousands(d.all()), id, time.Since(start).Round(time.Millisecond))
	return nil
}

// awaitAnswer asks an edge for the headline after that one, which it waits for.
func (d *demoHosts) awaitAnswer(ctx context.Context, edge string, last uint64) error {
	address := fmt.Sprintf("%s?last_id=%d", headlineURL(d.network.host(edge).at(edgePort)), last)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", edge, err)
	}
	response, err := d.watcher.Do(r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", edge, err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s", edge, response.Status)
	}
	return nil
}

// awaitHeld returns when all edges that run are there, and as many polls held, no
// more and no less, as it says.
func (d *demoHosts) awaitHeld(ctx context.Context, held int) error {
	if err := d.town.viewer.rest(ctx, restTime); err != nil {
		return err
	}
	return d.await(ctx, thousands(held)+" polls are held", func(s *status) bool {
		return s.Edges.Up == len(d.edges) && s.Groups.Up == d.groups && s.held() == held
	})
}

// await is the viewer's, and says what changes meanwhile.
func (d *demoHosts) await(ctx context.Context, what string, done func(*status) bool) error {
	_, err := d.town.viewer.await(ctx, hostsTimeout, what, func(s *status) bool {
		for _, news := range differences(d.shown, s) {
			d.say("%s", news)
		}
		d.shown = s
		return done(s)
	})
	return err
}

// differences says which nodes came and went, and which groups were given another
// edge, between two statuses, the first of which may be nil.
func differences(before, after *status) []string {
	var news []string
	if before == nil {
		before = &status{}
	}
	for _, node := range before.Nodes {
		if node.Up && after.node(node.Name) == nil {
			news = append(news, node.Name+" is missed")
		}
	}
	for _, node := range after.Nodes {
		known := before.node(node.Name)
		if node.Up && known == nil {
			news = append(news, node.Name+" is there")
		}
		if node.Kind == "group" && node.Pair != "" && (known == nil || known.Pair != node.Pair) {
			news = append(news, node.Name+" asks "+node.Pair)
		}
	}
	return news
}

// say prints a line that begins like the dashboard's.
func (d *demoHosts) say(format string, values ...any) {
	fmt.Fprintf(d.stdout, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, values...))
}
