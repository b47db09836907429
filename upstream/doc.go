// Package upstream asks the origin.
//
// Its words:
//
//   - A [Request] is what a client wants to know, already cleaned of everything
//     that concerns only the client's connection.
//   - A [Client] puts requests to one origin: at most so many at a time, the
//     rest wait in line, each with a deadline.
//   - A [Ticket] is one asker's interest in a request. Askers with equal
//     requests share one request to the origin; it is given up only when all of
//     them have left.
//   - An [Answer] is what the origin said: complete, or with a body that follows.
//
// Sharing is not leaking: [InKey] names what makes two requests equal, and an
// answer that the origin meant for one client goes to one client.
package upstream
