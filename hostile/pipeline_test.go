package hostile

import (
	"fmt"
	"slices"
	"strings"
)

// pipelineAttacks put several requests on a connection, some of them bad: RFC
// 9112 §9.3.
var pipelineAttacks = []attack{
	{"9.3.2 two requests", get() + smuggled, asks(getA, smuggling)},
	{"9.3.2 fifty requests", strings.Repeat(get(), 50), asks(slices.Repeat([]string{getA}, 50)...)},
	{"9.3.2 a request behind one with content", post("hello", "Content-Length: 5") + smuggled, asks(postA("hello"), smuggling)},
	{"9.3.2 a request behind one with chunks", chunked("5\r\nhello\r\n0\r\n\r\n") + smuggled, asks(postA("hello"), smuggling)},
	{"9.3.2 a HEAD between others", get() + request("HEAD /a HTTP/1.1", nil, "") + get(), asks(getA, `HEAD /a a.example ""`, getA)},
	{"9.3.2 nothing behind a request that was refused", get() + get("X : y") + smuggled, asks(getA).then(400)},
	{"9.3.2 nothing behind a bad chunk", get() + chunked("x\r\n") + smuggled, asks(getA).then(400)},
	{"9.3.2 nothing behind two lengths", post("hello", "Content-Length: 5", "Content-Length: 0") + smuggled, refused(400)},
	{"9.3.2 nothing behind a bad version", get() + "GET /a HTTP/1.2\r\nHost: a.example\r\n\r\n" + smuggled, asks(getA).then(505)},
	{"9.3.2 nothing behind an expectation that is not met", get("Expect: a") + smuggled, refused(417)},
	{"9.3.2 nothing behind CONNECT", get() + targeted("CONNECT", "a.example:80", "a.example:80") + smuggled, asks(getA).then(501)},
	{"9.6 nothing behind close", get("Connection: close") + smuggled, ends(getA)},
	{"9.6 nothing behind close among others", get("Connection: foo, CLOSE ,bar") + smuggled, ends(getA)},
	{"9.6 nothing behind close on a second line", get("Connection: keep-alive", "Connection: close") + smuggled, ends(getA)},
	{"9.6 nothing behind HTTP/1.0", request("GET /a HTTP/1.0", nil, "") + smuggled, ends(getA)},
	{"9.3.2 a byte too many behind content", post("hello!", "Content-Length: 5"), ends(postA("hello"), `!GET /marker marker.example ""`)},
	{"9.3.2 a line end too many behind content", post("hello\r\n", "Content-Length: 5"), asks(postA("hello"))},
	{"9.3.2 a NUL behind content", post("hello\x00", "Content-Length: 5"), asks(postA("hello")).then(400)},
	{"9.3.2 half a request line behind content", post("helloGET /smuggled HTTP/1.1\r\nX: ", "Content-Length: 5"), ends(postA("hello"), `GET /smuggled marker.example ""`)},
	{"9.3.2 the beginning of a request that takes the next one into a field", get() + "GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\nX: ", asks(getA).then(400)},
}

