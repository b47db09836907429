package grip

import (
	"reflect"
	"strings"
	"testing"
)

func TestChannelString(t *testing.T) {
	for _, tt := range []struct {
		channel      Channel
		value, asked string
	}{
		{Channel{Name: "news"}, "news", "news"},
		{Channel{Name: "news", PrevID: "7"}, "news; prev-id=7", "news; last-id=7"},
		{Channel{Name: "news", PrevID: `a"b;c\d`}, `news; prev-id="a\"b;c\\d"`, `news; last-id="a\"b;c\\d"`},
		{Channel{Name: "news", PrevID: "7", Filters: []string{"skip-self", "a;b"}}, `news; prev-id=7; filter=skip-self; filter="a;b"`, "news; last-id=7"},
		{Channel{Name: "news", PrevID: "two words"}, `news; prev-id="two words"`, `news; last-id="two words"`},
	} {
		if got := tt.channel.String(); got != tt.value {
			t.Errorf("§1.3: %#v.String() = %s, want %s", tt.channel, got, tt.value)
		}
		if got := tt.channel.Last(); got != tt.asked {
			t.Errorf("§3.4: %#v.Last() = %s, want %s", tt.channel, got, tt.asked)
		}
	}
}

// FuzzGripChannel parses a Grip-Channel value, writes what it got and parses
// that: nothing may change.
func FuzzGripChannel(f *testing.F) {
	for _, seed := range []string{
		"a", "a; prev-id=1, b", `a; prev-id="x \" ; , \\ y"; filter=skip-self`, `"a, b"; k`,
		"a;;prev-id=;", `a; k="x`, ",a, ,", `a\; prev-id=b\c`, "a; prev-id=1, a; prev-id=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var first, second channelList
		if err := first.addHeader(Header{{"Grip-Channel", value}}); err != nil {
			return
		}
		var lines []string
		for _, c := range first.channels {
			lines = append(lines, c.String())
		}
		written := strings.Join(lines, ", ")
		if err := second.addHeader(Header{{"Grip-Channel", written}}); err != nil {
			t.Fatalf("parse %q, write %q, parse: %v", value, written, err)
		}
		if !reflect.DeepEqual(first.channels, second.channels) {
			t.Errorf("parse %q: %q\nwrite %q, parse: %q", value, first.channels, written, second.channels)
		}
	})
}
