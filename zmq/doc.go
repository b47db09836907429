// Package zmq is ZeroMQ as GRIP uses it (GRIP §5.3, §12): sockets from which
// items are read, the one that answers commands, and the one that says what
// happens in the edge.
//
// # Terms
//
// A socket is one of ZeroMQ's: it has a type, any number of endpoints that it
// listens on or connects to, and any number of peers, each with a connection
// of its own. A message is a list of frames. Publishers send items to a socket
// of type PULL or SUB, commands come to a REP, and statistics leave by a PUB.
//
// # On the wire
//
// ZMTP 3.0 (ZeroMQ RFC 23) with the security mechanism NULL, over tcp:// and
// ipc://. Both sides open with a greeting of 64 bytes:
//
//	 0  FF, eight bytes that mean nothing, 7F
//	10  major version 3, minor version
//	12  mechanism, "NULL" and zeros to 20 bytes
//	32  as-server, 0
//	33  31 zeros
//
// and then send frames: flags (1 MORE, 2 LONG, 4 COMMAND), the length of the
// body in one byte or, when LONG, in eight with the most significant first,
// and the body. The first is the command READY with the type of the socket.
// A subscription is a message of one frame, 01 or 00 and the prefix that the
// subscriber wants or no longer wants; peers of ZMTP 3.1 may send the commands
// SUBSCRIBE and CANCEL instead.
//
// Peers are libzmq 4.0 (2013) and later, and what speaks like it.
//
// # Bounds
//
// Like the control endpoint, these sockets do not ask who a peer is, so they
// belong on addresses that only publishers reach. No peer can do more than cost
// what the constants of this package allow: a message has 1 MiB at most, memory
// is taken as its bytes arrive and not as its length promises, a peer that
// stops in the middle of a greeting or a message is left, and one that waits
// to be heard costs a connection and no more than one message. This is also why
// the protocol is here and not taken from a library: with the one in Go, a frame
// whose length is a lie ends the process, a peer that says nothing keeps
// all others out, and a subscriber that does not read makes a queue without end.
package zmq
