// Package fanout takes published items to the clients that hold for them.
//
// Its words:
//
//   - A [Hold] is one client's request that is kept open. It belongs to one
//     event loop, as its connection does.
//   - A [Group] is the holds of one loop that stand for equal requests and
//     therefore get equal answers; or the streams of one loop that have come to
//     the same point and get the same from there on, whatever they got before. The
//     loop writes to a group, not to a channel. Groups that have come to the same
//     point can be merged.
//   - A [Watch] is a group's interest in its channels, with the id from which
//     each channel is followed (prev-id). When the group has been answered the
//     watch may stay, to tell when the answer stops being the newest.
//   - A watch pauses while somebody is asked what its group gets next: the origin,
//     when streams have missed something, or a filter that is elsewhere. What is
//     published meanwhile waits, maxWaiting items at the most, and is taken up in
//     order when the watch goes on.
//   - A [Shard] is all of this for one loop. Only that loop touches it, so it
//     has no lock; deliveries reach it through a mailbox.
//   - The [Hub] is what the loops share: per channel the last id seen, which
//     loops hold, and the sequencing of items. One short lock, never taken per
//     held socket.
//   - A [Delivery] is one item on its way; its [Receipt] says what became of it.
//   - An [Answer] is a response whose bytes are built once per [Variant] and
//     then written to every socket that gets that variant.
//   - An [Opening] is how a stream begins, and a [Piece] is content appended to it;
//     their bytes are built once per variant, too. What is published while a piece
//     waits to be written leaves with it, as one piece made of both.
//
// There are no goroutines here: a loop runs its shard, publishers run the hub, and
// who made the hub calls [Hub.Tick]. What clients and askers are told they are
// told on the loop, in the midst of a shard's method, and they may call it back:
// what they give comes after what is being given.
package fanout
