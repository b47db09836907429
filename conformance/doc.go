// Package conformance is the conformance suite of GRIP over HTTP: a table of
// cases, one for each sentence of the protocol that a client, an origin or a
// publisher can observe. There is nothing to import here, only tests to run.
//
// The words:
//
//   - The subject is the proxy that is examined, a process of its own.
//   - A scene is one run of a case: it has a channel and a path of its own, so
//     that cases run side by side and do not disturb each other.
//   - The test process is everybody else: the origin (a script that answers by
//     path and keeps each request byte for byte), the publisher and the clients,
//     all on real sockets.
//
// Three subjects can be examined:
//
//	go test ./conformance                                   # the edge, built and started here
//	go test ./conformance -subject pushpin                  # Debian's pushpin, started here
//	go test ./conformance -proxy HOST:PORT -control HOST:PORT -origin-listen HOST:PORT
//
// The last one examines a proxy that runs already; its routes are those of
// testdata/routes, with the address of -origin-listen in place of ORIGIN, and
// its key for upstream signatures is that of the tests ("upstream-secret").
//
// A name of a case begins with the section of the reference, for instance
// "3.3 a publish between answer and hold is not lost". A case in which Marquee
// behaves other than Pushpin, on purpose, asserts what each of the two does and
// says why; docs/conformance.md lists these, and -update writes the list anew.
package conformance
