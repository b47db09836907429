package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// maxCapacity is as far as this was tried: with 200 edges, 2 cores do not
	// even answer pings in time.
	maxCapacity = 200_000

	// heldTimeout bounds the time until all clients are held, at first and
	// between changes; deliveryTimeout that of one change.
	heldTimeout     = 2 * time.Minute
	deliveryTimeout = 30 * time.Second

	// settleTime is before the first change: the dashboard pings every 5 s, and
	// what it measured while all connected says little of deliveries.
	settleTime = 6 * time.Second
	// restTime is between two changes: clients poll again 2 to 3 s after an
	// answer, and edges say once a second how many they hold.
	restTime = 4 * time.Second

	progressInterval = time.Second
)

// A demo100k is the whole demonstration of 2013 on this machine.
type demo100k struct {
	capacity, nodeCapacity, changes int
	out                             string // of the files, without their extensions
}

// demo100kCommand is "bench demo-100k", which make demo-100k runs.
func demo100kCommand(stdout, stderr io.Writer) *ffcli.Command {
	var d demo100k
	return subcommand(stderr, "demo-100k", "run the whole demonstration: 20 edges, 20 client groups, 100,000 clients",
		func(set *flag.FlagSet) {
			set.IntVar(&d.capacity, "capacity", 100_000, "number of `clients`, 1 to 200000")
			set.IntVar(&d.nodeCapacity, "node-capacity", 5000, "number of `clients` of one edge, 1 to 20000")
			set.IntVar(&d.changes, "changes", 5, "number of headline `changes`, 1 to 20")
			set.StringVar(&d.out, "out", "out/demo-100k", "`path` of the files written, without .json, .png and .svg")
		},
		func(ctx context.Context) error {
			if err := inRange("capacity", d.capacity, 1, maxCapacity); err != nil {
				return err
			}
			if err := inRange("node-capacity", d.nodeCapacity, 1, maxClients); err != nil {
				return err
			}
			if err := inRange("changes", d.changes, 1, 20); err != nil {
				return err
			}
			if d.out == "" || strings.HasSuffix(d.out, "/") {
				return fmt.Errorf("-out %q: must name files", d.out)
			}
			return d.run(ctx, stdout, stderr)
		})
}

// run fails when a change did not reach every client, not when a figure misses
// its goal.
func (d *demo100k) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := checkSupply(d.capacity, d.nodeCapacity); err != nil {
		return err
	}
	r := &demoReport{Machine: thisMachine(), Capacity: d.capacity, NodeCapacity: d.nodeCapacity, Settings: kernelSettings()}
	if err := d.measure(ctx, stdout, stderr, r); err != nil {
		return err
	}
	if err := r.write(stdout); err != nil {
		return err
	}
	if err := d.writeFiles(stdout, r); err != nil {
		return err
	}
	return r.missed()
}

// measure fills in what happened.
func (d *demo100k) measure(ctx context.Context, stdout, stderr io.Writer, r *demoReport) (err error) {
	start := time.Now()
	town, err := startDemonstration(ctx, stdout, childLog(stderr), demonstrationConfig{dashboardArgs: []string{
		"-spawn", "local", "-capacity", strconv.Itoa(d.capacity), "-node-capacity", strconv.Itoa(d.nodeCapacity),
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, town.stop()) }()
	ctx, cancel := until(ctx, town.origin, town.dashboard)
	defer cancel()
	fmt.Fprintf(stdout, "the page is at %s\n", town.viewer.page)

	if err := d.awaitHeld(ctx, stdout, town.viewer); err != nil {
		return err
	}
	r.Ready = milliseconds(time.Since(start))
	s := town.viewer.newest
	r.Edges, r.Groups = s.Edges.Up, s.Groups.Up
	rest := settleTime
	for i := range d.changes {
		if err := d.awaitHeldAgain(ctx, town.viewer, rest); err != nil {
			return err
		}
		rest = restTime
		c, err := d.change(ctx, town.viewer, fmt.Sprintf("Flight %d arriving in terminal %c.", 100+i, 'A'+i))
		if err != nil {
			return err
		}
		r.Changes = append(r.Changes, c)
	}
	return nil
}

// awaitHeld returns when all nodes are there and hold all clients, and shows how
// many they are until then.
func (d *demo100k) awaitHeld(ctx context.Context, stdout io.Writer, v *viewer) error {
	var shown time.Time
	_, err := v.await(ctx, heldTimeout, "all clients are held", func(s *status) bool {
		done := s.Edges.Up == s.Edges.Needed && s.Groups.Up == s.Groups.Needed && s.Started >= d.capacity && s.held() >= d.capacity && s.pinged()
		if done || time.Since(shown) >= progressInterval {
			shown = time.Now()
			fmt.Fprintf(stdout, "%s of %s clients held, edges %s, groups %s\n", thousands(s.held()), thousands(d.capacity), s.Edges, s.Groups)
		}
		return done
	})
	return err
}

// awaitHeldAgain returns when clients are back that have got an answer, which is
// not before they have rested.
func (d *demo100k) awaitHeldAgain(ctx context.Context, v *viewer, rest time.Duration) error {
	if err := v.rest(ctx, rest); err != nil {
		return err
	}
	_, err := v.await(ctx, heldTimeout, "all clients are held again", func(s *status) bool { return s.held() >= d.capacity })
	return err
}

// change sends a headline and returns how far it got.
func (d *demo100k) change(ctx context.Context, v *viewer, body string) (*demoChange, error) {
	cpuBefore, err := cpuByCommand()
	if err != nil {
		return nil, err
	}
	droppedBefore, err := droppedPackets()
	if err != nil {
		return nil, err
	}
	id, err := v.send(ctx, body)
	if err != nil {
		return nil, err
	}
	// In vain is a result, too: the report says so.
	_, err = v.await(ctx, deliveryTimeout, "all clients have it", func(s *status) bool { return s.hasReached(id, d.capacity) })
	if err != nil && !errors.Is(err, errInVain) {
		return nil, err
	}
	s := v.newest
	c := &demoChange{ID: id, Received: s.Received, Curve: s.Curve, Histogram: s.Histogram}
	if s.Delivery == nil || s.True == nil {
		return nil, fmt.Errorf("the dashboard has no delivery times of headline %d", id)
	}
	c.Delivery, c.True = *s.Delivery, *s.True
	if c.CPU, err = cpuByCommand(); err != nil {
		return nil, err
	}
	for command := range c.CPU {
		c.CPU[command] -= cpuBefore[command]
	}
	dropped, err := droppedPackets()
	c.Dropped = dropped - droppedBefore
	return c, err
}

// writeFiles writes the report with all samples, and the picture.
func (d *demo100k) writeFiles(stdout io.Writer, r *demoReport) error {
	if err := os.MkdirAll(filepath.Dir(d.out), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(d.out+".json", append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for _, extension := range []string{".png", ".svg"} {
		if err := r.plotCurves(d.out + extension); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stdout, "written: %[1]s.json, %[1]s.png, %[1]s.svg\n", d.out)
	return err
}
