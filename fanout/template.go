package fanout

import (
	"strings"
	"unique"

	"marquee/grip"
)

// Template is what the answers to a hold have in common: the response that the
// origin gave with it, and how answers to such a request are finished. Holds
// whose templates agree in everything that an item's answer takes from them get
// the same bytes, from whichever request they came. Immutable, safe from any
// goroutine.
type Template struct {
	response grip.Response
	finish   *Finish
	key      unique.Handle[string]
}

// Finish is the last step of an answer, where the request asks for one: fields
// for its origin, or a script around it.
type Finish struct {
	// Key is equal for steps that do the same.
	Key string
	// Whole: it takes a whole answer, body and all.
	Whole bool
	// Apply must not change its argument, and is safe from any goroutine.
	Apply func(grip.Response) grip.Response
}

// On returns the finished response; a nil Finish leaves it as it is.
func (f *Finish) On(r grip.Response) grip.Response {
	if f == nil {
		return r
	}
	return f.Apply(r)
}

// NewTemplate makes the template of a hold's response; finish may be nil.
func NewTemplate(r grip.Response, finish *Finish) *Template {
	var b strings.Builder
	for _, f := range r.With(grip.Response{}).Header {
		b.WriteString(f.Name)
		b.WriteByte('\n') // occurs in no name and no value
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	if finish != nil {
		b.WriteByte('\n')
		b.WriteString(finish.Key)
	}
	return &Template{response: r, finish: finish, key: unique.Make(b.String())}
}

// bodyKey is the key where the hold's body counts, too.
func (t *Template) bodyKey() unique.Handle[string] {
	return unique.Make(t.key.Value() + "\n\n" + string(t.response.Body))
}
