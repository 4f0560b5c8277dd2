# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics as scrapers see them: formats, the documents about them, alert rules, dashboard, and a real Prometheus.

They are served by serve_metrics, a program of the unit tests, from made-up reports. What it says is read by parsers of prometheus.py, which
follow the two formats and share no code with the program.
"""
import json
import math
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import guests
import harness
from prometheus import ALERTS, OPENMETRICS, ROOT, SYSTEMD, Prometheus, by_label, check_equals, flat, parse

SERVER = os.path.join(os.path.dirname(harness.BINARY), "tests", "unit", "metrics", "serve_metrics")
KSM_DIR = "/sys/kernel/mm/ksm"
SCRAPE_SECONDS = 12


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


class Server:
    """serve_metrics, on a port of its own."""

    def __init__(self, ksm_dir=KSM_DIR):
        if not os.access(SERVER, os.X_OK):
            raise unittest.SkipTest(f"{SERVER} is not built")
        self.process = subprocess.Popen([SERVER, "127.0.0.1:0", ksm_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=guests.die_with_parent)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/metrics"

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def report(self, line):
        return json.loads(self.do(line))

    def get(self, accept=None):
        """(content type, text) of a scrape."""
        request = urllib.request.Request(self.url, headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.headers["Content-Type"], answer.read().decode("utf-8")

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(20)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"serve_metrics ended with {code}")


class Served(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)

    def both(self):
        kind, text = self.server.get()
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        kind, openmetrics = self.server.get(OPENMETRICS)
        self.assertEqual(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        return parse(text, False), parse(openmetrics, True)

    def check_promtool(self):
        harness.need("promtool")
        _, text = self.server.get()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_before_a_scan(self):
        text, openmetrics = self.both()
        self.assertEqual(flat(text), flat(openmetrics))
        self.assertNotIn("samepage_ideal_bytes", text)
        self.check_promtool()

    def test_after_scans(self):
        for command in ("scan", "partial", "scan", "many 50"):
            with self.subTest(command=command):
                report = self.server.report(command)
                text, openmetrics = self.both()
                self.assertEqual(flat(text), flat(openmetrics))
                check_equals(self, report, text)
                self.check_promtool()

    def test_wild_name_comes_back(self):
        names = [g["name"] for g in self.server.report("scan")["guests"]]
        self.assertTrue([n for n in names if '"' in n and "\\" in n and not n.isascii()], names)
        for families in self.both():
            self.assertEqual(set(by_label(families, "samepage_guest_ram_bytes", "guest")), set(names))

    def test_guest_that_is_gone(self):
        self.server.report("scan")
        self.server.do("only web2")
        families, _ = self.both()
        self.assertEqual(set(by_label(families, "samepage_guest_ram_bytes", "guest")), {"web2"})
        _, text = self.server.get()
        self.assertNotIn("web1", text)

    def test_counters(self):
        self.server.report("scan")
        self.server.report("partial")
        self.server.do("fail")
        self.server.do("cancel")
        self.server.do("paused 2")
        families, _ = self.both()
        self.assertEqual(by_label(families, "samepage_scans_total", "result"), {"complete": 1, "partial": 1, "failed": 1, "cancelled": 1})
        self.assertEqual(families["samepage_guests_paused"].samples, [("", {}, 2)])

    def test_ksm_is_the_kernels(self):
        """Every number of the kernel's folder, by its name."""
        if not os.path.isdir(KSM_DIR):
            self.skipTest("this kernel has no KSM")
        families, openmetrics = self.both()
        words = {}
        for name in os.listdir(KSM_DIR):
            with open(os.path.join(KSM_DIR, name)) as f:
                content = f.read().strip()
            if not re.fullmatch(r"-?[0-9]+", content):
                words[name] = re.sub(r".*\[(.*)\].*", r"\1", content)
                continue
            ((_, _, value),) = families[f"samepage_ksm_{name}"].samples
            if name in ("run", "max_page_sharing", "use_zero_pages", "merge_across_nodes"):
                self.assertEqual(value, int(content))
        if words:
            self.assertEqual(families["samepage_ksm_info"].samples, [("", words, 1)])
            self.assertEqual(openmetrics["samepage_ksm"].samples, [("_info", words, 1)])

    def test_negative_profit(self):
        folder = tempfile.mkdtemp(dir=guests.tmp_dir())
        with open(os.path.join(folder, "general_profit"), "w") as f:
            f.write("-123456\n")
        server = Server(folder)
        self.addCleanup(server.close)
        self.assertEqual(parse(server.get()[1], False)["samepage_ksm_general_profit"].samples, [("", {}, -123456)])

    def test_a_scrape_is_quick(self):
        """Under 5 ms with 50 guests, the way there and back included; the best of some, since the machine may be busy."""
        self.server.report("many 50")
        best = math.inf
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as client:
                begin = time.monotonic()
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
                while client.recv(1 << 20):
                    pass
                best = min(best, time.monotonic() - begin)
        self.assertLess(best, 0.005)

    def test_refusals(self):
        for url, method, code in ((f"{self.server.url}x", "GET", 404), (self.server.url, "POST", 405), (self.server.url, "DELETE", 405)):
            with self.subTest(url=url, method=method):
                with self.assertRaises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20)
                self.assertEqual(caught.exception.code, code)
                caught.exception.close()

    def descriptors(self, most=0):
        """How many the server has open, when it has closed what it is about to: @most, or those it has after a second."""
        folder = f"/proc/{self.server.process.pid}/fd"
        deadline = time.monotonic() + 1
        while len(os.listdir(folder)) > most and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(os.listdir(folder))

    def test_no_descriptors_are_left(self):
        self.server.get()
        before = self.descriptors()
        for _ in range(200):
            self.server.get(OPENMETRICS)
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as client:
                client.sendall(b"GET /met")
        self.assertLessEqual(self.descriptors(before), before)


