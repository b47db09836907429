package hostile

import "fmt"

// fieldAttacks are about the names of fields: RFC 9112 §5.1, RFC 9110 §5.1.
func fieldAttacks() []attack {
	attacks := []attack{
		{"5.1 space before the colon", get("X : y"), refused(400)},
		{"5.1 tab before the colon", get("X\t: y"), refused(400)},
		{"5.1 space within a name", get("X Y: z"), refused(400)},
		{"5.1 no name", get(": y"), refused(400)},
		{"5.1 only a colon", get(":"), refused(400)},
		{"5.1 no colon", get("X"), refused(400)},
		{"5.1 no colon, but a space", get("X y"), refused(400)},
		{"5.1 no colon in the last line", "GET /a HTTP/1.1\r\nHost: a.example\r\nX\r\n\r\n", refused(400)},
		{"5.1 a second request line for a field", "GET /a HTTP/1.1\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n", refused(400)},
		{"5.1 a request line with a colon for a field", "GET /a HTTP/1.1\r\nHost: a.example\r\nGET http://smuggled.example/ HTTP/1.1\r\n\r\n", refused(400)},
		{"5.1 a value with colons", get("X: a: b: c"), asks(getA).tells("X: a: b: c")},
		{"5.1 an empty value", get("X:"), asks(getA).tells("X: ")},
		{"5.1 a value of white space", get("X: \t \t"), asks(getA).tells("X: ")},
		{"5.1 white space within a value", get("X: a \t b"), asks(getA).tells("X: a \t b")},
		{"5.1 no space before the value", get("X:a"), asks(getA).tells("X: a")},
		{"5.1 a name of odd characters", get("!#$%&'*+-.^_`|~: y"), asks(getA).tells("!#$%&'*+-.^_`|~: y")},
		{"5.1 a name of digits", get("1: y"), asks(getA).tells("1: y")},
		{"5.1 the same name again and again", get("X: 1", "x: 2", "X: 3"), asks(getA).tells("X: 1", "X: 2", "X: 3")},
		{"5.1 a request in a value", get("X: GET /smuggled HTTP/1.1"), asks(getA).tells("X: GET /smuggled HTTP/1.1")},
		{"5.1 names that an object has by itself", get("__proto__: a", "constructor: b", "toString: c"), asks(getA).tells("__proto__: a", "constructor: b", "toString: c")},
	}
	for _, c := range append(controls(), `"`, "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", `\`, "]", "{", "}", "\x80", "\xa0", "\xff", "\u212a", "\u00e9") {
		attacks = append(attacks, attack{fmt.Sprintf("5.1 bytes %x in a name", c), get("X" + c + "Y: z"), refused(400)})
	}
	return attacks
}

// connectionAttacks are about fields that are for one connection only: RFC 9110 §7.6.1.
var connectionAttacks = []attack{
	{"7.6.1 Connection hides a field", get("Connection: X-Secret", "X-Secret: y"), asks(getA).hides("X-Secret", "Connection")},
	{"7.6.1 Connection hides a field in other case", get("X-Secret: y", "cONNECTION: x-sECRET"), asks(getA).hides("X-Secret", "Connection")},
	{"7.6.1 Connection hides several fields", get("Connection: A, ,B", "A: 1", "B: 2", "Connection: C", "C: 3"), asks(getA).hides("A", "B", "C", "Connection")},
	{"7.6.1 Connection hides close as well", get("Connection: X-Secret, close", "X-Secret: y"), ends(getA).hides("X-Secret", "Connection")},
	{"7.6.1 Connection does not hide Host", get("Connection: Host"), asks(getA).tells("Host: a.example")},
	{"7.6.1 Connection does not hide Content-Length", post("hello", "Content-Length: 5", "Connection: Content-Length"), asks(postA("hello")).tells("Content-Length: 5")},
	{"7.6.1 Connection does not hide Content-Length of a request in the content", post(smuggled, "Connection: content-length", fmt.Sprintf("Content-Length: %d", len(smuggled))), asks(postA(smuggled))},
	{"7.6.1 Connection does not hide Transfer-Encoding", post("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Connection: Transfer-Encoding"), asks(postA("hello"))},
	{"7.6.1 Connection does not hide X-Forwarded-For", get("Connection: X-Forwarded-For"), asks(getA).tells("X-Forwarded-For: 127.0.0.1")},
	{"7.6.1 Connection does not hide Via", get("Connection: Via"), asks(getA).tells("Via: 1.1 marquee")},
	{"7.6.1 Connection hides the X-Forwarded-For of the client alone", get("Connection: X-Forwarded-For", "X-Forwarded-For: 192.0.2.1"), asks(getA).tells("X-Forwarded-For: 127.0.0.1")},
	{"7.6.1 Connection does not hide Grip-Feature", get("Connection: Grip-Feature, Grip-Sig"), asks(getA)},
	{"7.6.1 Connection of odd bytes", get("Connection: \"X\", (y), @"), asks(getA).hides("Connection")},
	{"7.6.1 Connection lists 40 options", get("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,0,1,2,3,4,5,6,7,8,9,aa,bb,cc,dd"), refused(400)},
	{"7.6.1 Connection empty", get("Connection:"), asks(getA).hides("Connection")},
	{"7.6.1 Keep-Alive", get("Connection: keep-alive", "Keep-Alive: timeout=5, max=100"), asks(getA).hides("Keep-Alive", "Connection")},
	{"7.6.1 Proxy-Connection", get("Proxy-Connection: close"), asks(getA).hides("Proxy-Connection")},
	{"7.6.1 TE", get("TE: trailers", "Connection: TE"), asks(getA).hides("TE")},
	{"7.6.1 Trailer", get("Trailer: X"), asks(getA).hides("Trailer")},
	{"11.7.2 Proxy-Authorization", get("Proxy-Authorization: Basic YTpi"), asks(getA).hides("Proxy-Authorization")},
	{"7.8 Upgrade to h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), asks(getA).hides("Upgrade", "HTTP2-Settings", "Connection")},
	{"7.8 Upgrade to h2c that Connection does not list", get("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), asks(getA).hides("Upgrade")},
	{"7.8 Upgrade to h2c, and frames behind", get("Connection: Upgrade", "Upgrade: h2c") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", asks(getA).hides("Upgrade").then(505)},
	{"7.8 Upgrade to WebSocket of an unknown version", get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 777", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="), asks(getA).hides("Upgrade")},
	{"7.8 Upgrade to TLS", get("Connection: Upgrade", "Upgrade: TLS/1.2"), asks(getA).hides("Upgrade")},
	{"7.8 Upgrade of a POST", post("hello", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5"), asks(postA("hello")).hides("Upgrade")},
	{"7.8 Upgrade in HTTP/1.0", request("GET /a HTTP/1.0", []string{"Connection: Upgrade", "Upgrade: h2c"}, ""), ends(getA).hides("Upgrade")},
	{"7.8 two Upgrade fields", get("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"), asks(getA).hides("Upgrade")},
}

// expectAttacks are about Expect: RFC 9110 §10.1.1.
var expectAttacks = []attack{
	{"10.1.1 100-continue", post("hello", "Expect: 100-continue", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue in other case", post("hello", "eXPECT: 100-cONTINUE", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue with chunks", post("5\r\nhello\r\n0\r\n\r\n", "Expect: 100-continue", "Transfer-Encoding: chunked"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue without content", get("Expect: 100-continue"), asks(getA).hides("Expect")},
	{"10.1.1 100-continue with a length of 0", post("", "Expect: 100-continue", "Content-Length: 0"), asks(postA("")).hides("Expect")},
	{"10.1.1 100-continue of a GET that takes the next request in", get("Expect: 100-continue", markerLength), swallows(ask("GET", "/a", "a.example", marker)).hides("Expect")},
	{"10.1.1 100-continue in HTTP/1.0", request("POST /a HTTP/1.0", []string{"Expect: 100-continue", "Content-Length: 5"}, "hello"), ends(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue twice", post("hello", "Expect: 100-continue, 100-continue", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue on two lines", post("hello", "Expect: 100-continue", "Expect: 100-continue", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 another expectation", post("hello", "Expect: a", "Content-Length: 5"), refused(417)},
	{"10.1.1 100-continue misspelt", post("hello", "Expect: y 100-continue", "Content-Length: 5"), refused(417)},
	{"10.1.1 100-continue with a line end in front", post("hello", "Expect:\r\n 100-continue", "Content-Length: 5"), refused(400)},
	{"10.1.1 100-continue with a parameter", post("hello", "Expect: 100-continue; a=b", "Content-Length: 5"), refused(417)},
	{"10.1.1 100-continue and another", post("hello", "Expect: 100-continue, a", "Content-Length: 5"), refused(417)},
	{"10.1.1 the number alone", post("hello", "Expect: 100", "Content-Length: 5"), refused(417)},
	{"10.1.1 an empty expectation", post("hello", "Expect:", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue that Connection lists", post("hello", "Connection: Expect", "Expect: 100-continue", "Content-Length: 5"), asks(postA("hello")).hides("Expect")},
	{"10.1.1 100-continue and both ways of framing", post("0\r\n\r\n", "Expect: 100-continue", "Content-Length: 5", "Transfer-Encoding: chunked"), refused(400)},
	{"10.1.1 100-continue and a bad chunk", post("x\r\n", "Expect: 100-continue", "Transfer-Encoding: chunked"), refused(400)},
}
