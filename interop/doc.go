// Package interop runs software that nobody here wrote against the edge: the
// GRIP libraries for Node.js as an origin and publisher, the clients that
// applications of Pushpin use, and Pushpin's own publishing command. It has
// tests only; `make test-interop` installs what they need and runs them.
//
// The words of these tests:
//
//   - The subject is the GRIP proxy under test: our edge, or Pushpin itself, by
//     which the tests are checked (flag -subject).
//   - The origin is node/origin.mjs, a feed of numbered messages made with
//     Express and serve-grip. It refuses what the subject has not signed.
//   - A reader is a client that follows the feed, and must see every message
//     once and in order, whatever happens.
package interop
