package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

// raceConfig says what "bench race" is to measure.
type raceConfig struct {
	rounds     int
	full       bool
	contenders string // names with semicolons between them; empty for all
	workloads  string // likewise
	out        string // directory
}

// raceCommand is "bench race", which make bench runs.
func raceCommand(stdout, stderr io.Writer) *ffcli.Command {
	var config raceConfig
	return subcommand(stderr, "race", "measure the edge side by side with the floor and with other servers",
		func(set *flag.FlagSet) {
			set.IntVar(&config.rounds, "rounds", 2, "number of `rounds` of each comparison, 1 to 100")
			set.BoolVar(&config.full, "full", false, "also what does not fit into eleven minutes")
			set.StringVar(&config.contenders, "contenders", "", "`names` of those who take part, as in the table, with semicolons between them; all by default")
			set.StringVar(&config.workloads, "workloads", "", "`names` of the loads, likewise")
			set.StringVar(&config.out, "out", filepath.Join("out", "race"), "`directory` for the report, as JSON with all samples, as Markdown, and in pictures")
		},
		func(ctx context.Context) error {
			if err := inRange("rounds", config.rounds, 1, 100); err != nil {
				return err
			}
			m, err := newRace(stdout, stderr, config)
			if err != nil {
				return err
			}
			if err := m.run(ctx); err != nil {
				return err
			}
			return m.publish()
		})
}

// A race is one run of "bench race".
type race struct {
	stdout, stderr io.Writer
	config         raceConfig
	contenders     []*contender // that are installed
	workloads      []*raceWorkload
	cert           *certificate
	report         *raceReport
}

// newRace finds out who can take part.
func newRace(stdout, stderr io.Writer, config raceConfig) (*race, error) {
	m := &race{stdout: stdout, stderr: stderr, config: config, report: &raceReport{
		Machine: thisMachine(), Kernel: kernelSettings(), Rounds: config.rounds,
		Command: strings.Join(append([]string{"bench"}, os.Args[1:]...), " "), Began: time.Now(),
	}}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	all := contenders(filepath.Dir(self))
	chosen, err := choose("contenders", config.contenders, all, func(c *contender) string { return c.name })
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		e := raceEntrant{Name: c.name}
		if e.Version, e.Settings, err = c.find(); err != nil {
			e.Skipped = err.Error()
			fmt.Fprintf(stdout, "without %s: %v\n", c.name, err)
		} else {
			m.contenders = append(m.contenders, c)
		}
		m.report.Contenders = append(m.report.Contenders, e)
	}
	m.workloads, err = choose("workloads", config.workloads, raceWorkloads(config.full), func(w *raceWorkload) string { return w.name })
	return m, err
}

// choose returns those of all whose names the flag has, or all if it has none.
func choose[T any](flag, value string, all []T, name func(T) string) ([]T, error) {
	if value == "" {
		return all, nil
	}
	var chosen []T
	for wanted := range strings.SplitSeq(value, ";") {
		before := len(chosen)
		for _, x := range all {
			if name(x) == strings.TrimSpace(wanted) {
				chosen = append(chosen, x)
			}
		}
		if len(chosen) == before {
			var names []string
			for _, x := range all {
				names = append(names, name(x))
			}
			return nil, fmt.Errorf("-%s %q: there is only %s", flag, wanted, strings.Join(slices.Compact(names), "; "))
		}
	}
	return chosen, nil
}

// run has all take their turns: one after the other, round after round, so that a
// slow spell of the machine meets all alike.
func (m *race) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "marquee-")
	if err != nil {
		return fmt.Errorf("make a directory for the certificate: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if m.cert, err = issueCertificate(dir); err != nil {
		return err
	}
	for _, w := range m.workloads {
		for _, n := range w.sizes {
			fmt.Fprintf(m.stdout, "\n%s: %s, %s clients\n", time.Since(m.report.Began).Round(time.Second), w.name, thousands(n))
			for range cmp.Or(w.rounds, m.config.rounds) {
				for _, c := range m.contenders {
					if !w.admits(c, n) {
						continue
					}
					if err := m.turn(ctx, c, w, n); err != nil {
						return err
					}
				}
			}
		}
	}
	m.report.Took = time.Since(m.report.Began).Seconds()
	return nil
}

// turn has one contender take its turn, unless it has failed under that load before.
// That it fails is a result.
func (m *race) turn(ctx context.Context, c *contender, w *raceWorkload, n int) error {
	x := m.report.result(w.name, c.name, n)
	if x == nil {
		x = &raceResult{Workload: w.name, Contender: c.name, Clients: n}
		m.report.Results = append(m.report.Results, x)
	}
	if x.Failed != "" {
		return nil
	}
	t := &raceTurn{stderr: m.stderr, workload: w, clients: n, result: x}
	err := t.run(ctx, c, m.cert)
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		x.Failed = err.Error()
		fmt.Fprintf(m.stdout, "  %-20s failed: %v\n", c.name, err)
		return nil
	}
	said := fmt.Sprintf("last client after %s ms", x.Last)
	if w.traced {
		said = fmt.Sprintf("%s system calls a delivery", x.Syscalls)
	}
	if x.Lost > 0 {
		said += fmt.Sprintf(", %d deliveries lost, repeated or out of order", x.Lost)
	}
	fmt.Fprintf(m.stdout, "  %-20s %s\n", c.name, said)
	return nil
}

// publish writes the report, with all samples, as tables, in pictures, and in short.
func (m *race) publish() error {
	dir := m.config.out
	if err := m.report.publish(dir); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "race.json"), m.report); err != nil {
		return err
	}
	if err := m.report.write(m.stdout); err != nil {
		return err
	}
	fmt.Fprintf(m.stdout, "\nin %s: race.json with all samples, race.md, and the pictures\n", dir)
	return nil
}
