# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP server that behaves badly, on a real socket.

Each behaviour is a function of the accepted connection; it may block until the server is closed. The process behind the socket is the
test itself, which is no QEMU: a program that gets past the negotiation finds no guest memory there either.
"""
import json
import os
import socket
import tempfile
import threading

import guests

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}


class FakeQmp:
    """with FakeQmp(behaviour) as path: …"""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.path = os.path.join(tempfile.mkdtemp(dir=guests.tmp_dir()), "fake.sock")
        self.ended = threading.Event()
        self.accepted = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(0.1)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            with connection:
                connection.settimeout(60)
                try:
                    self.behaviour(self, connection)
                except OSError:
                    pass  # the other side had enough: that is its right

    def __enter__(self):
        self.thread.start()
        return self.path

    def __exit__(self, *_):
        self.ended.set()
        self.listener.close()
        self.thread.join(5)


def send(connection, value):
    connection.sendall(json.dumps(value).encode() + b"\r\n")


def silent(server, connection):
    """Accepts, and never says a word."""
    del connection
    server.ended.wait(60)


def garbage(server, connection):
    connection.sendall(bytes(range(1, 10)) * 50 + b"\n\xff\xfe\x00}{][\n" * 10)
    server.ended.wait(60)


def endless_line(server, connection):
    """A greeting that never ends, as fast as it is taken."""
    connection.sendall(b'{"QMP": "')
    while not server.ended.is_set():
        connection.sendall(b"x" * 65536)


def deep_json(server, connection):
    """A greeting 10^6 levels deep, on one line."""
    connection.sendall(b'{"QMP": ' + b"[" * 1000000 + b"]" * 1000000 + b"}\n")
    server.ended.wait(60)


def wrong_greeting(server, connection):
    send(connection, {"hello": "world"})
    server.ended.wait(60)


def half_greeting(_server, connection):
    connection.sendall(b'{"QMP": {"versi')


def closes_after_greeting(_server, connection):
    send(connection, GREETING)
    connection.recv(4096)


def closes_half_way(_server, connection):
    """Negotiates, then dies in the middle of the reply to the first command."""
    send(connection, GREETING)
    connection.recv(4096)
    send(connection, {"return": {}})
    connection.recv(4096)
    connection.sendall(b'{"return": {"na')


def hangs_after_negotiation(server, connection):
    send(connection, GREETING)
    connection.recv(4096)
    send(connection, {"return": {}})
    server.ended.wait(60)


def errors_only(_server, connection):
    """Every command fails."""
    send(connection, GREETING)
    reader = connection.makefile("rb")
    for line in reader:
        request = json.loads(line)
        reply = {"error": {"class": "GenericError", "desc": "no"}}
        if request.get("execute") == "qmp_capabilities":
            reply = {"return": {}}
        if "id" in request:
            reply["id"] = request["id"]
        send(connection, reply)


def event_flood(server, connection):
    """Negotiates, then floods with events and never answers."""
    send(connection, GREETING)
    connection.recv(4096)
    send(connection, {"return": {}})
    event = json.dumps({"event": "RTC_CHANGE", "data": {"offset": 1}, "timestamp": {"seconds": 1, "microseconds": 1}}).encode() + b"\n"
    while not server.ended.is_set():
        connection.sendall(event * 500)


def lies(_server, connection):
    """Speaks QMP well, but its replies are of the wrong types."""
    send(connection, GREETING)
    reader = connection.makefile("rb")
    for line in reader:
        request = json.loads(line)
        reply = {"return": [{"name": 7}, None, -1]}
        if request.get("execute") == "qmp_capabilities":
            reply = {"return": {}}
        if "id" in request:
            reply["id"] = request["id"]
        send(connection, reply)


ALL = (silent, garbage, endless_line, deep_json, wrong_greeting, half_greeting, closes_after_greeting, closes_half_way,
       hangs_after_negotiation, errors_only, event_flood, lies)
