package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

// tlsConfig says what "bench tls" is to measure.
type tlsConfig struct {
	clients int
	rounds  int
	loops   int // of the edge
}

// tlsCommand is "bench tls".
func tlsCommand(stdout, stderr io.Writer) *ffcli.Command {
	var config tlsConfig
	var file string
	return subcommand(stderr, "tls", "measure what TLS costs the edge, beside clients without it",
		func(set *flag.FlagSet) {
			set.IntVar(&config.clients, "n", 5000, "`number` of clients with a stream, 1 to 9000")
			set.IntVar(&config.rounds, "rounds", 3, "number of `rounds`, 1 to 100")
			set.IntVar(&config.loops, "loops", 2, "event `loops` of the edge, 1 to 64")
			set.StringVar(&file, "json", "", "write the report with all samples to `file`")
		},
		func(ctx context.Context) error {
			if err := errors.Join(inRange("n", config.clients, 1, 9000), inRange("rounds", config.rounds, 1, 100),
				inRange("loops", config.loops, 1, 64)); err != nil {
				return err
			}
			r, err := measureTLS(ctx, stdout, stderr, config)
			if err != nil {
				return err
			}
			if err := r.write(stdout); err != nil {
				return err
			}
			return writeJSON(file, r)
		})
}

// A tlsMeasurement is one run of "bench tls".
type tlsMeasurement struct {
	stderr io.Writer
	config tlsConfig
	cert   *certificate
	report *report

	join, joinCPU      *figure
	last, median, cpu  *figure // of a message
	memory, goroutines *figure
}

// measureTLS takes all figures. It fails if one cannot be measured, not if one
// misses its goal. Clients without and with TLS take turns, each time with a fresh
// edge.
func measureTLS(ctx context.Context, progress, stderr io.Writer, config tlsConfig) (_ *report, err error) {
	m := newTLSMeasurement(stderr, config)
	dir, err := os.MkdirTemp("", "marquee-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the certificate: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if m.cert, err = issueCertificate(dir); err != nil {
		return nil, err
	}
	for round := range config.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, config.rounds)
		for _, secure := range []bool{false, true} {
			if err := m.round(ctx, secure); err != nil {
				return nil, err
			}
		}
	}
	return m.report, nil
}

// newTLSMeasurement lays out the table. The goal holds for the size it names.
func newTLSMeasurement(stderr io.Writer, config tlsConfig) *tlsMeasurement {
	m := &tlsMeasurement{stderr: stderr, config: config, report: &report{
		Machine: thisMachine(), Rounds: config.rounds, Changes: changesPerTurn, Loops: config.loops, Sized: "messages",
		Contenders: [2]string{"plain", "TLS"},
	}}
	row := m.report.row
	streams := thousands(config.clients) + " streams: "
	goal := 0.0
	if config.clients == 5000 {
		goal = 2
	}
	m.last = row(figure{Name: streams + "message to last client", Unit: "ms", RatioGoal: goal})
	m.median = row(figure{Name: streams + "message to median client", Unit: "ms"})
	m.cpu = row(figure{Name: streams + "CPU of the edge for a message", Unit: "ms", RatioGoal: goal})
	m.join = row(figure{Name: streams + "connect until all have the newest headline", Unit: "ms"})
	m.joinCPU = row(figure{Name: streams + "CPU of the edge for each to connect", Unit: "µs"})
	m.memory = row(figure{Name: streams + "memory of each", Unit: "bytes"})
	m.goroutines = row(figure{Name: streams + "goroutines"})
	return m
}

// round has subscribers come to an edge, measures, and has them leave.
func (m *tlsMeasurement) round(ctx context.Context, secure bool) (err error) {
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops, cert: m.cert.cert, key: m.cert.key})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	addr, client := s.edgeAddr, (*tls.Config)(nil)
	add := func(f *figure, sample float64) { f.Floor = append(f.Floor, sample) }
	if secure {
		addr, client = s.edgeTLSAddr, m.cert.client
		add = func(f *figure, sample float64) { f.Edge = append(f.Edge, sample) }
	} else if m.report.FloorBytes, err = messageBytes(ctx, addr); err != nil {
		return err
	}
	m.report.EdgeBytes = m.report.FloorBytes

	empty, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	usedBefore, err := s.edge.cpuTime()
	if err != nil {
		return err
	}
	start := time.Now()
	c, err := subscribe(ctx, eventsURL(addr), m.config.clients, client)
	if err != nil {
		return err
	}
	defer c.leave()
	_, last, err := c.await(ctx, 1)
	if err != nil {
		return err
	}
	used, err := s.edge.cpuTime()
	if err != nil {
		return err
	}
	add(m.join, milliseconds(last.Sub(start)))
	add(m.joinCPU, 1000*milliseconds(used-usedBefore)/float64(m.config.clients))

	for i := range 1 + changesPerTurn {
		if usedBefore, err = s.edge.cpuTime(); err != nil {
			return err
		}
		start := time.Now()
		if err := postHeadline(ctx, http.DefaultClient, s.originURL, headline); err != nil {
			return err
		}
		median, last, err := c.await(ctx, 2+i)
		if err != nil {
			return err
		}
		if used, err = s.edge.cpuTime(); err != nil {
			return err
		}
		if i == 0 {
			continue // as in measure
		}
		add(m.last, milliseconds(last.Sub(start)))
		add(m.median, milliseconds(median.Sub(start)))
		add(m.cpu, milliseconds(used-usedBefore))
	}
	now, err := scrape(ctx, s.control)
	if err != nil {
		return err
	}
	add(m.goroutines, now[goroutines])
	full, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	add(m.memory, (full-empty)/float64(m.config.clients))
	return nil
}
