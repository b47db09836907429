package pushpin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEdit(t *testing.T) {
	const text = "[a]\nx=1\n#x=9\n#y=2\nspec=tcp://h:1,tcp://h:2\n"
	for _, tt := range []struct {
		name     string
		settings []string
		want     string // "" for an error
	}{
		{"nothing", nil, text},
		{"a setting", []string{"x=5"}, "[a]\nx=5\n#x=9\n#y=2\nspec=tcp://h:1,tcp://h:2\n"},
		{"one in a comment", []string{"y=$1"}, "[a]\nx=1\n#x=9\ny=$1\nspec=tcp://h:1,tcp://h:2\n"},
		{"an empty one", []string{"x="}, "[a]\nx=\n#x=9\n#y=2\nspec=tcp://h:1,tcp://h:2\n"},
		{"text anywhere", []string{"tcp://h=ipc://a=b"}, "[a]\nx=1\n#x=9\n#y=2\nspec=ipc://a=b:1,ipc://a=b:2\n"},
		{"a setting that is not there", []string{"z=1"}, ""},
		{"text that is not there", []string{"tcp://i=x"}, ""},
	} {
		from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := edit(from, to, tt.settings)
		if tt.want == "" {
			if name, _, _ := strings.Cut(tt.settings[0], "="); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v, want one with %s", tt.name, err, name)
			}
			continue
		}
		if got, _ := os.ReadFile(to); err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
