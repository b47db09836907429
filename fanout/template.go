package fanout

import (
	"strings"
	"unique"

	"marquee/grip"
)

// Template is what the answers to a hold have in common: the response that the
// origin gave with it. Holds whose responses agree in everything that an item's
// answer takes from them get the same bytes, from whichever request they came.
// Immutable, safe from any goroutine.
type Template struct {
	response grip.Response
	key      unique.Handle[string]
}

// NewTemplate makes the template of a hold's response.
func NewTemplate(r grip.Response) *Template {
	var b strings.Builder
	for _, f := range r.With(grip.Response{}).Header {
		b.WriteString(f.Name)
		b.WriteByte('\n') // occurs in no name and no value
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	return &Template{response: r, key: unique.Make(b.String())}
}
