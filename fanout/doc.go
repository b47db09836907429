// Package fanout takes published items to the clients that hold for them.
//
// Its words:
//
//   - A [Hold] is one client's request that is kept open. It belongs to one
//     event loop, as its connection does.
//   - A [Group] is the holds of one loop that stand for equal requests and
//     therefore get equal answers. The loop writes to a group, not to a channel.
//   - A [Watch] is a group's interest in its channels, with the id from which
//     each channel is followed (prev-id). When the group has been answered the
//     watch may stay, to tell when the answer stops being the newest.
//   - A [Shard] is all of this for one loop. Only that loop touches it, so it
//     has no lock; deliveries reach it through a mailbox.
//   - The [Hub] is what the loops share: per channel the last id seen, which
//     loops hold, and the sequencing of items. One short lock, never taken per
//     held socket.
//   - A [Delivery] is one item on its way; its [Receipt] says what became of it.
//   - An [Answer] is a response whose bytes are built once per [Variant] and
//     then written to every socket that gets that variant.
package fanout
