# SPDX-License-Identifier: GPL-2.0-or-later
"""The program under measurement, built as it is installed, with the helpers of the benchmarks.

To be imported before anything of tests/integration, which it makes importable and which takes the binary from the environment.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "bench")
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
os.environ["SAMEPAGE"] = os.path.join(BUILD, "samepage")


def build():
    """The benchmarks and the program, optimised as they are installed."""
    log = os.path.join(ROOT, "build", "bench.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w") as out:
        if not os.path.exists(os.path.join(BUILD, "build.ninja")):
            subprocess.run(["meson", "setup", BUILD, ROOT, "-Dtests=false", "-Dbench=true"], stdout=out, stderr=out, check=True)
        subprocess.run(["meson", "compile", "-C", BUILD], stdout=out, stderr=out, check=True)


def helper(name):
    """Path of a helper of the benchmarks."""
    return os.path.join(BUILD, "tests", "bench", name)
