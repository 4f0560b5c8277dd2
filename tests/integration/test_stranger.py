# SPDX-License-Identifier: GPL-2.0-or-later
"""The number that the kernel gives for a socket may be a stranger's: he is neither read nor is anything done to him."""
import json
import os
import subprocess
import sys
import unittest

import guests
import harness


class Stranger(unittest.TestCase):
    """Each case has a PID namespace of its own, see stranger.py."""

    def begin(self, whose):
        self.path = harness.own_copy("qmp.sock")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stranger.py")
        self.process = subprocess.Popen(["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", sys.executable, script, self.path, whose],
                                        stdout=subprocess.PIPE, text=True, preexec_fn=guests.die_with_parent)
        self.addCleanup(self.end)
        line = self.process.stdout.readline()
        if not line and self.process.wait() == 77:
            self.skipTest("numbers of processes cannot be chosen here")
        self.numbers = json.loads(line)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def run_inside(self, *arguments):
        init = harness.children(self.process.pid)[0]
        return subprocess.run(["nsenter", "-t", str(init), "-p", "-m", *harness.command(*arguments, "--qmp", self.path)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=harness.SCAN_SECONDS)

    def commands(self):
        with open(f"{self.path}.log") as f:
            return f.read().split()

    def test_refused(self):
        """The server tells of the stranger's memory: with his number, and where he really has some."""
        self.begin("victim")
        for arguments in (("scan", "--json"), ("guests", "--json"), ("reclaim", "--json"), ("reclaim", "--apply", "--json")):
            with self.subTest(arguments=arguments):
                done = self.run_inside(*arguments)
                self.assertIn(done.returncode, (1, 3), done.stdout + done.stderr)
                self.assertIn("none of the 1 that hold the other end of the socket maps it", done.stdout + done.stderr)
                self.assertNotIn(str(self.numbers["victim"]), done.stdout + done.stderr)
        self.assertIn("query-memdev", self.commands())
        self.assertNotIn("stop", self.commands())

    def test_found_all_the_same(self):
        """A QEMU to which a process passed its socket that has ended since, and whose number is a stranger's."""
        self.begin("own")
        done = self.run_inside("scan", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        guest = json.loads(done.stdout)["guests"][0]
        self.assertEqual(guest["pid"], self.numbers["server"])
        self.assertEqual(guest["present_bytes"], 16 * guests.MIB)


if __name__ == "__main__":
    harness.main()
