# SPDX-License-Identifier: GPL-2.0-or-later
"""The service with real guests under a real Prometheus, which scrapes it all through scans back to back.

SCRAPE_SECONDS says for how long (default 15; the promise is about 300).
"""
import os
import subprocess
import threading
import time
import unittest

import guests
import harness
from daemon import Daemon
from guests import Guest
from prometheus import OPENMETRICS, Prometheus, check_equals, flat, parse

SECONDS = int(os.environ.get("SCRAPE_SECONDS", "15"))
SCRAPE_SECONDS_MAX = 0.005  # for an answer during a scan, the best of many: a busy machine makes single ones late


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        content = guests.content_file(128, equal_mib=16, zero_mib=16, seed=9)
        cls.guests = [Guest("web1", mib=192, linux=False, content=content), Guest('we"b\\ \u00e9{}', "memfd-shared", 192, linux=False, content=content)]
        guests.boot(*cls.guests)
        cls.d = Daemon(guests={"qmp_sockets": os.path.join(guests.tmp_dir(), "*", "qmp.sock")}, groups={"acme": "web*"})
        cls.prometheus = Prometheus([f"127.0.0.1:{cls.d.port}"])
        cls.addClassCleanup(cls.prometheus.close)
        cls.scans, cls.answers = 0, []
        cls.enough = threading.Event()
        watcher = threading.Thread(target=cls.scrape_by_hand)
        watcher.start()
        try:
            end = time.monotonic() + SECONDS
            with cls.d.control() as control:
                while time.monotonic() < end:
                    control("scan", wait=True)
                    control.events.clear()
                    cls.scans += 1
        finally:
            cls.enough.set()
            watcher.join()
        # The last one, of guests that stand still, so that another scan sees the same.
        for g in cls.guests:
            g.pause()
        cls.report = cls.d.scan()
        cls.alone = harness.scan(cls.guests)
        time.sleep(2.5)  # so that it has been scraped

    @classmethod
    def tearDownClass(cls):
        cls.d.kill()
        for g in cls.guests:
            g.kill()

    @classmethod
    def scrape_by_hand(cls):
        while not cls.enough.wait(0.05):
            busy = cls.d("query-scan")["running"] is not None
            begin = time.monotonic()
            cls.d.metrics()
            if busy:
                cls.answers.append(time.monotonic() - begin)

    def test_no_failed_scrape(self):
        print(f"     {self.scans} scans in {SECONDS} s, {len(self.answers)} scrapes by hand while one ran, the fastest in {min(self.answers) * 1000:.1f} ms, "
              f"the median in {sorted(self.answers)[len(self.answers) // 2] * 1000:.1f} ms")
        self.assertGreater(self.scans, SECONDS)
        self.assertGreaterEqual(self.prometheus.value("count_over_time(up[10m])"), SECONDS // 2)
        self.assertEqual(self.prometheus.value("min_over_time(up[10m])"), 1)
        self.assertEqual(self.prometheus.said(), "", "Prometheus complains")

    def test_answers_are_fast(self):
        self.assertLess(min(self.answers), SCRAPE_SECONDS_MAX)

    def test_promtool_is_content(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.d.metrics(), capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_figures_are_those_of_a_scan(self):
        """Of the service's report, which is that of a scan without it."""
        text, openmetrics = parse(self.d.metrics(), False), parse(self.d.metrics(OPENMETRICS), True)
        self.assertEqual(set(flat(text)), set(flat(openmetrics)))
        check_equals(self, self.report, text)
        for key in ("ideal", "actual"):
            self.assertEqual(self.report[key], self.alone[key])
        expected = harness.by_name(self.alone)
        self.assertEqual(set(harness.by_name(self.report)), set(expected))
        for found in self.report["guests"]:
            self.assertEqual({**found, "group": None, "scan_seconds": None}, {**expected[found["name"]], "scan_seconds": None})

    def test_what_prometheus_has(self):
        found = {labels["guest"]: v for labels, v in self.prometheus.query("samepage_guest_present_bytes")}
        self.assertEqual(found, {g["name"]: g["present_bytes"] for g in self.alone["guests"]})
        self.assertGreaterEqual(self.prometheus.value('samepage_scans_total{result="complete"}'), self.scans)

    def test_rules(self):
        (group,) = self.prometheus.api("rules")["groups"]
        self.assertEqual([r["health"] for r in group["rules"]], ["ok"] * len(group["rules"]))


if __name__ == "__main__":
    harness.main()
