# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP server whose listener has ended, and whose listener's number is a stranger's by now.

To be run as the init of a PID namespace with a /proc of its own, so that numbers can be chosen and the host's stay as they are:

    unshare --pid --mount-proc --fork python3 stranger.py SOCKET WHOSE

WHOSE memory the server tells of, as the guest's RAM: "victim" (the stranger's) or "own". The commands that it was given are appended to
SOCKET.log. A line of JSON with the numbers of both is printed when all is ready; exit status 77: numbers cannot be chosen here.
"""
import ctypes
import json
import os
import signal
import socket
import sys
import time

NUMBER = 4242
RAM_BYTES = 16 << 20
RAM_AT = {"victim": 0x7E0000000000, "own": 0x7D0000000000}
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS_FIXED = 0x100022  # MAP_FIXED_NOREPLACE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def map_ram(whose):
    assert _libc.mmap(RAM_AT[whose], RAM_BYTES, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_FIXED, -1, 0) == RAM_AT[whose]
    ctypes.memset(RAM_AT[whose], 1, RAM_BYTES)


def fork_as(number, function):
    """A child with this number."""
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(number - 1))
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    assert pid == number, f"the child is {pid}"


class Server:
    """Enough of QMP for a scan."""

    def __init__(self, path, whose):
        self.log = open(f"{path}.log", "a", buffering=1)
        self.hva = RAM_AT[whose]
        self.state = "running"
        map_ram("own")

    def monitor(self, line):
        if line.startswith("gpa2hva"):
            return f"Host virtual address for 0x0 (pc.ram) is {self.hva:#x}\r\n"
        return f'FlatView #0\r\n AS "memory", root: system\r\n  {0:016x}-{RAM_BYTES - 1:016x} (prio 0, ram): pc.ram\r\n'

    def answer(self, command, arguments, say):
        if command in ("stop", "cont"):
            self.state = {"stop": "paused", "cont": "running"}[command]
            say({"event": {"stop": "STOP", "cont": "RESUME"}[command], "data": {}, "timestamp": {"seconds": 1, "microseconds": 1}})
        if command == "human-monitor-command":
            return self.monitor(arguments["command-line"])
        memory = [{"id": "pc.ram", "size": RAM_BYTES, "share": False, "merge": True, "name": "pc.ram", "type": "child<memory-backend-ram>"}]
        return {"query-name": {"name": "guest"}, "query-status": {"status": self.state}, "query-memdev": memory, "qom-list": memory}.get(command, {})

    def serve(self, listener):
        while True:
            connection, _ = listener.accept()

            def say(value):
                connection.sendall(json.dumps(value).encode() + b"\r\n")

            try:
                say({"QMP": {"version": {}, "capabilities": []}})
                for line in connection.makefile("rb"):
                    request = json.loads(line.lstrip(b"\xff"))
                    self.log.write(request["execute"] + "\n")
                    reply = {"return": self.answer(request["execute"], request.get("arguments"), say)}
                    say({**reply, "id": request["id"]} if "id" in request else reply)
            except OSError:
                pass
            connection.close()


def listen_and_leave(path, whose, tell):
    """Makes the socket, passes it on to a child, and ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    server = os.fork()
    if server == 0:
        Server(path, whose).serve(listener)
    os.write(tell, f"{server}\n".encode())


def be_the_victim(tell):
    map_ram("victim")
    os.write(tell, b"ready\n")
    signal.pause()


def main():
    path, whose = sys.argv[1:]
    if os.getpid() != 1:
        sys.exit("to be run in a PID namespace of its own")
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        sys.exit(77)
    told, tell = os.pipe()
    with os.fdopen(told) as lines:
        fork_as(NUMBER, lambda: listen_and_leave(path, whose, tell))
        server = int(lines.readline())
        os.waitpid(NUMBER, 0)
        fork_as(NUMBER, lambda: be_the_victim(tell))
        lines.readline()
    print(json.dumps({"victim": NUMBER, "server": server}), flush=True)
    while True:
        time.sleep(60)


main()
