package grip

import (
	"cmp"
	"slices"
)

// Meta are named texts about a subscription (Grip-Set-Meta), or about an item
// (its "meta"), sorted by name, each name once. Filters look into them. Names
// are compared as they are written. Nil is none.
type Meta []Field

// Get returns the text of that name, "" for none.
func (m Meta) Get(name string) string {
	i, ok := slices.BinarySearchFunc(m, name, func(f Field, name string) int { return cmp.Compare(f.Name, name) })
	if !ok {
		return ""
	}
	return m[i].Value
}

// With returns m with the text of a name set.
func (m Meta) With(name, value string) Meta {
	i, ok := slices.BinarySearchFunc(m, name, func(f Field, name string) int { return cmp.Compare(f.Name, name) })
	if ok {
		m = slices.Clone(m)
		m[i].Value = value
		return m
	}
	return slices.Insert(slices.Clip(m), i, Field{name, value})
}
