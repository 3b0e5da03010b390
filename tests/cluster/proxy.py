# SPDX-License-Identifier: MIT
"""What stands between one instance and Redis, and is not to be trusted: a proxy that loses, repeats
and delays publications, cuts and refuses connections, and hangs.

It runs as a process of its own (`proxy.py SOCKET SEED`), so that it takes no time from the threads
of a test; the class Proxy is its handle there. Orders come as lines of JSON on stdin, each answered
by one on stdout; at the end of stdin it ends.

Everything passes as it is, but for the pushes of pub/sub: a connection on which Redis confirms a
subscription, within its first FRAMES_TOLD replies, is understood from there on. Pushes that are
held back wait in a heap until their time has come, so later ones overtake them."""
import heapq
import json
import random
import selectors
import socket
import struct
import subprocess
import sys
import time

FRAMES_TOLD = 64         # a connection that has not subscribed by then never does
FRAME_BYTES_TOLD = 4096  # nor does one that gets such a reply before
PENDING_MAX = 1 << 20    # bytes that wait for one side: then nothing more is read from the other
READ_BYTES = 1 << 18

UNDECIDED, PLAIN, SUBSCRIBED = range(3)


def frame_end(data, at=0):
    """Where the reply (RESP2) that begins at `at` ends, or None where it is not whole yet."""
    left = 1
    while left > 0:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        kind = data[at:at + 1]
        at, head = line + 2, at + 1
        if kind == b"$":
            at += max(int(data[head:line]) + 2, 0) if data[head:head + 1] != b"-" else 0
        elif kind == b"*":
            left += max(int(data[head:line]), 0)
        elif kind not in (b"+", b"-", b":"):
            raise ValueError(f"no reply of Redis: {bytes(data[head - 1:line][:80])!r}")
        left -= 1
    return at if at <= len(data) else None


class Faults:
    """What happens to publications; each is a probability but `seconds`, the longest delay."""

    def __init__(self, drop=0.0, repeat=0.0, delay=0.0, seconds=0.2):
        self.drop, self.repeat, self.delay, self.seconds = drop, repeat, delay, seconds


class Side:
    """One of the two sockets of a connection, and what waits to be sent there."""

    def __init__(self, link, sock):
        self.link, self.socket, self.other = link, sock, None
        self.pending, self.ended, self.interest = bytearray(), False, 0

    def send(self, data):
        if not self.pending:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            data = data[sent:]
        self.pending += data

    def flush(self):
        try:
            while self.pending:
                del self.pending[:self.socket.send(self.pending)]
        except BlockingIOError:
            pass


class Link:
    """One connection of the instance, and the one to Redis that belongs to it."""

    def __init__(self, client, redis):
        self.client, self.redis = Side(self, client), Side(self, redis)
        self.client.other, self.redis.other = self.redis, self.client
        self.mode, self.frames, self.input = UNDECIDED, 0, bytearray()
        self.hanging = frozenset()
        self.sides = (self.client, self.redis)
        self.open = True


