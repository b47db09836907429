package hostile

import (
	"fmt"
	"strings"
)

// lineAttacks break lines where there is no line end, and put bytes where none
// may be: RFC 9112 §2.2 and §5.2, RFC 9110 §5.5.
func lineAttacks() []attack {
	attacks := []attack{
		{"2.2 one empty line in front", "\r\n" + get(), asks(getA)},
		{"2.2 two empty lines in front", "\r\n\r\n" + get(), asks(getA)},
		{"2.2 three empty lines in front", "\r\n\r\n\r\n" + get(), refused(400)},
		{"2.2 LF in front", "\n" + get(), refused(400)},
		{"2.2 CR in front", "\r" + get(), refused(400)},
		{"2.2 space in front", " " + get(), refused(400)},
		{"2.2 NUL in front", "\x00" + get(), refused(400)},
		{"2.2 byte order mark in front", "\ufeff" + get(), refused(400)},
		{"2.2 LF for every line end", strings.ReplaceAll(get("X: y"), "\r\n", "\n"), refused(400)},
		{"2.2 CR for every line end", strings.ReplaceAll(get("X: y"), "\r\n", "\r"), refused(400)},
		{"2.2 LF CR for every line end", strings.ReplaceAll(get("X: y"), "\r\n", "\n\r"), refused(400)},
		{"2.2 CR CR LF for every line end", strings.ReplaceAll(get("X: y"), "\r\n", "\r\r\n"), refused(400)},
		{"2.2 LF behind the request line", "GET /a HTTP/1.1\nHost: a.example\r\n\r\n", refused(400)},
		{"2.2 CR behind the request line", "GET /a HTTP/1.1\rHost: a.example\r\n\r\n", refused(400)},
		{"2.2 LF behind a field line", "GET /a HTTP/1.1\r\nHost: a.example\nX: y\r\n\r\n", refused(400)},
		{"2.2 CR behind a field line", "GET /a HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n", refused(400)},
		{"2.2 LF LF as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\n\n" + smuggled, refused(400)},
		{"2.2 CR LF LF as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\r\n\n" + smuggled, refused(400)},
		{"2.2 LF CR LF as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\n\r\n" + smuggled, refused(400)},
		{"2.2 CR LF CR as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\r\n\r" + smuggled, refused(400)},
		{"2.2 CR CR as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\r\r" + smuggled, refused(400)},
		{"2.2 CR LF NUL CR LF as the end of the head", "GET /a HTTP/1.1\r\nHost: a.example\r\n\x00\r\n" + smuggled, refused(400)},
		{"2.2 space in the empty line", "GET /a HTTP/1.1\r\nHost: a.example\r\n \r\n" + smuggled, refused(400)},
		{"2.2 white space between request line and first field", "GET /a HTTP/1.1\r\n Host: a.example\r\nHost: a.example\r\n\r\n", refused(400)},
		{"2.2 tab between request line and first field", "GET /a HTTP/1.1\r\n\tX: y\r\nHost: a.example\r\n\r\n", refused(400)},
		{"2.2 line separator U+2028 in a value is a byte as any other", get("X: a\u2028b"), asks(getA).tells("X: a\u2028b")},
		{"2.2 next line U+0085 in a value is a byte as any other", get("X: a\u0085b"), asks(getA).tells("X: a\u0085b")},
		{"2.2 a letter whose low byte is LF", get("X: a\u010ab"), asks(getA).tells("X: a\u010ab")},
		{"2.2 a letter whose low byte is CR", get("X: a\u010db"), asks(getA).tells("X: a\u010db")},
		{"2.2 coded line ends in a value stay coded", get("X: a%0d%0aHost:%20b"), asks(getA).tells("X: a%0d%0aHost:%20b")},
		{"2.2 coded line ends in the target stay coded", "GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: a.example\r\n\r\n", asks(`GET /a%0d%0aX:%20y a.example ""`)},
		{"2.2 a head without an end", "GET /a HTTP/1.1\r\nHost: a.example\r\nX: y\r\n", refused(400)},
		{"5.2 fold by a space", get("X: a\r\n b"), refused(400)},
		{"5.2 fold by a tab", get("X: a\r\n\tb"), refused(400)},
		{"5.2 fold to a line that looks like a field", get("X: a\r\n Transfer-Encoding: chunked"), refused(400)},
		{"5.2 fold of an empty value", get("X:\r\n a"), refused(400)},
		{"5.2 fold to nothing", get("X: a\r\n "), refused(400)},
		{"5.2 fold of Host", "GET /a HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n", refused(400)},
		{"5.2 fold by LF", get("X: a\n b"), refused(400)},
		{"5.2 fold of the last line", get("X: a\r\n\t"), refused(400)},
	}
	for _, c := range controls() {
		name := fmt.Sprintf("byte 0x%02x", c[0])
		attacks = append(attacks, attack{"9110 5.5 " + name + " in a value", get("X: a" + c + "b"), refused(400)})
		if c != "\r" && c != "\n" {
			attacks = append(attacks, attack{"9112 3 " + name + " in the target", "GET /a" + c + "b HTTP/1.1\r\nHost: a.example\r\n\r\n", refused(400)})
		}
	}
	for _, c := range []string{"\x80", "\xa0", "\xff", "\xc0\x8a", "\xed\xa0\x80"} {
		attacks = append(attacks,
			attack{fmt.Sprintf("9110 5.5 bytes %x in a value", c), get("X: a" + c + "b"), asks(getA).tells("X: a" + c + "b")},
			attack{fmt.Sprintf("9112 3 bytes %x in the target", c), "GET /a" + c + "b HTTP/1.1\r\nHost: a.example\r\n\r\n", refused(400)})
	}
	return attacks
}

// controls returns every control character, each as a string, but for the tab.
func controls() (all []string) {
	for c := range byte(' ') {
		if c != '\t' {
			all = append(all, string(rune(c)))
		}
	}
	return append(all, "\x7f")
}
