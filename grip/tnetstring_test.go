package grip

import (
	"reflect"
	"strconv"
	"testing"
)

// tnetstrings are values and how GRIP §5.3 writes them.
var tnetstrings = []struct {
	name string
	text string
	want any
}{
	{"empty string", "0:,", ""},
	{"string", "5:hello,", "hello"},
	{"string of any bytes", "4:\x00,:\xff,", "\x00,:\xff"},
	{"string of ten bytes", "10:0123456789,", "0123456789"},
	{"int", "2:42#", int64(42)},
	{"negative int", "2:-7#", int64(-7)},
	{"least int", "20:-9223372036854775808#", int64(-9223372036854775808)},
	{"float", "3:1.5^", 1.5},
	{"float with exponent", "5:1e+21^", 1e21},
	{"true", "4:true!", true},
	{"false", "5:false!", false},
	{"null", "0:~", nil},
	{"empty list", "0:]", []any{}},
	{"list", "11:1:a,0:~1:1#]", []any{"a", nil, int64(1)}},
	{"empty dictionary", "0:}", Dict{}},
	{"dictionary", "15:1:b,1:1#1:a,0:]}", Dict{{"b", int64(1)}, {"a", []any{}}}},
	{"a key twice", "16:1:a,1:1#1:a,1:2#}", Dict{{"a", int64(1)}, {"a", int64(2)}}},
}

func TestParseTnetstring(t *testing.T) {
	for _, test := range tnetstrings {
		got, err := ParseTnetstring([]byte(test.text))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: ParseTnetstring(%q) = %#v, %v, want %#v", test.name, test.text, got, err, test.want)
		}
		for i := range test.text {
			if got, err := ParseTnetstring([]byte(test.text[:i])); err == nil {
				t.Errorf("%s: ParseTnetstring(%q) = %#v, want an error", test.name, test.text[:i], got)
			}
		}
		if got := string(AppendTnetstring([]byte("> "), test.want)); got != "> "+test.text {
			t.Errorf("%s: AppendTnetstring(%#v) = %q, want %q", test.name, test.want, got, "> "+test.text)
		}
	}
	if got := string(AppendTnetstring(nil, 7)); got != "1:7#" {
		t.Errorf("AppendTnetstring(7) = %q", got)
	}
}

func TestParseTnetstringErrors(t *testing.T) {
	deep := ""
	for range maxTnetstringDepth {
		deep = strconv.Itoa(len(deep)) + ":" + deep + "]"
	}
	if _, err := ParseTnetstring([]byte(deep)); err != nil {
		t.Errorf("%d lists in each other: %v", maxTnetstringDepth, err)
	}
	for _, test := range []struct{ name, text string }{
		{"nothing", ""},
		{"no length", ":,"},
		{"no colon", "5"},
		{"a sign", "+1:a,"},
		{"a negative length", "-1:a,"},
		{"a leading zero", "01:a,"},
		{"a space", " 1:a,"},
		{"a length past the end", "2:a,"},
		{"a length that overflows", "99999999999999999999:a,"},
		{"a length of ten digits", "1000000000:a,"},
		{"no type", "1:a"},
		{"an unknown type", "1:a?"},
		{"something after it", "1:a,x"},
		{"an empty int", "0:#"},
		{"an int with a plus", "2:+1#"},
		{"an int with a fraction", "3:1.0#"},
		{"an int of 65 bits", "19:9223372036854775808#"},
		{"an empty float", "0:^"},
		{"an infinite float", "3:inf^"},
		{"a float that overflows", "5:1e999^"},
		{"a float that is none", "3:nan^"},
		{"a hexadecimal float", "6:0x1p-2^"},
		{"a float with underscores", "3:1_0^"},
		{"a bool in upper case", "4:TRUE!"},
		{"a null with content", "1:x~"},
		{"a list that ends early", "4:1:a,1]"},
		{"a dictionary without a value", "4:1:a,}"},
		{"a dictionary with a number as key", "8:1:1#1:a,}"},
		{"too many levels", strconv.Itoa(len(deep)) + ":" + deep + "}"},
	} {
		if got, err := ParseTnetstring([]byte(test.text)); err == nil {
			t.Errorf("%s: ParseTnetstring(%q) = %#v, want an error", test.name, test.text, got)
		}
	}
}

func TestDictGet(t *testing.T) {
	d := Dict{{"a", "1"}, {"b", "2"}, {"a", "3"}}
	if got := d.Get("a"); got != "3" {
		t.Errorf("Get(a) = %v, want the last one, 3", got)
	}
	if got := d.Get("c"); got != nil {
		t.Errorf("Get(c) = %v, want nil", got)
	}
}

// FuzzParseTnetstring reads, writes and reads again: nothing may change.
func FuzzParseTnetstring(f *testing.F) {
	for _, test := range tnetstrings {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ParseTnetstring(data)
		if err != nil {
			return
		}
		written := AppendTnetstring(nil, v)
		again, err := ParseTnetstring(written)
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("parse %q: %#v\nwrite %q, parse: %#v, %v", data, v, written, again, err)
		}
	})
}
