package grip

import (
	"reflect"
	"strings"
	"testing"
)

func TestMeta(t *testing.T) {
	var none Meta
	m := none.With("b", "2").With("a", "1").With("c", "").With("B", "3")
	if want := (Meta{{"B", "3"}, {"a", "1"}, {"b", "2"}, {"c", ""}}); !reflect.DeepEqual(m, want) {
		t.Errorf("With: got %v, want %v", m, want)
	}
	changed := m.With("a", "new")
	if got := changed.Get("a"); got != "new" {
		t.Errorf("Get(a) = %q, want new", got)
	}
	if got := m.Get("a"); got != "1" {
		t.Errorf("With changed the meta itself: Get(a) = %q, want 1", got)
	}
	if got := none.Get("a"); got != "" {
		t.Errorf("Get(a) of none = %q", got)
	}
	if _, ok := m.get("c"); !ok {
		t.Error("get(c) does not find the empty text")
	}
	if _, ok := m.get("d"); ok {
		t.Error("get(d) finds what is not there")
	}
	// The spare room of one meta must not become part of two others.
	base := append(make(Meta, 0, 8), Field{"a", "1"})
	x, y := base.With("x", "1"), base.With("y", "2")
	if x.Get("x") != "1" || y.Get("y") != "2" {
		t.Errorf("With shares room: %v, %v", x, y)
	}
}

func TestSetMeta(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  map[string]string
	}{
		{"§1.3 name and text", []string{"user=alice"}, map[string]string{"user": "alice"}},
		{"§1.3 repeated and in a list", []string{"b=2, a=1", "c=3"}, map[string]string{"a": "1", "b": "2", "c": "3"}},
		{"the last of a name counts", []string{"a=1", "a=2"}, map[string]string{"a": "2"}},
		{"quoted text", []string{`a="1, \"2\"; 3"`}, map[string]string{"a": `1, "2"; 3`}},
		{"equals sign in a text", []string{"id_format=x=%(c)s"}, map[string]string{"id_format": "x=%(c)s"}},
		{"what follows a semicolon is ignored, as in Pushpin", []string{"a=b c; d=2"}, map[string]string{"a": "b c"}},
		{"space around", []string{" a = 1 "}, map[string]string{"a": "1"}},
		{"no text", []string{"a=, b"}, map[string]string{"a": "", "b": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Header
			for _, line := range tt.lines {
				h = append(h, Field{"Grip-Set-Meta", line})
			}
			got := make(map[string]string)
			if err := readSetMeta(h, got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Grip-Set-Meta: %q\n got %q, %v\nwant %q", tt.lines, got, err, tt.want)
			}
		})
	}
	for value, want := range map[string]string{
		"=1":     "Grip-Set-Meta cannot be empty",
		"; a=1":  "Grip-Set-Meta cannot be empty",
		`a="1`:   "failed to parse Grip-Set-Meta: quoted string has no end",
		`a="1"2`: "failed to parse Grip-Set-Meta: text after a quoted string",
	} {
		err := readSetMeta(Header{{"Grip-Set-Meta", value}}, make(map[string]string))
		if err == nil || err.Error() != want {
			t.Errorf("Grip-Set-Meta: %s: error %v, want %s", value, err, want)
		}
	}
}

func TestMemberName(t *testing.T) {
	for name, want := range map[string]string{"a": "'a'", "": "''", "a\nb": "value", strings.Repeat("x", 65): "value"} {
		if got := memberName(name); got != want {
			t.Errorf("memberName(%q) = %s, want %s", name, got, want)
		}
	}
}
