package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The picture's size.
const (
	plotWidth  = 24 * vg.Centimeter
	plotHeight = 14 * vg.Centimeter
)

// changeColors tell the curves apart, for those who see few colours, too (Okabe
// and Ito's palette).
var changeColors = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
}

var (
	markColor = color.Gray{Y: 0x70}
	goalColor = color.RGBA{R: 0xb0, G: 0x00, B: 0x20, A: 0xff}
)

// plotCurves draws how many clients had received each change over the time since
// it began, beside the goal and 2013, into a file whose extension says the format.
func (r *demoReport) plotCurves(file string) error {
	p, err := r.plot()
	if err == nil {
		err = p.Save(plotWidth, plotHeight, file)
	}
	if err != nil {
		return fmt.Errorf("draw the curves: %w", err)
	}
	return nil
}

func (r *demoReport) plot() (*plot.Plot, error) {
	p := newPlot(fmt.Sprintf("%s clients of %d edges on one machine with %d cores",
		thousands(r.Capacity), r.Edges, r.Machine.Cores))
	p.Title.TextStyle.Font.Size = 14
	p.X.Label.Text = "milliseconds since the headline was changed"
	p.Y.Label.Text = "clients that have received it"
	p.X.Min, p.X.Max = 0, r.lastMillisecond()
	p.Y.Min, p.Y.Max = 0, 1.12*float64(r.Capacity) // with room for the marks' words
	p.X.Tick.Marker = ticks(200)
	p.Y.Tick.Marker = ticks(float64(r.Capacity) / 5)
	p.Legend.YOffs = 4 * vg.Millimeter
	// To the left of the last mark, as nearly as this can tell.
	p.Legend.XOffs = -(plotWidth-2*vg.Centimeter)*vg.Length(1-then.last/p.X.Max) - 4*vg.Millimeter

	p.Add(newGrid())
	for i, c := range r.Changes {
		line, err := plotter.NewLine(c.points())
		if err != nil {
			return nil, err
		}
		line.Width = vg.Points(1.6)
		line.Color = changeColors[i%len(changeColors)]
		if i >= len(changeColors) {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
		}
		p.Add(line)
		p.Legend.Add(fmt.Sprintf("change %d: average %s, last %s", i+1, ms(c.True.Avg), ms(c.True.Max)), line)
	}
	for _, m := range []mark{
		{goalLast, "goal for the last", goalColor, nil},
		{then.average, "2013: average " + ms(then.average), markColor, []vg.Length{vg.Points(5), vg.Points(3)}},
		{then.last, "2013: last " + ms(then.last), markColor, []vg.Length{vg.Points(5), vg.Points(3)}},
	} {
		if err := m.add(p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// newPlot returns an empty plot, in our letters.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	for _, style := range []*text.Style{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
	p.Title.Padding = 3 * vg.Millimeter
	p.X.Padding, p.Y.Padding = 0, 0
	p.Legend.ThumbnailWidth = 8 * vg.Millimeter
	p.Legend.Padding = vg.Millimeter
	return p
}

// newGrid returns faint lines, to be added first.
func newGrid() *plotter.Grid {
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{Y: 0xe8}, color.Gray{Y: 0xe8}
	return grid
}

// lastMillisecond is where the X axis ends: all curves and marks are before it.
func (r *demoReport) lastMillisecond() float64 {
	last := then.last
	for _, c := range r.Changes {
		last = max(last, c.True.Max)
		if n := len(c.Curve); n > 0 {
			last = max(last, c.Curve[n-1][0])
		}
	}
	return math.Ceil(1.05*last/100) * 100
}

// points returns the curve from the change on, when nobody had it.
func (c *demoChange) points() plotter.XYs {
	points := plotter.XYs{{}}
	for _, p := range c.Curve {
		points = append(points, plotter.XY{X: p[0], Y: p[1]})
	}
	return points
}

// A mark is a vertical line with words at its top.
type mark struct {
	at     float64
	words  string
	color  color.Color
	dashes []vg.Length
}

func (m mark) add(p *plot.Plot) error {
	line, err := plotter.NewLine(plotter.XYs{{X: m.at, Y: p.Y.Min}, {X: m.at, Y: p.Y.Max}})
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: m.color, Width: vg.Points(1.2), Dashes: m.dashes}
	words, err := plotter.NewLabels(plotter.XYLabels{
		XYs:    plotter.XYs{{X: m.at, Y: p.Y.Max}},
		Labels: []string{m.words},
	})
	if err != nil {
		return err
	}
	words.TextStyle[0].Color = m.color
	words.TextStyle[0].Font.Variant = "Sans"
	words.TextStyle[0].XAlign, words.TextStyle[0].YAlign = text.XRight, text.YTop
	words.Offset = vg.Point{X: -vg.Points(4), Y: -vg.Points(2)}
	p.Add(line, words)
	return nil
}

// ticks are numbers at a distance from each other, with their digits grouped.
type ticks float64

// Ticks returns those from low to high.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	var all []plot.Tick
	for at := low; at <= high; at += float64(t) {
		all = append(all, plot.Tick{Value: at, Label: thousands(int(math.Round(at)))})
	}
	return all
}
