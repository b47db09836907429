package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// changesPerTurn are measured, after one that is not: the first change
	// after a start took an edge 1.5 times as long as those after it at 5,000
	// clients (median of 5 starts: 46 ms, then 29 ms). The floor's did not
	// differ, but gets the same.
	changesPerTurn = 3

	// restPeriod is how long the CPU time of clients at rest is measured.
	restPeriod = 10 * time.Second

	// The edge is asked whether all are held this often: where the time is
	// measured, so that it hardly adds to it; where the memory is, so that the
	// asking leaves no mark there. One answer takes the edge 130 KB for a while.
	askForTime   = 5 * time.Millisecond
	askForMemory = 250 * time.Millisecond
)

// figuresConfig says what "bench main" is to measure.
type figuresConfig struct {
	sizes  sizes // ascending
	rounds int
	loops  int // of the edge, and threads of the floor
}

// mainCommand is "bench main", which make bench-main runs.
func mainCommand(stdout, stderr io.Writer) *ffcli.Command {
	config := figuresConfig{sizes: sizes{5000, 15000}}
	var file string
	return subcommand(stderr, "main", "measure the edge's figures, beside the floor",
		func(set *flag.FlagSet) {
			set.Var(&config.sizes, "n", "`numbers` of clients, ascending, each 1 to 20000")
			set.IntVar(&config.rounds, "rounds", 5, "number of `rounds`, 1 to 100")
			set.IntVar(&config.loops, "loops", 2, "event `loops` of the edge and threads of the floor, 1 to 64")
			set.StringVar(&file, "json", "", "write the report with all samples to `file`")
		},
		func(ctx context.Context) error {
			if err := inRange("rounds", config.rounds, 1, 100); err != nil {
				return err
			}
			if err := inRange("loops", config.loops, 1, 64); err != nil {
				return err
			}
			r, err := measure(ctx, stdout, stderr, config)
			if err != nil {
				return err
			}
			if err := r.write(stdout); err != nil {
				return err
			}
			return writeJSON(file, r)
		})
}

// A measurement is one run of "bench main".
type measurement struct {
	stderr io.Writer
	config figuresConfig
	report *report

	last, median            []*figure // by size: time to the last and to the median client
	connect, herd, requests *figure   // at the first size
	memory, goroutines, cpu *figure   // at the last size
}

// measure takes all figures. It fails if one cannot be measured or a client
// missed a headline, not if a figure misses its goal.
//
// Both contenders see the same load client, payload, machine and number of
// threads, and take turns, so that a slow spell of the machine meets both. Each
// turn has a fresh process with connections of its own: what one turn leaves
// behind, a grown heap or an unlucky spread of sockets over cores, does not
// reach the next, and only one contender holds sockets at a time.
func measure(ctx context.Context, progress, stderr io.Writer, config figuresConfig) (*report, error) {
	m := newMeasurement(stderr, config)
	for round := range config.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, config.rounds)
		for i := range config.sizes {
			if err := m.raceFloor(ctx, i); err != nil {
				return nil, err
			}
			if err := m.raceEdge(ctx, i); err != nil {
				return nil, err
			}
		}
		if err := m.rush(ctx); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(progress, "at rest")
	if err := m.rest(ctx); err != nil {
		return nil, err
	}
	return m.report, nil
}

