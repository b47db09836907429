package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// sustainedP99 is the longest that a message of a hundred may take for a rate
	// to count as sustained, and sustainedPace how much slower the messages may
	// have been sent than they were to.
	sustainedP99  = 100 * time.Millisecond
	sustainedPace = 1.05

	// probePeriod is how long a rate is tried in the search for the highest.
	probePeriod = 10 * time.Second

	// The search is among these, in messages a second.
	leastRate, mostRate = 1, 200

	// keepAliveScale is the number of keep-alives a second whose cost is shown. One
	// edge cannot hold as many streams where a process may open 20,000 files, and
	// two would need two load clients: so the cost of each is measured, with
	// config.idle streams, and multiplied.
	keepAliveScale = 20000
	// keepAlivePeriod is how long keep-alives are measured.
	keepAlivePeriod = 10 * time.Second
)

// streamsConfig says what "bench streams" is to measure.
type streamsConfig struct {
	streams int
	rounds  int
	loops   int // of the edge, and threads of the floor
	rate    int // messages a second
	period  time.Duration
	idle    int // streams with keep-alives
}

// streamsCommand is "bench streams", which make bench-streams runs.
func streamsCommand(stdout, stderr io.Writer) *ffcli.Command {
	var config streamsConfig
	var file string
	return subcommand(stderr, "streams", "measure the edge's figures of streams, beside the floor",
		func(set *flag.FlagSet) {
			set.IntVar(&config.streams, "n", 10000, "`number` of streams, 1 to 19000")
			set.IntVar(&config.rounds, "rounds", 5, "number of `rounds`, 1 to 100")
			set.IntVar(&config.loops, "loops", 2, "event `loops` of the edge and threads of the floor, 1 to 64")
			set.IntVar(&config.rate, "rate", 10, "messages a `second`, 1 to 200")
			set.DurationVar(&config.period, "for", 30*time.Second, "how `long` each round sends them, 1s to 1h")
			set.IntVar(&config.idle, "idle", 19000, "`number` of streams that get keep-alives, 1 to 19000")
			set.StringVar(&file, "json", "", "write the report with all samples to `file`")
		},
		func(ctx context.Context) error {
			if err := config.validate(); err != nil {
				return err
			}
			r, err := measureStreams(ctx, stdout, stderr, config)
			if err != nil {
				return err
			}
			if err := r.write(stdout); err != nil {
				return err
			}
			return writeJSON(file, r)
		})
}

// validate checks every range.
func (c streamsConfig) validate() error {
	const most = maxClients - 1000 // what an edge keeps back, and more
	if c.period < time.Second || c.period > time.Hour {
		return fmt.Errorf("-for %v: must be from 1s to 1h", c.period)
	}
	return errors.Join(
		inRange("n", c.streams, 1, most),
		inRange("rounds", c.rounds, 1, 100),
		inRange("loops", c.loops, 1, 64),
		inRange("rate", c.rate, leastRate, mostRate),
		inRange("idle", c.idle, 1, most),
	)
}

// A streamsMeasurement is one run of "bench streams".
type streamsMeasurement struct {
	stderr io.Writer
	config streamsConfig
	report *report

	last, median         *figure // of one message: time to the last and to the median client
	p50, p99, most, lost *figure // of messages at the rate
	highest              *figure
	shared, alone        *figure // memory
	keepAlive            *figure
}

