package grip

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Meta are named texts about a subscription (Grip-Set-Meta), or about an item
// (its "meta"), sorted by name, each name once. Filters look into them. Names
// are compared as they are written. Nil is none.
type Meta []Field

// newMeta returns the Meta of a map; nil when it is empty.
func newMeta(texts map[string]string) Meta {
	if len(texts) == 0 {
		return nil
	}
	m := make(Meta, 0, len(texts))
	for name, value := range texts {
		m = append(m, Field{name, value})
	}
	slices.SortFunc(m, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return m
}

// Get returns the text of that name, "" for none.
func (m Meta) Get(name string) string {
	value, _ := m.get(name)
	return value
}

// get is Get that tells no text from an empty one.
func (m Meta) get(name string) (value string, ok bool) {
	i, ok := m.find(name)
	if !ok {
		return "", false
	}
	return m[i].Value, true
}

// find returns where the text of that name is, or would be.
func (m Meta) find(name string) (int, bool) {
	return slices.BinarySearchFunc(m, name, func(f Field, name string) int { return cmp.Compare(f.Name, name) })
}

// With returns m with the text of a name set.
func (m Meta) With(name, value string) Meta {
	i, ok := m.find(name)
	if ok {
		m = slices.Clone(m)
		m[i].Value = value
		return m
	}
	return slices.Insert(slices.Clip(m), i, Field{name, value})
}

// readSetMeta adds what Grip-Set-Meta says, "name=text", to meta.
func readSetMeta(h Header, meta map[string]string) error {
	list, err := parseList(h.Values("Grip-Set-Meta"))
	if err != nil {
		return fmt.Errorf("failed to parse Grip-Set-Meta: %w", err)
	}
	for _, e := range list {
		name, text, _ := strings.Cut(e.value, "=")
		if name = trim(name); name == "" {
			return errors.New("Grip-Set-Meta cannot be empty")
		}
		if meta[name], err = unquote(trim(text)); err != nil {
			return fmt.Errorf("failed to parse Grip-Set-Meta: %w", err)
		}
	}
	return nil
}

// readMeta adds the member "meta" of o to meta.
func (o object) readMeta(owner string, meta map[string]string) error {
	members, err := member[object](o, owner, "meta")
	if err != nil {
		return err
	}
	for name, raw := range members {
		text, ok := as[string](raw)
		if !ok {
			return fmt.Errorf("'meta' contains %s with wrong type", memberName(name))
		}
		meta[name] = text
	}
	return nil
}

// memberName returns how an error calls a member whose name was chosen by
// whoever wrote it: errors are one short line.
func memberName(name string) string {
	if breaksLine(name) || len(name) > 64 {
		return "value"
	}
	return "'" + name + "'"
}
