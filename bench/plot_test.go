package main

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
)

func TestPlotCurves(t *testing.T) {
	dir := t.TempDir()
	r := sampleReport()
	for _, extension := range []string{".png", ".svg"} {
		if err := r.plotCurves(filepath.Join(dir, "curves"+extension)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "curves.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	// Each curve, and the goal, has left its colour somewhere.
	seen := make(map[[3]uint8]bool)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[[3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}] = true
		}
	}
	for i, c := range append(changeColors[:3:3], goalColor) {
		r, g, b, _ := c.RGBA()
		if !seen[[3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}] {
			t.Errorf("colour %d, %v, is not in the picture", i, c)
		}
	}

	svg, err := os.ReadFile(filepath.Join(dir, "curves.svg"))
	if err != nil {
		t.Fatal(err)
	}
	words := svgText(t, svg)
	for _, want := range []string{
		"100,000 clients of 20 edges on one machine with 2 cores",
		"milliseconds since the headline was changed", "clients that have received it",
		"change 1: average 440, last 900|", "change 3: average 701, last 1,400|",
		"goal for the last", "2013: average 501", "2013: last 1,682",
		"|100,000|", "|20,000|", "|1,600|",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("the picture does not say %q but %s", want, words)
		}
	}
}

// svgText returns the texts of a picture, each between bars.
func svgText(t *testing.T, svg []byte) string {
	t.Helper()
	text := "|"
	inText := false
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return text
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				text += string(token) + "|"
			}
		}
	}
}

func TestPlotAxis(t *testing.T) {
	r := sampleReport()
	if got := r.lastMillisecond(); got != 1800 {
		t.Errorf("axis of a fast run ends at %v, want 1800, after 2013's last", got)
	}
	r.Changes[1].True.Max = 3000
	if got := r.lastMillisecond(); got != 3200 {
		t.Errorf("axis of a run with last 3000 ends at %v, want 3200", got)
	}
	r.Changes[1].Curve[1][0] = 3900
	if got := r.lastMillisecond(); got != 4100 {
		t.Errorf("axis of a curve until 3900 ends at %v, want 4100", got)
	}
}

func TestCurvePoints(t *testing.T) {
	got := (&demoChange{Curve: [][2]float64{{5, 100}, {9, 200}}}).points()
	want := plotter.XYs{{X: 0, Y: 0}, {X: 5, Y: 100}, {X: 9, Y: 200}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("points() = %v, want %v", got, want)
	}
}