// measureStreams takes all figures. It fails if one cannot be measured, or a lone
// message did not reach everybody once, not if a figure misses its goal.
//
// As in measure, both contenders see the same load client, messages, machine and
// number of threads, and take turns, each in a fresh process.
func measureStreams(ctx context.Context, progress, stderr io.Writer, config streamsConfig) (*report, error) {
	m := newStreamsMeasurement(stderr, config)
	for round := range config.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, config.rounds)
		for _, c := range []turn{m.floor, m.edge} {
			if err := c(ctx, m.round); err != nil {
				return nil, err
			}
		}
	}
	fmt.Fprintln(progress, "the highest rate")
	for _, c := range []turn{m.floor, m.edge} {
		if err := c(ctx, m.search); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(progress, "at rest")
	for _, f := range []*figure{m.shared, m.alone} {
		if err := m.memory(ctx, f); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(progress, "keep-alives")
	if err := m.keepAlives(ctx); err != nil {
		return nil, err
	}
	return m.report, nil
}

// newStreamsMeasurement lays out the table. The goals hold for the sizes they name.
func newStreamsMeasurement(stderr io.Writer, config streamsConfig) *streamsMeasurement {
	m := &streamsMeasurement{stderr: stderr, config: config, report: &report{
		Machine: thisMachine(), Rounds: config.rounds, Changes: changesPerTurn, Loops: config.loops, Sized: "messages",
	}}
	row := m.report.row
	goal := func(holds bool, goal float64) float64 {
		if !holds {
			return 0
		}
		return goal
	}
	ten := config.streams == 10000
	streams := thousands(config.streams) + " streams: "
	steady := fmt.Sprintf("%s streams, %d messages a second for %v: ", thousands(config.streams), config.rate, config.period)
	m.last = row(figure{Name: streams + "message to last client", Unit: "ms", RatioGoal: goal(ten, 1.5)})
	m.median = row(figure{Name: streams + "message to median client", Unit: "ms"})
	m.p50 = row(figure{Name: steady + "median", Unit: "ms"})
	m.p99 = row(figure{Name: steady + "99th percentile", Unit: "ms", Goal: goal(ten && config.rate == 10, milliseconds(sustainedP99))})
	m.most = row(figure{Name: steady + "last", Unit: "ms"})
	m.lost = row(figure{Name: steady + "lost, repeated or out of order"})
	m.highest = row(figure{Name: fmt.Sprintf("%sthe most messages a second with 99 %% within %v", streams, sustainedP99), Least: goal(ten, 10)})
	m.shared = row(figure{Name: streams + "memory of each, with -share-all", Unit: "bytes", Goal: goal(ten, 2048)})
	m.alone = row(figure{Name: streams + "memory of each, without", Unit: "bytes", Goal: goal(ten, 2048)})
	m.keepAlive = row(figure{Name: fmt.Sprintf("%s keep-alives due in a second (those of %s streams, scaled): CPU", thousands(keepAliveScale), thousands(config.idle)),
		Unit: "% of a core", Goal: 30})
	return m
}

// A place is where the load client finds a contender: url is that of the stream,
// post where the headline is changed.
type place struct{ name, addr, url, post string }

// A turn starts a server, has it measured, and stops it.
type turn func(ctx context.Context, measure func(context.Context, place) error) error

// floor is the turn of the one that only send()s.
func (m *streamsMeasurement) floor(ctx context.Context, measure func(context.Context, place) error) (err error) {
	p, at, err := startFloor(ctx, m.stderr, m.config.loops, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	ctx, cancel := until(ctx, p)
	defer cancel()
	return measure(ctx, place{"the floor", at, eventsURL(at), headlineURL(at)})
}

// edge is the turn of the one that matters.
func (m *streamsMeasurement) edge(ctx context.Context, measure func(context.Context, place) error) (err error) {
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	return measure(ctx, place{"the edge", s.edgeAddr, s.eventsURL, s.originURL})
}

// round sends single messages, and then many at the rate.
func (m *streamsMeasurement) round(ctx context.Context, at place) error {
	result, err := m.send(ctx, at, 1+changesPerTurn, time.Second)
	if err != nil {
		return fmt.Errorf("%s: %w", at.name, err)
	}
	for _, change := range result.Changes[1:] {
		at.add(m.last, change.Max)
		at.add(m.median, change.P50)
	}
	if result, err = m.sendAt(ctx, at, float64(m.config.rate), m.config.period); err != nil {
		return err
	}
	at.add(m.p50, result.Overall.P50)
	at.add(m.p99, result.Overall.P99)
	at.add(m.most, result.Overall.Max)
	at.add(m.lost, float64(result.disorder()))

	bytes, err := messageBytes(ctx, at.addr)
	if at.name == "the floor" {
		m.report.FloorBytes = bytes
	} else {
		m.report.EdgeBytes = bytes
	}
	return err
}

// add adds a sample to the contender's in f.
func (at place) add(f *figure, sample float64) {
	if at.name == "the floor" {
		f.Floor = append(f.Floor, sample)
	} else {
		f.Edge = append(f.Edge, sample)
	}
}

// search looks for the highest rate that the contender sustains.
func (m *streamsMeasurement) search(ctx context.Context, at place) error {
	rate, err := highest(float64(m.config.rate), leastRate, mostRate, func(rate float64) (bool, error) {
		result, err := m.sendAt(ctx, at, rate, probePeriod)
		return result.sustains(rate), err
	})
	at.add(m.highest, rate)
	return err
}

// send has the load client open the streams and send so many messages, one every
// so often, and returns how they came.
func (m *streamsMeasurement) send(ctx context.Context, at place, messages int, every time.Duration) (loadResult, error) {
	return measureLoad(ctx, m.stderr, "-stream",
		"-c", strconv.Itoa(m.config.streams), "-url", at.url, "-rate", "20000",
		"-post", at.post, "-changes", strconv.Itoa(messages), "-every", every.String())
}

// sendAt is send at a rate in messages a second. That some did not come as they
// were to is no error.
func (m *streamsMeasurement) sendAt(ctx context.Context, at place, rate float64, period time.Duration) (loadResult, error) {
	every := time.Duration(float64(time.Second) / rate)
	result, err := m.send(ctx, at, max(2, int(period/every)), every)
	if err != nil && (context.Cause(ctx) != nil || len(result.Changes) == 0) {
		return result, fmt.Errorf("%s: %w", at.name, err)
	}
	return result, nil
}

// disorder is how many messages did not come, came twice, or not in order.
func (r loadResult) disorder() int {
	return r.missed() + r.Streams.Repeats + r.Streams.Reorders
}

// sustains reports whether the messages came as they were to at a rate in messages
// a second, and were sent at that rate at all.
func (r loadResult) sustains(rate float64) bool {
	planned := float64(len(r.Changes)-1) / rate
	return r.OK && r.Overall.P99 <= milliseconds(sustainedP99) && r.Streams.PostingSeconds <= planned*sustainedPace
}

// memory measures what a stream that is held adds to the edge.
func (m *streamsMeasurement) memory(ctx context.Context, f *figure) (err error) {
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops, alone: f == m.alone})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	empty, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	streams, err := hold(ctx, m.stderr, s.eventsURL, m.config.streams)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, streams.load.stop()) }()
	full, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	f.Edge = samples{(full - empty) / float64(m.config.streams)}
	return nil
}

