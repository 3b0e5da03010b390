# SPDX-License-Identifier: MIT
"""A strict HTTP/1.1 client whose sending and receiving are two steps, so that tests can pipeline,
race two requests, or stop in the middle of one."""
import json
import re
import socket

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ConnectionLost(Exception):
    """The server closed, or reset, before a whole response was there."""


class Response:
    def __init__(self, status, pairs, body):
        self.status, self.pairs, self.body = status, pairs, body
        self.headers = {name: value for name, value in pairs}

    def json(self):
        return json.loads(self.body)

    @property
    def revision(self):
        """(epoch, revision) of the Fleetbit-Revision."""
        epoch, number = self.headers["fleetbit-revision"].split(".")
        return epoch, int(number)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:2000]!r}>"


def encode(method, target, body=None, headers=None, host="localhost"):
    """A request as bytes. A body that is not bytes goes out as JSON; `headers` win over what is
    added here, and one that is None is left out."""
    fields = {"Host": host}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        fields["Content-Type"] = "application/json"
        fields["Content-Length"] = str(len(body))
    for name, value in (headers or {}).items():
        for known in [k for k in fields if k.lower() == name.lower()]:
            del fields[known]
        if value is not None:
            fields[name] = value
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


class Connection:
    def __init__(self, port, timeout=60):
        self.port, self.timeout = port, timeout
        self.socket, self.rest = None, b""
        self.open()

    def open(self):
        self.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def local_port(self):
        return self.socket.getsockname()[1]

    # --- sending ---

    def send_raw(self, data):
        """Where the server takes no more, it may have answered already: receive() tells."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, method, target, body=None, headers=None):
        self.send_raw(encode(method, target, body, headers))

    # --- receiving ---

    def _more(self):
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost(f"closed after {self.rest[:200]!r}")
        self.rest += data

    def _until(self, mark):
        while mark not in self.rest:
            self._more()
        part, self.rest = self.rest.split(mark, 1)
        return part

    def _exactly(self, count):
        while len(self.rest) < count:
            self._more()
        part, self.rest = self.rest[:count], self.rest[count:]
        return part

    def _chunks(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            body += self._exactly(size)
            assert self._until(b"\r\n") == b"", "a chunk does not end where it says"
            if size == 0:
                return body

    def _head(self):
        lines = self._until(b"\r\n\r\n").split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*", lines[0])
        assert status, f"no status line: {lines[0]!r}"
        pairs = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            assert colon and TOKEN.fullmatch(name), f"no header: {line!r}"
            pairs.append((name.decode().lower(), value.strip().decode("latin-1")))
        return int(status.group(1)), pairs

    def receive(self, method="GET"):
        """The next response that is not an interim one (101 counts as final)."""
        while True:
            status, pairs = self._head()
            if status >= 200 or status == 101:
                break
        names = [name for name, _ in pairs]
        for name in ("content-length", "content-type", "etag", "fleetbit-revision", "location",
                     "x-request-id", "retry-after", "fleetbit-staleness-ms"):
            assert names.count(name) <= 1, f"{name} occurs twice"
        headers = dict(pairs)
        body = b""
        if status in (101, 204, 304) or method == "HEAD":
            pass
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            try:
                while True:
                    self._more()
            except ConnectionLost:
                body, self.rest = self.rest, b""
            self.close()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Response(status, pairs, body)

    def wants(self):
        """After a head with Expect: 100-continue: does the server want the body? Where it does not,
        receive() tells why."""
        while b"\r\n\r\n" not in self.rest:
            self._more()
        if not self.rest.startswith(b"HTTP/1.1 100 "):
            return False
        self._head()
        return True

    # --- both ---

    def request(self, method, target, body=None, headers=None):
        if self.socket is None:
            self.open()
        self.send(method, target, body, headers)
        return self.receive(method)

    def get(self, target, headers=None):
        return self.request("GET", target, None, headers)

    def post(self, target, body, headers=None):
        return self.request("POST", target, body, headers)

    def put(self, target, body, headers=None):
        return self.request("PUT", target, body, headers)

    def patch(self, target, body, headers=None):
        return self.request("PATCH", target, body, headers)

    def delete(self, target, headers=None):
        return self.request("DELETE", target, None, headers)
