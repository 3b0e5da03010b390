# SPDX-License-Identifier: MIT
"""A provider of plans, and all that can be wrong with one: a small HTTP server whose answer the
test chooses, and that remembers what it was asked."""
import gzip
import socket
import threading
from xml.sax.saxutils import quoteattr

BOMB = ('<!DOCTYPE planList [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(c + 1)} "{f"&{chr(c)};" * 10}">' for c in range(ord("a"), 106))
        + "]><planList><output>&j;</output></planList>").encode()


def element(name, attributes, *inner):
    """XML. Attributes that are None are left out."""
    given = "".join(f" {k}={quoteattr(str(v))}" for k, v in attributes.items() if v is not None)
    return f"<{name}{given}>{''.join(inner)}</{name}>" if inner else f"<{name}{given}/>"


def zone(zone_id="40", price="20.00", capacity=100, name="Platea", numbered="true"):
    return element("zone", {"zone_id": zone_id, "capacity": capacity, "price": price,
                            "name": name, "numbered": numbered})


class Words:
    """The two vocabularies."""

    def __init__(self, root, what):
        self.root, self.what = root, what

    def document(self, *bases):
        return ('<?xml version="1.0" encoding="UTF-8"?>\n' + element(
            self.root, {"version": "1.0"}, element("output", {}, "", *bases))).encode()

    def base(self, base_id, *plans, sell_mode="online", title="Camela", **more):
        return element(f"base_{self.what}",
                       {f"base_{self.what}_id": base_id, "sell_mode": sell_mode, "title": title,
                        **more}, "", *plans)

    def plan(self, plan_id, start="2027-06-30T21:00:00", end="2027-06-30T22:00:00",
             zones=(zone(),), sold_out="false", **more):
        return element(self.what, {f"{self.what}_start_date": start, f"{self.what}_end_date": end,
                                   f"{self.what}_id": plan_id, "sold_out": sold_out, **more},
                       "", *zones)


PLANS, EVENTS = Words("planList", "plan"), Words("eventList", "event")


def one(title="Camela", words=PLANS, **more):
    """The document of one plan."""
    return words.document(words.base("1", words.plan("1", **more), title=title))


class Provider:
    """`answer` is a function of its own: one of the methods below, or of the test. `requests` are
    the heads of those that came."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.requests, self.open = [], set()
        self.closed = threading.Event()
        self.answer = self.fail(500)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/feed.xml"

    def close(self):
        self.closed.set()
        self.listener.close()
        with self.changed:
            for client in self.open:
                client.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with self.changed:
            self.open.add(client)
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            with self.changed:
                self.requests.append(head.decode("latin-1"))
                answer = self.answer
                self.changed.notify_all()
            answer(client, head.decode("latin-1"))
        except OSError:
            pass  # it has gone, which is what it may do
        finally:
            with self.changed:
                self.open.discard(client)
            client.close()

    def wait_asked(self, more=1, seconds=60):
        """Waits until it was asked so often from now on."""
        with self.changed:
            goal = len(self.requests) + more
            assert self.changed.wait_for(lambda: len(self.requests) >= goal, seconds), \
                f"nobody asked {more} times within {seconds} s"
            return self.requests[goal - 1]

    # --- answers ---

    @staticmethod
    def raw(data):
        return lambda client, head: client.sendall(data)

    @classmethod
    def body(cls, body, *fields, status="200 OK", length=None):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}",
                 "Content-Type: text/xml", *fields]
        return cls.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    @classmethod
    def fail(cls, status):
        return cls.body(b"no", status=f"{status} No")

    @classmethod
    def tagged(cls, body, etag):
        """With a validator: 304 for who has it."""
        def answer(client, head):
            if f"if-none-match: {etag}".lower() in head.lower():
                cls.raw(f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode())(client, head)
            else:
                cls.body(body, f"ETag: {etag}")(client, head)
        return answer

    def hang(self, data=b""):
        """Says this much, and nothing more."""
        def answer(client, head):
            client.sendall(data)
            client.recv(1)  # until the client, or the test, has enough
        return answer

    def drip(self, data, pause=0.05):
        """A byte at a time."""
        def answer(client, head):
            for i in range(len(data)):
                client.sendall(data[i:i + 1])
                if self.closed.wait(pause):
                    return
        return answer

    @staticmethod
    def flood(head, piece):
        def answer(client, _):
            client.sendall(head)
            while True:
                client.sendall(piece)
        return answer

    @classmethod
    def zipped(cls, body):
        return cls.body(gzip.compress(body), "Content-Encoding: gzip")


def gzip_bomb(megabytes):
    """A document that is so long, of some kilobytes."""
    return b"<planList>" + b" " * (megabytes << 20) + b"</planList>"
