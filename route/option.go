package route

import (
	"errors"
	"fmt"
	"strings"
)

// setting is how one option of a T is read.
type setting[T any] struct {
	// flag: the option takes no value. "yes" and "true" are taken for one that
	// says the same.
	flag bool
	// repeats: the option may be given several times.
	repeats bool
	// set stores a value, "" for a flag. Its error says what the option takes.
	set func(to *T, value string) error
}

// apply sets the options of one section. The owner, "a condition" or "a
// target", is for the errors; other tells whether the opposite kind knows a
// name.
func apply[T any](to *T, options []option, known map[string]setting[T], owner string, other func(name string) bool) error {
	given := make(map[string]bool, len(options))
	for _, o := range options {
		s, ok := known[o.name]
		switch {
		case !ok && other(o.name):
			return fmt.Errorf("%s is no option of %s: it stands at the wrong end of the line", o.name, owner)
		case !ok:
			return fmt.Errorf("%s is no option of %s", clip(o.name), owner)
		case given[o.name] && !s.repeats:
			return fmt.Errorf("%s is given twice", o.name)
		case s.flag && o.hasValue && o.value != "yes" && o.value != "true":
			return fmt.Errorf("%s takes no value: leave it out where it is not wanted", o.name)
		case !s.flag && !o.hasValue:
			return fmt.Errorf("%s takes a value: %s=VALUE", o.name, o.name)
		}
		given[o.name] = true
		if err := s.set(to, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

// has reports whether an option is among options.
func has(options []option, name string) bool {
	for _, o := range options {
		if o.name == name {
			return true
		}
	}
	return false
}

// maxPath is the longest path of an option, in bytes: no request's is longer.
const maxPath = 8192

// checkPath refuses what cannot be the beginning of a request's path as it is
// on the wire (RFC 3986 §3.3).
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("it takes a path, which begins with /")
	case len(path) > maxPath:
		return fmt.Errorf("it is longer than %d bytes", maxPath)
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '?' || c == '#' {
			return fmt.Errorf("%q does not stand in a path but as %%%02X", c, c)
		}
	}
	return nil
}
