package route

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// parse parses a file that must be good.
func parse(t testing.TB, text string) *Table {
	t.Helper()
	table, err := Parse("routes", []byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return table
}

func TestParse(t *testing.T) {
	const text = "\uFEFF# routes\r\n\r\n* a:1 b:2\r\n  example.com,id=x test\t# comment\n\nexample.com,path_beg=/a [::1]:80"
	var got []string
	for _, r := range parse(t, text).Routes() {
		got = append(got, fmt.Sprint(r.Line, " ", r.ID, " ", r))
	}
	want := []string{
		"3 * * a:1 b:2",
		"4 x example.com,id=x test",
		"6 example.com,path_beg=/a example.com,path_beg=/a [::1]:80",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(%q)\n got %q\nwant %q", text, got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	many := strings.Repeat("bad\n", maxReported+3)
	for _, tt := range []struct {
		name, text, want string
	}{
		{"every bad line, none other", "* test\nbad\n# bad\na,x test\n",
			"routes:2: the route has no target\nroutes:4: \"x\" is no option of a condition"},
		{"§10 duplicate condition", "* a:1\nb c:1\n* d:1", "routes:3: the condition is the same as in line 1"},
		{"§10 duplicate with options in another order",
			"A.example,path_beg=/x,ssl=no,id=1 a:1\na.example,ssl=no,id=2,path_beg=/x a:1",
			"routes:2: the condition is the same as in line 1"},
		{"duplicate address", "::1 a:1\n[::1] a:1", "routes:2: the condition is the same as in line 1"},
		{"§10 no host and an id that is taken", "a,id=x b:1\nid=x c:1",
			"routes:2: the id is the same as in line 1, and one of the two routes is only taken by its id"},
		{"§10 an id of a route without host", "id=x c:1\na,id=x b:1",
			"routes:2: the id is the same as in line 1, and one of the two routes is only taken by its id"},
		{"no routes", "# nothing\n\n", "routes: the file has no routes"},
		{"empty file", "", "routes: the file has no routes"},
		{"too long", strings.Repeat("#", maxText+1), "routes: the file is longer than 1048576 bytes"},
		{"too many to name", many, strings.TrimSuffix(func() (s string) {
			for i := range maxReported {
				s += fmt.Sprintf("routes:%d: the route has no target\n", i+1)
			}
			return s
		}(), "\n") + "\nroutes: and 3 bad lines more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, err := Parse("routes", []byte(tt.text))
			var bad *Error
			if table != nil || !errors.As(err, &bad) {
				t.Fatalf("Parse = %v, %v, want an *Error", table, err)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("Parse\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseLongestFile(t *testing.T) {
	parse(t, "* test\n"+strings.Repeat("#", maxText-len("* test\n")))
}

func TestMatch(t *testing.T) {
	const text = `
*                                   any:1
*,path_beg=/a                       any-a:1
*,path_beg=/a/b                     any-ab:1
*,ssl=yes                           any-tls:1
example.com                         host:1
example.com,path_beg=/p             host-p:1
example.com,path_beg=/p,ssl=yes     host-p-tls:1
example.com,path_beg=/pq            host-pq:1
example.com,path_beg=/h,proto=http  host-http:1
example.com,path_beg=/h/long        host-long:1
example.com,path_beg=/w,proto=ws    host-ws:1
only.example,path_beg=/x            only:1
ws.example,proto=ws                 ws:1
plain.example,ssl=no                plain:1
plain.example,path_beg=/t,ssl=yes   tls:1
192.0.2.1                           v4:1
[2001:DB8::1]                       v6:1
::2                                 v6-2:1
Upper.EXAMPLE                       upper:1
,id=named                           named:1
`
	table := parse(t, text)
	for _, tt := range []struct {
		name       string
		secure     bool
		host, path string
		want       string // "" for none
	}{
		{"§10 any host", false, "other", "/", "any:1"},
		{"§10 no host at all", false, "", "/", "any:1"},
		{"§10 longest path_beg", false, "other", "/a/b/c", "any-ab:1"},
		{"§10 shorter path_beg", false, "other", "/ax", "any-a:1"},
		{"§10 path_beg is compared exactly", false, "other", "/A", "any:1"},
		{"§10 explicit ssl", true, "other", "/", "any-tls:1"},
		{"§10 path_beg before ssl", true, "other", "/a", "any-a:1"},
		{"§10 the query is no path", false, "other", "/?/a", "any:1"},
		{"§10 path_beg ends before the query", false, "other", "/a?x", "any-a:1"},
		{"§10 query cuts the path short", false, "other", "/a/?b", "any-a:1"},
		{"§10 asterisk form", false, "other", "*", "any:1"},
		{"§10 exact host", false, "example.com", "/", "host:1"},
		{"§10 exact host alone, TLS", true, "example.com", "/", "host:1"},
		{"§10 exact host alone, path", false, "example.com", "/a/b", "host:1"},
		{"§10 host in any case", false, "EXAMPLE.com", "/", "host:1"},
		{"§10 host with a port", false, "example.com:8080", "/", "host:1"},
		{"§10 host with an empty port", false, "example.com:", "/", "host:1"},
		{"§10 host is not a suffix", false, "www.example.com", "/", "any:1"},
		{"§10 same path_beg, no TLS", false, "example.com", "/p", "host-p:1"},
		{"§10 same path_beg, explicit ssl", true, "example.com", "/p", "host-p-tls:1"},
		{"§10 longer path_beg before explicit ssl", true, "example.com", "/pq", "host-pq:1"},
		{"§10 explicit proto before path_beg", false, "example.com", "/h/long", "host-http:1"},
		{"§10 not a WebSocket", false, "example.com", "/w", "host:1"},
		{"§10 known host, no rule fits", false, "only.example", "/", ""},
		{"§10 known host with rules for WebSocket", false, "ws.example", "/", ""},
		{"§10 no TLS", false, "plain.example", "/t", "plain:1"},
		{"§10 TLS", true, "plain.example", "/t", "tls:1"},
		{"§10 TLS where it is not wanted", true, "plain.example", "/", ""},
		{"IPv4", false, "192.0.2.1:80", "/", "v4:1"},
		{"IPv6", false, "[2001:db8::1]", "/", "v6:1"},
		{"IPv6 with a port", false, "[2001:DB8::1]:7999", "/", "v6:1"},
		{"IPv6 written without brackets", false, "[::2]", "/", "v6-2:1"},
		{"condition in upper case", false, "upper.example", "/", "upper:1"},
		{"longest host", false, strings.Repeat("x", maxHost), "/", "any:1"},
		{"host longer than any", false, strings.Repeat("x", maxHost+1), "/", "any:1"},
		{"bracket without an end", false, "[::1", "/", "any:1"},
		{"empty path", false, "other", "", "any:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			r := table.Match(tt.secure, tt.host, tt.path)
			if r != nil {
				got = r.Targets[0].Address
			}
			if got != tt.want {
				t.Errorf("Match(%v, %q, %q) = %q, want %q", tt.secure, tt.host, tt.path, got, tt.want)
			}
			if b := table.MatchBytes(tt.secure, []byte(tt.host), []byte(tt.path)); b != r {
				t.Errorf("MatchBytes(%v, %q, %q) = %v, want %v as Match", tt.secure, tt.host, tt.path, b, r)
			}
		})
	}
}

// The order of the lines does not matter, other than in Pushpin, where a later
// rule that names ssl may beat an earlier one with a longer path_beg.
func TestMatchAnyOrder(t *testing.T) {
	lines := []string{"*,path_beg=/a/b long:1", "*,path_beg=/a,ssl=no ssl:1", "*,proto=http proto:1", "* plain:1"}
	var permute func(done, rest []string)
	permute = func(done, rest []string) {
		for i := range rest {
			others := append(append([]string{}, rest[:i]...), rest[i+1:]...)
			permute(append(done[:len(done):len(done)], rest[i]), others)
		}
		if len(rest) > 0 {
			return
		}
		text := strings.Join(done, "\n")
		if got := parse(t, text).Match(false, "h", "/a/b").Targets[0].Address; got != "proto:1" {
			t.Errorf("§10 Match in %q = %q, want proto:1", text, got)
		}
		text = strings.ReplaceAll(text, ",proto=http", ",path_beg=/other")
		if got := parse(t, text).Match(false, "h", "/a/b").Targets[0].Address; got != "long:1" {
			t.Errorf("§10 Match in %q = %q, want long:1", text, got)
		}
	}
	permute(nil, lines)
}

func TestMatchWithoutAny(t *testing.T) {
	table := parse(t, "a.example test")
	if r := table.Match(false, "b.example", "/"); r != nil {
		t.Errorf("§10 Match of an unknown host = %v, want none", r)
	}
}

func TestMatchAllocates(t *testing.T) {
	table := parse(t, "* a:1\nexample.com,path_beg=/abc b:1\nexample.com,ssl=yes c:1\n")
	host, path := []byte("EXAMPLE.com:7999"), []byte("/abcd?x=y")
	for _, n := range []float64{
		testing.AllocsPerRun(100, func() { table.Match(false, "EXAMPLE.com:7999", "/abcd?x=y") }),
		testing.AllocsPerRun(100, func() { table.Match(true, "other.example", "/") }),
		testing.AllocsPerRun(100, func() { table.MatchBytes(false, host, path) }),
	} {
		if n != 0 {
			t.Errorf("a match made %v allocations, want none", n)
		}
	}
}

func TestNamed(t *testing.T) {
	table := parse(t, "* a:1\nx,id=two b:1\ny,id=two c:1\n,id=hidden d:1\nz e:1")
	for _, tt := range []struct{ name, id, want string }{
		{"§10 id of a route without host", "hidden", "d:1"},
		{"the condition's text", "z", "e:1"},
		{"an id of two routes", "two", ""},
		{"an id of none", "none", ""},
	} {
		got := ""
		if r := table.Named(tt.id); r != nil {
			got = r.Targets[0].Address
		}
		if got != tt.want {
			t.Errorf("%s: Named(%q) = %q, want %q", tt.name, tt.id, got, tt.want)
		}
	}
}

func TestSingle(t *testing.T) {
	table := Single("localhost:8080")
	want := *parse(t, "* localhost:8080").Routes()[0]
	want.Line = 0
	for _, secure := range []bool{false, true} {
		r := table.Match(secure, "any.example", "/x")
		if r == nil || !reflect.DeepEqual(*r, want) {
			t.Errorf("Match(%v) = %+v, want %+v", secure, r, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"* test\n", "a.example,path_beg=/x,replace_beg=/y/ [::1]:80,ssl,host=h\n", allOptions,
		"# c\n\n,id=x a:1 b:2\n", `*,header="X: a\"b\\c",sig_key="s k" test` + "\n",
		"*,path_beg=/aa,replace_beg= a:1\n", "*,path_rem=3,jsonp_mode=basic,jsonp_defmethod=GET a:1\n",
		"*,slow=conflate,slow_channel=a:*:disconnect a:1\n", "\uFEFF* a:1\r\n", `"a,b" "`, "*,header=A:\" \t\" a:1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse("f", []byte(text))
		if err != nil {
			if table != nil || err.Error() == "" {
				t.Fatalf("Parse(%q) = %v, %v", text, table, err)
			}
			return
		}
		written := table.String()
		again, err := Parse("f", []byte(written))
		if err != nil {
			t.Fatalf("Parse(%q), written from %q: %v", written, text, err)
		}
		a, b := table.Routes(), again.Routes()
		if len(a) != len(b) {
			t.Fatalf("%d routes became %d in %q", len(a), len(b), written)
		}
		for i := range a {
			x, y := *a[i], *b[i]
			x.Line, y.Line = 0, 0
			x.SigKey, y.SigKey = Secret(x.SigKey.String()), Secret(y.SigKey.String())
			if !reflect.DeepEqual(x, y) {
				t.Errorf("%+v\nbecame %+v\nin %q", x, y, written)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	var text strings.Builder
	text.WriteString("* any:1\nexample.com own:1\n")
	for i := range 100 {
		fmt.Fprintf(&text, "*,path_beg=/service/%02d/ a:1\n", i)
	}
	table := parse(b, text.String())
	for _, bb := range []struct{ name, host, path string }{
		{"host", "example.com:7999", "/headline/value/?last_id=7"},
		{"100 paths", "other.example:7999", "/service/99/value/?last_id=7"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			host, path := []byte(bb.host), []byte(bb.path)
			for b.Loop() {
				if table.MatchBytes(false, host, path) == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
