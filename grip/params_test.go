package grip

import (
	"reflect"
	"testing"
)

func TestParseList(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  []listElement
	}{
		{"§1.3 value alone", []string{"a"}, []listElement{{value: "a"}}},
		{"§1.3 parameters", []string{"a; prev-id=1;filter=x ; filter = y"},
			[]listElement{{"a", Header{{"prev-id", "1"}, {"filter", "x"}, {"filter", "y"}}}}},
		{"§1.3 quoted parameter", []string{`a; k="x \" ; , \\ y"`},
			[]listElement{{"a", Header{{"k", `x " ; , \ y`}}}}},
		{"§1.3 comma list and repeated lines", []string{"a, b; k=1", "c"},
			[]listElement{{value: "a"}, {"b", Header{{"k", "1"}}}, {value: "c"}}},
		{"RFC 9110 §5.6.1 empty elements", []string{"", " , a,, ,\t", ","}, []listElement{{value: "a"}}},
		{"empty parameters", []string{"a;; ;k=1;"}, []listElement{{"a", Header{{"k", "1"}}}}},
		{"parameter without a value", []string{"a; k; l="}, []listElement{{"a", Header{{"k", ""}, {"l", ""}}}}},
		{"parameter without a key", []string{"a; =v; k=1"}, []listElement{{"a", Header{{"k", "1"}}}}},
		{"equals sign in a value", []string{"a=b; k=c=d"}, []listElement{{"a=b", Header{{"k", "c=d"}}}}},
		{"backslash outside of quotes", []string{`a\; k=b\, c`}, []listElement{{`a\`, Header{{"k", `b\`}}}, {value: "c"}}},
		{"a value keeps its quotes", []string{`"a, b"; k=1`}, []listElement{{`"a, b"`, Header{{"k", "1"}}}}},
		{"no lines", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseList(tt.lines)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parseList(%q)\n got %q, %v\nwant %q", tt.lines, got, err, tt.want)
			}
		})
	}
	for _, line := range []string{`a"`, `"`, `a; k="x`, `a; k="x\"`, `a; k="x\`, `a; k="x" y`, `a; k="x"y"z"`} {
		t.Run("malformed "+line, func(t *testing.T) {
			if got, err := parseList([]string{line}); err == nil {
				t.Errorf("parseList(%q) = %q, want an error", line, got)
			}
		})
	}
}
