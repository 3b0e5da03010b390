# SPDX-License-Identifier: MIT
"""A small HTTP/2 client over TCP without TLS: by prior knowledge, or by an upgrade of HTTP/1.1."""
import json
import socket

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from http1 import Connection, ConnectionLost, Response


class StreamReset(Exception):
    """The server reset the stream; `code` says why."""

    def __init__(self, stream, code):
        super().__init__(f"stream {stream} was reset with code {code}")
        self.code = code


class H2:
    def __init__(self, port, timeout=60, upgrade=None):
        """`upgrade` is the target of a GET that asks for HTTP/2; its response is that of stream
        1. Without it, HTTP/2 begins at once."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams, self.goaway, self.wire = {}, None, b""
        if upgrade is None:
            self.connection.initiate_connection()
        else:
            self._upgrade(upgrade)
        self.connection.increment_flow_control_window(1 << 24)
        self._flush()

    def _upgrade(self, target):
        settings = self.connection.initiate_upgrade_connection().decode()
        http1 = Connection.__new__(Connection)
        http1.socket, http1.rest = self.socket, b""
        http1.send("GET", target, None, {"Connection": "Upgrade, HTTP2-Settings",
                                         "Upgrade": "h2c", "HTTP2-Settings": settings})
        switched = http1.receive()
        assert switched.status == 101, switched
        assert switched.headers["upgrade"].lower() == "h2c", switched
        self.streams[1] = {"pairs": None, "body": b"", "ended": False, "reset": None}
        if http1.rest:
            self._take(http1.rest)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- the wire ---

    def _flush(self):
        data = self.connection.data_to_send()
        try:
            if data:
                self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionLost(str(error)) from error

    def _frames(self, data):
        """The whole frames of what has come so far, but for GOAWAY: python-h2 takes it for the end
        of the connection, while the streams that are open go on (RFC 9113, section 6.8)."""
        self.wire += data
        frames = b""
        while len(self.wire) >= 9:
            length = 9 + int.from_bytes(self.wire[:3], "big")
            if len(self.wire) < length:
                break
            frame, self.wire = self.wire[:length], self.wire[length:]
            if frame[3] == 7:
                self.goaway = int.from_bytes(frame[13:17], "big")
            else:
                frames += frame
        return frames

    def _take(self, data):
        for event in self.connection.receive_data(self._frames(data)):
            stream = self.streams.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                stream["pairs"] = list(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                stream["body"] += event.data
                if event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length,
                                                              event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                stream["ended"] = True
            elif isinstance(event, h2.events.StreamReset) and stream:
                stream["reset"] = event.error_code

    def pump(self):
        """Waits for the next bytes of the server and takes them."""
        self._flush()
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost("closed")
        self._take(data)
        self._flush()

    # --- requests ---

    def begin(self, method, target, body=None, headers=None, declare=True):
        """Sends a request and returns its stream."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        stream = self.connection.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost"),
                  (":path", target)]
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if body is not None:
            given.setdefault("content-type", "application/json")
            if declare:
                given["content-length"] = str(len(body))
        fields += given.items()
        self.streams[stream] = {"pairs": None, "body": b"", "ended": False, "reset": None}
        self.connection.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            self._send_body(stream, body)
        self._flush()
        return stream

    def _send_body(self, stream, body):
        state = self.streams[stream]
        while body and not state["ended"] and state["reset"] is None:
            room = min(self.connection.local_flow_control_window(stream),
                       self.connection.max_outbound_frame_size)
            if room == 0:
                self.pump()
                continue
            try:
                self.connection.send_data(stream, body[:room])
            except h2.exceptions.StreamClosedError:
                return
            body = body[room:]
            self._flush()
        if not state["ended"] and state["reset"] is None:
            self.connection.end_stream(stream)

    def finish(self, stream):
        state = self.streams[stream]
        while not state["ended"] and state["reset"] is None:
            self.pump()
        if not state["ended"]:
            raise StreamReset(stream, state["reset"])
        del self.streams[stream]
        pairs = [(name, value) for name, value in state["pairs"] if not name.startswith(":")]
        return Response(int(dict(state["pairs"])[":status"]), pairs, state["body"])

    def request(self, method, target, body=None, headers=None, declare=True):
        return self.finish(self.begin(method, target, body, headers, declare))
