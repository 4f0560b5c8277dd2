# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the command line: exit codes, the JSON's keys, what a person sees."""
import json
import os
import pty
import re
import socket
import subprocess
import threading
import time
import unittest

import guests
import harness
import ksm
from guests import Guest

SCAN_KEYS = {"id", "started", "mode", "together", "duration_seconds", "recheck_seconds", "page_size", "complete", "note"}
HOST_KEYS = {"name", "kernel", "memory_bytes"}
GUEST_KEYS = {"name", "uuid", "group", "pid", "via", "found_state", "consistency", "pause_seconds", "pauses", "scan_seconds", "ram_bytes",
              "present_bytes", "absent_bytes", "swapped_bytes", "zero_bytes", "distinct_bytes", "self_sharing_bytes",
              "inter_sharing_bytes", "actual", "blocks", "error"}
GUEST_ACTUAL_KEYS = {"saved_bytes", "ksm_bytes", "self_bytes", "inter_bytes", "zero_bytes"}
BLOCK_KEYS = {"id", "size_bytes", "present_bytes", "backend", "shared", "page_size", "reader", "ksm_eligible", "reason"}
IDEAL_KEYS = {"present_bytes", "zero_bytes", "distinct_bytes", "self_sharing_bytes", "inter_sharing_bytes"}
ACTUAL_KEYS = {"saved_bytes", "self_bytes", "inter_bytes", "zero_bytes"}
REASON_KEYS = {"reason", "bytes", "guests", "guest_bytes", "remedy"}
REASONS = {"shared-mapping", "hugetlb", "not-mergeable", "ksm-off", "not-scanned-yet", "numa", "volatile", "huge-page", "sharing-limit",
           "pinned", "unexplained"}
COLUMNS = ["GUEST", "GROUP", "RAM", "PRESENT", "ZERO", "SELF", "INTER", "MERGED", "PAUSE"]


