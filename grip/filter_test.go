package grip

import (
	"reflect"
	"testing"
)

func TestPasses(t *testing.T) {
	alice := Meta{{"user", "alice"}}
	for _, tt := range []struct {
		name     string
		filters  []string
		sub, pub Meta
		want     bool
	}{
		{"no filters", nil, alice, Meta{{"sender", "alice"}}, true},
		{"§9 skip-self, one's own", []string{"skip-self"}, alice, Meta{{"sender", "alice"}}, false},
		{"§9 skip-self, another's", []string{"skip-self"}, alice, Meta{{"sender", "Alice"}}, true},
		{"§9 skip-self, nobody's", []string{"skip-self"}, alice, nil, true},
		{"§9 skip-self, both empty", []string{"skip-self"}, Meta{{"user", ""}}, Meta{{"sender", ""}}, true},
		{"§9 skip-users, listed", []string{"skip-users"}, alice, Meta{{"skip_users", "bob, alice ,carol"}}, false},
		{"§9 skip-users, not listed", []string{"skip-users"}, alice, Meta{{"skip_users", "bob,alic,alicee"}}, true},
		{"§9 skip-users, no user", []string{"skip-users"}, nil, Meta{{"skip_users", ",,"}}, true},
		{"§9 require-sub, held", []string{"require-sub"}, nil, Meta{{"require_sub", "b"}}, true},
		{"§9 require-sub, not held", []string{"require-sub"}, nil, Meta{{"require_sub", "c"}}, false},
		{"§9 require-sub, nothing required", []string{"require-sub"}, nil, Meta{{"require_sub", ""}}, true},
		{"§9 one of several drops", []string{"require-sub", "skip-users", "skip-self"}, alice, Meta{{"sender", "alice"}}, false},
		{"filters of other kinds and unknown ones", []string{"build-id", "var-subst", "http-check", "http-modify", "x", "Skip-Self"}, alice, Meta{{"sender", "alice"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Passes(tt.filters, tt.sub, tt.pub, []Channel{{Name: "a"}, {Name: "b"}}); got != tt.want {
				t.Errorf("Passes(%q, %q, %q, a b) = %v, want %v", tt.filters, tt.sub, tt.pub, got, tt.want)
			}
		})
	}
}

func TestContentFilters(t *testing.T) {
	got := ContentFilters([]string{"var-subst", "skip-self", "x", "http-modify", "http-check", "require-sub", "build-id", "skip-users"})
	if want := []string{"var-subst", "http-modify", "build-id"}; !reflect.DeepEqual(got, want) {
		t.Errorf("§5.1: ContentFilters() = %q, want %q", got, want)
	}
	if got := ContentFilters([]string{"skip-self"}); got != nil {
		t.Errorf("ContentFilters(skip-self) = %q, want nil", got)
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		name              string
		asked, subscribed []string
		want              bool
	}{
		{"§5.1 none asked for", nil, []string{"build-id"}, true},
		{"§5.1 empty, none there", []string{}, []string{"skip-self", "x"}, true},
		{"§5.1 empty, one there", []string{}, []string{"build-id"}, false},
		{"§5.1 the same among others", []string{"build-id", "var-subst"}, []string{"skip-self", "build-id", "http-check", "var-subst"}, true},
		{"§5.1 another order", []string{"build-id", "var-subst"}, []string{"var-subst", "build-id"}, false},
		{"§5.1 one missing", []string{"build-id", "var-subst"}, []string{"build-id"}, false},
		{"§5.1 one more", []string{"build-id"}, []string{"build-id", "var-subst"}, false},
		{"no content filter, as in Pushpin", []string{"skip-self"}, []string{"skip-self"}, false},
		{"unknown, as in Pushpin", []string{"x"}, []string{"x"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Matches(tt.asked, tt.subscribed); got != tt.want {
				t.Errorf("Matches(%q, %q) = %v, want %v", tt.asked, tt.subscribed, got, tt.want)
			}
			// It is ContentFilters without the slice.
			if tt.asked != nil {
				same := reflect.DeepEqual(append([]string{}, ContentFilters(tt.subscribed)...), tt.asked)
				if same != tt.want {
					t.Errorf("ContentFilters(%q) = %q and %q: %v, want %v", tt.subscribed, ContentFilters(tt.subscribed), tt.asked, same, tt.want)
				}
			}
		})
	}
}

func TestFilterAllocations(t *testing.T) {
	filters := []string{"skip-self", "skip-users", "require-sub", "build-id"}
	sub, pub := Meta{{"user", "alice"}}, Meta{{"require_sub", "b"}, {"sender", "bob"}, {"skip_users", "carol, dave"}}
	channels, asked := []Channel{{Name: "a"}, {Name: "b"}}, []string{"build-id"}
	if got := testing.AllocsPerRun(100, func() {
		if !Passes(filters, sub, pub, channels) || !Matches(asked, filters) {
			t.Error("the item does not pass")
		}
	}); got != 0 {
		t.Errorf("Passes and Matches allocate %v times", got)
	}
}