// keepAlives measures the CPU time that the edge takes for keep-alives, of which
// each stream gets one a second and nothing else. What the edge does besides, such
// as its garbage collection, counts too.
func (m *streamsMeasurement) keepAlives(ctx context.Context) (err error) {
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops, keepAlive: time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	streams, err := hold(ctx, m.stderr, s.eventsURL, m.config.idle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, streams.load.stop()) }()
	began, before, err := streams.keepAlives(ctx, s.edge)
	if err != nil {
		return err
	}
	start := time.Now()
	for {
		count, used, err := streams.keepAlives(ctx, s.edge)
		if err != nil {
			return err
		}
		took := time.Since(start)
		if took < keepAlivePeriod {
			continue
		}
		if got, want := float64(count-began), float64(m.config.idle)*took.Seconds(); got < 0.8*want {
			return fmt.Errorf("%.0f keep-alives came in %v, want about %.0f", got, took, want)
		}
		m.keepAlive.Edge = samples{100 * (used - before).Seconds() / float64(count-began) * keepAliveScale}
		return nil
	}
}

// messageBytes returns the length of the first message of a stream, without the
// head of the answer and with what HTTP puts around the message.
func messageBytes(ctx context.Context, addr string) (n int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask for the stream: %w", err)
		}
	}()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(awaitTimeout)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", eventsPath, addr); err != nil {
		return 0, err
	}
	lines := bufio.NewReader(conn)
	isHead := true
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case isHead:
			isHead = line != "\r\n"
		default:
			// The size of the chunk, the lines of the event, an empty one, and the
			// end of the chunk.
			if n += len(line); line == "\n" {
				return n + len("\r\n"), nil
			}
		}
	}
}
