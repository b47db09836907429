// Package marquee is the root of Marquee, which scales out a realtime HTTP API:
// it stands in front of an origin, holds the clients' long polls and streams on
// a few event loops, asks the origin once for what thousands want, and writes
// what the origin publishes to every held socket. Origin and edge speak GRIP, as
// origins made for Pushpin do.
//
// There is nothing to import here. The commands:
//
//   - edge: the server between clients and origin
//   - publish: one item to the clients of a channel
//   - origin: the headline service, an origin to try and to demonstrate it with
//   - loadclient: a group of thousands of headline clients in one process
//   - dashboard: headline changes and what became of them, over many edges
//   - bench: whole-system measurements beside the floor
//
// What they are made of, each knowing only those above it:
//
//   - httpparse: bytes to HTTP requests, strictly
//   - grip: the protocol's words, as data and codecs
//   - route: the routes file, which origin a request goes to
//   - fanout: held clients, sequencing of items, delivery by event loop
//   - upstream: asking the origin, one request for many
//   - zmq: items, commands and statistics, over ZeroMQ
//   - bus: many machines, over NATS
//
// The package conformance examines the edge, or Pushpin, by the protocol;
// interop runs it with software of others. The folder tuning has kernel
// settings, with reasons. The benchmark of this
// package is a delivery on real sockets: go test -bench ./fanout.
package marquee
