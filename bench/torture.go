package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

// healWithin is how long after the end of a fault the last client may have to wait
// for the newest of the headlines that were published before.
const (
	healWithin  = 5 * time.Second
	awaitWithin = 4 * healWithin // until it counts as lost
)

// errLost is the end of a run in which a trial failed. The report says which.
var errLost = errors.New("not all trials went well, see the report")

// tortureConfig says how the trials are to be carried out.
type tortureConfig struct {
	short   bool
	clients int    // 0: as the trials say
	seed    uint64 // of what is done at random
}

// tortureCommand is "bench torture", which make torture runs.
func tortureCommand(stdout, stderr io.Writer) *ffcli.Command {
	config := tortureConfig{seed: 1}
	var only, jsonFile, markdownFile string
	var list bool
	return subcommand(stderr, "torture", "attack and break the servers while clients wait, and show that nothing is lost",
		func(set *flag.FlagSet) {
			set.StringVar(&only, "only", "", "`names` of the trials to carry out, separated by commas; all if empty")
			set.BoolVar(&list, "list", false, "list the trials and exit")
			set.BoolVar(&config.short, "short", false, "few clients and a few seconds each; nothing is judged by how long it took but what must be there 5 s after a fault")
			set.IntVar(&config.clients, "clients", 0, "`number` of clients, 2 to 20000; 0 for what each trial says")
			set.Uint64Var(&config.seed, "seed", config.seed, "`seed` of what happens at random: the same one, the same order of events")
			set.StringVar(&jsonFile, "json", "", "write the report with all samples to `file`")
			set.StringVar(&markdownFile, "markdown", "", "write the report's table in Markdown to `file`")
		},
		func(ctx context.Context) error {
			if config.clients != 0 {
				if err := inRange("clients", config.clients, 2, maxClients); err != nil {
					return err
				}
			}
			picked, err := pick(trials(), only)
			if err != nil {
				return err
			}
			if list {
				return listTrials(stdout, picked)
			}
			r := torture(ctx, stdout, stderr, picked, config)
			err = errors.Join(r.write(stdout), writeJSON(jsonFile, r), r.writeMarkdown(markdownFile))
			switch {
			case err != nil:
				return err
			case context.Cause(ctx) != nil:
				return context.Cause(ctx)
			case !r.OK():
				return errLost
			}
			return nil
		})
}

func listTrials(w io.Writer, all []trial) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, t := range all {
		fmt.Fprintf(table, "%s\t%s\n", t.name, t.does)
	}
	return table.Flush()
}

// torture carries out trials one after the other until ctx ends. What goes wrong is
// in the report.
func torture(ctx context.Context, stdout, stderr io.Writer, picked []trial, config tortureConfig) *tortureReport {
	r := &tortureReport{Machine: thisMachine(), Short: config.short, Seed: config.seed}
	for i, t := range picked {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(stdout, "%d of %d: %s: %s\n", i+1, len(picked), t.name, t.does)
		result := t.carryOut(ctx, stdout, stderr, config)
		r.Trials = append(r.Trials, result)
		fmt.Fprintf(stdout, "\t%s\n", result.sentence())
	}
	return r
}

// carryOut is the whole of a trial.
func (t trial) carryOut(ctx context.Context, stdout, stderr io.Writer, config tortureConfig) *trialResult {
	result := &trialResult{Name: t.name, Does: t.does, Refusals: map[string]int{}, Faults: map[string]int{}}
	if t.needs != nil {
		if err := t.needs(); err != nil {
			result.LeftOut = err.Error()
			return result
		}
	}
	size := t.long
	if config.short {
		size = t.short
	}
	if config.clients > 0 {
		size.clients = config.clients
	}
	complaints := new(complaints)
	s := &scene{
		size: size, short: config.short, trial: t, result: result, log: childLog(complaints), complaints: complaints, stdout: stdout,
		// Each trial's own, so that it does not depend on which others are run.
		random: rand.New(rand.NewPCG(config.seed, 0)),
	}
	began := time.Now()
	err := s.play(ctx)
	if err = errors.Join(err, s.close()); err != nil {
		s.fail("%v", err)
	}
	result.Seconds = time.Since(began).Seconds()
	if len(result.Failures) > 0 {
		complaints.writeTo(stderr)
	}
	return result
}

// maxComplaints bounds the bytes of complaints of a trial's processes that are kept.
// In a trial they have much to complain of: the first matter most.
const maxComplaints = 64 << 10

// complaints are what the processes of a trial have complained of, for who wants to
// know why it failed. Safe for several at once.
type complaints struct {
	mu   sync.Mutex
	text []byte
}

// Write takes what there is room for. It never fails.
func (c *complaints) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, b[:min(len(b), maxComplaints-len(c.text))]...)
	return len(b), nil
}

// contain says whether there is a complaint with that in it.
func (c *complaints) contain(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.text, []byte(what))
}

func (c *complaints) writeTo(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = w.Write(c.text) // to standard error
}
