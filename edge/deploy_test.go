package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the files of deploy/ ask Prometheus for is there: each metric that they
// name is in a scrape of a running edge, with the labels that they name.

// scrape is what a scrape has: the labels of each metric.
type scrape map[string]map[string]bool

// series is one line of a scrape.
var series = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$`)

// scraped returns what is in the text of a scrape. Prometheus adds the labels of
// its own to all, and the metric up.
func scraped(t *testing.T, text string) scrape {
	t.Helper()
	own := func() map[string]bool { return map[string]bool{"job": true, "instance": true} }
	all := scrape{"up": own()}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		m := series.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("the scrape has the line %q", line)
		}
		if all[m[1]] == nil {
			all[m[1]] = own()
		}
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			all[m[1]][label[1]] = true
		}
	}
	return all
}

var (
	promText     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	promRange    = regexp.MustCompile(`\[[^\]]*\]`)
	promMatchers = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\{([^}]*)\}`)
	promGrouping = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	promWord     = regexp.MustCompile(`[a-zA-Z_:][\w:]*\s*\(?`)
	promNumber   = regexp.MustCompile(`\b\d[\w.]*`)
)

// promFunctions are the functions and aggregations that the files use.
var promFunctions = []string{"sum", "count", "rate", "increase", "histogram_quantile", "max_over_time", "time"}

