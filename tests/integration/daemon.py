# SPDX-License-Identifier: GPL-2.0-or-later
"""A samepaged of the test's own: its configuration, sockets, history and port lie in a temporary folder."""
import json
import os
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import guests
import harness

BINARY = harness.BINARY + "d"
READY_SECONDS = 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Refused(Exception):
    """The daemon answered with an error."""


class Control:
    """One connection to a control socket, spoken by hand."""

    def __init__(self, path, seconds=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)  # without a timeout, which would make it fail where it has to wait
        self.socket.settimeout(seconds)
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.events = []
        self.greeting = json.loads(self.file.readline())

    def read(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the daemon closed the connection")
        return json.loads(line)

    def send(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments, "id": command}) + "\n")
        self.file.flush()

    def answer(self):
        while True:
            line = self.read()
            if "event" not in line:
                break
            self.events.append(line)
        if "error" in line:
            raise Refused(line["error"]["desc"])
        return line["return"]

    def __call__(self, command, **arguments):
        self.send(command, **arguments)
        return self.answer()

    def wait_event(self, name):
        while True:
            line = self.events.pop(0) if self.events else self.read()
            if line.get("event") == name:
                return line["data"]

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Daemon:
    """Options of the configuration are given as {section: {key: value}}, over the defaults of a test."""

    def __init__(self, sockets=(), start=True, prefix=(), **sections):
        self.prefix = list(prefix)  # like ["nsenter", …], for a daemon in namespaces
        self.folder = tempfile.mkdtemp(dir=guests.tmp_dir())
        self.port = free_port()
        self.control_path = self.path("control.sock")
        self.runtime_dir = self.path("run")
        self.history = self.path("history.db")
        self.sections = {
            "guests": {"libvirt_uri": "none", "qmp_sockets": "\n  ".join(f'"{s}"' for s in sockets)},
            "groups": {},
            "schedule": {"interval": "never", "jitter": "0", "min_gap": "0"},
            "scan": {},
            "history": {"file": self.history},
            "metrics": {"address": f"127.0.0.1:{self.port}"},
            "control": {"socket": self.control_path},
            "paths": {"runtime_dir": self.runtime_dir},
        }
        self.process = self.notify = None
        self.configure(**sections)
        guests.at_end(self.kill)
        if start:
            self.start()

    def path(self, name):
        return os.path.join(self.folder, name)

    def configure(self, **sections):
        for section, options in sections.items():
            self.sections[section].update(options)
        with open(self.path("conf"), "w", encoding="utf-8") as f:
            for section, options in self.sections.items():
                f.write(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))

    def start(self):
        """Starts it and waits until it says that it is ready, as systemd would."""
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.path("notify"))
        self.said = queue.Queue()
        self.listener = threading.Thread(target=self._listen, args=(self.notify, self.said), daemon=True)
        self.listener.start()
        self.log_file = open(self.path("log"), "ab")
        self.process = subprocess.Popen([*self.prefix, BINARY, "-c", self.path("conf")], stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
                                        env={**os.environ, "NOTIFY_SOCKET": self.path("notify")}, preexec_fn=guests.die_with_parent)
        self.wait_notify("READY=1")

    @staticmethod
    def _listen(notify, said):
        """Always reads, as systemd does: a full socket would hold up the daemon."""
        while True:
            try:
                lines = notify.recv(4096).decode().splitlines()
            except OSError:
                return
            if not lines:
                return
            for line in lines:
                said.put(line)

    def wait_notify(self, word):
        while True:
            try:
                if self.said.get(timeout=READY_SECONDS) == word:
                    return
            except queue.Empty:
                raise AssertionError(f"samepaged never said {word}: {self.log()}") from None

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait_notify("READY=1")

    def stop(self):
        """Ends it as systemd would; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._close()
        if code != 0:
            raise AssertionError(f"samepaged ended with {code}: {self.log()}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self):
        if self.notify:
            self.notify.shutdown(socket.SHUT_RDWR)
            self.listener.join()
            self.notify.close()
            self.notify = None
            self.log_file.close()
            if os.path.exists(self.path("notify")):
                os.unlink(self.path("notify"))

    def control(self, **kwargs):
        return Control(self.control_path, **kwargs)

    def __call__(self, command, **arguments):
        with self.control() as control:
            return control(command, **arguments)

    def scan(self, **arguments):
        return self("scan", wait=True, **arguments)

    def metrics(self, accept=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def figure(self, name, **labels):
        """One figure of the metrics; None when it is not there."""
        for line in self.metrics().splitlines():
            match = re.fullmatch(r"([a-z_:]+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name and dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")) == labels:
                return float(match[3])
        return None

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) * 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/schedstat") as f:
            return int(f.read().split()[0]) / 1e9

    def wait_for(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come: {self.log()}")
            time.sleep(0.05)
