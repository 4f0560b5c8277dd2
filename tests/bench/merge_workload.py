# SPDX-License-Identifier: GPL-2.0-or-later
"""What every tuner meets in tests/bench/merge: the guests, what happens to them, and the samples taken of it.

The guests run no operating system (tests/guest/bare.c), so that every page is known and the same in each run: equal between guests, equal
inside a guest, of one single content, zero, unique, and a region whose pages are rewritten at a set rate in pairs of equal ones. What
firmware leaves behind comes on top; the ceiling is therefore computed from what the pages really hold, and compared with what was put there.

Zero pages are counted apart, as everywhere. Whole huge pages of zeros lose their zero pages to the kernel's zero page when KSM splits
them, so that no zero page of KSM's is left that others could join, and each pass of KSM splits no more than one: seen with Linux 6.18.

Saved is exact: pages less frames, by helper bench_frames. Counters of the kernel's are noted beside it and not used.
"""
import collections
import hashlib
import os
import random
import struct
import subprocess
import threading
import time

import guests
import harness
import ksm
import oracle
import program
from guests import MIB, PAGE

MARGIN_MIB = 16  # above the content: the firmware keeps its tables at the end of RAM
MAX_PAGE_SHARING = 256
CHURN_SHARE = 1  # of 20
# Parts of the content, in twentieths.
EQUAL, COPIED, SAME, ZERO = 6, 2, 1, 2
# Kinds of memory, as bench_frames counts them.
STILL, CHURN, ZEROS = range(3)


