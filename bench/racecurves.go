package main

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curves draws how many long polls had been answered over time, as the median
// round had it.
func (r *raceReport) curves() (*picture, error) {
	p := &picture{title: "How many of the long polls have a change after how long", height: curveHeight}
	for _, n := range []int{5000, 15000} {
		panel := newPlot(thousands(n) + " clients")
		low, high := math.Inf(1), math.Inf(-1)
		var lines []namedLine
		for _, name := range r.runners() {
			x := r.result(longPoll, name, n)
			if x == nil || x.Failed != "" {
				continue
			}
			points := quantilePoints(x.Quantiles)
			if len(points) == 0 {
				continue
			}
			line, err := newRaceLine(name, points)
			if err != nil {
				return nil, err
			}
			lines = append(lines, namedLine{name, line})
			low, high = min(low, points[0].X), max(high, points[len(points)-1].X)
		}
		if len(lines) == 0 {
			continue
		}
		panel.X.Label.Text = "milliseconds since the change"
		if len(p.panels) == 0 {
			panel.Y.Label.Text = "% of the clients"
		}
		panel.Y.Min, panel.Y.Max, panel.Y.Tick.Marker = 0, 100, ticks(20)
		logarithmic(&panel.X, low, high)
		panel.Add(newGrid())
		p.add(panel, lines)
	}
	return p, nil
}

// quantilePoints returns the medians of quantiles over the rounds, with the share
// of the clients in percent over the order of the time.
func quantilePoints(rounds [][]float64) plotter.XYs {
	if len(rounds) == 0 {
		return nil
	}
	var points plotter.XYs
	for i := range rounds[0] {
		var all samples
		for _, round := range rounds {
			if i < len(round) {
				all = append(all, round[i])
			}
		}
		points = append(points, plotter.XY{X: order(all.median()), Y: 100 * float64(i) / float64(max(1, len(rounds[0])-1))})
	}
	return points
}

// order returns the order of magnitude of a number, which is taken for 0.1 if it is
// smaller.
func order(x float64) float64 { return math.Log10(max(x, 0.1)) }

// growth draws the time to the last client over the number of long polls, for
// contenders with three of these at least.
func (r *raceReport) growth() (*picture, error) {
	p := &picture{title: "From a change to the last long poll, by how many are held", height: 13 * vg.Centimeter}
	panel := newPlot("")
	left, right, low, high := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	var lines []namedLine
	for _, name := range r.runners() {
		var points plotter.XYs
		for _, n := range r.sizes(longPoll) {
			if last := r.figure(longPoll, name, n, lastOf); len(last) > 0 {
				points = append(points, plotter.XY{X: order(float64(n)), Y: order(last.median())})
			}
		}
		if len(points) < 3 {
			continue
		}
		line, err := newRaceLine(name, points)
		if err != nil {
			return nil, err
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: raceColor(name), Radius: vg.Points(2.8), Shape: draw.CircleGlyph{}}
		panel.Add(dots)
		lines = append(lines, namedLine{name, line})
		for _, point := range points {
			left, right, low, high = min(left, point.X), max(right, point.X), min(low, point.Y), max(high, point.Y)
		}
	}
	if len(lines) == 0 {
		return p, nil
	}
	panel.X.Label.Text, panel.Y.Label.Text = "clients held", "milliseconds"
	logarithmic(&panel.X, left, right)
	logarithmic(&panel.Y, low, high)
	panel.Add(newGrid())
	p.add(panel, lines)
	return p, nil
}

// A namedLine is a contender's line.
type namedLine struct {
	name string
	line *plotter.Line
}

// newRaceLine returns a contender's line. The floor's is dashed.
func newRaceLine(name string, points plotter.XYs) (*plotter.Line, error) {
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	line.LineStyle = draw.LineStyle{Color: raceColor(name), Width: vg.Points(1.8)}
	if name == raceFloor {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	return line, nil
}

// add adds a panel with lines, and those that it has not got yet to the key.
func (p *picture) add(panel *plot.Plot, lines []namedLine) {
	if p.key == nil {
		key := newPlot("").Legend
		key.Top, key.Left = true, true
		key.XOffs = 3 * vg.Millimeter
		p.key = &key
	}
	for _, l := range lines {
		panel.Add(l.line)
		if !slices.Contains(p.named, l.name) {
			p.named = append(p.named, l.name)
			p.key.Add(l.name, l.line)
		}
	}
	p.panels = append(p.panels, panel)
}

// logarithmic makes an axis of orders of magnitude, from low to high at least. The
// plot's own scale for these finds no place for the axis's label.
func logarithmic(a *plot.Axis, low, high float64) {
	a.Min, a.Max = low-0.07, high+0.07
	a.Tick.Marker = orderTicks{}
}

// orderTicks are at the orders of whole multiples of powers of ten, with numbers at
// as many as there is room for.
type orderTicks struct{}

// Ticks implements plot.Ticker.
func (orderTicks) Ticks(low, high float64) []plot.Tick {
	numbered := []int{1, 2, 5}
	switch {
	case high-low > 3:
		numbered = []int{1}
	case high-low > 1.5:
		numbered = []int{1, 3}
	}
	var all []plot.Tick
	for power := math.Pow(10, math.Floor(low)); order(power) <= high; power *= 10 {
		for times := 1; times < 10; times++ {
			x := float64(times) * power
			tick := plot.Tick{Value: order(x)}
			if tick.Value < low || tick.Value > high {
				continue
			}
			if slices.Contains(numbered, times) {
				tick.Label = ms(x)
			}
			all = append(all, tick)
		}
	}
	return all
}
