package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// The run of 2013, from one origin through 20 edges to 20 client groups of 5,000,
// on 42 machines of a cloud. By its formula, which is the dashboard's Delivery.
var then = struct {
	machines, received int
	average, last      float64 // ms
}{42, 100_000, 501, 1682}

// goalLast is what the last delivery must stay below, in ms; the average must
// stay below that of 2013.
const goalLast = 1000

// A demoReport is what "bench demo-100k" found out.
type demoReport struct {
	Machine      machine `json:"machine"`
	Capacity     int     `json:"capacity"`
	NodeCapacity int     `json:"node_capacity"`
	Edges        int     `json:"edges"`
	Groups       int     `json:"groups"`
	// Settings are those of the kernel that matter most, by sysctl's names.
	Settings map[string]string `json:"kernel_settings"`
	// Ready is how long it took from the start until all clients were held.
	Ready   float64       `json:"ready_ms"`
	Changes []*demoChange `json:"changes"`
}

// A demoChange is how one headline reached the clients. Times are in
// milliseconds since it was sent.
type demoChange struct {
	ID       uint64 `json:"id"`
	Received int    `json:"received"`
	// Delivery is by the formula of 2013: first, mean and last of the means of
	// the groups. True is by the clients' own clock: first, mean and last client.
	Delivery times `json:"delivery_ms"`
	True     times `json:"true_ms"`
	// Curve are times and how many clients had received the headline, by their
	// clock; Histogram upper ends of bars and their clients.
	Curve     [][2]float64 `json:"curve"`
	Histogram [][2]float64 `json:"histogram"`
	// CPU are the seconds that each command used, over all its processes, from
	// before the headline was sent until the last had it.
	CPU map[string]float64 `json:"cpu_s"`
	// Dropped packets found the queue of a CPU full; each costs its client 200 ms.
	Dropped int64 `json:"dropped_packets"`
}

// median returns the median of one quantity over the changes.
func (r *demoReport) median(of func(*demoChange) float64) float64 {
	var s samples
	for _, c := range r.Changes {
		s = append(s, of(c))
	}
	return s.median()
}

// medians returns the median change, quantity by quantity, without its curve.
func (r *demoReport) medians() *demoChange {
	spread := func(of func(*demoChange) times) times {
		return times{
			Min: r.median(func(c *demoChange) float64 { return of(c).Min }),
			Avg: r.median(func(c *demoChange) float64 { return of(c).Avg }),
			Max: r.median(func(c *demoChange) float64 { return of(c).Max }),
		}
	}
	m := &demoChange{
		Received: int(r.median(func(c *demoChange) float64 { return float64(c.Received) })),
		Delivery: spread(func(c *demoChange) times { return c.Delivery }),
		True:     spread(func(c *demoChange) times { return c.True }),
		CPU:      make(map[string]float64),
	}
	for _, c := range r.Changes {
		for command := range c.CPU {
			m.CPU[command] = r.median(func(c *demoChange) float64 { return c.CPU[command] })
		}
	}
	return m
}

// missed returns an error when a change did not reach every client.
func (r *demoReport) missed() error {
	for i, c := range r.Changes {
		if c.Received < r.Capacity {
			return fmt.Errorf("change %d reached %s of %s clients", i+1, thousands(c.Received), thousands(r.Capacity))
		}
	}
	return nil
}

// cells are a change's row of the table, which begins with its name.
func (c *demoChange) cells(name string) []string {
	return []string{
		name, thousands(c.Received),
		ms(c.Delivery.Min), ms(c.Delivery.Avg), ms(c.Delivery.Max),
		ms(c.True.Min), ms(c.True.Avg), ms(c.True.Max),
		ms(c.Delivery.Avg - c.True.Avg),
	}
}

// ms shows milliseconds.
func ms(x float64) string {
	if x >= 1000 {
		return thousands(int(math.Round(x)))
	}
	return number(x)
}

// write prints the report as text.
func (r *demoReport) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n%s clients of %d edges, in %d groups, held after %s s\n\n",
		r.Machine, thousands(r.Capacity), r.Edges, r.Groups, number(r.Ready/1000))
	m := r.medians()
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	row("ms since the change", "", "by the", "formula", "of 2013", "by the", "clients'", "clock", "formula's")
	row("change", "received", "first", "average", "last", "first", "average", "last", "error")
	for i, c := range r.Changes {
		row(c.cells(strconv.Itoa(i + 1))...)
	}
	row(m.cells("median")...)
	row(fmt.Sprintf("2013, %d machines", then.machines), thousands(then.received), "", ms(then.average), ms(then.last), "", "", "", "")
	if r.Capacity >= then.received { // else it would be no feat
		average, last := "< "+ms(then.average), "< "+ms(goalLast)
		row("goal", thousands(r.Capacity), "", average, last, "", average, last, "")
		row("", verdict(m.Received >= r.Capacity),
			"", verdict(m.Delivery.Avg < then.average), verdict(m.Delivery.Max < goalLast),
			"", verdict(m.True.Avg < then.average), verdict(m.True.Max < goalLast), "")
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var dropped int64
	for _, c := range r.Changes {
		dropped += c.Dropped
	}
	_, err := fmt.Fprintf(w, "\nCPU seconds a change: %s. Packets dropped: %d.\n", cpuText(m.CPU), dropped)
	return err
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// cpuText lists CPU seconds by command, the most first.
func cpuText(cpu map[string]float64) string {
	commands := slices.SortedFunc(maps.Keys(cpu), func(a, b string) int {
		return cmp.Or(cmp.Compare(cpu[b], cpu[a]), strings.Compare(a, b))
	})
	total := 0.
	var parts []string
	for _, command := range commands {
		total += cpu[command]
		parts = append(parts, fmt.Sprintf("%s %.2f", command, cpu[command]))
	}
	return fmt.Sprintf("%.2f (%s)", total, strings.Join(parts, ", "))
}
