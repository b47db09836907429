package route

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []section
	}{
		{"§10 blank", "", nil},
		{"§10 blank with spaces", " \t ", nil},
		{"§10 comment", "  # * test", nil},
		{"§10 condition and target", "* test", []section{{value: "*"}, {value: "test"}}},
		{"§10 comment behind", "* test # more, here", []section{{value: "*"}, {value: "test"}}},
		{"§10 comment in a word", "* test#more", []section{{value: "*"}, {value: "test"}}},
		{"§10 options", "a,k=v,f b,g", []section{
			{"a", []option{{"k", "v", true}, {"f", "", false}}}, {"b", []option{{"g", "", false}}}}},
		{"§10 repeated option", "a,k=1,k=2 b", []section{{"a", []option{{"k", "1", true}, {"k", "2", true}}}, {value: "b"}}},
		{"§10 quoted value", `a,k="v w,#\"\\" b`, []section{{"a", []option{{"k", `v w,#"\`, true}}}, {value: "b"}}},
		{"§10 quoted option", `a,"k=v w" b`, []section{{"a", []option{{"k", "v w", true}}}, {value: "b"}}},
		{"§10 quotes in the middle", `a"b c"d e`, []section{{value: "ab cd"}, {value: "e"}}},
		{"§10 empty quotes", `"",id=x t`, []section{{"", []option{{"id", "x", true}}}, {value: "t"}}},
		{"§10 empty condition", ",id=x t", []section{{"", []option{{"id", "x", true}}}, {value: "t"}}},
		{"§10 no condition before the options", "id=x,debug t", []section{
			{"", []option{{"id", "x", true}, {"debug", "", false}}}, {value: "t"}}},
		{"backslash outside of quotes", `a\ b\"c"`, []section{{value: `a\`}, {value: `b\c`}}},
		{"equals sign in a value", "a,k=v=w b", []section{{"a", []option{{"k", "v=w", true}}}, {value: "b"}}},
		{"empty value", "a,k= b", []section{{"a", []option{{"k", "", true}}}, {value: "b"}}},
		{"tabs", "a\tb\t\tc", []section{{value: "a"}, {value: "b"}, {value: "c"}}},
		{"beyond ASCII", "a,k=caf\u00e9 b", []section{{"a", []option{{"k", "caf\u00e9", true}}}, {value: "b"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLine(tt.line)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parseLine(%q)\n got %v, %v\nwant %v", tt.line, got, err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, line, want string }{
		{"§10 quote without an end", `a,k="v b`, "a quote has no end"},
		{"§10 quote at the end", `a "`, "a quote has no end"},
		{"§10 escape cut off", `a "\`, `a backslash in quotes stands before neither \ nor "`},
		{"§10 other escape", `a "\n"`, `a backslash in quotes stands before neither \ nor "`},
		{"two commas", "a,,k b", "a comma is followed by no option"},
		{"comma at the end", "a, b", "a comma is followed by no option"},
		{"comma at the end of the line", "a,", "a comma is followed by no option"},
		{"option without a name", "a,=v b", "an option has no name before its ="},
		{"condition without a name", "=v b", "an option has no name before its ="},
		{"control character", "a\x01 b", `the line has the control character '\x01'`},
		{"CR within", "a\rb c", `the line has the control character '\r'`},
		{"DEL", "a b\x7f", `the line has the control character '\x7f'`},
		{"control character in a comment", "a b # \x00", `the line has the control character '\x00'`},
		{"no UTF-8", "a\xff b", "the line is not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseLine(tt.line); err == nil || err.Error() != tt.want {
				t.Errorf("parseLine(%q) = %v, %v, want the error %s", tt.line, got, err, tt.want)
			}
		})
	}
}

func TestQuoteText(t *testing.T) {
	for _, text := range []string{"", "a", "a b", "a,b", `a"b`, `a\b`, `a \b`, "a#b", "a\tb", `"`, `\"`, "é"} {
		line := "x " + quoteText(text) + ",k"
		got, err := parseLine(line)
		if err != nil || len(got) != 2 || got[1].value != text {
			t.Errorf("parseLine(%q) = %v, %v, want the second value %q", line, got, err, text)
		}
	}
}

func TestClip(t *testing.T) {
	if got := clip("a\"b"); got != `"a\"b"` {
		t.Errorf(`clip(a"b) = %s`, got)
	}
	long := strings.Repeat("é", 40)
	if got, want := clip("x"+long), `"x`+strings.Repeat("é", 31)+`"...`; got != want {
		t.Errorf("clip(x%s) = %s, want %s", long, got, want)
	}
}
