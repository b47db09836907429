package route

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// section is the condition or one target of a line: its value, and the options
// behind it in the order in which they were written.
type section struct {
	value   string
	options []option
}

// option is "name" or "name=value".
type option struct {
	name, value string
	hasValue    bool // "=" was written
}

// parseLine returns the sections of a line, none for a blank one.
func parseLine(line string) ([]section, error) {
	if err := checkText(line); err != nil {
		return nil, err
	}
	var sections []section
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return sections, nil
		}
		text, rest, err := cutPart(line)
		if err != nil {
			return nil, err
		}
		line = rest
		s := section{value: text}
		if strings.Contains(text, "=") { // an empty value, its comma left out
			s.value = ""
			if s.options, err = appendOption(nil, text); err != nil {
				return nil, err
			}
		}
		for strings.HasPrefix(line, ",") {
			if text, line, err = cutPart(line[1:]); err != nil {
				return nil, err
			}
			if s.options, err = appendOption(s.options, text); err != nil {
				return nil, err
			}
		}
		sections = append(sections, s)
	}
}

// checkText refuses what no option can mean, so that none needs to: what is no
// text, and bytes that would end a field line where the text becomes one.
func checkText(line string) error {
	if !utf8.ValidString(line) {
		return errors.New("the line is not UTF-8")
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("the line has the control character %q", c)
		}
	}
	return nil
}

// cutPart cuts s before the first space, tab, comma or # that is in no quotes,
// and returns what the text before it means.
func cutPart(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', ',', '#':
			return b.String(), s[i:], nil
		case '"':
			n, err := unquote(&b, s[i+1:])
			if err != nil {
				return "", "", err
			}
			i += n
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}

// unquote appends to b what s means up to the closing quote, and returns the
// length with that quote.
func unquote(b *strings.Builder, s string) (int, error) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1, nil
		case '\\':
			if i++; i == len(s) || s[i] != '\\' && s[i] != '"' {
				return 0, errors.New(`a backslash in quotes stands before neither \ nor "`)
			}
		}
		b.WriteByte(s[i])
	}
	return 0, errors.New("a quote has no end")
}

func appendOption(options []option, text string) ([]option, error) {
	o := option{}
	o.name, o.value, o.hasValue = strings.Cut(text, "=")
	switch {
	case text == "":
		return nil, errors.New("a comma is followed by no option")
	case o.name == "":
		return nil, errors.New("an option has no name before its =")
	}
	return append(options, o), nil
}

// quoteText returns text as a part of a line that means it.
func quoteText(text string) string {
	if text != "" && !strings.ContainsAny(text, " \t,#\"") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// clip returns text as an error shows it, in quotes and not longer than a line
// of a log can bear.
func clip(text string) string {
	const most = 64
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q...", strings.ToValidUTF8(text[:most], ""))
}

// writer writes the sections of a line.
type writer struct{ strings.Builder }

func (w *writer) text(text string) { w.WriteString(quoteText(text)) }

func (w *writer) flag(name string, on bool) {
	if on {
		w.WriteString("," + name)
	}
}

// value writes an option that has a value; an empty one is the same as none.
func (w *writer) value(name, value string) {
	if value != "" {
		w.WriteString("," + quoteText(name+"="+value))
	}
}
