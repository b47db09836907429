package bus

import (
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	tests := []struct{ name, token string }{
		{"headline-value", "headline-value"},
		{"Az_09", "Az_09"},
		{"", "%"},
		{"%", "%25"},
		{"a.b", "a%2Eb"},
		{"*", "%2A"},
		{">", "%3E"},
		{"a b\r\n", "a%20b%0D%0A"},
		{"\x00\xff", "%00%FF"},
		{"café", "caf%C3%A9"},
		{"$SYS", "%24SYS"},
	}
	for _, tt := range tests {
		if got := token(tt.name); got != tt.token {
			t.Errorf("token(%q) = %q, want %q", tt.name, got, tt.token)
		}
		if got, err := nameOf(tt.token); got != tt.name || err != nil {
			t.Errorf("nameOf(%q) = %q, %v, want %q", tt.token, got, err, tt.name)
		}
	}
}

func TestNameOfRefuses(t *testing.T) {
	for _, token := range []string{
		"",        // no token
		"a.b",     // two
		"*",       // a wildcard
		"%2",      // cut off
		"a%",      // cut off
		"%zz",     // no digits
		"%2e",     // lower case
		"%41",     // needless
		"caf\xc3", // not escaped
	} {
		if name, err := nameOf(token); err == nil {
			t.Errorf("nameOf(%q) = %q, want an error", token, name)
		}
	}
}

func TestNameLength(t *testing.T) {
	longest := strings.Repeat(".", maxNameLen)
	if err := checkName("channel", longest); err != nil {
		t.Errorf("name of %d bytes: %v", len(longest), err)
	}
	// PUB SUBJECT REPLY SIZE, the longest line with a subject that a client
	// sends; the default limit is 4096 bytes.
	line := "PUB " + setupPrefix + token(longest) + " _INBOX." + strings.Repeat("x", 64) + " 1048576\r\n"
	if len(line) > 4096 {
		t.Errorf("control line of %d bytes", len(line))
	}
	err := checkName("channel", longest+".")
	if want := "channel name of 1025 bytes is longer than 1024"; err == nil || err.Error() != want {
		t.Errorf("name of 1025 bytes: error %v, want %q", err, want)
	}
}

func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "%", "%2E", "a.b.*.>", "\x00\r\n ", "headline-value"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		subject := token(s)
		if subject == "" || strings.ContainsAny(subject, ".*> \t\r\n\x00") {
			t.Errorf("token(%q) = %q is not one token", s, subject)
		}
		if back, err := nameOf(subject); back != s || err != nil {
			t.Errorf("nameOf(token(%q)) = %q, %v", s, back, err)
		}
		// And as a token: what is accepted is what token returns.
		if name, err := nameOf(s); err == nil && token(name) != s {
			t.Errorf("nameOf(%q) = %q, whose token is %q", s, name, token(name))
		}
	})
}
