package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
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

// raceColor returns a contender's colour, which is grey if we do not know it.
func raceColor(name string) color.Color {
	if c, ok := raceColors[name]; ok {
		return c
	}
	return color.Gray{Y: 0xa0}
}
