# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of options, --help, the manual and the completion stay in step; so do commands, reasons of the gap and keys of the JSON.

--help is made from the table (conf/options.c), so it stands for it here; that it leaves no row out is tested too.
"""
import os
import re
import subprocess
import unittest

import guests
import harness
import test_cli

ROOT = os.path.dirname(guests.TESTS)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def help_of(*words):
    return subprocess.run([harness.BINARY, *words, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          check=True).stdout


def commands():
    return re.findall(r"^  ([a-z]+)  +\S", help_of().split("Commands:")[1].split("Options:")[0], re.M)


def options_of(*command):
    """{name: (argument or None, help text)}."""
    found = re.findall(r"^  --([a-z-]+)(?: ([A-Z]+))?  +(.*)$", help_of(*command).split("Options:")[1], re.M)
    return {name: (argument or None, text) for name, argument, text in found}


def table_rows():
    """{name: (argument or None, set of commands)} from the source, for what --help might leave out."""
    source = read("conf", "options.c")
    groups = {name: {name.lower()} for name in ("GUESTS", "SCAN", "RESUME", "HISTORY", "WATCH", "TUNE", "RECLAIM")}
    for name, members in re.findall(r"^#define FOR_([A-Z]+) +\((.+)\)$", source, re.M):
        groups[name] = set().union(*(groups[m] for m in re.findall(r"FOR_([A-Z]+)", members)))
    table = source.split("const struct option_row options_table[] = {")[1].split("\n};")[0]
    # A row without a help text is for the service alone.
    rows = [row for row in table.split("\n        {") if not re.search(r"\n +NULL, NULL\},", row)]
    found = [re.match(r'(?:"[a-z]+"|NULL), (?:"[a-z_]+"|NULL), "([a-z-]+)", (?:"([A-Z]+)"|NULL), (?:OPTION_)?FOR_([A-Z]+),', row) for row in rows]
    return {name: (argument or None, groups[group]) for name, argument, group in (row.groups() for row in found if row)}


class InStep(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.manual = read("docs", "samepage.1")
        cls.synopsis = cls.section("SYNOPSIS")

    @classmethod
    def section(cls, name):
        return cls.manual.split(f".Sh {name}\n")[1].split("\n.Sh ")[0]

    def entries(self):
        """{option: (argument or None, text of its entry)} of the manual's list of options."""
        text = self.section("DESCRIPTION").split(".Ss Options")[1]
        found = re.findall(r"^\.It Fl -([a-z-]+)(?: Ar ([A-Z]+))?\n((?:(?!\.It|\.El).*\n)*)", text, re.M)
        return {name: (argument or None, body) for name, argument, body in found}

    def test_this_test_sees_something(self):
        self.assertEqual(commands(), ["guests", "scan", "tune", "history", "watch", "resume", "reclaim"])
        self.assertGreater(len(options_of("scan")), 10)
        self.assertGreater(len(table_rows()), 10)
        self.assertGreater(len(self.entries()), 10)

    def test_help_shows_the_whole_table(self):
        for command in commands():
            with self.subTest(command=command):
                rows = {name: argument for name, (argument, takers) in table_rows().items() if command in takers}
                shown = {name: argument for name, (argument, _) in options_of(command).items() if name != "help"}
                self.assertEqual(shown, rows)

    def test_manual_has_every_option(self):
        wanted = {"help": None, "version": None}
        for command in commands():
            wanted.update({name: argument for name, (argument, _) in options_of(command).items()})
        self.assertEqual({name: argument for name, (argument, _) in self.entries().items()}, wanted)

    def test_manual_names_the_same_defaults(self):
        for command in commands():
            for name, (_, text) in options_of(command).items():
                default = re.search(r"\(default:? ([^)]+)\)|(\w+) \(default\)", text)
                if not default:
                    continue
                with self.subTest(option=name):
                    body = re.sub(r"\n\.\w+ |\s+", " ", self.entries()[name][1])
                    self.assertIn((default[1] or default[2]).strip(), body)
                    self.assertIn("default", body)

    def test_synopsis_has_every_option_of_each_command(self):
        for command in commands():
            with self.subTest(command=command):
                part = self.synopsis.split(f".Cm {command}\n")[1].split(".Nm\n")[0]
                found = {name: argument or None for name, argument in re.findall(r"\.Op Fl -([a-z-]+)(?: Ar ([A-Z]+))?", part)}
                self.assertEqual(found, {n: a for n, (a, _) in options_of(command).items() if n != "help"})

    def test_manual_says_which_commands_take_an_option(self):
        """An entry begins with the commands in parentheses unless all take it."""
        takers = {}
        for command in commands():
            for name in options_of(command):
                takers.setdefault(name, []).append(command)
        for name, (_, body) in self.entries().items():
            if name in ("help", "version") or len(takers[name]) == len(commands()):
                continue
            with self.subTest(option=name):
                said = re.match(r"\.Pq Cm ([a-z ,]+)\n", body)
                self.assertIsNotNone(said)
                self.assertEqual(said[1].split(" , "), takers[name])

    def test_manual_has_every_command(self):
        text = self.section("DESCRIPTION").split(".Ss Commands")[1].split(".Ss Options")[0]
        self.assertEqual(re.findall(r"^\.It Cm (\w+)", text, re.M), commands())

    def test_manual_has_every_reason_in_order(self):
        source = read("merge", "gap.c").split("gap_reason_to_string")[1].split("};")[0]
        names = re.findall(r'\[GAP_REASON_\w+\]\s*=\s*"([a-z-]+)"', source)
        self.assertIn("unexplained", names)
        self.assertEqual(re.findall(r"^\.It Li ([a-z-]+)$", self.section("REASONS OF THE GAP"), re.M), names)
        self.assertEqual(re.findall(r"^\| `([a-z-]+)` \|", read("docs", "sharing-model.md"), re.M), names)

    def test_manual_has_every_key(self):
        words = set(re.findall(r"[a-z_]+", self.section("JSON")))
        keys = set().union(test_cli.SCAN_KEYS, test_cli.HOST_KEYS, test_cli.GUEST_KEYS, test_cli.GUEST_ACTUAL_KEYS, test_cli.BLOCK_KEYS,
                           test_cli.IDEAL_KEYS, test_cli.ACTUAL_KEYS, test_cli.REASON_KEYS)
        self.assertEqual(keys - words, set())

    def test_manual_has_every_exit_status(self):
        found = re.findall(r"^\.It (\d)$", self.section("EXIT STATUS"), re.M)
        self.assertEqual(found, re.findall(r"EXIT_CODE_\w+ = (\d)", read("daemon", "command", "command.h")))

    def test_manual_and_news_know_the_version(self):
        version = subprocess.run([harness.BINARY, "--version"], capture_output=True, text=True, timeout=20).stdout.split()[1]
        self.assertIn(f"\n## {version}\n", read("NEWS.md"))

    def test_the_service_has_the_options_of_its_manual(self):
        printed = subprocess.run([harness.BINARY + "d", "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
        listed = set(re.findall(r"^  (?:-c, )?--([a-z-]+)", printed.split("Options:")[1].split("SIGHUP")[0], re.M))
        manual = read("docs", "samepaged.8")
        described = set(re.findall(r"^\.It (?:Fl c , )?Fl -([a-z-]+)", manual, re.M))
        completed = set(re.findall(r" --([a-z-]+)", read("completions", "samepaged.bash").split("compgen -W")[1]))
        self.assertEqual(listed, {"config", "check-config", "sample-config", "help", "version"})
        self.assertEqual(described, listed)
        self.assertEqual(completed, listed)
        self.assertEqual(subprocess.run([harness.BINARY + "d", "--sample-config"], capture_output=True, text=True, timeout=20, check=True).stdout,
                         read("conf", "samepaged.conf"))

    def test_the_service_has_the_commands_of_its_manual(self):
        source = read("daemon", "control_commands.c").split("static const struct command table[]")[1].split("};")[0]
        commands = set(re.findall(r'\{"([a-z-]+)", ', source))
        self.assertIn("query-commands", commands)
        section = read("docs", "samepaged.8").split(".Sh CONTROL SOCKET")[1].split("\n.Sh ")[0]
        self.assertEqual(set(re.findall(r"^\.It Li ([a-z-]+)$", section, re.M)), commands)

    def complete(self, *words):
        """What the completion offers for the last word, as a shell would ask it."""
        script = ('source "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_samepage samepage; [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "--norc", "-c", script, "bash", os.path.join(ROOT, "completions", "samepage.bash"), "samepage", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, cwd=guests.tmp_dir())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_completion_of_commands(self):
        self.assertEqual(self.complete(""), [*commands(), "--help", "--version"])
        self.assertEqual(self.complete("sc"), ["scan"])

    def test_completion_has_every_option(self):
        for command in commands():
            with self.subTest(command=command):
                self.assertEqual(sorted(self.complete(command, "--")), sorted(f"--{name}" for name in options_of(command)))

    def test_completion_of_arguments(self):
        """After an option that takes an argument, no other option is offered; modes are the program's."""
        for command in commands():
            for name, (argument, _) in options_of(command).items():
                with self.subTest(command=command, option=name):
                    offered = self.complete(command, f"--{name}", "--")
                    self.assertEqual(bool(offered), argument is None, offered)
        modes = self.complete("scan", "--mode", "")
        source = read("conf", "wishes.c").split("scan_modes[]")[1].split("};")[0]
        self.assertEqual(modes, re.findall(r'\[SCAN_MODE_\w+\] = "(\w+)"', source))
        self.assertEqual(self.complete("scan", "--mode", "=", "l"), ["live"])

    def test_completion_of_files(self):
        os.makedirs(os.path.join(guests.tmp_dir(), "folder"), exist_ok=True)
        with open(os.path.join(guests.tmp_dir(), "file.qmp"), "w"):
            pass
        self.assertEqual(self.complete("scan", "--qmp", "fi"), ["file.qmp"])
        self.assertEqual(self.complete("scan", "--runtime-dir", "f"), ["folder"])


if __name__ == "__main__":
    harness.main()
