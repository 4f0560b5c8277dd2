# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics as scrapers see them: formats, the documents about them, alert rules, dashboard, and a real Prometheus.

They are served by serve_metrics, a program of the unit tests, from made-up reports. What it says is read by parsers of this file, which
follow the two formats and share no code with the program.
"""
import json
import math
import os
import re
import signal
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

ROOT = os.path.dirname(guests.TESTS)
SYSTEMD = os.path.join(ROOT, "systemd")
ALERTS = os.path.join(SYSTEMD, "samepage-alerts.yaml")
SERVER = os.path.join(os.path.dirname(harness.BINARY), "tests", "unit", "daemon", "serve_metrics")
KSM_DIR = "/sys/kernel/mm/ksm"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
SCRAPE_SECONDS = 12
FIGURES = ("ram", "present", "zero", "distinct", "self_sharing", "inter_sharing")
REASONS = ("shared-mapping", "hugetlb", "not-mergeable", "ksm-off", "not-scanned-yet", "huge-page", "sharing-limit", "unexplained")


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


# ---- parsers: strict, so that what they take is right --------------------------------------------------------------------------------

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
SUFFIXES = {"gauge": ("",), "counter": ("_total", "_created"), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count", "_created")}


def parse_labels(text):
    """({name: value}, rest) of text that begins behind a brace."""
    labels = {}
    while True:
        match = re.match(rf'({NAME})="((?:[^"\\\n]|\\[\\"n])*)"([,}}])', text)
        assert match, f"no label: {text!r}"
        assert match[1] not in labels, f"{match[1]} twice"
        labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        text = text[match.end():]
        if match[3] == "}":
            return labels, text


def parse_sample(line):
    """(name, labels, value)."""
    match = re.match(NAME, line)
    assert match, f"no name: {line!r}"
    name, rest, labels = match[0], line[match.end():], {}
    if rest.startswith("{"):
        labels, rest = parse_labels(rest[1:])
    match = re.fullmatch(r" (-?[0-9]+(?:\.[0-9]+)?)", rest)
    assert match, f"no value: {line!r}"
    return name, labels, float(match[1]) if "." in match[1] else int(match[1])


class Family:
    def __init__(self, name):
        self.name = name
        self.type = self.help = self.unit = None
        self.samples = []  # (suffix, labels, value)

    def check(self, openmetrics):
        assert self.type and self.help and self.samples, f"{self.name} lacks type, help or samples"
        if openmetrics and re.search(r"_(bytes|seconds)$", self.name):
            assert self.unit, f"{self.name} has no unit"
        if self.unit:
            assert openmetrics and self.name.endswith(f"_{self.unit}"), f"{self.name} in {self.unit}"
        keys = [(s, tuple(sorted(labels.items()))) for s, labels, _ in self.samples]
        assert len(keys) == len(set(keys)), f"{self.name}: two samples with the same labels"
        if not openmetrics:
            assert not [s for s, _, _ in self.samples if s == "_created"], f"{self.name}: _created"
        if self.type == "histogram":
            self.check_histogram()
        if self.type in ("counter", "histogram"):
            assert all(v >= 0 for _, _, v in self.samples)
        if self.type == "info":
            assert all(v == 1 for _, _, v in self.samples)

    def check_histogram(self):
        buckets = [(float(labels["le"]), v) for s, labels, v in self.samples if s == "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == math.inf, f"{self.name}: order of buckets"
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), f"{self.name}: buckets shrink"
        (count,) = [v for s, _, v in self.samples if s == "_count"]
        assert buckets[-1][1] == count
        assert len([1 for s, _, _ in self.samples if s == "_sum"]) == 1


def parse(text, openmetrics):
    """{family: Family}, or an AssertionError."""
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    if openmetrics:
        assert lines.pop() == "# EOF"
    families, current = {}, None
    for line in lines:
        match = re.fullmatch(rf"# (HELP|TYPE|UNIT) ({NAME}) (.+)", line)
        if match:
            if current is None or current.name != match[2]:
                assert match[2] not in families, f"{match[2]} is not in one piece"
                current = families[match[2]] = Family(match[2])
            assert not current.samples, f"{match[1]} behind samples"
            assert getattr(current, match[1].lower()) is None, f"{match[1]} twice"
            setattr(current, match[1].lower(), match[3])
            continue
        name, labels, value = parse_sample(line)
        assert current and name.startswith(current.name), f"{name} without a family"
        suffix = name[len(current.name):]
        allowed = SUFFIXES[current.type] if openmetrics or current.type == "histogram" else ("",)
        assert suffix in allowed, f"{name} in a {current.type} {current.name}"
        current.samples.append((suffix, labels, value))
    for family in families.values():
        family.check(openmetrics)
    return families


def flat(families):
    """{(name with suffix, sorted labels): value}, without what only one format has."""
    return {(f.name + s, tuple(sorted(labels.items()))): v for f in families.values() for s, labels, v in f.samples if s != "_created"}


def by_label(families, name, label):
    return {labels[label]: v for _, labels, v in families[name].samples}


# ---- the formats ----------------------------------------------------------------------------------------------------------------------

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

    def check_equals(self, report, families):
        """The figures of the metrics are those of `samepage scan --json`."""
        scanned = [g for g in report["guests"] if g["ram_bytes"] is not None]
        for figure in FIGURES:
            self.assertEqual(by_label(families, f"samepage_guest_{figure}_bytes", "guest"), {g["name"]: g[f"{figure}_bytes"] for g in scanned})
        self.assertEqual(by_label(families, "samepage_guest_saved_bytes", "guest"), {g["name"]: g["actual"]["saved_bytes"] for g in scanned})
        self.assertEqual(by_label(families, "samepage_guest_scan_failed", "guest"), {g["name"]: int(g["ram_bytes"] is None) for g in report["guests"]})
        for side, kinds in (("ideal", ("self_sharing", "inter_sharing", "zero")), ("actual", ("self", "inter", "zero"))):
            self.assertEqual(by_label(families, f"samepage_{side}_bytes", "kind"),
                             dict(zip(("self", "inter", "zero"), (report[side][f"{k}_bytes"] for k in kinds))))
        reasons = {r["reason"]: r["bytes"] for r in report["gap"]["reasons"]}
        self.assertEqual(by_label(families, "samepage_gap_bytes", "reason"), {r: reasons.get(r, 0) for r in REASONS})

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
                self.check_equals(report, text)
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

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    """A Prometheus on loopback that scrapes @targets every second, with the alert rules; everything in a folder of its own."""

    def __init__(self, targets, rules=(ALERTS,)):
        harness.need("prometheus")
        self.folder = tempfile.mkdtemp(dir=guests.tmp_dir())
        self.url = f"http://127.0.0.1:{free_port()}"
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w") as f:
            # JSON is YAML.
            json.dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}, "rule_files": list(rules),
                       "scrape_configs": [{"job_name": "samepage", "static_configs": [{"targets": targets}]}]}, f)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                                         f"--web.listen-address={self.url[7:]}", "--log.level=warn"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.folder,
                                        preexec_fn=guests.die_with_parent)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"prometheus does not come up: {self.said()}")
                time.sleep(0.2)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def api(self, path, **query):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
            done = json.load(answer)
        assert done["status"] == "success", done
        return done["data"]

    def query(self, expression):
        """[(labels, value)] at this moment."""
        return [(r["metric"], float(r["value"][1])) for r in self.api("query", query=expression)["result"]]

    def value(self, expression):
        ((_, value),) = self.query(expression)
        return value

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()


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
