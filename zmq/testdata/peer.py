"""A ZeroMQ socket of libzmq, driven by lines: the peer in the tests.

peer.py TYPE bind|connect ENDPOINT

Prints "ready ENDPOINT", then every message that comes, its frames in
hexadecimal with spaces between. Reads "send FRAME...", "subscribe PREFIX" and
"unsubscribe PREFIX", and ends with its input.
"""

import ctypes
import sys

TYPES = ["PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"]
SUBSCRIBE, UNSUBSCRIBE, RCVMORE, LINGER, LAST_ENDPOINT = 6, 7, 13, 17, 32
DONTWAIT, SNDMORE, POLLIN = 1, 2, 1


class PollItem(ctypes.Structure):
    _fields_ = [("socket", ctypes.c_void_p), ("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


zmq = ctypes.CDLL("libzmq.so.5", use_errno=True)
zmq.zmq_ctx_new.restype = ctypes.c_void_p
zmq.zmq_socket.restype = ctypes.c_void_p
zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
zmq.zmq_close.argtypes = zmq.zmq_ctx_term.argtypes = [ctypes.c_void_p]
zmq.zmq_bind.argtypes = zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
zmq.zmq_getsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)]
zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
zmq.zmq_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
zmq.zmq_poll.argtypes = [ctypes.POINTER(PollItem), ctypes.c_int, ctypes.c_long]

context = zmq.zmq_ctx_new()
socket = zmq.zmq_socket(context, TYPES.index(sys.argv[1]))
buffer = ctypes.create_string_buffer(4 << 20)


def check(result):
    if result < 0:
        sys.exit("libzmq: errno %d" % ctypes.get_errno())
    return result


def setint(option, value):
    check(zmq.zmq_setsockopt(socket, option, value.to_bytes(4, sys.byteorder), 4))


def receive():
    frames, more = [], ctypes.c_int(1)
    while more.value:
        n = zmq.zmq_recv(socket, buffer, len(buffer), DONTWAIT)
        if n < 0:
            return None
        frames.append(buffer.raw[:n].hex())
        size = ctypes.c_size_t(4)
        check(zmq.zmq_getsockopt(socket, RCVMORE, ctypes.byref(more), ctypes.byref(size)))
    return frames


def obey(line):
    word, *fields = line.split(" ")
    frames = [bytes.fromhex(field) for field in fields]
    if word == "send":
        for i, frame in enumerate(frames):
            check(zmq.zmq_send(socket, frame, len(frame), SNDMORE if i < len(frames) - 1 else 0))
    else:
        option = SUBSCRIBE if word == "subscribe" else UNSUBSCRIBE
        check(zmq.zmq_setsockopt(socket, option, frames[0], len(frames[0])))


setint(LINGER, 0)
check((zmq.zmq_bind if sys.argv[2] == "bind" else zmq.zmq_connect)(socket, sys.argv[3].encode()))
size = ctypes.c_size_t(256)
check(zmq.zmq_getsockopt(socket, LAST_ENDPOINT, buffer, ctypes.byref(size)))
print("ready", buffer.value.decode(), flush=True)
items = (PollItem * 2)(PollItem(socket, 0, POLLIN, 0), PollItem(None, 0, POLLIN, 0))
while True:
    check(zmq.zmq_poll(items, 2, -1))
    while (frames := receive()) is not None:
        print(" ".join(frames), flush=True)
    if items[1].revents:
        line = sys.stdin.buffer.raw.readline().decode()  # unbuffered: the poll sees what is left
        if not line:
            break
        obey(line.rstrip("\n"))
zmq.zmq_close(socket)
zmq.zmq_ctx_term(context)
