// Package upstream asks origins.
//
// Its words:
//
//   - A [Request] is what a client wants to know, already cleaned of everything
//     that concerns only the client's connection.
//   - A [Service] is who answers it: the targets of a route, the first of them
//     to which there is a connection.
//   - A [Client] puts requests to services: at most so many at a time, the rest
//     wait in line, each with a deadline.
//   - A [Ticket] is one asker's interest in a request. Askers with equal
//     requests share one request to the origin; it is given up only when all of
//     them have left.
//   - An [Answer] is what the origin said: complete, or with a body that follows.
//   - A link is a URL in an answer: the next one is asked for what a stream goes
//     on with ([Request].Link), the gone one is told that the client has left
//     ([Client.Tell]).
//   - A filter is a URL that is asked about an item ([Client.Filter]).
//
// Sharing is not leaking: [InKey] names what makes two requests equal, and an
// answer that the origin meant for one client goes to one client.
package upstream