// newMeasurement lays out the table. The goals hold for the sizes they name.
func newMeasurement(stderr io.Writer, config figuresConfig) *measurement {
	m := &measurement{stderr: stderr, config: config, report: &report{
		Machine: thisMachine(), Rounds: config.rounds, Changes: changesPerTurn, Loops: config.loops, Sized: "answers",
	}}
	row := m.report.row
	goal := func(size, goalSize int, goal float64) float64 {
		if size != goalSize {
			return 0
		}
		return goal
	}
	for _, n := range config.sizes {
		held := thousands(n) + " held: publish to "
		m.last = append(m.last, row(figure{Name: held + "last client", Unit: "ms",
			Goal: goal(n, 5000, 60) + goal(n, 15000, 220), RatioGoal: goal(n, 5000, 1.5)}))
		m.median = append(m.median, row(figure{Name: held + "median client", Unit: "ms"}))
	}
	first, last := config.sizes[0], config.sizes[len(config.sizes)-1]
	m.connect = row(figure{Name: thousands(first) + " connect until held", Unit: "ms", Goal: goal(first, 5000, 1000)})
	m.herd = row(figure{Name: thousands(first) + " poll again at once until held", Unit: "ms", Goal: goal(first, 5000, 200)})
	m.requests = row(figure{Name: "origin requests per change of these", Goal: goal(first, 5000, 5)})
	m.memory = row(figure{Name: thousands(last) + " held: memory of each", Unit: "bytes", Goal: goal(last, 15000, 1536)})
	m.goroutines = row(figure{Name: thousands(last) + " held: goroutines", Goal: goal(last, 15000, 49)})
	m.cpu = row(figure{Name: thousands(last) + " held: CPU at rest", Unit: "% of a core", Goal: goal(last, 15000, 1)})
	return m
}

// raceFloor measures deliveries by the floor at the i-th size.
func (m *measurement) raceFloor(ctx context.Context, i int) (err error) {
	p, addr, err := startFloor(ctx, m.stderr, m.config.loops, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	ctx, cancel := until(ctx, p)
	defer cancel()
	url := headlineURL(addr)
	last, median, err := m.deliver(ctx, url, url, m.config.sizes[i])
	if err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	m.last[i].Floor = append(m.last[i].Floor, last...)
	m.median[i].Floor = append(m.median[i].Floor, median...)
	m.report.FloorBytes, err = answerBytes(ctx, addr)
	return err
}

// raceEdge measures deliveries by the edge at the i-th size.
func (m *measurement) raceEdge(ctx context.Context, i int) (err error) {
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	last, median, err := m.deliver(ctx, s.edgeURL, s.originURL, m.config.sizes[i])
	if err != nil {
		return fmt.Errorf("the edge: %w", err)
	}
	m.last[i].Edge = append(m.last[i].Edge, last...)
	m.median[i].Edge = append(m.median[i].Edge, median...)
	m.report.EdgeBytes, err = answerBytes(ctx, s.edgeAddr)
	return err
}

// deliver has n clients hold at url, changes the headline at post whenever all
// do, and returns for each measured change how long it took to the last and to
// the median client, in ms.
func (m *measurement) deliver(ctx context.Context, url, post string, n int) (last, median samples, err error) {
	result, err := measureLoad(ctx, m.stderr,
		"-c", strconv.Itoa(n), "-url", url, "-rate", "20000",
		"-repoll-delay", "200ms", "-repoll-jitter", "300ms",
		"-post", post, "-changes", strconv.Itoa(1+changesPerTurn), "-every", "1s")
	if err != nil {
		return nil, nil, err
	}
	for _, change := range result.Changes[1:] {
		if change.Recipients != n || change.Received != n {
			return nil, nil, fmt.Errorf("%d clients waited for change %d and %d received it, want %d", change.Recipients, change.ID, change.Received, n)
		}
		last = append(last, change.Max)
		median = append(median, change.P50)
	}
	return last, median, nil
}

// rush measures how fast the clients of the first size connect and are held,
// and how fast they are held again when all come back at once after a change.
func (m *measurement) rush(ctx context.Context) (err error) {
	n := m.config.sizes[0]
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	start := time.Now()
	load, err := m.hold(ctx, s, n, askForTime)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.stop()) }()
	m.connect.Edge = append(m.connect.Edge, milliseconds(time.Since(start)))

	for i := range 1 + changesPerTurn {
		before, err := scrape(ctx, s.control)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := postHeadline(ctx, http.DefaultClient, s.originURL, headline); err != nil {
			return err
		}
		after, err := s.await(ctx, askForTime, "all clients are held again", func(now metrics) bool {
			return now[delivered]-before[delivered] >= float64(n) && now[holds] == float64(n)
		})
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		m.herd.Edge = append(m.herd.Edge, milliseconds(time.Since(start)))
		m.requests.Edge = append(m.requests.Edge, after[originRequests]-before[originRequests])
	}
	return nil
}

