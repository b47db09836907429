package grip

import (
	"bytes"
	"strings"
	"testing"
)

var (
	rewriteMeta     = Meta{{"empty", ""}, {"id_format", "%(a)s:%(b\\)\\\\)s"}, {"name", "100% %I"}}
	rewriteChannels = []Channel{{Name: "a", PrevID: "7"}, {Name: `b)\`, PrevID: "é"}, {Name: "c"}}
)

func TestRewrite(t *testing.T) {
	hexed := rewriteMeta.With("id_encoding", "hex")
	for _, tt := range []struct {
		name          string
		filters       []string
		sub           Meta
		content, want string
	}{
		{"no filters", nil, rewriteMeta, "%I %(name)s", "%I %(name)s"},
		{"other filters", []string{"skip-self", "http-modify", "x"}, rewriteMeta, "%I", "%I"},
		{"§9 build-id", []string{"build-id"}, rewriteMeta, "id: %I\n\n%I", "id: 7:é\n\n7:é"},
		{"§9 build-id literal", []string{"build-id"}, rewriteMeta, `%(x y)I %()I %(\)\\\x)I`, `x y  )\x`},
		{"§9 build-id in hex", []string{"build-id"}, hexed, "%I %(A\xff)I", "373ac3a9 41ff"},
		{"§9 percent sign", []string{"build-id"}, rewriteMeta, "100%% %%I", "100% %I"},
		{"§9 var-subst", []string{"var-subst"}, rewriteMeta, "%(name)s|%(empty)s|", "100% %I||"},
		{"§9 percent sign of var-subst", []string{"var-subst"}, rewriteMeta, "%%(name)s", "%(name)s"},
		{"§9 in order", []string{"build-id", "var-subst"}, rewriteMeta, "%%(empty)s%I", "7:é"},
		{"§9 in the other order", []string{"var-subst", "build-id"}, rewriteMeta.With("name", "%I"), "%(name)s", "7:é"},
		{"nothing to replace", []string{"build-id", "var-subst"}, rewriteMeta, "plain", "plain"},
		{"no content", []string{"build-id", "var-subst"}, rewriteMeta, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Rewrite(tt.filters, tt.sub, rewriteChannels, []byte(tt.content))
			if err != nil || string(got) != tt.want {
				t.Errorf("Rewrite(%q, %q, %q) = %q, %v, want %q", tt.filters, tt.sub, tt.content, got, err, tt.want)
			}
		})
	}
}

func TestRewriteErrors(t *testing.T) {
	long := strings.Repeat("x", maxRewritten/10)
	for _, tt := range []struct {
		name, filter, content string
		sub                   Meta
		want                  string
	}{
		{"§9 unknown directive", "build-id", "a %s", rewriteMeta, "filter build-id: unknown directive 's' at position 2"},
		{"§9 unknown directive with argument", "build-id", "%(a)s", rewriteMeta, "filter build-id: unknown directive 's' at position 0"},
		{"§9 unknown directive of var-subst", "var-subst", "%I", rewriteMeta, "filter var-subst: unknown directive 'I' at position 0"},
		{"space after a percent sign", "var-subst", "100% ", rewriteMeta, "filter var-subst: unknown directive ' ' at position 3"},
		{"percent sign with argument", "var-subst", "%(a)%", rewriteMeta, "filter var-subst: unknown directive '%' at position 0"},
		{"end after a percent sign", "var-subst", "100%", rewriteMeta, "filter var-subst: no directive at position 3"},
		{"end after an argument", "var-subst", "%(a)", rewriteMeta, "filter var-subst: no directive at position 0"},
		{"end within an argument", "var-subst", "x%(a", rewriteMeta, "filter var-subst: unterminated argument at position 1"},
		{"end after a backslash", "var-subst", `x%(a\`, rewriteMeta, "filter var-subst: unterminated argument at position 1"},
		{"no argument", "var-subst", "%s", rewriteMeta, "filter var-subst: directive 's' requires argument at position 0"},
		{"no such meta", "var-subst", "%(other)s", rewriteMeta, `filter var-subst: no such variable "other" at position 0`},
		{"no id_format", "build-id", "plain", nil, "filter build-id: no sub meta 'id_format'"},
		{"id_encoding", "build-id", "plain", rewriteMeta.With("id_encoding", "rot13"), `filter build-id: unsupported encoding: "rot13"`},
		{"no such channel", "build-id", "%I", Meta{{"id_format", "x%(d)s"}}, `filter build-id: make id: no such variable "d" at position 1`},
		{"channel without prev-id", "build-id", "%I", Meta{{"id_format", "%(c)s"}}, `filter build-id: make id: no such variable "c" at position 0`},
		{"unknown directive in id_format", "build-id", "%I", Meta{{"id_format", "%I"}}, "filter build-id: make id: unknown directive 'I' at position 0"},
		{"too long", "var-subst", strings.Repeat("%(x)s", 11), Meta{{"x", long}}, "filter var-subst: more than 1000000 bytes after the replacements"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Rewrite([]string{tt.filter}, tt.sub, rewriteChannels, []byte(tt.content))
			if err == nil || err.Error() != tt.want || got != nil {
				t.Errorf("Rewrite(%s, %q) = %q, %v, want error %s", tt.filter, tt.content, got, err, tt.want)
			}
		})
	}
}

func TestRewriteAllocations(t *testing.T) {
	filters, content := []string{"build-id", "var-subst"}, []byte("nothing to replace")
	if got := testing.AllocsPerRun(100, func() {
		if out, err := Rewrite(filters, rewriteMeta, rewriteChannels, content); err != nil || &out[0] != &content[0] {
			t.Errorf("Rewrite(%q) = %q, %v, not the content itself", content, out, err)
		}
	}); got != 0 {
		t.Errorf("Rewrite allocates %v times without anything to replace", got)
	}
}

// FuzzRewrite checks that content is in bounds after its replacements, and that
// content in which every "%" is doubled comes out as it was.
func FuzzRewrite(f *testing.F) {
	f.Add("build-id", "%(a)s-%%", "hex", "id: %I %(x\\)y)I %%")
	f.Add("var-subst", "v", "", "%(id_format)s %(x)s %(")
	f.Add("build-id", "%(a)", "base64", "%")
	f.Add("skip-self", "", "", "%I")
	f.Fuzz(func(t *testing.T, filter, format, encoding, content string) {
		sub := Meta{{"id_format", format}}
		if encoding != "" {
			sub = Meta{{"id_encoding", encoding}, {"id_format", format}}
		}
		before := bytes.Clone([]byte(content))
		out, err := Rewrite([]string{filter}, sub, rewriteChannels, []byte(content))
		if (err != nil) == (out != nil) && content != "" {
			t.Errorf("Rewrite(%q) = %q, %v", content, out, err)
		}
		if len(out) > maxRewritten+len(format)+2 {
			t.Errorf("Rewrite(%q): %d bytes", content, len(out))
		}
		if string(before) != content {
			t.Errorf("Rewrite changed the content %q to %q", before, content)
		}
		out, err = Rewrite([]string{FilterVarSubst}, sub, nil, []byte(strings.ReplaceAll(content, "%", "%%")))
		if err != nil || string(out) != content {
			t.Errorf("Rewrite of %q with every percent sign doubled = %q, %v", content, out, err)
		}
	})
}

func BenchmarkRewrite(b *testing.B) {
	for name, content := range map[string]string{"plain": "data: nothing here\n\n", "id": "id: %I\ndata: something\n\n"} {
		b.Run(name, func(b *testing.B) {
			text := []byte(content)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Rewrite([]string{FilterBuildID}, rewriteMeta, rewriteChannels, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
