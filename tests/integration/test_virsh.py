# SPDX-License-Identifier: GPL-2.0-or-later
"""The service and a real libvirtd: what virsh triggers, and what comes back as metadata."""
import os
import re
import time
import unittest
import xml.etree.ElementTree as ElementTree

import guests
import harness
import virt
from daemon import Daemon, Refused

SCAN = "urn:samepage:scan:1"
RESULT = "urn:samepage:result:1"
FIGURES = ("present", "zero", "self", "inter", "merged")
SHARED = "<source type='memfd'/><access mode='shared'/>"


class Virsh(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.libvirt = virt.Libvirt()
        cls.plain = virt.Domain(cls.libvirt, "plain", 128, group="metadata's")
        cls.memfd = virt.Domain(cls.libvirt, "memfd", 128, backing=SHARED, shared=True)
        for d in (cls.plain, cls.memfd):
            d.wait_ready()

    @classmethod
    def tearDownClass(cls):
        cls.libvirt.close()

    def setUp(self):
        if self.libvirt.daemons["libvirtd"].poll() is not None:
            self.libvirt.restart()
        for d in (self.plain, self.memfd):
            d.resume()
            self.virsh("metadata", d.name, "--uri", RESULT, "--remove", "--live", check=False)
        self.d = None

    def tearDown(self):
        if self.d:
            self.d.kill()

    def virsh(self, *arguments, check=True):
        return self.libvirt.virsh(*arguments, check=check).stdout

    def daemon(self, **sections):
        sections.setdefault("guests", {}).setdefault("libvirt_uri", virt.URI)
        self.d = Daemon(prefix=self.libvirt.inside(), **sections)
        self.d.wait_for(lambda: f"domain {self.memfd.name} (" in self.d.log() and f"domain {self.plain.name} (" in self.d.log())
        return self.d

    def ask(self, domain, text):
        self.virsh("metadata", domain.name, "--uri", SCAN, "--key", "samepage", "--set", text, "--live")

    def result(self, domain):
        """Attributes of the result; None while there is none."""
        text = self.virsh("metadata", domain.name, "--uri", RESULT, check=False).strip()
        return dict(ElementTree.fromstring(text).attrib) if text else None

    def wait_result(self, domain):
        self.d.wait_for(lambda: self.result(domain) is not None)
        return self.result(domain)

    def test_scan_by_metadata(self):
        d = self.daemon()
        for domain in (self.plain, self.memfd):
            with self.subTest(domain=domain.name):
                domain.suspend()
                before = domain.state()
                self.ask(domain, "<scan mode='snapshot'/>")
                result = self.wait_result(domain)
                self.assertEqual(domain.state(), before)
                (guest,) = d.scan(guests=[domain.name], mode="live")["guests"]
                self.assertEqual(result["mode"], "snapshot")
                self.assertEqual(result["consistency"], "exact")
                self.assertRegex(result["time"], r"^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                expected = (guest["present_bytes"], guest["zero_bytes"], guest["self_sharing_bytes"], guest["inter_sharing_bytes"],
                            guest["actual"]["self_bytes"] + guest["actual"]["inter_bytes"])
                self.assertEqual(tuple(int(result[f]) for f in FIGURES), expected)
                domain.resume()

    def test_scan_of_a_running_domain(self):
        """It is paused for a moment, by libvirt, and runs again."""
        d = self.daemon()
        self.ask(self.memfd, "<scan/>")
        result = self.wait_result(self.memfd)
        self.assertEqual((result["mode"], result["consistency"]), ("snapshot", "exact"))
        self.assertEqual(self.memfd.state()[0], "running")
        self.assertFalse(self.memfd.is_tainted())
        report = d("query-report")
        self.assertEqual([(g["name"], g["via"], g["pauses"]) for g in report["guests"]], [(self.memfd.name, "libvirt", 1)])

    def test_nonsense_gets_an_error_and_nothing_else(self):
        d = self.daemon(guests={"exclude": self.plain.name})
        for domain, text, sentence in ((self.memfd, "<scan mode='fast'/>", "mode"), (self.memfd, "<nonsense/>", "<scan mode="),
                                       (self.memfd, f"<scan mode='{'x' * 1000}'/>", "mode"), (self.plain, "<scan/>", "excludes")):
            with self.subTest(text=text[:40]):
                self.virsh("metadata", domain.name, "--uri", RESULT, "--remove", "--live", check=False)
                self.ask(domain, text)
                result = self.wait_result(domain)
                self.assertEqual(set(result), {"time", "error"})
                self.assertIn(sentence, result["error"])
        self.assertEqual(d("query-history")["scans"], [])
        self.assertEqual(d("query-scan"), {"running": None, "waiting": []})

    def test_removed_metadata_is_no_request(self):
        d = self.daemon()
        self.ask(self.memfd, "<scan mode='live'/>")
        self.wait_result(self.memfd)
        self.virsh("metadata", self.memfd.name, "--uri", SCAN, "--remove", "--live")
        time.sleep(1)
        self.assertEqual(len(d("query-history")["scans"]), 1)

    def test_suspend_is_a_snapshot(self):
        self.daemon(schedule={"on_suspend": "yes"})
        self.memfd.suspend()
        result = self.wait_result(self.memfd)
        self.assertEqual(result["consistency"], "exact")
        self.assertEqual(self.memfd.state(), ("paused", "user"))

    def test_suspend_and_resume_at_once(self):
        """It is never paused for that; what is then read from a guest that runs says so."""
        self.daemon(schedule={"on_suspend": "yes"})
        for _ in range(5):
            self.virsh("metadata", self.memfd.name, "--uri", RESULT, "--remove", "--live", check=False)
            self.memfd.suspend()
            self.memfd.resume()
            result = self.wait_result(self.memfd)
            self.assertIn(result["consistency"], ("exact", "live"))
            self.assertEqual(self.memfd.state()[0], "running")

    def test_suspend_without_the_option(self):
        d = self.daemon()
        self.memfd.suspend()
        time.sleep(1)
        self.assertIsNone(self.result(self.memfd))
        self.assertEqual(d("query-history")["scans"], [])

    def test_our_own_pauses_are_no_requests(self):
        d = self.daemon(schedule={"on_suspend": "yes"})
        for _ in range(3):
            d.scan()
        time.sleep(1)
        self.assertEqual(len(d("query-history")["scans"]), 3)

    def test_groups(self):
        """The configuration is stronger than the metadata."""
        d = self.daemon(groups={"configured": "memfd*"})
        self.assertEqual({g["name"]: g["group"] for g in d.scan()["guests"]}, {self.plain.name: "metadata's", self.memfd.name: "configured"})

    def test_domains_come_and_go(self):
        d = self.daemon()
        other = virt.Domain(self.libvirt, "third", 64)
        d.wait_for(lambda: f"domain {other.name} ({other.uuid}) runs" in d.log())
        self.assertIn(other.name, [g["name"] for g in d.scan()["guests"]])
        labels = {"guest": other.name, "uuid": other.uuid, "group": ""}
        self.assertIsNotNone(d.figure("samepage_guest_ram_bytes", **labels))
        self.virsh("destroy", other.name)
        d.wait_for(lambda: f"domain {other.name} ({other.uuid}) is gone" in d.log())
        d.wait_for(lambda: d.figure("samepage_guest_ram_bytes", **labels) is None)

    def test_libvirtd_that_restarts(self):
        d = self.daemon()
        d.scan()
        labels = {"guest": self.memfd.name, "uuid": self.memfd.uuid, "group": ""}
        self.libvirt.kill_daemon()
        errors = [g["error"] for g in d.scan()["guests"]]
        self.assertEqual(len(errors), 1)
        self.assertIsNotNone(errors[0])
        self.assertIsNotNone(d.figure("samepage_guest_ram_bytes", **labels), "a guest that is not gone")
        d.wait_for(lambda: re.search("libvirt .* cannot be watched", d.log()))
        self.libvirt.restart()
        d.wait_for(lambda: re.search("libvirt .* answers again", d.log()), 90)
        self.ask(self.memfd, "<scan/>")
        self.assertEqual(self.wait_result(self.memfd)["consistency"], "exact")
        self.assertEqual(self.memfd.state()[0], "running")

    def take_away(self):
        """libvirtd ends, and so does its socket."""
        self.libvirt.kill_daemon()
        os.unlink(self.libvirt.root("/run/libvirt/libvirt-sock"))
        self.d.wait_for(lambda: self.d.figure("samepage_source_up", source=virt.URI) == 0)

    def test_libvirt_that_goes_away(self):
        """Scans of all guests say so, and take nothing else for the host, until it is back or was given up."""
        with guests.Guest("alone", mib=32, linux=False) as alone:
            self.d = d = Daemon([alone.socket], prefix=self.libvirt.inside(), guests={"libvirt_uri": "auto"})
            d.wait_for(lambda: d.figure("samepage_source_up", source=virt.URI) == 1)
            before = d.scan()
            self.assertTrue(before["scan"]["complete"])
            labels = {"guest": self.memfd.name, "uuid": self.memfd.uuid, "group": ""}
            ideal = d.figure("samepage_ideal_bytes", kind="self")
            self.assertGreater(ideal, 0)
            self.take_away()

            done = self.libvirt.run("scan", "--control", d.control_path)
            self.assertEqual(done.returncode, 3)
            self.assertIn(f"libvirt ({virt.URI}) does not answer: its domains are missing", done.stderr)
            self.assertEqual([(g["name"], g["error"] is None) for g in d("query-report")["guests"]], [("alone", True), (virt.URI, False)])
            self.assertEqual(d.figure("samepage_scans_total", result="partial"), 1)
            self.assertEqual(d.figure("samepage_guest_scan_failed", **labels), 1)
            self.assertEqual(d.figure("samepage_guest_scan_failed", guest="alone", uuid="", group=""), 0)
            self.assertEqual(d.figure("samepage_ideal_bytes", kind="self"), ideal)
            d.wait_notify("STATUS=Idle; last scan: 1 of 2 guests; libvirt does not answer")
            history = d("query-history")
            self.assertEqual([(s["complete"], s["failed"], s["present_bytes"]) for s in history["scans"]],
                             [(False, 1, None), (True, 0, before["ideal"]["present_bytes"])])
            self.assertEqual(history["summary"]["host"]["present_bytes"]["min"], before["ideal"]["present_bytes"])
            self.assertTrue(d.scan(guests=["alone"])["scan"]["complete"], "a guest that libvirt has nothing to do with")

            time.sleep(1.5)  # so that the first look for it, after a second, finds nothing
            self.libvirt.restart()
            d.wait_for(lambda: d.figure("samepage_source_up", source=virt.URI) == 1, 20)
            self.assertEqual(len([g for g in d.scan()["guests"] if g["error"] is None]), 3)
            self.assertEqual(d.figure("samepage_guest_scan_failed", **labels), 0)

            self.take_away()
            d.reload()
            after = d.scan()
            self.assertEqual(([g["name"] for g in after["guests"]], after["scan"]["complete"]), (["alone"], True))
            self.assertIsNone(d.figure("samepage_source_up", source=virt.URI))

    def test_libvirt_that_goes_away_in_the_gap(self):
        """Where all guests were paused a moment ago, there is nobody to scan and nothing to keep."""
        d = self.daemon(guests={"libvirt_uri": "auto"}, schedule={"min_gap": "10min"})
        d.scan()
        self.take_away()
        with self.assertRaisesRegex(Refused, "all guests were paused less than 600 s ago"):
            d.scan()
        self.assertEqual(len(d("query-history")["scans"]), 1)


if __name__ == "__main__":
    harness.main()