// check returns what is wrong with a PromQL expression: it is no parser of it, but
// knows the words that the files use, and refuses others.
func (s scrape) check(expr string) error {
	rest := promText.ReplaceAllString(expr, "0")
	var names, labels []string
	for _, m := range promMatchers.FindAllStringSubmatch(rest, -1) {
		for matcher := range strings.SplitSeq(m[2], ",") {
			label := strings.TrimSpace(strings.TrimRight(strings.TrimSuffix(strings.TrimSpace(matcher), "0"), "=~!"))
			if s[m[1]] != nil && !s[m[1]][label] {
				return fmt.Errorf("%s has no label %q", m[1], label)
			}
		}
	}
	rest = promMatchers.ReplaceAllString(rest, "$1")
	for _, m := range promRange.FindAllString(rest, -1) {
		if !regexp.MustCompile(`^\[(\d+[smhd]|\$__rate_interval)\]$`).MatchString(m) {
			return fmt.Errorf("range %s", m)
		}
	}
	rest = promRange.ReplaceAllString(rest, "")
	for _, m := range promGrouping.FindAllStringSubmatch(rest, -1) {
		for label := range strings.SplitSeq(m[2], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	rest = promGrouping.ReplaceAllString(rest, "")
	rest = promNumber.ReplaceAllString(rest, "0")
	for _, word := range promWord.FindAllString(rest, -1) {
		name, function := strings.CutSuffix(word, "(")
		name = strings.TrimSpace(name)
		switch {
		case function && slices.Contains(promFunctions, name), slices.Contains([]string{"by", "and", "or", "unless", "offset"}, name):
		case function:
			return fmt.Errorf("function %s is not known here", name)
		case s[name] == nil:
			return fmt.Errorf("a running edge has no metric %s", name)
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("it names no metric")
	}
	for _, label := range labels {
		if !slices.ContainsFunc(names, func(name string) bool { return s[name][label] }) {
			return fmt.Errorf("no metric of it has the label %q", label)
		}
	}
	return balanced(rest)
}

// balanced reports a parenthesis without its other.
func balanced(expr string) error {
	open := 0
	for _, c := range expr {
		switch c {
		case '(':
			open++
		case ')':
			open--
		}
		if open < 0 {
			break
		}
	}
	if open != 0 {
		return fmt.Errorf("its parentheses do not match")
	}
	return nil
}

// The check finds what it is there to find.
func TestScrapeCheck(t *testing.T) {
	s := scraped(t, "# HELP a_total x\na_total{l=\"1\"} 2\nb 1\nh_bucket{le=\"+Inf\"} 1\n")
	for _, tt := range []struct{ name, expr, want string }{
		{"sound", `sum by (l) (rate(a_total{l=~"x(",instance="y"}[5m])) / b > 0.5`, ""},
		{"quantile", `histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval])))`, ""},
		{"up", `up{job="marquee"} == 0`, ""},
		{"1e15", `b < 1e15`, ""},
		{"unknown metric", `c > 0`, "no metric c"},
		{"unknown metric in a function", `rate(c[5m])`, "no metric c"},
		{"unknown metric with a label", `c{l="1"} > 0`, "no metric c"},
		{"unknown label", `a_total{m="1"}`, `no label "m"`},
		{"unknown label to group by", `sum by (m) (a_total)`, `label "m"`},
		{"unknown function", `ratte(b)`, "ratte"},
		{"parenthesis", `sum(b`, "parentheses"},
		{"parenthesis too many", `sum(b))(`, "parentheses"},
		{"range", `rate(b[5])`, "range"},
		{"nothing", `1 > 0`, "no metric"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := s.check(tt.expr)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("check(%s): %v, want an error with %q", tt.expr, err, tt.want)
			}
		})
	}
}

// TestDeploy scrapes a process, as Prometheus does.
func TestDeploy(t *testing.T) {
	p := startProcess(t, serve(t, http.HandlerFunc(hi)), tlsArgs(t)...)
	scrape := scraped(t, p.metrics())

	t.Run("alerts.yml", func(t *testing.T) {
		text, err := os.ReadFile("../deploy/alerts.yml")
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []struct {
				Name  string
				Rules []struct {
					Alert, Expr, For    string
					Labels, Annotations map[string]string
				}
			}
		}
		in := yaml.NewDecoder(strings.NewReader(string(text)))
		in.KnownFields(true)
		if err := in.Decode(&rules); err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, group := range rules.Groups {
			for _, r := range group.Rules {
				if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Marquee") {
					t.Errorf("alert %q: it is there twice, or not ours", r.Alert)
				}
				seen[r.Alert] = true
				if err := scrape.check(r.Expr); err != nil {
					t.Errorf("alert %s: %s: %v", r.Alert, r.Expr, err)
				}
				if s := r.Labels["severity"]; s != "critical" && s != "warning" {
					t.Errorf("alert %s: severity %q", r.Alert, s)
				}
				if r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
					t.Errorf("alert %s: it does not say what is the matter, and what to do", r.Alert)
				}
			}
		}
		if len(seen) < 10 {
			t.Errorf("%d alerts, want more", len(seen))
		}
	})

	t.Run("grafana.json", func(t *testing.T) {
		text, err := os.ReadFile("../deploy/grafana.json")
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Title, UID string
			Panels     []struct {
				ID      int
				Title   string
				Type    string
				GridPos struct{ X, Y, W, H int }
				Targets []struct{ RefID, Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		ids, taken := make(map[int]bool), make(map[[2]int]string)
		for _, panel := range board.Panels {
			if ids[panel.ID] || panel.Title == "" || panel.Type == "row" != (len(panel.Targets) == 0) {
				t.Errorf("panel %d %q: its id is taken, or something is missing", panel.ID, panel.Title)
			}
			ids[panel.ID] = true
			for _, target := range panel.Targets {
				if err := scrape.check(target.Expr); err != nil {
					t.Errorf("panel %q: %s: %v", panel.Title, target.Expr, err)
				}
			}
			at := panel.GridPos
			if at.X < 0 || at.X+at.W > 24 {
				t.Errorf("panel %q is %d to %d of 24 columns", panel.Title, at.X, at.X+at.W)
			}
			for x := at.X; x < at.X+at.W; x++ {
				for y := at.Y; y < at.Y+at.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("panel %q lies over %q", panel.Title, other)
					}
					taken[[2]int{x, y}] = panel.Title
				}
			}
		}
		if len(ids) < 15 {
			t.Errorf("%d panels, want more", len(ids))
		}
	})
}