class Usage(unittest.TestCase):
    def test_help(self):
        for arguments in (["--help"], ["scan", "--help"], ["guests", "--help"], ["resume", "--help"]):
            with self.subTest(arguments=arguments):
                done = subprocess.run([harness.BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, "")
                self.assertIn("samepage", done.stdout)
        done = subprocess.run([harness.BINARY, "--help"], capture_output=True, text=True, timeout=20)
        for word in ("guests", "scan", "resume", "--qmp", "--max-pause", "--json", "--together", "--mode"):
            self.assertIn(word, done.stdout + subprocess.run([harness.BINARY, "scan", "--help"], capture_output=True, text=True).stdout)

    def test_version(self):
        done = subprocess.run([harness.BINARY, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"samepage \d+\.\d+")

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["scan", "--nonsense"], ["guests", "--nonsense"], ["resume", "--nonsense"], ["scan", "--qmp"],
                          ["scan", "--mode"], ["scan", "stray"], ["guests", "stray"]):
            with self.subTest(arguments=arguments):
                done = subprocess.run([harness.BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertTrue(done.stderr.strip())

    def test_misspelled_option(self):
        for word, meant in (("--max-puase=5ms", "--max-pause"), ("--jsn", "--json"), ("--xyzzy", None), ("---", None), ("--for-servise=1", None)):
            with self.subTest(word=word):
                done = subprocess.run([harness.BINARY, "scan", word], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual("did you mean" in done.stderr, meant is not None, done.stderr)
                self.assertIn(f'did you mean "{meant}"?' if meant else word.split("=")[0], done.stderr)

    def test_old_names(self):
        """They are taken as ever, and no text tells of them."""
        done = subprocess.run([harness.BINARY, "tune", "--zero-pages", "maybe"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertIn('--use-zero-pages: "maybe"', done.stderr)
        done = subprocess.run([harness.BINARY, "tune", "--zero-pages", "no", "--undo", "--dry-run"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20)
        self.assertIn("--undo and --dry-run", done.stderr)

    def test_no_control_socket(self):
        for command in ("history", "watch"):
            with self.subTest(command=command):
                done = subprocess.run([harness.BINARY, command, "--control", "none"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn("--control none", done.stderr)

    def test_resume_with_nothing_to_do(self):
        """Also where no scan ever ran, and there is no folder of leases."""
        for folder in (harness.runtime_dir(), os.path.join(guests.tmp_dir(), "never")):
            done = subprocess.run([harness.BINARY, "resume", "--stale", "--runtime-dir", folder], capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr, "")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.BINARY, "--help"], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)


class Watch(unittest.TestCase):
    def test_foreign_text(self):
        """A service that is none of ours cannot reach the terminal: what it is about is made printable."""
        path = os.path.join(guests.tmp_dir(), "watched.sock")

        def serve(listener):
            connection, _ = listener.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as stream:
                def say(message):
                    stream.write(json.dumps(message) + "\n")
                    stream.flush()
                say({"samepage": {}})
                for line in stream:
                    asked = json.loads(line)
                    if asked["execute"] == "query-report":
                        say({"error": {"desc": "none\x1b[2J yet"}, "id": asked["id"]})
                        break
                    say({"return": {"running": {"kind": "resu\x1b[2Jme"}, "waiting": []}, "id": asked["id"]})

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            server = threading.Thread(target=serve, args=(listener,), daemon=True)
            server.start()
            done = subprocess.run([harness.BINARY, "watch", "--interval", "1", "--control", path], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=20)
            server.join(20)
        self.assertIn("  resu?[2Jme\n", done.stdout)
        self.assertIn("none?[2J yet\n", done.stdout)
        self.assertNotIn("\x1b", done.stdout + done.stderr)


def watch_threads(process):
    """{(CPUs it may use, scheduling policy)} of the threads that a program was seen to have, its first one apart, and those of that."""
    workers, first = set(), set()
    while process.poll() is None:
        try:
            for task in os.listdir(f"/proc/{process.pid}/task"):
                found = frozenset(os.sched_getaffinity(int(task))), os.sched_getscheduler(int(task))
                (first if int(task) == process.pid else workers).add(found)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return workers, first


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        content = guests.content_file(24, equal_mib=4, zero_mib=4, seed=3)
        cls.first = Guest("first", mib=96, linux=False, content=content)
        cls.second = Guest("second", "memfd-shared", 96, linux=False, content=content)
        guests.boot(cls.first, cls.second)
        cls.both = [cls.first, cls.second]

    @classmethod
    def tearDownClass(cls):
        for g in cls.both:
            g.kill()

    def test_json_keys(self):
        """Every key of the contract is there; more may be."""
        report = harness.scan(self.both)
        self.assertEqual(report["schema"], "samepage.scan.v1")
        self.assertLessEqual({"schema", "scan", "host", "guests", "ideal", "actual", "ksm", "gap"}, set(report))
        self.assertLessEqual(SCAN_KEYS, set(report["scan"]))
        self.assertLessEqual(HOST_KEYS, set(report["host"]))
        self.assertLessEqual(IDEAL_KEYS, set(report["ideal"]))
        self.assertLessEqual(ACTUAL_KEYS, set(report["actual"]))
        self.assertLessEqual({"bytes", "reasons"}, set(report["gap"]))
        for g in report["guests"]:
            self.assertLessEqual(GUEST_KEYS, set(g))
            self.assertLessEqual(GUEST_ACTUAL_KEYS, set(g["actual"]))
            for b in g["blocks"]:
                self.assertLessEqual(BLOCK_KEYS, set(b))
        for r in report["gap"]["reasons"]:
            self.assertLessEqual(REASON_KEYS, set(r))
            self.assertIn(r["reason"], REASONS)
            self.assertLessEqual(set(r["guests"]), {"first", "second"})

    def test_json_values(self):
        report = harness.scan(self.both)
        self.assertEqual(report["scan"]["mode"], "snapshot")
        self.assertEqual(report["scan"]["page_size"], 4096)
        self.assertIs(report["scan"]["together"], False)
        self.assertIs(report["scan"]["complete"], True)
        self.assertGreater(report["scan"]["duration_seconds"], 0)
        self.assertEqual(report["host"]["kernel"], os.uname().release)
        self.assertEqual(report["host"]["name"], os.uname().nodename)
        self.assertEqual([g["pid"] for g in report["guests"]], [g.pid for g in self.both])
        for g in report["guests"]:
            self.assertEqual((g["found_state"], g["consistency"], g["pauses"], g["via"]), ("running", "exact", 1, "qmp"))
            self.assertIsNone(g["uuid"])

    def test_events(self):
        """JSON lines, the last one with the report."""
        done = harness.run("scan", *harness.qmp_arguments(self.both), "--events")
        self.assertEqual(done.returncode, 0)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({line["event"] for line in lines[:-1]}, {"PROGRESS"})
        for line in lines[:-1]:
            self.assertLessEqual(line["data"]["done_bytes"], line["data"]["total_bytes"])
        self.assertEqual(lines[-1]["event"], "REPORT")
        self.assertEqual([g["name"] for g in lines[-1]["data"]["guests"]], ["first", "second"])
        done = harness.run("guests", *harness.qmp_arguments(self.both), "--events")
        (line,) = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((line["event"], line["data"]["schema"]), ("REPORT", "samepage.guests.v1"))

    def test_events_of_a_scan_that_fails(self):
        done = harness.run("scan", *harness.qmp_arguments(self.both), "--events", "--cpus", "1000")
        self.assertEqual(done.returncode, 1)
        (line,) = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((line["event"], done.stderr), ("FAILED", f"samepage: {line['data']['desc']}\n"))

    def watch_scans(self, *arguments):
        """The threads of scans, of as many as it takes to see some work: one is over in milliseconds."""
        workers, first = set(), set()
        for _ in range(50):
            process = harness.start("scan", *harness.qmp_arguments(self.both), "--json", *arguments)
            for seen, found in zip((workers, first), watch_threads(process)):
                seen |= found
            self.assertEqual(process.wait(), 0, process.stderr.read())
            process.stdout.close()
            process.stderr.close()
            if len(workers) > 0 and (os.SCHED_IDLE in {policy for _, policy in workers} or "live" not in arguments):
                return workers, first
        self.fail("no scan was seen to have threads")

    def test_cpus(self):
        """Every thread that works is on the CPUs that were given, and on no other."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            self.skipTest("there is only one CPU")
        workers, _ = self.watch_scans("--cpus", str(usable[-1]))
        self.assertEqual({cpus for cpus, _ in workers}, {frozenset(usable[-1:])})
        workers, _ = self.watch_scans()
        self.assertEqual({cpus for cpus, _ in workers}, {frozenset(usable)})

    def test_live_has_idle_priority(self):
        """Only what nobody waits for: not the thread that talks to QEMU, and not where a guest stands still."""
        workers, first = self.watch_scans("--mode", "live")
        self.assertIn(os.SCHED_IDLE, {policy for _, policy in workers})
        self.assertEqual({policy for _, policy in first}, {os.SCHED_OTHER})
        workers, _ = self.watch_scans()
        self.assertEqual({policy for _, policy in workers}, {os.SCHED_OTHER})

    def test_ksm_is_the_kernels(self):
        report = harness.scan([self.first])
        self.assertEqual(set(report["ksm"]), set(os.listdir(ksm.DIR)))
        for name in ("run", "pages_to_scan", "max_page_sharing", "full_scans"):
            self.assertEqual(report["ksm"][name], ksm.number(name))

    def test_two_scans_differ_in_id(self):
        ids = {harness.scan([self.first])["scan"]["id"] for _ in range(2)}
        self.assertEqual(len(ids), 2)

    def test_no_fingerprints_in_the_report(self):
        """Hashes confirm content: none of them is to leave the program. Nothing in the report looks like one."""
        done = harness.run("scan", "--qmp", self.first.socket, "--json")
        self.assertIn("distinct_bytes", done.stdout)
        self.assertEqual(re.findall(r"\b[0-9a-f]{16,}\b", re.sub(r'"id":\s*"[^"]*"|\d+\.\d+', "", done.stdout)), [])

    def test_guests_json(self):
        done = harness.run("guests", *harness.qmp_arguments(self.both), "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        listed = harness.by_name(harness.json.loads(done.stdout))
        self.assertEqual(set(listed), {"first", "second"})
        self.assertTrue(listed["first"]["blocks"][0]["ksm_eligible"])
        self.assertFalse(listed["second"]["blocks"][0]["ksm_eligible"])
        self.assertEqual(listed["second"]["blocks"][0]["reason"], "shared-mapping")

    def test_guests_text(self):
        done = harness.run("guests", *harness.qmp_arguments(self.both))
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("first", "second", "pc.ram", "m0", "96"):
            self.assertIn(word, done.stdout)

    def test_guests_pauses_nobody(self):
        for g in self.both:
            g.take_events()
        done = harness.run("guests", *harness.qmp_arguments(self.both))
        self.assertIn("first", done.stdout)
        for g in self.both:
            self.assertEqual([e["event"] for e in g.take_events()], [])

    def test_text_report(self):
        done = harness.run("scan", *harness.qmp_arguments(self.both))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), COLUMNS)
        self.assertEqual([line.split()[0] for line in lines[1:3]], ["first", "second"])
        self.assertRegex(lines[1], r"\d ms$")
        self.assertRegex(lines[3], r"^Ideal ")
        self.assertIn("zero pages", lines[3])
        self.assertRegex(lines[4], r"^Merged ")
        self.assertEqual(lines[5], "Why not more")
        self.assertIn("second", done.stdout.split("Why not more")[1])
        self.assertIn("shared", done.stdout.split("Why not more")[1])
        self.assertNotIn("\x1b", done.stdout)
        self.assertNotIn("\r", done.stdout)
        for line in lines:
            self.assertEqual(line, line.rstrip())

    def test_text_and_json_agree(self):
        """The text is the JSON in human units: columns hold the same sizes, to the three digits that are shown."""
        for g in self.both:
            g.pause()
        try:
            report = harness.scan(self.both)
            done = harness.run("scan", *harness.qmp_arguments(self.both))
        finally:
            for g in self.both:
                g.resume()
        rows = {line.split()[0]: re.split(r"\s{2,}", line) for line in done.stdout.splitlines()[1:3]}
        for g in report["guests"]:
            row = rows[g["name"]]
            for column, key in (("RAM", "ram_bytes"), ("PRESENT", "present_bytes"), ("ZERO", "zero_bytes"), ("SELF", "self_sharing_bytes"),
                                ("INTER", "inter_sharing_bytes")):
                with self.subTest(guest=g["name"], column=column):
                    self.assertAlmostEqual(bytes_of(row[COLUMNS.index(column)]), g[key], delta=max(g[key] * 0.06, 1024))

    def test_guest_chosen_by_name(self):
        report = harness.scan(self.both, "--guest", "second")
        self.assertEqual([g["name"] for g in report["guests"]], ["second"])

    def test_guests_chosen_by_pattern(self):
        for words, names in ((["--include", "f*"], ["first"]), (["--exclude", "f*"], ["second"]), (["--include", "*", "--exclude", "second"], ["first"]),
                             (["--include", "first", "--include", "sec?nd"], ["first", "second"])):
            with self.subTest(words=words):
                self.assertEqual(list(harness.by_name(harness.scan(self.both, *words))), names)
        self.assertEqual(harness.run("scan", *harness.qmp_arguments(self.both), "--include", "nobody").returncode, 1)

    def test_exit_3_when_one_fails(self):
        done = harness.run("scan", *harness.qmp_arguments([self.first]), "--qmp", os.path.join(guests.tmp_dir(), "none"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("none", done.stderr)
        self.assertIn("first", done.stdout)

    def test_relative_socket(self):
        done = harness.run("scan", "--qmp", os.path.basename(self.first.socket), "--json", cwd=os.path.dirname(self.first.socket))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(harness.json.loads(done.stdout)["guests"][0]["name"], "first")

    def test_closed_standard_streams(self):
        """As some service managers start programs: what we open must not land on 0, 1 or 2."""
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *harness.command("scan", "--qmp", self.first.socket, "--json")],
                              stdout=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(harness.json.loads(done.stdout)["guests"][0]["name"], "first")

    def test_reader_that_goes_away(self):
        """`samepage scan | head -n 0`: the guest runs afterwards."""
        self.first.take_events()
        process = harness.start("scan", "--qmp", self.first.socket, "--json")
        process.stdout.close()
        process.wait(60)
        process.stderr.close()
        self.assertEqual([e["event"] for e in self.first.take_events()], ["STOP", "RESUME"])
        self.assertEqual(self.first.status(), "running")

    def test_no_leases_are_left(self):
        harness.scan(self.both)
        left = [os.path.join(d, f) for d, _, files in os.walk(harness.runtime_dir()) for f in files]
        self.assertEqual([os.path.basename(f) for f in left], ["ksm-passes"])

    def test_no_colour_or_bar_for_a_short_scan(self):
        """On a terminal too: the bar is for what takes longer than a second."""
        lead, follow = pty.openpty()
        process = subprocess.Popen(harness.command("scan", "--qmp", self.first.socket), stdin=subprocess.DEVNULL, stdout=follow,
                                   stderr=follow, preexec_fn=guests.die_with_parent)
        os.close(follow)
        seen, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                piece = os.read(lead, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        os.close(lead)
        self.assertEqual(process.wait(30), 0)
        self.assertIn(b"GUEST", seen)


def bytes_of(text):
    """1.5G, 412M, 20K, 0: in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([BKMGT]?)", text)
    if not match:
        raise AssertionError(f"no size: {text!r}")
    return float(match[1]) * 1024 ** "BKMGT".index(match[2] or "B")


if __name__ == "__main__":
    harness.main()
