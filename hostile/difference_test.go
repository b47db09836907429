package hostile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// differencesFile has the comparison with other servers, between two marks.
const differencesFile = "../docs/hostile.md"

const (
	tableBegins = "<!-- the tables are written by go test ./hostile -update -->\n"
	tableEnds   = "<!-- end of the tables -->\n"
)

// comparison is how two servers have read the same attack.
type comparison int

const (
	same     comparison = iota
	stricter            // the edge takes less of it for requests
	laxer               // the edge takes more
	other               // both take it for requests, but not for the same ones
)

func (c comparison) String() string {
	return [...]string{"reads the same", "takes more of it for requests", "takes less of it for requests", "reads other requests"}[c]
}

// compare compares what the edge and a peer have been asked.
func compare(edge, peer []string) comparison {
	n := min(len(edge), len(peer))
	switch {
	case !slices.Equal(edge[:n], peer[:n]):
		return other
	case len(peer) > n:
		return stricter
	case len(edge) > n:
		return laxer
	}
	return same
}

// asksPeer returns all that the origin is asked, as a peer is asked it.
func (v verdict) asksPeer() (all []string) {
	for _, asked := range v.asksAll() {
		method, rest, _ := strings.Cut(asked, " ")
		target, rest, _ := strings.Cut(rest, " ")
		_, content, _ := strings.Cut(rest, " ")
		all = append(all, method+" "+target+" "+content)
	}
	return all
}

// Where the edge takes for a request what another server does not, or takes it
// for another one, that is on purpose, and the document says why.
func TestDifferences(t *testing.T) {
	netHTTP := startNetHTTP(t)
	node, version := startNode(t)
	major, _, _ := strings.Cut(version, ".")
	data, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(data), tableBegins)
	got, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s lacks the marks of the tables", differencesFile)
	}
	if !*update && !strings.Contains(got, "| Node.js "+major+" |") {
		t.Skipf("this is Node.js %s: %s compares with another", version, differencesFile)
	}
	want := differences(t, netHTTP, node, major)
	if got == want || t.Failed() {
		return
	}
	if !*update {
		t.Fatalf("the tables of %s are not those of the attacks: run go test ./hostile -run TestDifferences -update\ngot\n%swant\n%s", differencesFile, got, want)
	}
	if err := os.WriteFile(differencesFile, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// differences puts all attacks to the peers and returns the tables.
func differences(t *testing.T, netHTTP, node *peer, nodeVersion string) string {
	var counts [2][4]int
	var rows strings.Builder
	explained := make(map[string]bool)
	for _, a := range allAttacks() {
		edge := a.verdict.asksPeer()
		var found [2]comparison
		for i, p := range []*peer{netHTTP, node} {
			found[i] = compare(edge, p.read(t, a))
			counts[i][found[i]]++
		}
		if found[0] <= stricter && found[1] <= stricter {
			continue
		}
		why := reasons[a.name]
		explained[a.name] = true
		if why == "" {
			t.Errorf("no reason for %q: net/http %s, Node.js %s", a.name, found[0], found[1])
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", strings.ReplaceAll(a.name, "|", "\\|"), found[0], found[1], why)
	}
	for name := range reasons {
		if !explained[name] {
			t.Errorf("a reason for %q, in which nothing differs", name)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d attacks of clients, %d misdeeds of origins.\n\n", len(allAttacks()), len(allMisdeeds()))
	fmt.Fprintf(&out, "| of %d attacks | net/http | Node.js %s |\n|---|---|---|\n", len(allAttacks()), nodeVersion)
	for c, what := range []string{
		"reads the same requests",
		"takes something for a request that the edge refuses",
		"refuses what the edge takes",
		"reads other requests than the edge",
	} {
		fmt.Fprintf(&out, "| %s | %d | %d |\n", what, counts[0][c], counts[1][c])
	}
	out.WriteString("\n| attack | net/http | Node.js | why the edge does as it does |\n|---|---|---|---|\n")
	return out.String() + rows.String()
}

// Reasons that several attacks share.
const (
	whyTab     = "a tab is white space as a space is (RFC 9110 §5.6.3)"
	whyMethod  = "methods are extensible, any token is one (RFC 9110 §16.1); what it means is the origin's to say"
	whyUpgrade = "a server may ignore Upgrade (RFC 9110 §7.8); the field is not passed on, so the origin cannot be made to switch"
	whyTrailer = "trailer fields may be discarded (RFC 9112 §7.1.2), and all are, so none can become a field of the request"
	whyEmpty   = "empty lines in front of a request should be ignored (RFC 9112 §2.2); no more than two are"
	whyHead    = "heads may be 32 KB long, Node.js takes 16 KB"
)

// reasons say why the edge reads an attack otherwise, other than by refusing
// more of it.
var reasons = map[string]string{
	"6.2 white space around the length":                       whyTab,
	"7.1 chunked between tabs":                                whyTab,
	"6.2 CL.0: a request in the content of an unknown method": whyMethod,
	"6.2 no length: content is taken for the next request":    whyMethod + ": nothing else is wrong with `helloGET`",
	"9.3.2 a byte too many behind content":                    whyMethod + ": nothing else is wrong with `!GET`",
	"3.1 a method of one letter":                              whyMethod,
	"3.1 a method in lower case is another one":               whyMethod,
	"3.1 a method of odd characters":                          whyMethod,
	"3 a method of 1,000 bytes":                               whyMethod,
	"7.1.1 extension: bad white space":                        "has to be read past (RFC 9112 §7.1.1); extensions are not passed on",
	"7.1.2 trailer: Content-Length":                           whyTrailer,
	"7.1.2 trailer: Transfer-Encoding":                        whyTrailer,
	"7.1.2 a trailer behind 200,000 bytes":                    whyTrailer,
	"2.2 one empty line in front":                             whyEmpty,
	"2.2 two empty lines in front":                            whyEmpty,
	"9110 7.2 host of 20,000 letters":                         whyHead,
	"5 a value of 20,000 bytes":                               whyHead,
	"7.6.1 Proxy-Connection":                                  "Node.js obeys the field, which no standard has; the edge does not pass it on",
	"7.8 Upgrade to h2c":                                      whyUpgrade,
	"7.8 Upgrade to WebSocket of an unknown version":          whyUpgrade,
	"7.8 Upgrade to TLS":                                      whyUpgrade,
	"7.8 Upgrade of a POST":                                   whyUpgrade,
	"7.8 two Upgrade fields":                                  whyUpgrade,
	"10.1.1 an empty expectation":                             "an empty list expects nothing (RFC 9110 §5.6.1.2); Node.js answers 417 and goes on with what follows",
}