# ---- what is written about them --------------------------------------------------------------------------------------------------------

def documented():
    """{metric: (type, set of labels)} of docs/metrics.md."""
    rows = re.findall(r"^\| `(samepage_[a-z_<>]+)` \| (\w+) \| ?([^|]*?) ?\|", read("docs", "metrics.md"), re.M)
    assert len(rows) == len(dict((r[0], 0) for r in rows))
    return {name: (kind, set(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows}


class InStep(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.report("scan")
        cls.server.do("only web1")
        cls.server.do("merge")
        cls.server.do("source")
        cls.families = parse(cls.server.get(OPENMETRICS)[1], True)

    def rendered(self):
        """The same of what is rendered; the kernel's files are one row."""
        found = {}
        for f in self.families.values():
            name = f.name + {"counter": "_total", "info": "_info"}.get(f.type, "")
            labels = set(f.samples[0][1]) - ({"le"} if f.type == "histogram" else set())
            if name == "samepage_ksm_info":
                labels = {"one per file"}
            elif name.startswith("samepage_ksm_"):
                name = "samepage_ksm_<file>"
            found[name] = (f.type, labels)
        return found

    def test_document_has_every_metric(self):
        wanted = documented()
        self.assertGreater(len(wanted), 20)
        found = self.rendered()
        if "samepage_ksm_info" not in found:  # older kernels have only numbers there
            del wanted["samepage_ksm_info"]
        self.assertEqual(found, wanted)

    def test_document_has_every_alert(self):
        alerts = re.findall(r"^ +- alert: (\w+)$", read("systemd", "samepage-alerts.yaml"), re.M)
        self.assertGreater(len(alerts), 4)
        self.assertEqual(re.findall(r"^\| `(Samepage\w+)` \|", read("docs", "metrics.md"), re.M), alerts)

    def test_every_alert_is_tested_both_ways(self):
        text = read("systemd", "samepage-alerts-test.yaml")
        for alert in re.findall(r"^ +- alert: (\w+)$", read("systemd", "samepage-alerts.yaml"), re.M):
            with self.subTest(alert=alert):
                self.assertRegex(text, rf"alertname: {alert}\n +exp_alerts: \[\]")
                self.assertRegex(text, rf"alertname: {alert}\n +exp_alerts:\n")

    def test_rules_name_metrics_that_exist(self):
        known = {f.name + s for f in self.families.values() for s, _, _ in f.samples}
        ksm = {f"samepage_ksm_{n}" for n in ("general_profit", "run", "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile",
                                             "pages_scanned", "full_scans")}
        texts = [read("systemd", "samepage-alerts.yaml")] + [e for _, e in dashboard_expressions()]
        for text in texts:
            self.assertEqual(set(re.findall(r"samepage_[a-z_]+", text)) - known - ksm, set())


def dashboard_expressions():
    """[(title of the panel, expression)]."""
    board = json.loads(read("systemd", "samepage-dashboard.json"))
    return [(p["title"], t["expr"]) for p in board["panels"] for t in p.get("targets", [])]


class Rules(unittest.TestCase):
    def setUp(self):
        harness.need("promtool")

    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120, cwd=SYSTEMD)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_check(self):
        self.promtool("check", "rules", ALERTS)

    def test_rules(self):
        self.promtool("test", "rules", os.path.join(SYSTEMD, "samepage-alerts-test.yaml"))


class Dashboard(unittest.TestCase):
    def test_panels(self):
        board = json.loads(read("systemd", "samepage-dashboard.json"))
        self.assertEqual(board["templating"]["list"][0]["type"], "datasource")
        panels = board["panels"]
        self.assertEqual(len({p["id"] for p in panels}), len(panels))
        for p in panels:
            grid = p["gridPos"]
            self.assertLessEqual(grid["x"] + grid["w"], 24)
            if p["type"] == "row":
                continue
            with self.subTest(panel=p["title"]):
                self.assertTrue(p["description"])
                self.assertTrue(p["targets"])
                for t in [p, *p["targets"]]:
                    self.assertEqual(t["datasource"]["uid"], "${datasource}")
        taken = [(x, y) for p in panels for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
                 for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])]
        self.assertEqual(len(taken), len(set(taken)), "panels overlap")


