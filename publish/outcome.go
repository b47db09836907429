package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"marquee/grip"
)

const (
	// answerTimeout bounds one publish, from dialling to the end of the answer.
	// An edge of Marquee that is asked for receipts answers after 5 s at the latest.
	answerTimeout = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 64 << 10
)

// outcome is what came of the publish to one endpoint.
type outcome struct {
	endpoint *grip.Endpoint
	err      error
	receipts []receipt // none where it gives none
	warning  string    // of the edge
}

// receipt is what an edge of Marquee says of one item. The counts are of holds.
type receipt struct {
	Channel  string  `json:"channel"`
	ID       string  `json:"id"`
	Fate     string  `json:"fate"`
	Matched  int64   `json:"matched"`
	Written  int64   `json:"written"`
	Queued   int64   `json:"queued"`
	Dropped  int64   `json:"dropped"`
	Missed   int64   `json:"missed"`
	Elapsed  float64 `json:"elapsed_ms"`
	Complete bool    `json:"complete"`
}

// post publishes the item to every endpoint, to all at the same time.
func post(ctx context.Context, endpoints []*grip.Endpoint, item grip.Item, wantReceipt bool) []outcome {
	client := &http.Client{
		Timeout: answerTimeout,
		// A control endpoint that redirects is a wrong URL, and a proxy has no
		// business with what is shown to it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{},
	}
	defer client.CloseIdleConnections()
	body := grip.AppendItems(nil, []grip.Item{item})
	outcomes := make([]outcome, len(endpoints))
	var wg sync.WaitGroup
	for i, ep := range endpoints {
		wg.Go(func() {
			o := &outcomes[i]
			o.endpoint = ep
			if err := o.post(ctx, client, body, wantReceipt); err != nil {
				o.err = fmt.Errorf("%s: %w", ep.Name, err)
			}
		})
	}
	wg.Wait()
	return outcomes
}

// failure returns why the item was not published everywhere, nil when it was.
func failure(outcomes []outcome) error {
	var errs []error
	for _, o := range outcomes {
		errs = append(errs, o.err)
	}
	return errors.Join(errs...)
}

// printReceipts writes the receipts as a table, and to stderr what is odd.
func printReceipts(stdout, stderr io.Writer, outcomes []outcome) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	titled := false
	for _, o := range outcomes {
		for _, r := range o.receipts {
			if !titled {
				titled = true
				fmt.Fprintln(table, "matched\twritten\tqueued\tdropped\tmissed\tms\tfate\tendpoint\t")
			}
			fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t\n",
				r.Matched, r.Written, r.Queued, r.Dropped, r.Missed, r.Elapsed, r.Fate, o.endpoint.Name)
			if r.Fate == "delivered" && !r.Complete {
				fmt.Fprintf(stderr, "publish: %s: it was still writing when it made the receipt\n", o.endpoint.Name)
			}
		}
		if len(o.receipts) == 0 {
			fmt.Fprintf(stderr, "publish: %s: it gives no receipts\n", o.endpoint.Name)
		}
		if o.warning != "" {
			fmt.Fprintf(stderr, "publish: %s: %s\n", o.endpoint.Name, o.warning)
		}
	}
	return table.Flush()
}

// post publishes to one endpoint.
func (o *outcome) post(ctx context.Context, client *http.Client, body []byte, wantReceipt bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.endpoint.PublishURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "marquee-publish/"+version)
	if wantReceipt {
		req.Header.Set("Accept", "application/json")
	}
	if value := o.endpoint.Authorization(time.Now()); value != "" {
		req.Header.Set("Authorization", value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return reason(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it refuses the item: %s%s", firstLine(answer, resp.Status), advice(resp.StatusCode))
	}
	if wantReceipt {
		var published struct {
			Receipts []receipt `json:"receipts"`
			Warning  string    `json:"warning"`
		}
		// Anything else than receipts is an edge that gives none.
		if json.Unmarshal(answer, &published) == nil {
			o.receipts, o.warning = published.Receipts, published.Warning
		}
	}
	return nil
}

// reason returns why there was no answer, without the URL, which stands before it.
func reason(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w; is an edge running there, and is this its control endpoint?", err)
	}
	return err
}

// firstLine returns the first line of an answer and its status.
func firstLine(answer []byte, status string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(answer)), "\n")
	if line == "" {
		return status
	}
	return fmt.Sprintf("%s (%s)", line, status)
}

// advice says what to do about a refusal that has to do with the command line.
func advice(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "; show a token with -token-file, or put iss and key, or user and password, into GRIP_URL"
	case status == http.StatusNotFound:
		return "; -spec or GRIP_URL must name the control endpoint, not the address for clients"
	case status >= 300 && status <= 399:
		return "; it redirects: name the URL that it redirects to"
	}
	return ""
}
