# SPDX-License-Identifier: GPL-2.0-or-later
"""samepaged with real guests: what it does by itself, what it is asked to, and that nothing of it leaves a guest paused."""
import json
import os
import signal
import socket
import subprocess
import time
import unittest

import daemon
import guests
import harness
from daemon import Daemon, Refused
from guests import Guest


class WithGuests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        content = guests.content_file(64, equal_mib=4, zero_mib=4, seed=5)
        cls.first = Guest("first", mib=128, linux=False, content=content)
        cls.second = Guest("second", "memfd-shared", 128, linux=False, content=content)
        guests.boot(cls.first, cls.second)
        cls.both = [cls.first, cls.second]
        cls.sockets = [g.socket for g in cls.both]

    @classmethod
    def tearDownClass(cls):
        for g in cls.both:
            g.kill()

    def setUp(self):
        self.daemons = []

    def tearDown(self):
        for d in self.daemons:
            d.kill()
        for g in self.both:
            self.assertIsNotNone(g.wait_status("running", 2))  # its guard may be at it

    def daemon(self, **sections):
        d = Daemon(self.sockets, **sections)
        self.daemons.append(d)
        return d


class Service(WithGuests):
    def test_scan_is_the_scan_of_the_command(self):
        """The same figures as a scan without the daemon; in the report, the history and the metrics."""
        d = self.daemon(groups={"acme": "fir*"})
        for g in self.both:  # so that both scans see the same memory
            g.pause()
            self.addCleanup(g.resume)
        report = d.scan()
        alone = harness.scan(self.both)
        for g in self.both:
            g.resume()
        for found, expected in zip(report["guests"], alone["guests"]):
            for key in ("name", "ram_bytes", "present_bytes", "zero_bytes", "distinct_bytes", "self_sharing_bytes", "inter_sharing_bytes", "blocks"):
                self.assertEqual(found[key], expected[key], key)
        self.assertEqual([g["group"] for g in report["guests"]], ["acme", None])
        self.assertEqual(report["ideal"], alone["ideal"])
        self.assertEqual(d("query-report"), report)
        self.assertEqual(d("query-report", id=report["scan"]["id"]), report)
        listed = d("query-history")["scans"]
        self.assertEqual([s["id"] for s in listed], [report["scan"]["id"]])
        self.assertEqual(d.figure("samepage_ideal_bytes", kind="inter"), report["ideal"]["inter_sharing_bytes"])
        self.assertEqual(d.figure("samepage_scans_total", result="complete"), 1)
        for g in report["guests"]:
            labels = {"guest": g["name"], "uuid": g["uuid"] or "", "group": g["group"] or ""}
            self.assertEqual(d.figure("samepage_guest_present_bytes", **labels), g["present_bytes"])
        d.stop()
        self.assertFalse(os.path.exists(d.control_path))

    def test_schedule(self):
        d = self.daemon(schedule={"interval": "1s", "jitter": "100ms"})
        d.wait_for(lambda: (d.figure("samepage_scans_total", result="complete") or 0) >= 3)
        self.assertGreaterEqual(len(d("query-history")["scans"]), 3)
        d.stop()

    def test_quiet_hours(self):
        d = self.daemon(schedule={"interval": "1s", "quiet_hours": "00:00-24:00"})
        time.sleep(3)
        self.assertEqual(d("query-history")["scans"], [])
        self.assertEqual(len(d.scan()["guests"]), 2)

    def test_guests(self):
        d = self.daemon()
        found = d("query-guests")
        self.assertEqual([g["name"] for g in found["guests"]], ["first", "second"])
        self.assertEqual([g["blocks"][0]["shared"] for g in found["guests"]], [False, True])

    def test_chosen_guests_and_exclude(self):
        d = self.daemon()
        self.assertEqual([g["name"] for g in d.scan(guests=["second"])["guests"]], ["second"])
        d.configure(guests={"exclude": "sec*"})
        d.reload()
        self.assertEqual([g["name"] for g in d.scan()["guests"]], ["first"])

    def test_min_gap(self):
        d = self.daemon(schedule={"min_gap": "1h"})
        self.assertEqual(len(d.scan(guests=["first"])["guests"]), 1)
        with self.assertRaisesRegex(Refused, "first was paused less than 3600 s ago"):
            d.scan(guests=["first"])
        report = d.scan()
        self.assertEqual([g["name"] for g in report["guests"]], ["second"])
        self.assertEqual(report["scan"]["note"], "left out, as paused less than 3600 s ago (min_gap): first")
        with self.assertRaisesRegex(Refused, "all guests"):
            d.scan()
        self.assertEqual(len(d.scan(mode="live")["guests"]), 2)

    def test_min_gap_of_two_at_once(self):
        """It counts when the second one begins, and takes nothing away from what the first one found."""
        d = self.daemon(schedule={"min_gap": "1h"})
        with d.control() as control, d.control() as other:
            control.send("scan", wait=True, guests=["first"])
            other.send("scan", wait=True, guests=["first"])
            self.assertEqual(len(control.answer()["guests"]), 1)
            with self.assertRaisesRegex(Refused, "first was paused less than"):
                other.answer()
        self.assertEqual(len(d("query-history")["scans"]), 1)
        self.assertIsNotNone(d.figure("samepage_guest_ram_bytes", guest="first", uuid="", group=""))

    def test_names_that_nobody_has(self):
        """They are answered, and leave nothing behind."""
        d = self.daemon()
        d.scan()
        before = d.metrics().count("\n")
        for n in range(3):
            report = d.scan(guests=[f"invented-{n}-{m}" for m in range(500)])
            self.assertEqual({g["error"] for g in report["guests"]}, {"no guest has this name"})
        self.assertEqual(d.scan(guests=["first", "invented", "first"])["scan"]["complete"], False)
        self.assertNotIn("invented", d.metrics())
        self.assertLess(d.metrics().count("\n"), before + 40)
        self.assertEqual(len(d("query-history")["scans"]), 2)
        for names in ([""], ["x" * 5000]):
            with self.assertRaises(Refused):
                d.scan(guests=names)

    def test_no_longer_pause_than_configured(self):
        d = self.daemon(scan={"max_pause": "100ms"})
        with self.assertRaisesRegex(Refused, "longer than the configuration allows"):
            d.scan(max_pause_seconds=0.2)
        self.assertEqual(len(d.scan(max_pause_seconds=0.05)["guests"]), 2)

    def test_guest_that_hangs(self):
        """It has no figures then, but a series that says so, and the gap between its pauses still counts."""
        d = self.daemon(schedule={"min_gap": "1h"}, scan={"timeout": "1s"})
        d.scan()
        os.kill(self.first.pid, signal.SIGSTOP)
        try:
            d.scan(mode="live")
            self.assertIsNone(d.figure("samepage_guest_ram_bytes", guest="first", uuid="", group=""))
            self.assertRegex(d.metrics(), r'samepage_guest_scan_failed\{guest="[^"]*first[^"]*qmp.sock"[^}]*\} 1')
        finally:
            os.kill(self.first.pid, signal.SIGCONT)
        with self.assertRaisesRegex(Refused, "first was paused"):
            d.scan(guests=["first"])

    def test_progress_and_queue(self):
        d = self.daemon()
        with d.control() as control:
            first = control("scan")["id"]
            second = control("scan", mode="live")["id"]
            state = control("query-scan")
            known = ([state["running"]] if state["running"] else []) + state["waiting"]
            self.assertEqual([t["id"] for t in known if t["kind"] == "scan"], [first, second])
            self.assertEqual(control.wait_event("SCAN_STARTED")["id"], first)
            self.assertEqual(control.wait_event("SCAN_ENDED")["id"], first)
            self.assertEqual(control.wait_event("SCAN_ENDED")["id"], second)
            self.assertEqual(control("query-scan"), {"running": None, "waiting": []})

    def test_cancel(self):
        d = self.daemon(scan={"max_pause": "1ms"})
        with d.control() as control, d.control() as other:
            control.send("scan", wait=True)
            waiting = other("scan")["id"]
            running = other.wait_event("SCAN_STARTED")["id"]
            other("cancel", id=waiting)
            other("cancel", id=running)
            with self.assertRaisesRegex(Refused, "cancelled"):
                control.answer()
            with self.assertRaisesRegex(Refused, "no scan of this id"):
                other("cancel", id=running)
        self.assertEqual(d.figure("samepage_scans_total", result="cancelled"), 2)
        d.wait_for(lambda: d.figure("samepage_guests_paused") == 0)

    def test_a_guest_that_is_gone_is_gone(self):
        third = Guest("third", mib=64, linux=False)
        guests.boot(third)
        d = Daemon(self.sockets + [third.socket])
        self.daemons.append(d)
        self.assertEqual(len(d.scan()["guests"]), 3)
        labels = {"guest": "third", "uuid": "", "group": ""}
        self.assertIsNotNone(d.figure("samepage_guest_ram_bytes", **labels))
        third.kill()
        d.wait_for(lambda: d.figure("samepage_guest_ram_bytes", **labels) is None)
        self.assertEqual(len(d.scan()["guests"]), 2 if not os.path.exists(third.socket) else 3)

    def test_wrong_commands(self):
        d = self.daemon()
        with d.control() as control:
            for command, arguments, sentence in (
                    ("nonsense", {}, "no such command"),
                    ("scan", {"guests": "first"}, "guests"), ("scan", {"guests": [1]}, "guests"), ("scan", {"mode": "fast"}, "mode"),
                    ("scan", {"max_pause_seconds": 61}, "max_pause_seconds"), ("scan", {"max_pause_seconds": "1"}, "max_pause_seconds"),
                    ("scan", {"together": 1}, "together"), ("scan", {"wait": "yes"}, "wait"), ("scan", {"nonsense": 1}, "nonsense"),
                    ("cancel", {}, "id"), ("cancel", {"id": "1"}, "id"), ("cancel", {"id": 99}, "no scan"),
                    ("query-scan", {"x": 1}, "no arguments"), ("query-report", {}, "no scan since"), ("query-report", {"id": 1}, "string"),
                    ("query-report", {"id": "x"}, "no report"), ("query-history", {"limit": -1}, "limit"), ("query-history", {"x": 1}, "takes"),
                    ("query-history", {"guest": 1}, "name")):
                with self.subTest(command=command, arguments=arguments), self.assertRaisesRegex(Refused, sentence):
                    control(command, **arguments)
            self.assertIn("query-commands", control("query-commands"))
            self.assertEqual(control("query-version")["version"], control.greeting["samepage"]["version"])

    def test_reload_with_errors(self):
        """A bad file keeps the running configuration and says why."""
        d = self.daemon()
        d.configure(scan={"max_pause": "soon"}, guests={"exclude": "*"})
        d.reload()
        self.assertIn("max_pause", d.log())
        self.assertEqual(len(d.scan()["guests"]), 2)
        d.configure(scan={"max_pause": "300ms"}, guests={"exclude": "second"})
        d.reload()
        self.assertEqual(len(d.scan()["guests"]), 1)

    def test_reload_moves_the_sockets(self):
        d = self.daemon()
        old = d.control_path
        port = daemon.free_port()
        d.control_path = d.path("other.sock")
        d.configure(control={"socket": d.control_path}, metrics={"address": f"[::1]:{port}"}, history={"file": "none"})
        d.reload()
        self.assertEqual(len(d.scan()["guests"]), 2)
        self.assertFalse(os.path.exists(old))
        with self.assertRaisesRegex(Refused, "no history"):
            d("query-history")

    def test_reload_tries_again_what_failed(self):
        d = self.daemon()
        port = daemon.free_port()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            d.configure(metrics={"address": f"127.0.0.1:{port}"})
            d.reload()
            self.assertIn("another program listens there", d.log())
        d.port = port
        d.reload()
        self.assertIn("samepage_build_info", d.metrics())

    def test_check_config(self):
        d = Daemon(self.sockets, start=False)
        done = subprocess.run([daemon.BINARY, "--check-config", "-c", d.path("conf")], capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        d.configure(scan={"max_pause": "soon"})
        done = subprocess.run([daemon.BINARY, "--check-config", "-c", d.path("conf")], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn("max_pause", done.stderr)
        done = subprocess.run([daemon.BINARY, "-c", d.path("conf")], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)

    def test_two_of_them(self):
        """A second one on the same socket does not start, and leaves the first alone."""
        d = self.daemon()
        other = Daemon(self.sockets, start=False, control={"socket": d.control_path})
        done = subprocess.run([daemon.BINARY, "-c", other.path("conf")], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn("another samepaged", done.stderr)
        self.assertEqual(len(d.scan()["guests"]), 2)


def samepage(*arguments, **popen):
    return subprocess.run([harness.BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **popen)


class Command(WithGuests):
    """samepage(1) where the daemon runs."""

    def test_scan(self):
        d = self.daemon()
        for g in self.both:
            g.pause()
            self.addCleanup(g.resume)
        remote = samepage("scan", "--control", d.control_path)
        alone = harness.run("scan", *harness.qmp_arguments(self.both))
        for g in self.both:
            g.resume()
        self.assertEqual((remote.returncode, remote.stdout), (0, alone.stdout))
        self.assertEqual(remote.stderr, alone.stderr)
        done = samepage("scan", "--control", d.control_path, "--json", "--guest", "first", "--mode", "live")
        report = json.loads(done.stdout)
        self.assertEqual(report, d("query-report"))
        self.assertEqual([(g["name"], g["consistency"]) for g in report["guests"]], [("first", "live")])
        done = samepage("scan", "--control", d.control_path, "--events")
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["event"], "REPORT")
        done = samepage("scan", "--control", d.control_path, "--guest", "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no guest has this name", done.stderr)
        done = samepage("scan", "--control", d.control_path, "--careful")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--careful", done.stderr)

    def test_guests(self):
        d = self.daemon()
        self.assertEqual(samepage("guests", "--control", d.control_path).stdout,
                         harness.run("guests", *harness.qmp_arguments(self.both)).stdout)

    def test_history(self):
        d = self.daemon()
        ids = [d.scan()["scan"]["id"] for _ in range(3)]
        for words in (["--control", d.control_path], ["--file", d.history]):
            with self.subTest(words=words):
                listed = json.loads(samepage("history", *words, "--json", "--limit", "2").stdout)
                self.assertEqual([s["id"] for s in listed["scans"]], ids[:0:-1])
                self.assertEqual(listed["summary"]["scans"], 3)
                lines = samepage("history", *words).stdout.splitlines()
                self.assertEqual(sum(line.startswith(time.strftime("%Y-%m-%d ")) for line in lines), 3, lines)
                done = samepage("history", *words, "--id", ids[0], "--json")
                self.assertEqual(json.loads(done.stdout)["scan"]["id"], ids[0])
                self.assertIn("Ideal ", samepage("history", *words, "--id", ids[0]).stdout)
                self.assertEqual(samepage("history", *words, "--id", "nonsense").returncode, 1)
                self.assertEqual(json.loads(samepage("history", *words, "--json", "--until", "1d").stdout)["scans"], [])
                of_guest = json.loads(samepage("history", *words, "--json", "--guest", "first").stdout)
                self.assertEqual(len(of_guest["scans"]), 3)
        self.assertEqual(samepage("history", "--file", d.history, "--guest", "a", "--guest", "b").returncode, 2)
        self.assertEqual(samepage("history", "--file", d.history, "--since", "soon").returncode, 2)

    def test_watch(self):
        d = self.daemon()
        watch = subprocess.Popen([harness.BINARY, "watch", "--control", d.control_path, "--interval", "1"], stdout=subprocess.PIPE, text=True,
                                 preexec_fn=guests.die_with_parent)
        self.addCleanup(watch.stdout.close)
        while "idle" not in watch.stdout.readline():
            pass
        watch.stdout.readline()
        self.assertIn("no scan since", watch.stdout.readline())
        d.scan()
        while not watch.stdout.readline().startswith("Ideal "):
            pass
        d.stop()
        self.assertEqual(watch.wait(timeout=20), 1)

    def test_no_daemon(self):
        for command in ("scan", "guests", "history", "watch"):
            with self.subTest(command=command):
                done = samepage(command, "--control", "/nonexistent/control.sock")
                self.assertEqual(done.returncode, 1)
                self.assertIn("/nonexistent/control.sock", done.stderr)


class Robust(WithGuests):
    def slow_scan(self, d):
        """A scan that goes on for a while, and is in a pause most of the time."""
        control = d.control()
        self.addCleanup(control.close)
        control("scan")
        control.wait_event("SCAN_STARTED")
        return control

    def wait_paused(self, d):
        leases = os.path.join(d.runtime_dir, "leases")
        deadline = time.monotonic() + 30
        while not (os.path.isdir(leases) and os.listdir(leases)):
            self.assertLess(time.monotonic(), deadline, "no guest was paused")

    def wait_running(self, d, seconds):
        deadline = time.monotonic() + seconds
        while any(g.status() != "running" for g in self.both):
            self.assertLess(time.monotonic(), deadline, "a guest stayed paused")
            time.sleep(0.01)

    def test_killed_in_a_pause(self):
        """The daemon and its scan die; the guard, or else the next daemon, resumes the guests."""
        d = self.daemon(scan={"threads": "1"})
        for _ in range(5):
            self.slow_scan(d)
            self.wait_paused(d)
            d.process.kill()
            d.process.wait()
            self.wait_running(d, 1)
            d._close()
            d.start()
        self.assertEqual(len(d.scan()["guests"]), 2)

    def test_stopped_in_a_scan(self):
        d = self.daemon()
        self.slow_scan(d)
        self.wait_paused(d)
        d.stop()
        self.wait_running(d, 1)

    def test_scan_that_dies(self):
        """The process of a scan is killed: the service says so and goes on."""
        d = self.daemon()
        control = d.control()
        self.addCleanup(control.close)
        control.send("scan", wait=True)
        self.wait_paused(d)
        for pid in harness.children(d.process.pid):
            os.kill(pid, signal.SIGKILL)
        with self.assertRaisesRegex(Refused, "signal 9"):
            control.answer()
        self.wait_running(d, 1)
        self.assertEqual(len(d.scan()["guests"]), 2)
        self.assertEqual(d.figure("samepage_scans_total", result="failed"), 1)

    def test_resuming_goes_first(self):
        """However many wait, and nobody can call it off."""
        d = self.daemon()
        control = d.control()
        self.addCleanup(control.close)
        control("scan")
        self.wait_paused(d)
        for _ in range(70):
            try:
                control("scan", mode="live")
            except Refused as e:
                self.assertIn("waiting already", str(e))
                break
        else:
            self.fail("there is no end to the queue")
        for pid in harness.children(d.process.pid):
            os.kill(pid, signal.SIGSTOP)
        # Scan and guard die, so that only the service is left.
        victims = [p for pid in harness.children(d.process.pid) for p in [pid, *harness.children(pid)]]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.wait_running(d, 2)
        self.assertNotIn("is left out", d.log())

    def test_clients_that_vanish(self):
        d = self.daemon()
        for _ in range(20):
            control = d.control()
            control.send("scan", wait=True)
            control.close()
        d.wait_for(lambda: d("query-scan") == {"running": None, "waiting": []})
        self.assertEqual(len(d.scan()["guests"]), 2)

    def test_clients_that_stall(self):
        """Half a line, no line end, and nothing read: each costs only itself."""
        d = self.daemon()
        half = socket.socket(socket.AF_UNIX)
        half.connect(d.control_path)
        half.sendall(b'{"execute":')
        endless = socket.socket(socket.AF_UNIX)
        endless.connect(d.control_path)
        with self.assertRaises(OSError):
            for _ in range(100):
                endless.sendall(b"x" * 100000)
        many = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for s in many:
            s.connect(d.control_path)
        for s in many:
            s.close()
        d.wait_for(lambda: d("query-version"))
        self.assertEqual(len(d.scan()["guests"]), 2)
        half.settimeout(30)
        while half.recv(4096):
            pass
        half.close()
        endless.close()

    def test_strangers(self):
        """Only root and the group may give commands."""
        d = self.daemon()
        os.chmod(d.folder, 0o755)
        os.chmod(d.control_path, 0o666)
        code = ("import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
                "s.connect('control.sock'); print(s.recv(4096).decode(), end='')")
        # In its folder, since the folders above are root's alone.
        done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=20, cwd=d.folder)
        self.assertIn("only root", json.loads(done.stdout)["error"]["desc"])

    def test_history_in_ruins(self):
        d = self.daemon()
        d.scan()
        with open(d.history, "r+b") as f:
            f.write(b"garbage" * 1000)
        for suffix in ("-wal", "-shm"):
            if os.path.exists(d.history + suffix):
                os.unlink(d.history + suffix)
        self.assertEqual(len(d.scan()["guests"]), 2)
        self.assertEqual(len(d.scan()["guests"]), 2)
        self.assertGreaterEqual(len(d("query-history")["scans"]), 1)
        self.assertIn("history:", d.log())

    def test_strange_name(self):
        """Quotes, a line end, a terminal's escapes and other scripts, in text, JSON, metrics and the database."""
        strange = Guest("we\"b' \n\x1b[31m\u00e9{}\\;--%s", mib=32, linux=False)
        guests.boot(strange)
        self.addCleanup(strange.kill)
        d = self.daemon(guests={"qmp_sockets": os.path.join(os.path.dirname(strange.dir), "we*", "qmp.sock")})
        report = d.scan()
        (guest,) = report["guests"]
        name = guest["name"]
        self.assertEqual(name, "we\"b' ??[31m\u00e9{}\\;--%s")
        self.assertEqual(samepage("scan", "--control", d.control_path, "--guest", strange.name).returncode, 0)
        for words in (["scan"], ["guests"], ["history", "--guest", name]):
            done = samepage(*words, "--control", d.control_path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertEqual(len(d("query-history", guest=name)["scans"]), 3)
        self.assertIsNone(d.scan(guests=[name])["guests"][0]["error"])
        d.configure(schedule={"min_gap": "1h"})
        d.reload()
        with self.assertRaisesRegex(Refused, "all guests"):
            d.scan()
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        self.assertIn(f'samepage_guest_ram_bytes{{guest="{escaped}",uuid="",group=""}} {guest["ram_bytes"]}', d.metrics())


class Idle(unittest.TestCase):
    def test_fifty_guests(self):
        """Under 0.1 % of a core and 15 MiB with fifty guests that it knows."""
        fifty = [Guest(f"guest{n}", mib=16, linux=False) for n in range(50)]
        self.addCleanup(lambda: [g.kill() for g in fifty])
        guests.boot(*fifty)
        for g in fifty:
            g.pause()  # so that they leave the machine alone
        d = Daemon([g.socket for g in fifty])
        self.addCleanup(d.kill)
        self.assertEqual([g["error"] for g in d.scan()["guests"]], [None] * 50)
        time.sleep(1)
        before, began = d.cpu_seconds(), time.monotonic()
        time.sleep(10)
        share = (d.cpu_seconds() - before) / (time.monotonic() - began)
        print(f"     50 guests: {share * 100:.4f} % of a core, {d.rss_bytes() / (1 << 20):.1f} MiB")
        self.assertLess(share, 0.001)
        self.assertLess(d.rss_bytes(), 15 << 20)
        d.stop()


if __name__ == "__main__":
    harness.main()
