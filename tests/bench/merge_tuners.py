# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to run KSM that tests/bench/merge compares. Each starts from the kernel's defaults, with KSM off and nothing merged."""
import json
import os
import re
import subprocess
import tempfile
import time

import daemon
import guests
import harness
import ksm
import merge_workload

# A host's settings are not always these: what ran before may have left others.
KERNEL_DEFAULTS = {
    "advisor_mode": "none",  # first: pages_to_scan cannot be set under an advisor
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "merge_across_nodes": 1,
    "use_zero_pages": 0,
    "max_page_sharing": merge_workload.MAX_PAGE_SHARING,
    "stable_node_chains_prune_millisecs": 2000,
    "smart_scan": 1,
    "advisor_max_cpu": 70,
    "advisor_target_scan_time": 200,
    "advisor_min_pages_to_scan": 500,
    "advisor_max_pages_to_scan": 30000,
}


def kernel_defaults():
    """For use within ksm.borrowed()."""
    for name, value in KERNEL_DEFAULTS.items():
        if os.path.exists(os.path.join(ksm.DIR, name)):
            ksm.write(name, value)


class Tuner:
    """One way. @name: for --tuner. @title: in the table."""

    def unavailable(self):
        """Why it cannot run here, or None."""
        return None

    def predict(self, running):
        """Bytes that it says will be saved by guests that were there from the start, or None where it does not say."""
        return None

    def start(self, running):
        raise NotImplementedError

    def stop(self):
        """Also after a start that failed."""

    def settings(self):
        """KSM settings that have to be in force as long as it runs, for ways that do not change them themselves."""
        return {}

    def cpu_seconds(self):
        """Of the tuner itself, ksmd not included."""
        return 0.0

    def notes(self):
        """Sentences for the reader of the table."""
        return []


class Fixed(Tuner):
    """Settings that are written once."""

    fixed = {}

    def start(self, running):
        for name, value in self.fixed.items():
            ksm.write(name, value)

    def settings(self):
        return self.fixed


class Kernel(Fixed):
    name = "kernel"
    title = "KSM at kernel defaults"
    fixed = {"pages_to_scan": 100, "sleep_millisecs": 20, "run": 1}


class Advisor(Fixed):
    name = "advisor"
    title = "the kernel's scan-time advisor"
    fixed = {"advisor_mode": "scan-time", "sleep_millisecs": 20, "run": 1}

    def unavailable(self):
        return None if os.path.exists(os.path.join(ksm.DIR, "advisor_mode")) else "this kernel has no advisor (Linux 6.8 has)"

    def notes(self):
        return [f"{ksm.number('pages_to_scan')} pages per wake at the end"]


class Full(Fixed):
    name = "full"
    title = "KSM at full speed for ever"
    fixed = {"pages_to_scan": 5000, "sleep_millisecs": 0, "run": 1}


class Ksmtuned(Tuner):
    """The script of Debian's package, unpacked by tests/lib/setup.sh and never installed: it would start with the host.

    It leaves its loop behind in the background, which a shell around it ends when its input ends, whatever becomes of this program.
    """

    name = "ksmtuned"
    title = "ksmtuned, stock"
    environment = {}

    AROUND = '. "$0"; read -r _; loop=$(cat "$PIDFILE"); kill "$loop" $(cat "/proc/$loop/task/$loop/children")'

    def __init__(self):
        self.process = None
        self.loop = 0
        self.script = next((p for p in (os.path.join(guests.CACHE, "ksmtuned", "ksmtuned"), "/usr/sbin/ksmtuned") if os.path.exists(p)), None)

    def unavailable(self):
        return None if self.script else f"ksmtuned is not there (tests/lib/setup.sh check unpacks it into {guests.CACHE})"

    def start(self, running):
        pid_file = os.path.join(tempfile.mkdtemp(dir=guests.tmp_dir()), "pid")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KSM_")}
        self.process = subprocess.Popen(["bash", "-c", self.AROUND, self.script], stdin=subprocess.PIPE,
                                        env={**clean, **self.environment, "PIDFILE": pid_file})
        deadline = time.monotonic() + 10
        while not self.loop:
            time.sleep(0.01)
            if os.path.exists(pid_file):
                with open(pid_file) as f:
                    self.loop = int(f.read() or 0)
            elif time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("ksmtuned did not start")

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process = None

    def cpu_seconds(self):
        return merge_workload.process_cpu_seconds(self.loop) if self.loop else 0.0

    def notes(self):
        found = [f"at the end run = {ksm.read('run')}, {ksm.read('pages_to_scan')} pages per {ksm.read('sleep_millisecs')} ms"]
        if _says_something("/etc/ksmtuned.conf"):
            found.append("with this host's /etc/ksmtuned.conf, which is not the stock one")
        return found


class KsmtunedShort(Ksmtuned):
    """Its threshold above all of the memory: it does what it does on a host that has none left."""

    name = "ksmtuned-short"
    title = "ksmtuned, as if memory were short"
    environment = {"KSM_THRES_COEF": "100"}


def _says_something(path):
    try:
        with open(path) as f:
            return any(re.match(r"\s*[^#\s]", line) for line in f)
    except OSError:
        return False


class Samepage(Tuner):
    name = "samepage"
    title = "samepage"
    # What `samepage tune --dry-run --json` calls the bytes that it expects to be saved.
    PREDICTED = ("self_bytes", "inter_bytes", "zero_bytes")

    def __init__(self):
        self.service = None

    def _service(self, sockets):
        """Defaults but for what lies elsewhere, and for acting."""
        service = daemon.Daemon(sockets, start=False)
        for section in ("schedule", "scan", "groups"):
            service.sections[section] = {}
        service.sections["metrics"] = {"address": "none"}
        service.sections["merge"] = {"policy": "act", "cross_group": "yes"}
        service.configure()
        return service

    def unavailable(self):
        service = self._service([])
        # A section that it does not know is a warning: without it the service would run, and do nothing.
        checked = subprocess.run([daemon.BINARY, "--check-config", "-c", service.path("conf")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True)
        if checked.returncode == 0 and not checked.stdout:
            return None
        return f"samepaged cannot act: {checked.stdout.strip().splitlines()[0].rsplit('conf:', 1)[-1]}"

    def predict(self, running):
        done = harness.run("tune", "--dry-run", "--cross-group", "--json", *harness.qmp_arguments(running))
        try:
            return sum(json.loads(done.stdout)["merge"][key] for key in self.PREDICTED)
        except (ValueError, KeyError, TypeError):
            return None

    def start(self, running):
        # A pattern, as an operator would write it: the guest that arrives has its socket in a folder of its own below the same one.
        self.service = self._service([os.path.join(guests.tmp_dir(), "merge*", "qmp.sock")])
        self.service.start()

    def stop(self):
        if self.service:
            service, self.service = self.service, None
            service.stop()

    def cpu_seconds(self):
        service = self.service
        return merge_workload.process_cpu_seconds(service.process.pid) if service and service.process else 0.0


BY_NAME = {t.name: t for t in (Full, Kernel, Advisor, Ksmtuned, KsmtunedShort, Samepage)}
