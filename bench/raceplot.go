package main

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// raceColors are the contenders', the same in all pictures, from the palette of
// changeColors.
var raceColors = map[string]color.Color{
	raceFloor:          color.Gray{Y: 0x80},
	raceMarquee:        color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	raceURing:          color.Gray{Y: 0xb8},
	raceMarquee1:       color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	raceMarqueeWrite:   color.RGBA{R: 0x7c, G: 0x8f, B: 0xd6, A: 0xff},
	raceNchan:          color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	racePushpin:        color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	racePushpinShipped: color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
	"centrifugo":       color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	"mercure":          color.Gray{Y: 0x20},
}

const (
	// longestBar is how many times the shortest one a bar may be. A longer one is
	// cut, which it shows, so that the others can be told apart.
	longestBar = 12

	panelHeight = 1.6 * vg.Centimeter // and one bar's for each contender
	barHeight   = 0.75 * vg.Centimeter
	curveHeight = 11 * vg.Centimeter
	headHeight  = 1.1 * vg.Centimeter // the picture's title
	keyWidth    = 5.2 * vg.Centimeter
	edgeWidth   = 3 * vg.Millimeter // around all
)

// draw draws all pictures that there are results for into a directory, which it
// makes, each as race-NAME.svg and race-NAME.png.
func (r *raceReport) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("draw the race: %w", err)
	}
	for _, x := range []struct {
		name  string
		paint func() (*picture, error)
	}{
		{"poll", func() (*picture, error) { return r.bars("From a change to the last long poll", longPoll), nil }},
		{"stream", func() (*picture, error) { return r.bars("From a message to the last stream", streamOne), nil }},
		{"memory", func() (*picture, error) { return r.memoryBars(), nil }},
		{"cdf", r.curves},
		{"growth", r.growth},
	} {
		p, err := x.paint()
		for _, format := range []string{"svg", "png"} {
			if err == nil && len(p.panels) > 0 {
				err = p.save(filepath.Join(dir, "race-"+x.name+"."+format), format)
			}
		}
		if err != nil {
			return fmt.Errorf("draw race-%s: %w", x.name, err)
		}
	}
	return nil
}

// A picture is panels, two beside each other, and to their right the key to their
// colours.
type picture struct {
	title  string
	panels []*plot.Plot // none: there is nothing to draw
	height vg.Length    // of a panel
	key    *plot.Legend // nil when the panels need none
	named  []string     // in the key
}

// save writes the picture to a file.
func (p *picture) save(file, format string) error {
	columns := min(2, len(p.panels))
	rows := (len(p.panels) + columns - 1) / columns
	height := headHeight + vg.Length(rows)*p.height + edgeWidth
	canvas, err := draw.NewFormattedCanvas(plotWidth, height, format)
	if err != nil {
		return err
	}
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	heading := newPlot("").Title.TextStyle
	heading.Font.Size = 14
	heading.XAlign, heading.YAlign = text.XCenter, text.YCenter
	all.FillText(heading, vg.Point{X: plotWidth / 2, Y: height - headHeight/2}, p.title)

	right := edgeWidth
	if p.key != nil {
		right = keyWidth
		// A legend is drawn at the right of what it is given.
		p.key.Draw(draw.Crop(all, plotWidth-keyWidth, -edgeWidth, 0, -headHeight-vg.Centimeter))
	}
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, columns)
		copy(grid[i], p.panels[i*columns:])
	}
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: 4 * vg.Millimeter, PadY: 3 * vg.Millimeter}
	for i, row := range plot.Align(grid, tiles, draw.Crop(all, edgeWidth, -right, edgeWidth, -headHeight)) {
		for j, c := range row {
			if grid[i][j] != nil {
				grid[i][j].Draw(c)
			}
		}
	}
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(to); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

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

// raceColor returns a contender's colour, which is grey if we do not know it.
func raceColor(name string) color.Color {
	if c, ok := raceColors[name]; ok {
		return c
	}
	return color.Gray{Y: 0xa0}
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
