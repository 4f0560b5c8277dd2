# SPDX-License-Identifier: GPL-2.0-or-later
"""What reads metrics: a parser of this file for both formats, which shares no code with the program, and a real Prometheus."""
import json
import math
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import daemon
import guests
import harness

ROOT = os.path.dirname(guests.TESTS)
SYSTEMD = os.path.join(ROOT, "systemd")
ALERTS = os.path.join(SYSTEMD, "samepage-alerts.yaml")
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
FIGURES = ("ram", "present", "zero", "distinct", "self_sharing", "inter_sharing")
REASONS = ("shared-mapping", "hugetlb", "not-mergeable", "ksm-off", "not-scanned-yet", "numa", "volatile", "huge-page", "sharing-limit", "pinned",
           "unexplained")


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


def check_equals(case, report, families):
    """The figures of the metrics are those of `samepage scan --json`."""
    scanned = [g for g in report["guests"] if g["ram_bytes"] is not None]
    for figure in FIGURES:
        case.assertEqual(by_label(families, f"samepage_guest_{figure}_bytes", "guest"), {g["name"]: g[f"{figure}_bytes"] for g in scanned})
    case.assertEqual(by_label(families, "samepage_guest_saved_bytes", "guest"), {g["name"]: g["actual"]["saved_bytes"] for g in scanned})
    case.assertEqual(by_label(families, "samepage_guest_scan_failed", "guest"), {g["name"]: int(g["ram_bytes"] is None) for g in report["guests"]})
    for side, kinds in (("ideal", ("self_sharing", "inter_sharing", "zero")), ("actual", ("self", "inter", "zero"))):
        case.assertEqual(by_label(families, f"samepage_{side}_bytes", "kind"),
                         dict(zip(("self", "inter", "zero"), (report[side][f"{k}_bytes"] for k in kinds))))
    reasons = {r["reason"]: r["bytes"] for r in report["gap"]["reasons"]}
    case.assertEqual(by_label(families, "samepage_gap_bytes", "reason"), {r: reasons.get(r, 0) for r in REASONS})


class Prometheus:
    """A Prometheus on loopback that scrapes @targets every second, with the alert rules; everything in a folder of its own."""

    def __init__(self, targets, rules=(ALERTS,)):
        harness.need("prometheus")
        self.folder = tempfile.mkdtemp(dir=guests.tmp_dir())
        self.url = f"http://127.0.0.1:{daemon.free_port()}"
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
