# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's KSM settings, borrowed: whatever a test changes is put back, also when it fails."""
import contextlib
import os
import time
import unittest

import guests

DIR = "/sys/kernel/mm/ksm"


def read(name):
    with open(os.path.join(DIR, name)) as f:
        return f.read().strip()


def write(name, value):
    with open(os.path.join(DIR, name), "w") as f:
        f.write(str(value))


def number(name):
    return int(read(name))


def settings():
    """The writable files and their values; advisor_mode marks the chosen word with brackets."""
    found = {}
    for name in sorted(os.listdir(DIR)):
        if os.stat(os.path.join(DIR, name)).st_mode & 0o200:
            value = read(name)
            found[name] = next((w.strip("[]") for w in value.split() if w.startswith("[")), value)
    return found


def _put_back(saved):
    write("run", 2)  # un-merges everything: allowed on a test machine only
    now = settings()
    for name, value in saved.items():
        if name != "run" and now.get(name) != value:
            write(name, value)
    write("run", saved["run"])


@contextlib.contextmanager
def borrowed():
    """KSM is stopped and nothing is merged when the block begins; all settings are as before when it ends."""
    if not os.access(os.path.join(DIR, "run"), os.W_OK):
        raise unittest.SkipTest(f"{DIR}/run cannot be written")
    saved = settings()
    if saved["run"] == "1":
        raise unittest.SkipTest("KSM is in use on this host; the test would un-merge its pages")
    # Twice on purpose: a process that ends inside the block without unwinding still puts the settings back at exit.
    entry = (_put_back, (saved,))
    guests._undo.append(entry)
    try:
        write("run", 2)
        write("run", 0)
        yield
    finally:
        if entry in guests._undo:  # else a process that was ended has put them back already
            _put_back(saved)
            guests._undo.remove(entry)


def merge(full_scans=3, pages_to_scan=5000, sleep_millisecs=0, seconds=120):
    """Runs ksmd for @full_scans more passes, then stops it (run=0: merged pages stay merged)."""
    write("pages_to_scan", pages_to_scan)
    write("sleep_millisecs", sleep_millisecs)
    until = number("full_scans") + full_scans
    deadline = time.monotonic() + seconds
    write("run", 1)
    try:
        while number("full_scans") < until:
            if time.monotonic() > deadline:
                raise TimeoutError(f"ksmd made {number('full_scans')} passes, not {until}, in {seconds} s")
            time.sleep(0.02)
    finally:
        write("run", 0)


def merge_part(pages, seconds=60):
    """Runs ksmd until about @pages were merged, then stops it."""
    write("pages_to_scan", 500)
    write("sleep_millisecs", 1)
    deadline = time.monotonic() + seconds
    write("run", 1)
    try:
        while number("pages_sharing") < pages:
            if time.monotonic() > deadline:
                raise TimeoutError(f"ksmd merged {number('pages_sharing')} pages, not {pages}, in {seconds} s")
            time.sleep(0.005)
    finally:
        write("run", 0)