class MergeGuest(guests.Guest):
    """@number makes its unique pages its own. The churning region lies at the end of its content."""

    def __init__(self, number, mib, churn_per_sec):
        self.parts = Parts(mib)
        self.churn_offset = guests.CONTENT_AT + self.parts.still * PAGE
        words = f"at={self.churn_offset // MIB} pages={self.parts.churn} rate={churn_per_sec} seed={number}"
        super().__init__(f"merge{number}", mib=mib, linux=False, content=self.parts.file(number),
                         extra=["-kernel", _bare_kernel(), "-append", words])

    def settle(self):
        deadline = time.monotonic() + guests.BOOT_SECONDS
        while "READY" not in self.console():
            self._check_alive(deadline)
        self.block = oracle.find_blocks(self.qmp, self.pid)[0]
        self.begin, self.end = self.block.pieces[0].begin, self.block.pieces[-1].end
        self.churn_begin = self.begin + self.churn_offset
        churn_end = self.churn_begin + self.parts.churn * PAGE
        zeros_begin = self.begin + guests.CONTENT_AT + (self.parts.equal + self.parts.same) * PAGE
        zeros_end = zeros_begin + self.parts.zero * PAGE
        self.pieces = [(STILL, self.begin, zeros_begin), (ZEROS, zeros_begin, zeros_end), (STILL, zeros_end, self.churn_begin),
                       (CHURN, self.churn_begin, churn_end), (STILL, churn_end, self.end)]
        return self

    def for_helper(self):
        """The guest as bench_frames wants it."""
        return "".join(f"{self.pid} {kind} {begin:x} {end:x}\n" for kind, begin, end in self.pieces)

    def contents(self):
        """How many present pages hold each content, of those that stand still and were not put there as zeros. Only present pages are touched."""
        found = collections.Counter()
        mem = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        try:
            for begin, end in ((begin, end) for kind, begin, end in self.pieces if kind == STILL):
                for n, entry in enumerate(oracle.pagemap(self.pid, begin, end)):
                    if entry & oracle.PM_PRESENT:
                        page = os.pread(mem, PAGE, begin + n * PAGE)
                        found[hashlib.blake2b(page, digest_size=16).digest()] += 1
        finally:
            os.close(mem)
        return found

    def writings(self):
        """How many pages it has rewritten so far: a page begins with the number of its writing, both pages of a pair alike."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as mem:
            mem.seek(self.churn_begin)
            region = mem.read(self.parts.churn // 2 * PAGE)
        return 2 * max(struct.unpack_from("<I", region, at)[0] for at in range(0, len(region), PAGE))

    def huge_bytes(self):
        with open(f"/proc/{self.pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("AnonHugePages:"))


_bare = []


def _bare_kernel():
    if not _bare:
        path = os.path.join(guests.tmp_dir(), "bare")
        subprocess.run([os.path.join(guests.TESTS, "guest", "build-bare"), path], check=True)
        _bare.append(path)
    return _bare[0]


class Parts:
    """How the content of a guest of @mib is made up, in pages."""

    def __init__(self, mib):
        mib -= guests.CONTENT_AT // MIB + MARGIN_MIB
        one = mib * MIB // PAGE // 20
        one -= one % (MIB // PAGE)  # the churning region begins at a whole MiB
        self.equal, self.copied, self.same, self.zero = (n * one for n in (EQUAL, COPIED, SAME, ZERO))
        self.churn = CHURN_SHARE * one
        self.still = mib * MIB // PAGE - self.churn
        self.unique = self.still - self.equal - 2 * self.copied - self.same - self.zero
        if one == 0:
            raise SystemExit("tests/bench/merge: guests of 64 MiB at least")

    def file(self, number):
        path = os.path.join(guests.tmp_dir(), f"merge-{self.still}-{number}")
        if not os.path.exists(path):
            common, own = random.Random("equal"), random.Random(number)
            copied = own.randbytes(self.copied * PAGE)
            pairs = bytearray(own.randbytes(self.churn // 2 * PAGE))
            for at in range(0, len(pairs), PAGE):
                pairs[at:at + 4] = bytes(4)  # where the number of the writing goes: none yet
            with open(path, "wb") as f:
                for piece in (common.randbytes(self.equal * PAGE), common.randbytes(PAGE) * self.same, bytes(self.zero * PAGE),
                              copied, copied, own.randbytes(self.unique * PAGE), pairs, pairs):
                    f.write(piece)
        return path

    def known_ceiling(self, n_guests):
        """Pages that can be saved of what was put there, zeros and the churning region apart."""
        one_content = n_guests * self.same
        return (n_guests - 1) * self.equal + n_guests * self.copied + one_content - _kept(one_content)


def _kept(copies):
    """Pages that KSM has to keep of so many copies of a content."""
    return -(-copies // MAX_PAGE_SHARING)


def ceiling_pages(counters):
    """Pages that KSM can save at most of guests with these contents, each a Counter."""
    total = sum(counters, collections.Counter())
    return sum(n - _kept(n) for n in total.values())


# ---- the kernel's figures --------------------------------------------------------------------------------------------------------


def ksmd_pid():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read() != "ksmd\n":
                    continue
            with open(f"/proc/{pid}/cmdline") as f:  # a program may call itself so; a kernel thread has no command line
                if not f.read():
                    return int(pid)
        except OSError:
            pass
    raise SystemExit("tests/bench/merge: this kernel has no ksmd")


def thread_cpu_seconds(pid):
    """utime and stime of a process of one thread, to the nanosecond."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


TICKS = os.sysconf("SC_CLK_TCK")


def process_cpu_seconds(pid):
    """CPU time of a process with all of its threads, of its children, and of those that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            own = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15])) / TICKS
    except OSError:
        return 0
    return own + sum(process_cpu_seconds(child) for child in harness.children(pid))


def vmstat():
    with open("/proc/vmstat") as f:
        return {name: int(value) for name, value in (line.split() for line in f)}


def busy_seconds():
    """CPU seconds of all CPUs since boot that were not idle, stolen ones included."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


# ---- sampling --------------------------------------------------------------------------------------------------------------------

Sample = collections.namedtuple("Sample", "seconds still_pages churn_pages zero_pages ksmd_seconds own_seconds")


