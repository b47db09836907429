package hostile

import "fmt"

// requestLineAttacks are about method, version and the space between: RFC 9112
// §2.3, §3 and §3.1.
func requestLineAttacks() []attack {
	line := func(line string) string { return line + "\r\nHost: a.example\r\n\r\n" }
	attacks := []attack{
		{"3 two spaces behind the method", line("GET  /a HTTP/1.1"), refused(400)},
		{"3 two spaces behind the target", line("GET /a  HTTP/1.1"), refused(400)},
		{"3 space behind the version", line("GET /a HTTP/1.1 "), refused(400)},
		{"3 tab behind the method", line("GET\t/a HTTP/1.1"), refused(400)},
		{"3 tab behind the target", line("GET /a\tHTTP/1.1"), refused(400)},
		{"3 vertical tab behind the method", line("GET\v/a HTTP/1.1"), refused(400)},
		{"3 form feed behind the target", line("GET /a\fHTTP/1.1"), refused(400)},
		{"3 CR behind the method", line("GET\r/a HTTP/1.1"), refused(400)},
		{"3 CR behind the target", line("GET /a\rHTTP/1.1"), refused(400)},
		{"3 line end behind the method", line("GET\r\n/a HTTP/1.1"), refused(400)},
		{"3 line end behind the target", line("GET /a\r\nHTTP/1.1"), refused(400)},
		{"3 no target", line("GET HTTP/1.1"), refused(400)},
		{"3 only a method", line("GET"), refused(400)},
		{"3 nothing", line(" "), refused(400)},
		{"3 no method", line(" /a HTTP/1.1"), refused(400)},
		{"3 a space in the target", line("GET /a b HTTP/1.1"), refused(400)},
		{"3 a version in the target", line("GET /a HTTP/1.1 HTTP/1.1"), refused(400)},
		{"3 HTTP/0.9", "GET /a\r\n\r\n", refused(400)},
		{"3 HTTP/0.9 with a space", "GET /a \r\n\r\n", refused(400)},
		{"3.1 a method of one letter", line("G /a HTTP/1.1"), asks(`G /a a.example ""`)},
		{"3.1 a method in lower case is another one", line("get /a HTTP/1.1"), asks(`get /a a.example ""`)},
		{"3.1 a method of odd characters", line("!#$%&'*+-.^_`|~ /a HTTP/1.1"), asks("!#$%&'*+-.^_`|~ /a a.example \"\"")},
		{"3.1 TRACE", line("TRACE /a HTTP/1.1"), asks(`TRACE /a a.example ""`)},
		{"3.1 PRI, the beginning of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(505)},
		{"3.1 a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", refused(400)},
		{"3.1 an SSH greeting", "SSH-2.0-OpenSSH_9.6\r\n", refused(400)},
		{"3.1 a PROXY protocol line", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + line("GET /a HTTP/1.1"), refused(400)},
		{"3.1 PROXY protocol version 2", "\r\n\r\n\x00\r\nQUIT\n", refused(400)},
		{"3.1 a Redis command", "*1\r\n$4\r\nPING\r\n", refused(400)},
		{"3.1 an SMTP greeting", "EHLO a.example\r\n", refused(400)},
		{"3.1 an RTSP request", line("DESCRIBE /a RTSP/1.0"), refused(400)},
	}
	for _, c := range []string{`"`, "(", ")", ",", "/", ":", ";", "<", "=", ">", "?", "@", "[", `\`, "]", "{", "}", "\x00", "\x7f", "\x80", "\u212a"} {
		attacks = append(attacks, attack{fmt.Sprintf("3.1 %q in the method", c), line("G" + c + "T /a HTTP/1.1"), refused(400)})
	}
	for _, v := range []struct {
		version string
		status  int
	}{
		{"HTTP/1.2", 505}, {"HTTP/0.9", 505}, {"HTTP/2.0", 505}, {"HTTP/3.0", 505}, {"HTTP/9.9", 505}, {"HTTP/0.0", 505},
		{"HTTP/1.10", 400}, {"HTTP/1.01", 400}, {"HTTP/01.1", 400}, {"HTTP/11.1", 400}, {"HTTP/1", 400}, {"HTTP/1.", 400},
		{"HTTP/2", 400}, {"HTTP/.1", 400}, {"HTTP/1.1.1", 400}, {"HTTP/1,1", 400}, {"HTTP/-1.1", 400}, {"HTTP/+1.1", 400},
		{"HTTP/1.x", 400}, {"HTTP/ 1.1", 400}, {"HTTP /1.1", 400}, {"http/1.1", 400}, {"Http/1.1", 400}, {"HTTPS/1.1", 400},
		{"HTTP1.1", 400}, {`HTTP\1.1`, 400}, {"HTTP/1.1\x00", 400}, {"HTTP/\uff11.1", 400}, {"1.1", 400}, {"HTP/1.1", 400},
		{"XHTTP/1.1", 400}, {"HTTP/1.1,HTTP/1.0", 400}, {"HTTP/1.1;a", 400},
	} {
		attacks = append(attacks, attack{fmt.Sprintf("2.3 version %q", v.version), line("GET /a " + v.version), refused(v.status)})
	}
	return append(attacks,
		attack{"2.3 HTTP/1.0", line("GET /a HTTP/1.0"), ends(getA)},
		attack{"2.3 HTTP/1.0 without a host", "GET /a HTTP/1.0\r\n\r\n", ends(noHost)},
		attack{"2.3 HTTP/1.0 keeps nothing open, whatever it asks", request("GET /a HTTP/1.0", []string{"Connection: keep-alive"}, ""), ends(getA)},
	)
}
