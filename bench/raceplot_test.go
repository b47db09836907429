package main

import (
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRaceDraw(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "race.json")
	if err := writeJSON(file, sampleRace()); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"race-draw", "-json", file, "-out", dir}, io.Discard, t.Output()); err != nil {
		t.Fatal(err)
	}
	tables, err := os.ReadFile(filepath.Join(dir, "race.md"))
	if err != nil || !strings.Contains(string(tables), "| marquee |") {
		t.Errorf("the tables are %q, %v", tables, err)
	}
	ran := []string{"floor", "marquee", "marquee, 1 loop", "nchan", "pushpin", "pushpin as shipped"}
	for _, test := range []struct {
		name   string
		words  []string
		not    string
		colors []string // of these contenders
	}{
		{"poll", append([]string{
			"From a change to the last long poll: median, and least to most", "milliseconds",
			"1,000 clients", "19,000 clients", "41.2", "1,013", "failed", "7,125",
		}, ran...), "|100 clients|", ran},
		{"stream", append([]string{"From a message to the last stream: median, and least to most", "15,000 clients", "centrifugo"}, ran...),
			"|19,000 clients|", append([]string{"centrifugo"}, ran...)},
		{"memory", append([]string{
			"Memory of a held client, of 5,000: the server's, and, paler, the kernel's for both ends", "bytes",
			"960 and 5,300", "31,000 and 11,200",
		}, ran...), "|centrifugo|", ran},
		{"cdf", append([]string{"5,000 clients", "15,000 clients", "% of the clients", "milliseconds since the change", "100", "1,000"}, ran...),
			"|19,000 clients|", ran},
		{"growth", append([]string{"clients held", "milliseconds", "10,000"}, ran...), "|centrifugo|", ran},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen := pngColors(t, filepath.Join(dir, "race-"+test.name+".png"))
			for _, name := range test.colors {
				if !seen[color.RGBAModel.Convert(raceColor(name)).(color.RGBA)] {
					t.Errorf("the colour of %s is not in the picture", name)
				}
			}
			svg, err := os.ReadFile(filepath.Join(dir, "race-"+test.name+".svg"))
			if err != nil {
				t.Fatal(err)
			}
			words := svgText(t, svg)
			for _, want := range test.words {
				if !strings.Contains(words, "|"+want+"|") {
					t.Errorf("the picture does not say %q but %s", want, words)
				}
			}
			if strings.Contains(words, test.not) {
				t.Errorf("the picture says %q: %s", test.not, words)
			}
		})
	}
}

// pngColors returns the colours of a picture.
func pngColors(t *testing.T, file string) map[color.RGBA]bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[color.RGBA]bool)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			seen[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)] = true
		}
	}
	return seen
}

// What a contender has no samples of is left out of its line, and it without any.
func TestRaceDrawGaps(t *testing.T) {
	r := sampleRace()
	for _, x := range r.Results {
		switch x.Contender {
		case "nchan":
			x.Quantiles = nil
		case "pushpin":
			x.Quantiles = [][]float64{{}}
		case "floor":
			x.Memory, x.Slab = nil, nil
		case "marquee":
			x.Slab = nil
		case "marquee, 1 loop":
			x.Last = nil
		}
	}
	dir := t.TempDir()
	if err := r.draw(dir); err != nil {
		t.Fatal(err)
	}
	for name, not := range map[string]string{"cdf": "|nchan|", "growth": "|marquee, 1 loop|", "memory": "|960 and"} {
		svg, err := os.ReadFile(filepath.Join(dir, "race-"+name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if words := svgText(t, svg); strings.Contains(words, not) {
			t.Errorf("race-%s says %q: %s", name, not, words)
		}
	}
}

func TestBarsLimit(t *testing.T) {
	parts := func(length float64) []barPart { return []barPart{{length: length}} }
	for _, test := range []struct {
		name string
		bars bars
		want float64
	}{
		{"none", nil, 1},
		{"words only", bars{{words: "failed"}}, 1},
		{"with a whisker", bars{{parts: parts(10), least: 5, most: 15}}, 15},
		{"just not cut", bars{{parts: parts(10)}, {parts: parts(120)}}, 120},
		{"cut", bars{{parts: parts(10), most: 12}, {parts: parts(121), most: 130}}, 12},
	} {
		if got := test.bars.limit(); got != test.want {
			t.Errorf("%s: limit = %v, want %v", test.name, got, test.want)
		}
	}
}

func TestOrderTicks(t *testing.T) {
	for _, test := range []struct {
		low, high float64
		want      []string // labels
	}{
		{4, 60, []string{"5", "10", "20", "50"}},
		{4, 2000, []string{"10", "30", "100", "300", "1,000"}},
		{0.5, 8000, []string{"1", "10", "100", "1,000"}},
	} {
		var got []string
		for _, tick := range (orderTicks{}).Ticks(order(test.low), order(test.high)) {
			if !tick.IsMinor() {
				got = append(got, tick.Label)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("ticks from %v to %v: %q, want %q", test.low, test.high, got, test.want)
		}
	}
	if got := len((orderTicks{}).Ticks(order(10), order(100))); got != 10 {
		t.Errorf("ticks from 10 to 100 are %d, want 10", got)
	}
}

func TestNiceStep(t *testing.T) {
	for x, want := range map[float64]float64{0.3: 0.5, 1: 1, 1.1: 2, 4.9: 5, 6: 10, 240: 500, 1000: 1000} {
		if got := niceStep(x); math.Abs(got-want) > 1e-9 {
			t.Errorf("niceStep(%v) = %v, want %v", x, got, want)
		}
	}
}
