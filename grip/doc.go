// Package grip holds the words of GRIP, the Generic Realtime Intermediary
// Protocol, as data and codecs. It does no I/O (but for reading a key file)
// and keeps no connections.
//
// The terms, as they are used everywhere in Marquee:
//
//   - The origin is the web service behind the edge. A client asks the edge,
//     the edge asks the origin.
//   - An instruct is an origin's answer that tells the edge what to do with
//     the client's request, in Grip-* header fields, in a body of the type
//     application/grip-instruct, or in both.
//   - A hold is a client's request that the edge keeps open. Its mode says how
//     it ends: a hold of mode response, a long poll, gets one whole answer; to
//     one of mode stream, whose answer has begun, items are appended until one
//     of them, or the client, closes it.
//   - A channel is what holds listen to and what items are published to. It is
//     a name and nothing more, it exists while somebody uses it. (What Go calls
//     a channel is called a Go channel here.)
//   - An item is one message published to one channel. It may carry several
//     formats, one for each kind of hold: http-response for holds of mode
//     response, http-stream for those of mode stream, ws-message for WebSocket
//     connections. A format's action says what it does, as a rule to send.
//   - A link is where the edge asks for what a stream goes on with: after a
//     response without a hold, or when the hold may have missed an item.
//   - A filter is what a hold has done to a channel's items: some are dropped for
//     this hold, in others something is replaced. Filters look into meta, which
//     are named texts about the hold, and about the item.
//   - An id names the state of a channel after an item, and prev-id the state
//     before it. A hold's prev-id is the state that the origin had seen when it
//     answered, so an item follows a hold when both prev-ids are equal.
//   - Grip-Sig is the signature by which the origin knows that a request came
//     through an edge.
package grip
