"""``python -m tests.faults.relay ONE OTHER DELAY JITTER``: hand every frame from one interface to the other, late.

The kernel may have no netem. Both interfaces stand in this namespace; what arrives at one leaves by the other, in order,
after ``DELAY`` and up to ``JITTER`` seconds. It begins when standard input says so (a line), and says ``ready`` before.
The sockets carry the header by which the kernel remembers unfinished checksums and segments (PACKET_VNET_HDR), so
connections live through the change.
"""

from __future__ import annotations

import collections
import contextlib
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR = 263, 15
EVERYTHING = 3  # ETH_P_ALL
OUTGOING = 4  # PACKET_OUTGOING: what we, or somebody else here, have sent
LARGEST = 10 + 14 + 65536  # header, Ethernet, the largest segment before it is cut


def opened(interface: str) -> socket.socket:
    """A socket that sees all frames of an interface."""
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    one.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    one.bind((interface, EVERYTHING))
    one.setblocking(False)
    return one


class Lane:
    """One direction. Frames keep their order."""

    def __init__(self, source: socket.socket, target: socket.socket, delay: float, jitter: float) -> None:
        self._source, self._target, self._delay, self._jitter = source, target, delay, jitter
        self._queue: collections.deque[tuple[float, bytes]] = collections.deque()
        self._last = 0.0

    def take(self) -> None:
        """Everything that has arrived."""
        while True:
            try:
                frame, address = self._source.recvfrom(LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            if address[2] != OUTGOING:
                self._last = max(self._last, time.monotonic() + self._delay + random.uniform(0, self._jitter))
                self._queue.append((self._last, frame))

    def give(self) -> float | None:
        """Send what is due. Seconds until the next frame is, None when there is none."""
        while self._queue:
            wait = self._queue[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, frame = self._queue.popleft()
            with contextlib.suppress(OSError):  # a full queue or an interface that is down: lost, as on a wire
                self._target.send(frame)
        return None


def main(words: list[str]) -> int:
    one, other = opened(words[0]), opened(words[1])
    delay, jitter = float(words[2]), float(words[3])
    lanes = (Lane(one, other, delay, jitter), Lane(other, one, delay, jitter))
    print("ready", flush=True)
    if not sys.stdin.readline():
        return 1
    for lane in lanes:
        lane.take()
        lane._queue.clear()  # seen before it was our affair
    poll = select.poll()
    for socket_ in (one, other):
        poll.register(socket_, select.POLLIN)
    while True:
        waits = [wait for lane in lanes if (wait := lane.give()) is not None]
        poll.poll(max(1, int(1000 * min(waits))) if waits else 1000)
        for lane in lanes:
            lane.take()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