// sizeAttacks are more than anybody needs: RFC 9112 §3, RFC 6585 §5.
func sizeAttacks() []attack {
	long := func(n int) string { return strings.Repeat("a", n) }
	return []attack{
		{"3 a target of 8,000 bytes", targeted("GET", "/"+long(7999), "a.example"), asks(ask("GET", "/"+long(7999), "a.example", ""))},
		{"3 a target of 9,000 bytes", targeted("GET", "/"+long(8999), "a.example"), refused(414)},
		{"3 a target of 1,000,000 bytes", targeted("GET", "/"+long(1000000), "a.example"), refused(414)},
		{"3 a method of 9,000 bytes", targeted(long(9000), "/a", "a.example"), refused(414)},
		{"3 a method of 1,000 bytes", targeted(long(1000), "/a", "a.example"), asks(long(1000) + ` /a a.example ""`)},
		{"3 a request line without an end", "GET /" + long(100000), refused(414)},
		{"3 one letter for ever", long(100000), refused(414)},
		{"5 a value of 20,000 bytes", get("X: " + long(20000)), asks(getA).tells("X: " + long(20000))},
		{"5 a value of 40,000 bytes", get("X: " + long(40000)), refused(431)},
		{"5 a value without an end", "GET /a HTTP/1.1\r\nHost: a.example\r\nX: " + long(1000000), refused(431)},
		{"5 a name of 10,000 bytes", get(long(10000) + ": y"), asks(getA).tells(long(10000) + ": y")},
		{"5 a name without an end", "GET /a HTTP/1.1\r\nHost: a.example\r\n" + long(1000000), refused(431)},
		{"5 99 fields", get(slices.Repeat([]string{"X: y"}, 99)...), asks(getA)},
		{"5 101 fields", get(slices.Repeat([]string{"X: y"}, 100)...), refused(431)},
		{"5 10,000 fields", get(slices.Repeat([]string{"X: y"}, 10000)...), refused(431)},
		{"5 fields of 40,000 bytes together", get(slices.Repeat([]string{"X: " + long(1000)}, 40)...), refused(431)},
		{"6.2 content of 100,000 bytes", post(long(100000), "Content-Length: 100000"), asks(postA(long(100000)))},
		{"6.2 content of 1,000,000 bytes", post(long(1000000), "Content-Length: 1000000"), asks(postA(long(1000000)))},
		{"7.1 one chunk of 1,000,000 bytes", chunked("f4240\r\n" + long(1000000) + "\r\n0\r\n\r\n"), asks(postA(long(1000000)))},
		{"7.1 1,000,000 bytes in chunks of 1,000", chunked(strings.Repeat("3e8\r\n"+long(1000)+"\r\n", 1000) + "0\r\n\r\n"), asks(postA(long(1000000)))},
		{"7.1 a bad chunk behind 200,000 bytes", chunked("30d40\r\n" + long(200000) + "\r\nx\r\n"), refused(400)},
		{"7.1 a chunk behind 200,000 bytes that is too long", chunked("30d40\r\n" + long(200001) + "\r\n0\r\n\r\n"), refused(400)},
		{"7.1 a request behind 200,000 bytes in chunks", chunked("30d40\r\n"+long(200000)+"\r\n0\r\n\r\n") + smuggled, asks(postA(long(200000)), smuggling)},
		{"6.2 a request behind 200,000 bytes", post(long(200000), "Content-Length: 200000") + smuggled, asks(postA(long(200000)), smuggling)},
		{"7.1.2 a trailer behind 200,000 bytes", chunked("30d40\r\n" + long(200000) + "\r\n0\r\nContent-Length: 5\r\n\r\n"), asks(postA(long(200000)))},
		{"7.1.2 a bad trailer behind 200,000 bytes", chunked("30d40\r\n" + long(200000) + "\r\n0\r\nX : y\r\n\r\n"), refused(400)},
	}
}

// proxyAttacks speak as a proxy does: GRIP §1.1, RFC 9110 §7.6.3.
func proxyAttacks() []attack {
	attacks := []attack{
		{"7.6.3 Via is appended to", get("Via: 1.0 a"), asks(getA).tells("Via: 1.0 a, 1.1 marquee")},
		{"X-Forwarded-For is appended to", get("X-Forwarded-For: 192.0.2.1"), asks(getA).tells("X-Forwarded-For: 192.0.2.1, 127.0.0.1")},
	}
	for _, name := range []string{"Grip-Sig", "Grip-Last", "Grip-Hold", "Grip-Channel", "gRIP-sIG", "Grip-", "Grip_Sig", "GRIP_LAST", "Grip-Last_", "grip_sig",
		"X_Forwarded_For", "X-Forwarded_For", "X_Forwarded_Proto", "X_Forwarded_Protocol", "Proxy_Connection", "Keep_Alive", "Proxy_Authorization", "Cdn_Loop"} {
		attacks = append(attacks, attack{fmt.Sprintf("GRIP 1.1 %s of a client", name), get(name + ": x"), asks(getA).hides(name)})
	}
	return attacks
}
