package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// What we read of an edge.
const (
	holds          = "marquee_holds"
	delivered      = "marquee_deliveries_total"
	originRequests = "marquee_origin_requests_total"
	goroutines     = "go_goroutines"
)

// metrics are the values an edge exports, by metric name; the series of one
// name, which differ in labels, are added up.
type metrics map[string]float64

// scrape reads the metrics from an edge's control endpoint.
func scrape(ctx context.Context, control string) (metrics, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, control+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("scrape the edge: %w", err)
	}
	r.Header.Set("Accept-Encoding", "identity") // do not make the edge compress
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("scrape the edge: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape the edge: %s", resp.Status)
	}
	m, err := parseMetrics(resp.Body)
	if err != nil {
		return nil, err
	}
	// delivered has labels, and so no series before the first delivery.
	for _, name := range []string{holds, originRequests, goroutines} {
		if _, ok := m[name]; !ok {
			return nil, fmt.Errorf("scrape the edge: no metric %s", name)
		}
	}
	return m, nil
}

// parseMetrics reads the Prometheus text format, of which it needs names and
// values only.
func parseMetrics(r io.Reader) (metrics, error) {
	m := make(metrics)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		series, value, found := cutLast(line, " ")
		x, err := strconv.ParseFloat(value, 64)
		if !found || err != nil {
			return nil, fmt.Errorf("parse metrics: no value in line %q", line)
		}
		name, _, _ := strings.Cut(series, "{")
		m[name] += x
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return m, nil
}

// cutLast cuts s around the last instance of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