# ---- a real Prometheus -----------------------------------------------------------------------------------------------------------------

class Scraped(unittest.TestCase):
    """One Prometheus for all cases, which have the server scan back to back and then look at what came of it."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.prometheus = Prometheus([f"127.0.0.1:{cls.server.port}"])
        cls.addClassCleanup(cls.prometheus.close)
        end = time.monotonic() + SCRAPE_SECONDS
        while time.monotonic() < end:
            for command in ("scan", "partial", "many 100", "fail", "paused 1", "paused 0", "only web1", "scan"):
                cls.server.do(command)
                time.sleep(0.05)
        cls.report = cls.server.report("scan")
        time.sleep(2.5)  # so that it has been scraped

    def test_no_failed_scrape(self):
        self.assertGreaterEqual(self.prometheus.value("count_over_time(up[5m])"), SCRAPE_SECONDS // 2)
        self.assertEqual(self.prometheus.value("min_over_time(up[5m])"), 1)
        self.assertLess(self.prometheus.value("max_over_time(scrape_duration_seconds[5m])"), 1)
        (target,) = self.prometheus.api("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))

    def test_every_sample_arrived(self):
        _, text = self.server.get(OPENMETRICS)
        samples = sum(len(f.samples) for f in parse(text, True).values())
        self.assertEqual(self.prometheus.value("scrape_samples_scraped"), samples)
        self.assertEqual(self.prometheus.value("scrape_samples_post_metric_relabeling"), samples)
        self.assertEqual(self.prometheus.said(), "", "Prometheus complains")

    def test_figures(self):
        found = {labels["guest"]: v for labels, v in self.prometheus.query("samepage_guest_ram_bytes")}
        self.assertEqual(found, {g["name"]: g["ram_bytes"] for g in self.report["guests"]})
        self.assertEqual(self.prometheus.value('samepage_gap_bytes{reason="shared-mapping"}'), self.report["gap"]["reasons"][0]["bytes"])

    def test_guests_that_are_gone(self):
        """Prometheus marks them as gone at the next scrape."""
        self.assertEqual(self.prometheus.query('samepage_guest_ram_bytes{group="crowd"}'), [])
        self.assertNotEqual(self.prometheus.api("series", **{"match[]": 'samepage_guest_ram_bytes{group="crowd"}'}), [])

    def test_types_and_help(self):
        metadata = self.prometheus.api("metadata")
        for f in parse(self.server.get(OPENMETRICS)[1], True).values():
            (found,) = metadata[f.name]
            self.assertEqual((found["type"], found["help"], found["unit"]), (f.type, f.help, f.unit or ""))

    def test_rules(self):
        (group,) = self.prometheus.api("rules")["groups"]
        self.assertEqual([r["health"] for r in group["rules"]], ["ok"] * len(group["rules"]))
        self.assertEqual([r.get("lastError", "") for r in group["rules"]], [""] * len(group["rules"]))

    def test_every_panel_of_the_dashboard_shows_something(self):
        """Its expressions, as Grafana would fill them in."""
        for title, expression in dashboard_expressions():
            with self.subTest(panel=title, expression=expression):
                filled = expression.replace("$instance", ".*").replace("$group", ".*").replace("$__rate_interval", "1m").replace("[1h]", "[1m]")
                self.assertNotEqual(self.prometheus.query(filled), [])


if __name__ == "__main__":
    harness.main()
