package main

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars draws the time to the last client, a panel for each of the largest numbers of
// clients.
func (r *raceReport) bars(title, workload string) *picture {
	p := &picture{title: title + ": median, and least to most"}
	names := r.namesIn(workload)
	p.height = panelHeight + vg.Length(len(names))*barHeight
	sizes := r.sizes(workload)
	for _, n := range sizes[max(0, len(sizes)-4):] {
		var chart bars
		var raced []string
		for _, name := range names {
			x := r.result(workload, name, n)
			if x == nil {
				continue
			}
			raced = append(raced, name)
			if x.Failed != "" || len(x.Last) == 0 {
				chart = append(chart, bar{words: "failed"})
				continue
			}
			chart = append(chart, bar{
				parts: []barPart{{x.Last.median(), raceColor(name)}},
				least: slices.Min(x.Last), most: slices.Max(x.Last), words: ms(x.Last.median()),
			})
		}
		p.panels = append(p.panels, chart.plot(thousands(n)+" clients", "milliseconds", raced))
	}
	return p
}

// memoryBars draws what a held long poll takes, of the server and of the kernel.
func (r *raceReport) memoryBars() *picture {
	_, n := r.summarySizes()
	names := r.namesIn(longPoll)
	chart := make(bars, len(names))
	found := false
	for i, name := range names {
		user := r.figure(longPoll, name, n, memoryOf)
		kernel := r.figure(longPoll, name, n, slabOf)
		if len(user) == 0 {
			chart[i].words = "not measured"
			continue
		}
		found = true
		chart[i].parts = []barPart{{user.median(), raceColor(name)}, {kernel.median(), pale(raceColor(name))}}
		chart[i].words = ms(user.median())
		if len(kernel) > 0 {
			chart[i].words += " and " + ms(kernel.median())
		}
	}
	p := &picture{
		title:  fmt.Sprintf("Memory of a held client, of %s: the server's, and, paler, the kernel's for both ends", thousands(n)),
		height: panelHeight + vg.Length(len(names))*barHeight,
	}
	if found {
		p.panels = []*plot.Plot{chart.plot("", "bytes", names)}
	}
	return p
}

// namesIn returns the contenders that have a result in a workload, failures too.
func (r *raceReport) namesIn(workload string) []string {
	return slices.DeleteFunc(r.runners(), func(name string) bool {
		return !slices.ContainsFunc(r.Results, func(x *raceResult) bool { return x.Workload == workload && x.Contender == name })
	})
}

// pale returns a paler colour.
func pale(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	paler := func(x uint32) uint8 { return uint8(0xff - (0xff-x>>8)*2/5) }
	return color.RGBA{R: paler(r), G: paler(g), B: paler(b), A: 0xff}
}

// bars are lying bars, the first at the top. It is a plot.Plotter.
type bars []bar

// A bar is parts one after the other, a whisker at its end unless least and most
// are zero, and words behind it. Without parts there are only the words.
type bar struct {
	parts       []barPart
	least, most float64
	words       string
}

type barPart struct {
	length float64
	color  color.Color
}

// length returns the sum of the parts.
func (b bar) length() float64 {
	sum := 0.
	for _, part := range b.parts {
		sum += part.length
	}
	return sum
}

// limit returns the length of the longest bar, with its whisker, that is not cut.
func (b bars) limit() float64 {
	shortest := math.Inf(1)
	for _, x := range b {
		if x.length() > 0 {
			shortest = min(shortest, x.length())
		}
	}
	limit := 0.
	for _, x := range b {
		if x.length() <= longestBar*shortest {
			limit = max(limit, x.length(), x.most)
		}
	}
	return cmp.Or(limit, 1)
}

// plot returns a panel with the bars and their names.
func (b bars) plot(title, unit string, names []string) *plot.Plot {
	p := newPlot(title)
	p.Title.TextStyle.Font.Size = 12
	p.X.Label.Text = unit
	limit := b.limit()
	p.X.Min, p.X.Max = 0, 1.3*limit // with room for words
	p.Y.Min, p.Y.Max = -0.6, float64(len(b))-0.4
	p.X.Tick.Marker = ticks(niceStep(limit / 4))
	p.Y.Tick.Length = 0
	var marks plot.ConstantTicks
	for i, name := range names {
		marks = append(marks, plot.Tick{Value: b.at(i), Label: name})
	}
	p.Y.Tick.Marker = marks
	grid := newGrid()
	grid.Horizontal.Width = 0
	p.Add(grid, b)
	return p
}

// at returns the height of the i-th bar's middle.
func (b bars) at(i int) float64 { return float64(len(b) - 1 - i) }

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	style := p.X.Tick.Label
	style.XAlign, style.YAlign = text.XLeft, text.YCenter
	limit := b.limit()
	for i, x := range b {
		middle := toY(b.at(i))
		half := 0.32 * (toY(1) - toY(0))
		end := 0.
		for _, part := range x.parts {
			from, to := toX(min(end, 1.02*limit)), toX(min(end+part.length, 1.02*limit))
			c.FillPolygon(part.color, []vg.Point{
				{X: from, Y: middle - half}, {X: to, Y: middle - half}, {X: to, Y: middle + half}, {X: from, Y: middle + half},
			})
			end += part.length
		}
		cut := end > limit
		if cut { // two strokes across the bar
			for _, back := range []float64{0.03, 0.05} {
				at := toX((1 - back) * limit)
				c.StrokeLine2(draw.LineStyle{Color: color.White, Width: vg.Points(2)}, at-2, middle-half-1, at+2, middle+half+1)
			}
			end = 1.02 * limit
		}
		if x.most > 0 && !cut {
			least, most := toX(x.least), toX(min(x.most, limit))
			whisker := draw.LineStyle{Color: color.Black, Width: vg.Points(0.9)}
			c.StrokeLine2(whisker, least, middle, most, middle)
			c.StrokeLine2(whisker, least, middle-half/2, least, middle+half/2)
			c.StrokeLine2(whisker, most, middle-half/2, most, middle+half/2)
			end = max(end, x.most)
		}
		style.Color = color.Black
		if len(x.parts) == 0 {
			style.Color = markColor
		}
		c.FillText(style, vg.Point{X: toX(end) + 4, Y: middle + 1}, x.words)
	}
}

// niceStep returns the least of 1, 2, 5, 10, 20 ... that is x at least.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= x {
			return times * power
		}
	}
	return 10 * power
}
