// Package hostile is the corpus of the requests that nobody should accept, and
// of the origins that nobody should believe. There is nothing to import here,
// only tests to run.
//
// The words:
//
//   - An attack is what a client sends: bytes, with the verdict that they
//     deserve by RFC 9110 and RFC 9112. Its name begins with the section.
//   - The marker is a well-formed request that follows each attack on the same
//     connection. Whether and how it arrives tells where the edge takes the
//     attack to end.
//   - The recorder is an origin that keeps what it receives byte for byte.
//   - A bad origin answers what no origin should, while a client is held and
//     others ask for what is theirs.
//
// The edge is a process of its own, built here. What it sends, to the origin
// and to the client, is judged by a grammar that shares no code with it and
// allows only what the edge has a reason to send; net/http has to read the same
// requests in it.
//
// The attacks are also put to the servers of net/http and of Node.js. Where the
// edge accepts more than one of these, or takes a request for a different one,
// docs/hostile.md says why; -update writes it anew.
package hostile
