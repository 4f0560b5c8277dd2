# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the program under test, and running test cases.

Environment: SAMEPAGE is the binary (default: build/samepage of this checkout). A test file run alone takes words as arguments: only
the cases whose name contains one of them are run. Exit status 0, 1 when a case failed, 77 when none could run.
"""
import fcntl
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import guests
import ksm

BINARY = os.path.abspath(os.environ.get("SAMEPAGE", os.path.join(guests.TESTS, "..", "build", "samepage")))
SCAN_SECONDS = 120
HOST_SECONDS = 300

# A host without these cannot run the tests at all.
_NEEDED = ("/proc/kpageflags", "/proc/self/pagemap")


def runtime_dir():
    """An own folder for leases, so that tests run beside a daemon and beside each other."""
    path = os.path.join(guests.tmp_dir(), "run")
    os.makedirs(path, exist_ok=True)
    return path


def command(*arguments):
    """The program with an own runtime folder."""
    return [BINARY, arguments[0], "--runtime-dir", runtime_dir(), *arguments[1:]]


def run(*arguments, seconds=SCAN_SECONDS, **popen):
    """Runs `samepage ARGUMENTS` to its end; a hang fails the test. It must not write what looks like a crash."""
    popen.setdefault("preexec_fn", guests.die_with_parent)
    done = subprocess.run(command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", timeout=seconds, **popen)
    if done.returncode < 0:
        raise AssertionError(f"samepage died of signal {-done.returncode}: {done.stderr}")
    return done


def start(*arguments, **popen):
    """Starts `samepage ARGUMENTS`; the caller ends it."""
    return subprocess.Popen(command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, errors="replace", preexec_fn=guests.die_with_parent, **popen)


def qmp_arguments(some_guests):
    """--qmp SOCKET for each."""
    return [a for g in some_guests for a in ("--qmp", g if isinstance(g, str) else g.socket)]


def scan(some_guests, *arguments, code=0, **popen):
    """`samepage scan --json` of these guests: the parsed report. Another exit status fails the test."""
    done = run("scan", *qmp_arguments(some_guests), "--json", *arguments, **popen)
    if done.returncode != code:
        raise AssertionError(f"samepage scan ended with {done.returncode}, not {code}: {done.stderr or done.stdout[-2000:]}")
    return json.loads(done.stdout)


def children(pid):
    """The processes that this one started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def by_name(report):
    """The guests of a report by name."""
    return {g["name"]: g for g in report["guests"]}


def own_copy(path):
    """A path below the temporary folder, for a file of the test."""
    return os.path.join(tempfile.mkdtemp(dir=guests.tmp_dir()), path)


def _can_run():
    if os.geteuid() != 0:
        return "root is needed to read the memory of guests"
    if not os.access(BINARY, os.X_OK):
        return f"{BINARY} is not built"
    for path in _NEEDED:
        if not os.path.exists(path):
            return f"this kernel has no {path}"
    return None


class _Result(unittest.TestResult):
    """One line per case, as it ends."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failed = 0

    def startTest(self, test):
        super().startTest(test)
        self._begin = time.monotonic()
        self._sub_failed = False

    def _say(self, word, test, detail=""):
        name = test.id().split("__main__.")[-1]
        seconds = time.monotonic() - getattr(self, "_begin", time.monotonic())
        print(f"{word:4} {name} ({seconds:.1f} s){detail}", flush=True)

    def addSuccess(self, test):
        if not self._sub_failed:
            self.passed += 1
            self._say("ok", test)

    def _fail(self, test, err):
        self.failed += 1
        self._say("FAIL", test)
        text = self._exc_info_to_string(err, test)  # without the frames of unittest itself
        print("".join(f"     {line}\n" for line in text.splitlines()), end="", flush=True)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addError(self, test, err):
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is None:
            return
        if self._sub_failed:  # one case fails once, however many parts of it do
            self.failed -= 1
        self._sub_failed = True
        self._fail(subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say("skip", test, f": {reason}")


def _cases(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from _cases(t)
        else:
            yield t


def wait_for_the_host(seconds=HOST_SECONDS):
    """Test runs of other checkouts on this host would see our KSM merging and huge pages: one at a time.

    Held until everything is put back: the next run would take a setting of ours for the host's. That is at exit, or when
    guests.put_back() is called with what this gives.
    """
    try:
        lock = open(os.path.join(ksm.DIR, "run"))
    except OSError:
        return len(guests._undo)
    held = guests.at_end(lock.close)
    deadline = time.monotonic() + seconds
    said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        except BlockingIOError:
            if time.monotonic() > deadline:
                print(f"     another test run held this host for {seconds} s: going on beside it")
                return held
            if not said:
                print("     waiting for another test run on this host", flush=True)
                said = True
            time.sleep(0.5)


def main():
    name = os.path.basename(sys.argv[0])
    reason = _can_run()
    if reason:
        print(f"skip {name}: {reason}\n# {name}: 0 passed, 0 failed, 1 skipped")
        sys.exit(77)

    wait_for_the_host()
    guests.quiet_khugepaged()
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    words = sys.argv[1:]
    if words:
        suite = unittest.TestSuite(t for t in _cases(suite) if any(fnmatch.fnmatch(t.id(), f"*{w}*") for w in words))
    result = _Result()
    try:
        suite.run(result)
    except guests.Ended as ended:
        sys.exit(ended.code)
    skipped = len(result.skipped)
    print(f"# {name}: {result.passed} passed, {result.failed} failed, {skipped} skipped", flush=True)
    if result.failed:
        sys.exit(1)
    sys.exit(77 if skipped and not result.passed else 0)


def need(program):
    if shutil.which(program) is None:
        raise unittest.SkipTest(f"{program} is not installed")
