package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errInVain is the error of a wait for what did not happen in time.
var errInVain = errors.New("waited in vain")

// A status is what we read of the dashboard's status document. Times are in
// milliseconds; those that nobody knows yet are nil.
type status struct {
	ID       uint64   `json:"id"`
	Edges    upNeeded `json:"edges"`
	Groups   upNeeded `json:"groups"`
	Headline *struct {
		ID uint64 `json:"id"`
	} `json:"headline"`
	// Clients: with the newest headline, and with a first answer.
	Received int `json:"received"`
	Started  int `json:"started"`
	// Of the newest headline: Delivery by the demonstration's formula, True by
	// the clients' clock; Curve are times since the change began and clients
	// that had received it, Histogram upper ends of bars and their clients.
	Delivery  *times       `json:"delivery"`
	True      *times       `json:"true"`
	Curve     [][2]float64 `json:"curve"`
	Histogram [][2]float64 `json:"histogram"`
	Nodes     []statusNode `json:"nodes"`
}

type upNeeded struct {
	Up     int `json:"up"`
	Needed int `json:"needed"`
}

func (n upNeeded) String() string { return fmt.Sprintf("%d/%d", n.Up, n.Needed) }

type times struct {
	Min float64 `json:"min"`
	Avg float64 `json:"avg"`
	Max float64 `json:"max"`
}

type statusNode struct {
	Kind string   `json:"kind"` // origin, edge or group
	Name string   `json:"name"`
	Pair string   `json:"pair"` // of a group its edge, of an edge its group; empty for none
	Ping *float64 `json:"ping"`
	Held int      `json:"held"`
	Up   bool     `json:"up"`
}

// held returns how many requests the edges hold.
func (s *status) held() int {
	n := 0
	for _, node := range s.Nodes {
		if node.Kind == "edge" {
			n += node.Held
		}
	}
	return n
}

// pinged reports whether all nodes have answered a ping, which the formula needs.
func (s *status) pinged() bool {
	for _, node := range s.Nodes {
		if node.Ping == nil {
			return false
		}
	}
	return len(s.Nodes) > 0
}

// node returns the node of that name, nil if it is not up.
func (s *status) node(name string) *statusNode {
	i := slices.IndexFunc(s.Nodes, func(n statusNode) bool { return n.Name == name && n.Up })
	if i < 0 {
		return nil
	}
	return &s.Nodes[i]
}

// edgeOf returns the edge that a group is paired with, "" for none.
func (s *status) edgeOf(group string) string {
	if node := s.node(group); node != nil {
		return node.Pair
	}
	return ""
}

// hasReached reports whether clients clients have received that headline.
func (s *status) hasReached(headline uint64, clients int) bool {
	return s.Headline != nil && s.Headline.ID == headline && s.Received >= clients
}

// A viewer looks at the dashboard's page as a browser does: it polls for the next
// status. Not safe for use by more than one goroutine.
type viewer struct {
	page   string // its URL, without the last slash
	client *http.Client
	newest *status // nil before the first
}

// next returns the next status that is another one than the newest.
func (v *viewer) next(ctx context.Context) (*status, error) {
	for {
		s, err := v.poll(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the dashboard's status: %w", err)
		}
		if s.ID != 0 { // as it is when a poll was held in vain
			v.newest = s
			return s, nil
		}
	}
}

func (v *viewer) poll(ctx context.Context) (*status, error) {
	address := v.page + "/status/"
	if v.newest != nil {
		address += "?last_id=" + strconv.FormatUint(v.newest.ID, 10)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	s := &status{}
	return s, v.ask(r, s)
}

// rest lets time pass, after which the newest status is an old one.
func (v *viewer) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	v.newest = nil
	return nil
}

// await returns the first status, the newest included, of which done says so.
// The error says for what it waited for so long, and what there was instead.
func (v *viewer) await(ctx context.Context, timeout time.Duration, what string, done func(*status) bool) (*status, error) {
	waitCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for v.newest == nil || !done(v.newest) {
		_, err := v.next(waitCtx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case waitCtx.Err() != nil && v.newest != nil:
			s := v.newest
			return nil, fmt.Errorf("%w for %v until %s: there are edges %s, groups %s, %s clients held, %s with the newest headline",
				errInVain, timeout, what, s.Edges, s.Groups, thousands(s.held()), thousands(s.Received))
		default:
			return nil, err
		}
	}
	return v.newest, nil
}

// send has the dashboard change the headline and returns its id.
func (v *viewer) send(ctx context.Context, body string) (uint64, error) {
	form := url.Values{"body": {body}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.page+"/headline/", strings.NewReader(form))
	if err != nil {
		return 0, fmt.Errorf("send a headline: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var made struct {
		ID uint64 `json:"id"`
	}
	if err := v.ask(r, &made); err != nil {
		return 0, fmt.Errorf("send a headline: %w", err)
	}
	if made.ID == 0 {
		return 0, errors.New("send a headline: the dashboard's answer has no id")
	}
	return made.ID, nil
}

// ask sends a request and reads the JSON object that it is answered with.
func (v *viewer) ask(r *http.Request, object any) error {
	response, err := v.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.500s", response.Status, body)
	}
	return json.Unmarshal(body, object)
}