class Relay:
    """The proxy itself: one thread, one selector."""

    def __init__(self, path, seed):
        self.path, self.draw, self.faults = path, random.Random(seed), Faults()
        self.selector, self.links = selectors.DefaultSelector(), set()
        self.held, self.number = [], 0
        self.refusing, self.hanging, self.listening = False, frozenset(), False
        self.counts = dict.fromkeys(["messages", "dropped", "repeated", "delayed", "cut",
                                     "refused"], 0)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.orders, self.running = bytearray(), True

    # --- connections ---

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except BlockingIOError:
            return
        redis = socket.socket(socket.AF_UNIX)
        try:
            if self.refusing:
                raise ConnectionRefusedError
            redis.setblocking(False)
            redis.connect(self.path)
        except OSError:
            self.counts["refused"] += 1
            reset(client)
            redis.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(client, redis)
        self.links.add(link)
        self.watch(link)

    def close(self, link):
        """At once: what is on its way is lost."""
        if not link.open:
            return
        link.open = False
        self.links.discard(link)
        for side in link.sides:
            if side.interest:
                self.selector.unregister(side.socket)
        reset(link.client.socket)
        link.redis.socket.close()

    def wants(self, side):
        """Is what comes from that side to pass?"""
        hanging = self.hanging | side.link.hanging
        if side is side.link.client:
            return "requests" not in hanging
        if "pushes" in hanging and side.link.mode == SUBSCRIBED:
            return False
        return "replies" not in hanging

    def watch(self, link):
        """Tells the selector what is wanted of both sides now."""
        for side in link.sides:
            interest = 0
            if side.pending:
                interest |= selectors.EVENT_WRITE
            if self.wants(side) and not side.ended and len(side.other.pending) < PENDING_MAX:
                interest |= selectors.EVENT_READ
            if interest == side.interest:
                continue
            if not side.interest:
                self.selector.register(side.socket, interest, side)
            elif interest:
                self.selector.modify(side.socket, interest, side)
            else:
                self.selector.unregister(side.socket)
            side.interest = interest

    def on_ready(self, side, events):
        link = side.link
        if not link.open:
            return
        try:
            if events & selectors.EVENT_WRITE:
                side.flush()
            if events & selectors.EVENT_READ:
                data = side.socket.recv(READ_BYTES)
                side.ended = not data
                if side is link.redis:
                    self.from_redis(link, data)
                else:
                    link.redis.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.close(link)
            return
        # What came before an end still goes out; then the connection ends.
        if any(s.ended and not s.other.pending for s in link.sides):
            self.close(link)
        else:
            self.watch(link)

    # --- pushes ---

    def from_redis(self, link, data):
        if link.mode == PLAIN:
            link.client.send(data)
            return
        link.input += data
        at = 0
        while link.mode != PLAIN and (end := frame_end(link.input, at)) is not None:
            self.on_frame(link, bytes(link.input[at:end]))
            at = end
        del link.input[:at]
        if link.mode == UNDECIDED and len(link.input) > FRAME_BYTES_TOLD:
            link.mode = PLAIN
        if link.mode == PLAIN or link.redis.ended:
            link.client.send(bytes(link.input))
            link.input.clear()

    def on_frame(self, link, frame):
        if link.mode == SUBSCRIBED and frame.startswith((b"*3\r\n$7\r\nmessage\r\n",
                                                         b"*4\r\n$8\r\npmessage\r\n")):
            self.on_message(link, frame)
            return
        link.client.send(frame)
        link.frames += 1
        if frame.startswith((b"*3\r\n$9\r\nsubscribe\r\n", b"*3\r\n$10\r\npsubscribe\r\n")):
            link.mode = SUBSCRIBED
        elif link.mode == UNDECIDED and link.frames >= FRAMES_TOLD:
            link.mode = PLAIN

    def on_message(self, link, frame):
        faults, draw = self.faults, self.draw.random
        self.counts["messages"] += 1
        if draw() < faults.drop:
            self.counts["dropped"] += 1
            return
        copies = 1
        if draw() < faults.repeat:
            self.counts["repeated"] += 1
            copies = 2
        for _ in range(copies):
            if draw() < faults.delay:
                self.counts["delayed"] += 1
                self.number += 1
                until = time.monotonic() + draw() * faults.seconds
                heapq.heappush(self.held, (until, self.number, link, frame))
            else:
                link.client.send(frame)

    def send_held(self):
        """Those whose time has come; how long the next one still has."""
        now = time.monotonic()
        while self.held and self.held[0][0] <= now:
            _, _, link, frame = heapq.heappop(self.held)
            if link.open:
                try:
                    link.client.send(frame)
                    self.watch(link)
                except OSError:
                    self.close(link)
        return self.held[0][0] - now if self.held else None

    # --- orders ---

    def obey(self, order):
        do = order.pop("do")
        if do == "faults":
            self.faults = Faults(**order)
        elif do == "refuse":
            self.refusing = order["on"]
        elif do == "hang":
            what = frozenset(order["what"])
            self.hanging = frozenset() if order["present"] else what
            for link in self.links:
                link.hanging = what
            if self.listening != (not {"requests", "replies"} <= self.hanging):
                self.listen(not self.listening)
            for link in list(self.links):
                self.watch(link)
        elif do == "cut":
            links = [k for k in self.links if order["all"] or k.mode == SUBSCRIBED]
            self.counts["cut"] += len(links)
            for link in links:
                self.close(link)
        else:
            assert do == "count", do
        modes = [link.mode for link in self.links]
        return {**self.counts, "connections": len(modes), "subscribed": modes.count(SUBSCRIBED)}

    def on_orders(self):
        data = sys.stdin.buffer.raw.read(65536)
        self.running = bool(data)
        self.orders += data or b""
        while (end := self.orders.find(b"\n")) >= 0:
            answer = self.obey(json.loads(self.orders[:end]))
            del self.orders[:end + 1]
            print(json.dumps(answer), flush=True)

    def listen(self, on):
        self.listening = on
        if on:
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        else:
            self.selector.unregister(self.listener)

    def run(self):
        self.listen(True)
        self.selector.register(sys.stdin, selectors.EVENT_READ, self.on_orders)
        print(json.dumps({"port": self.listener.getsockname()[1]}), flush=True)
        while self.running:
            for key, events in self.selector.select(self.send_held()):
                if isinstance(key.data, Side):
                    self.on_ready(key.data, events)
                else:
                    key.data()


def reset(sock):
    """Closes it so that the other end sees a reset, whatever was on its way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Proxy:
    """The handle of a proxy to the Redis at a unix socket."""

    EVERYTHING = ("requests", "replies")

    def __init__(self, path, seed=0):
        self.process = subprocess.Popen([sys.executable, "-IS", __file__, str(path), str(seed)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.chosen = {}  # the faults of publications

    def _order(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def faults(self, **probabilities):
        """Publications: drop, repeat, delay (probabilities) and seconds (the longest delay)."""
        self.chosen = probabilities
        self._order("faults", **probabilities)

    def cut(self, everything=True):
        """Resets all connections, or those that have subscribed."""
        self._order("cut", all=everything)

    def refuse(self, on=True):
        """New connections are reset."""
        self._order("refuse", on=on)

    def hang(self, *what, present=False):
        """From now on nothing is read of "requests", "replies", "pushes" (only of connections that
        have subscribed), or only of the `present` connections; without any, all goes on, with what
        waited."""
        self._order("hang", what=what, present=present)

    def counts(self):
        return self._order("count")

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(20) == 0, "the proxy failed"
            self.process.stdout.close()


if __name__ == "__main__":
    Relay(sys.argv[1], int(sys.argv[2])).run()