// rest measures what the clients of the last size cost while nothing happens.
func (m *measurement) rest(ctx context.Context) (err error) {
	n := m.config.sizes[len(m.config.sizes)-1]
	s, err := startHeadlineStack(ctx, m.stderr, stackConfig{loops: m.config.loops})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	empty, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	load, err := m.hold(ctx, s, n, askForMemory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.stop()) }()
	full, err := s.edge.settledMemory(ctx)
	if err != nil {
		return err
	}
	m.memory.Edge = samples{(full - empty) / float64(n)}

	before, err := s.edge.cpuTime()
	if err != nil {
		return err
	}
	start := time.Now()
	select {
	case <-time.After(restPeriod):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := s.edge.cpuTime()
	if err != nil {
		return err
	}
	m.cpu.Edge = samples{100 * (after - before).Seconds() / time.Since(start).Seconds()}

	now, err := scrape(ctx, s.control)
	if err != nil {
		return err
	}
	if now[holds] != float64(n) {
		return fmt.Errorf("%.0f clients are held at the end of the rest, want %d", now[holds], n)
	}
	m.goroutines.Edge = samples{now[goroutines]}
	return nil
}

// hold has n clients wait at the edge, which poll again at once after every
// answer, and returns when all are held. It looks for that at this interval.
func (m *measurement) hold(ctx context.Context, s *stack, n int, every time.Duration) (*process, error) {
	load, err := startLoad(io.Discard, m.stderr,
		"-c", strconv.Itoa(n), "-url", s.edgeURL, "-rate", "0", "-repoll-delay", "0", "-repoll-jitter", "0")
	if err != nil {
		return nil, err
	}
	_, err = s.await(ctx, every, thousands(n)+" clients are held", func(now metrics) bool {
		return now[holds] == float64(n)
	})
	if err != nil {
		return nil, errors.Join(err, load.stop())
	}
	return load, nil
}

// startFloor starts a floor in a process of its own, which sends through io_uring if
// uring says so, and returns its address.
func startFloor(ctx context.Context, stderr io.Writer, threads int, uring bool) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("find own executable: %w", err)
	}
	p, at, err := startServer(ctx, childLog(stderr), program{path: self, args: []string{"floor", "-threads", strconv.Itoa(threads), "-uring=" + strconv.FormatBool(uring)}})
	return p, at.Listen, err
}

// startHeadlineStack starts a stack that has a headline, on free ports of the
// loopback.
func startHeadlineStack(ctx context.Context, stderr io.Writer, config stackConfig) (*stack, error) {
	config.edge, config.control, config.origin = anywhere.edge, anywhere.control, anywhere.origin
	s, err := startStack(ctx, childLog(stderr), config)
	if err != nil {
		return nil, err
	}
	if err := postHeadline(ctx, http.DefaultClient, s.originURL, headline); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// answerBytes returns the length of the answer to a first poll, with its head.
func answerBytes(ctx context.Context, addr string) (int, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("ask for the headline: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(awaitTimeout)); err != nil {
		return 0, fmt.Errorf("ask for the headline: %w", err)
	}
	if _, err := fmt.Fprintf(conn, "GET /headline/value/ HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
		return 0, fmt.Errorf("ask for the headline: %w", err)
	}
	var answer bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &answer)), nil)
	if err != nil {
		return 0, fmt.Errorf("ask for the headline: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("ask for the headline: %w", err)
	}
	return answer.Len(), nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
