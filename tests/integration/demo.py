# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/demo shows, after set-up and build."""
import contextlib
import signal
import subprocess
import sys
import unittest

import guests
import harness
import ksm

FULL_SCANS = 2


def merge_a_little(stack):
    """Lets KSM work for a moment and leaves what it merged for the scan; the settings go back with @stack."""
    try:
        stack.enter_context(ksm.borrowed())
    except unittest.SkipTest as e:
        print(f"KSM is left as it is: {e}")
        return
    print("Letting KSM merge for a moment, then stopping it before it is done (put back at the end)")
    ksm.merge(FULL_SCANS, pages_to_scan=2000)


def show(*arguments):
    print(f"\n$ samepage {' '.join(arguments)}", flush=True)
    return subprocess.run(harness.command(*arguments)).returncode


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    harness.wait_for_the_host()
    with contextlib.ExitStack() as stack:
        print("Booting two guests: web1 with private RAM, web2 with shared RAM (memfd)", flush=True)
        web1 = guests.Guest("web1", mib=208, workload={"equal": 24, "copies": 2, "unique": 16, "zero": 8, "seed": 1})
        web2 = guests.Guest("web2", "memfd-shared", 208, workload={"equal": 24, "copies": 2, "unique": 16, "zero": 8, "seed": 2})
        for g in guests.boot(web1, web2):
            stack.enter_context(g)
        merge_a_little(stack)
        code = show("guests", *harness.qmp_arguments([web1, web2]))
        code = show("scan", *harness.qmp_arguments([web1, web2])) or code
        print(f"\nBoth guests run: {', '.join(g.name + ' ' + g.status() for g in (web1, web2))}")
        if code == 0 and (web1.status(), web2.status()) != ("running", "running"):
            code = 1
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (guests.GuestError, unittest.SkipTest) as e:
        print(f"demo: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