class Sampler:
    """Samples in a thread of its own: often right after an event, then twice a second."""

    FINE = ((3, 0.1), (20, 0.2))  # up to so many seconds after an event, so often
    COARSE = 0.5

    def __init__(self, own_cpu_seconds):
        self.own_cpu_seconds = own_cpu_seconds
        self.samples, self.failure = [], None
        self.settings, self.strange = {}, None  # what has to be in force, and what was not
        self.lock, self.wake = threading.Lock(), threading.Event()
        self.guests = []
        self.ksmd = ksmd_pid()
        self.helper = subprocess.Popen([program.helper("bench_frames")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       preexec_fn=guests.die_with_parent)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def set_guests(self, some_guests):
        """From now on these. No sample is under way when it returns."""
        with self.lock:
            self.guests = list(some_guests)

    def count(self):
        """Pages saved: (of those that stand still, of the churning regions, of zeros)"""
        with self.lock:
            self.helper.stdin.write("".join(g.for_helper() for g in self.guests) + "\n")
            self.helper.stdin.flush()
            line = self.helper.stdout.readline()
        if not line:
            raise SystemExit("bench_frames failed")
        words = list(map(int, line.split()))
        return tuple(present - frames for present, frames in zip(words[::2], words[1::2]))

    def start(self):
        self.began = self.event_at = time.monotonic()
        self.ksmd_before = thread_cpu_seconds(self.ksmd)
        self.thread.start()

    def seconds(self):
        return time.monotonic() - self.began

    def event(self):
        self.event_at = time.monotonic()
        self.wake.set()
        return self.event_at - self.began

    def ksmd_seconds(self):
        return thread_cpu_seconds(self.ksmd) - self.ksmd_before

    def _run(self):
        try:
            while self.thread:
                at = self.seconds()
                self.samples.append(Sample(at, *self.count(), self.ksmd_seconds(), self.own_cpu_seconds()))
                self._check_settings()
                since = time.monotonic() - self.event_at
                self.wake.wait(next((every for until, every in self.FINE if since < until), self.COARSE))
                self.wake.clear()
        except BaseException as failure:
            self.failure = failure

    def _check_settings(self):
        for name, value in self.settings.items():
            found = ksm.read(name)
            if not self.strange and str(value) not in (found, *(w.strip("[]") for w in found.split() if w.startswith("["))):
                self.strange = f"{name} was {found} after {self.seconds():.0f} s, not {value}"

    def stop(self):
        """Ends the samples; the seconds of CPU that they took."""
        thread, self.thread = self.thread, None
        self.wake.set()
        if thread.ident:
            thread.join()
        cpu = process_cpu_seconds(self.helper.pid)
        self.helper.stdin.close()
        self.helper.wait()
        if self.failure:
            raise RuntimeError("the sampler failed") from self.failure
        return cpu


# ---- one run ---------------------------------------------------------------------------------------------------------------------

ARRIVES, LEAVES = 0.4, 0.75  # of the run

# What can be saved within it, in pages: of what stands still, of the churning regions at any moment, of zeros.
Phase = collections.namedtuple("Phase", "name begin end still_pages churn_pages zero_pages present_bytes")


class Run:
    """What came of one tuner."""

    def __init__(self, tuner):
        self.tuner, self.name = tuner, tuner.name
        self.phases, self.samples, self.notes = [], [], []
        self.predicted_bytes = None


def run(tuner, n_guests, mib, seconds, churn_per_sec):
    """The same for every tuner: all guests but one from the start; one more at 40 %; the first one leaves at 75 %."""
    for n in range(n_guests):
        Parts(mib).file(n)  # made already when the guest arrives
    result = Run(tuner)
    sampler = Sampler(tuner.cpu_seconds)
    running = []
    try:
        for n in range(n_guests - 1):
            running.append(MergeGuest(n, mib, churn_per_sec))
        guests.boot(*running)
        _play(result, tuner, sampler, running, lambda: MergeGuest(n_guests - 1, mib, churn_per_sec), seconds)
    finally:
        try:
            tuner.stop()
        finally:
            result.sampler_seconds = sampler.stop()
            for guest in running:
                guest.kill()
    result.samples = sampler.samples
    return result


def _play(result, tuner, sampler, running, later, seconds):
    contents = {g: g.contents() for g in running}
    sampler.set_guests(running)
    result.saved_before_pages = sum(sampler.count())
    result.predicted_bytes = tuner.predict(running)
    before, huge_before = vmstat(), sum(g.huge_bytes() for g in running)
    busy_before, tests_before = busy_seconds(), _tests_seconds(running)
    writings_before = running[0].writings()

    sampler.start()
    tuner.start(running)
    sampler.settings = tuner.settings()
    _wait(sampler, ARRIVES * seconds)
    result.reached_bytes = sum(sampler.count()) * PAGE
    result.churned_per_sec = (running[0].writings() - writings_before) / sampler.seconds()
    result.counted_pages = ksm.number("pages_sharing") + (ksm.number("ksm_zero_pages") if "ksm_zero_pages" in os.listdir(ksm.DIR) else 0)

    # It arrives when its QEMU starts: what runs at full speed has merged much of it before it is ready.
    arrives = _phase(result, "start", 0, sampler.event(), running, contents)
    guest = later()
    running.append(guest)
    guests.boot(guest)
    huge_before += guest.huge_bytes()
    sampler.set_guests(running)
    result.boot_seconds = sampler.seconds() - arrives
    _wait(sampler, LEAVES * seconds)
    contents[guest] = guest.contents()  # late, so as not to be in the way of what is measured

    tests_seconds = _tests_seconds(running) - tests_before
    left_huge = running[0].huge_bytes()
    leaves = _phase(result, "arrival", arrives, sampler.event(), running, contents)
    left = running.pop(0)
    sampler.set_guests(running)
    left.kill()
    tests_before = _tests_seconds(running)
    _wait(sampler, seconds)
    _phase(result, "departure", leaves, sampler.seconds(), running, contents)

    after = vmstat()
    result.seconds = sampler.seconds()
    result.saved_at_end = sampler.count()
    result.ksmd_seconds = sampler.ksmd_seconds()
    result.own_seconds = tuner.cpu_seconds()
    result.split_pages = after["thp_split_page"] - before["thp_split_page"]
    result.huge_lost_bytes = huge_before - left_huge - sum(g.huge_bytes() for g in running)
    tests_seconds += _tests_seconds(running) - tests_before
    result.others_share = (busy_seconds() - busy_before - tests_seconds - result.ksmd_seconds - result.own_seconds) / result.seconds
    known = running[0].parts.known_ceiling(len(running))
    if not known <= result.phases[-1].still_pages:
        raise SystemExit(f"the guests hold less than was put there: {result.phases[-1].still_pages} pages, not {known}")
    if result.saved_before_pages > 64:
        result.notes.append(f"{result.saved_before_pages} pages were merged before it began")
    result.notes += tuner.notes()
    if sampler.strange:  # a test of another checkout that has waited long enough, or a tuner of this host
        result.notes.append(f"VOID: somebody else has changed KSM's settings: {sampler.strange}")


def _tests_seconds(running):
    """CPU seconds of this program and of the guests, so that what others took of the machine can be told."""
    own = os.times()
    return own.user + own.system + sum(process_cpu_seconds(g.pid) for g in running)


def _wait(sampler, until):
    while sampler.seconds() < until:
        if sampler.failure:
            raise RuntimeError("the sampler failed") from sampler.failure
        time.sleep(max(0, min(0.5, until - sampler.seconds())))


def _phase(result, name, begin, end, running, contents):
    counters = [contents[g] for g in running]
    churn, zero = (sum(getattr(g.parts, name) for g in running) for name in ("churn", "zero"))
    present = sum(sum(c.values()) for c in counters) + churn + zero
    result.phases.append(Phase(name, begin, end, ceiling_pages(counters), churn // 2, zero, present * PAGE))
    return end
