# SPDX-License-Identifier: GPL-2.0-or-later
"""Real QEMU guests for the integration tests.

Every guest gets two QMP sockets: `socket` is for the program under test, `qmp` is the test's own connection on the other. A socket
serves one client at a time, so the two never meet, and the events seen on the second are an independent clock.

Guests run under TCG, so they need no /dev/kvm. They die with the test process whatever becomes of it (PR_SET_PDEATHSIG), their files
lie below one temporary folder per test process, and everything taken from the host (huge pages) is put back at exit.
"""
import atexit
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

MADV_MERGEABLE = 12
PAGE = 4096
MIB = 1 << 20
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
CACHE = os.environ.get("SAMEPAGE_CACHE", "/var/cache/samepage")
CONTENT_AT = 16 * MIB
BOOT_SECONDS = 120  # TCG boots in about 3 s; a loaded machine may need far longer
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class GuestError(Exception):
    pass


# ---- temporary folders -----------------------------------------------------------------------------------------------------------

_tmp = {}


def tmp_dir():
    """The one temporary folder of this test process."""
    return _folder("tmp", None)


def tmpfs_dir(need_mib):
    """A folder on a tmpfs with room for need_mib, or SkipTest."""
    with open("/proc/mounts") as f:
        mounts = [line.split()[1] for line in f if line.split()[2] == "tmpfs"]
    for where in sorted(mounts, key=lambda m: m != "/dev/shm"):
        st = os.statvfs(where) if os.access(where, os.W_OK) else None
        if st and st.f_bavail * st.f_frsize >= need_mib * MIB:
            return _folder("tmpfs", where)
    raise unittest.SkipTest(f"no writable tmpfs with {need_mib} MiB free")


def _folder(kind, where):
    if kind not in _tmp:
        _tmp[kind] = tempfile.mkdtemp(prefix="samepage-test-", dir=where)
    return _tmp[kind]


# ---- clean-up --------------------------------------------------------------------------------------------------------------------

_running = []
_undo = []


def at_end(function, *args):
    """Runs at exit, last registered first, before the temporary folders go. Gives what put_back() takes to run it, and what came later, sooner."""
    _undo.append((function, args))
    return len(_undo) - 1


def put_back(since=0):
    """Runs what was registered from there on."""
    while len(_undo) > since:
        function, args = _undo.pop()
        try:
            function(*args)
        except Exception as e:
            print(f"clean-up failed: {e}", file=sys.stderr)


@atexit.register
def _cleanup():
    for guest in list(_running):
        guest.kill()
    put_back()
    for path in _tmp.values():
        shutil.rmtree(path, ignore_errors=True)


class Ended(KeyboardInterrupt):
    """By a signal. unittest takes any other exception, SystemExit too, for the failure of one test, and goes on with the next."""

    def __init__(self, number):
        super().__init__()
        self.code = 128 + number


def _on_signal(number, _frame):
    raise Ended(number)  # unwinds, so that finally blocks and atexit run


for _s in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_s, _on_signal)


def die_with_parent():
    """For preexec_fn: a child must not outlive the test process. A shell's background job has SIGINT ignored: not so its children."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


# ---- huge pages ------------------------------------------------------------------------------------------------------------------

NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages"


def reserve_huge_pages(mib):
    """Adds 2 MiB pages to the host's pool until the test process ends, or SkipTest."""
    with open(NR_HUGEPAGES) as f:
        old = int(f.read())
    want = old + mib // 2
    try:
        _write(NR_HUGEPAGES, want)
    except OSError as e:
        raise unittest.SkipTest(f"huge pages cannot be reserved: {e}") from e
    at_end(_write, NR_HUGEPAGES, old)
    with open(NR_HUGEPAGES) as f:
        got = int(f.read())
    if got < want:
        raise unittest.SkipTest(f"only {got - old} of {want - old} huge pages could be reserved")


KHUGEPAGED_ASLEEP = 100_000_000
KHUGEPAGED_DEFAULT = 10_000  # the kernel's, in milliseconds


def quiet_khugepaged():
    """Puts khugepaged to sleep until exit: it collapses pages behind the back of a test that compares frames."""
    path = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
    if not os.access(path, os.W_OK):
        return
    with open(path) as f:
        found = int(f.read())
    # A run that was killed has left ours.
    at_end(_write, path, KHUGEPAGED_DEFAULT if found == KHUGEPAGED_ASLEEP else found)
    _write(path, KHUGEPAGED_ASLEEP)


def _write(path, value):
    with open(path, "w") as f:
        f.write(f"{value}")


# ---- QMP -------------------------------------------------------------------------------------------------------------------------


class Qmp:
    """A minimal QMP client; keeps every event with QEMU's own time stamp."""

    def __init__(self, path, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(path)
                break
            except OSError as e:
                self.sock.close()
                if time.monotonic() > deadline:
                    raise GuestError(f"{path}: {e}") from e
                time.sleep(0.02)
        self.file = self.sock.makefile("rwb")
        self.events = []
        self.greeting = self._line()
        self.execute("qmp_capabilities")

    def _line(self):
        line = self.file.readline()
        if not line:
            raise GuestError("QEMU closed the QMP connection")
        return json.loads(line)

    def execute(self, command, arguments=None):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.file.write(json.dumps(request).encode() + b"\n")
        self.file.flush()
        while True:
            reply = self._line()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise GuestError(f"{command}: {reply['error']['desc']}")
            else:
                return reply["return"]

    def hmp(self, line):
        return self.execute("human-monitor-command", {"command-line": line})

    def status(self):
        return self.execute("query-status")["status"]

    def take_events(self):
        """All events up to now, which are then forgotten."""
        self.status()
        events, self.events = self.events, []
        return events

    def close(self):
        self.file.close()
        self.sock.close()


def pauses(events):
    """The lengths in seconds of the STOP..RESUME pairs among @events; a STOP without RESUME counts as None."""
    lengths, begun = [], None
    for e in events:
        at = e["timestamp"]["seconds"] + e["timestamp"]["microseconds"] / 1e6
        if e["event"] == "STOP":
            begun = at
        elif e["event"] == "RESUME" and begun is not None:
            lengths.append(at - begun)
            begun = None
    return lengths if begun is None else lengths + [None]


# ---- guests ----------------------------------------------------------------------------------------------------------------------

# What a kind of RAM is to the host: is the mapping shared, does it come from huge pages, can KSM take it.
RAM_KINDS = {
    "default": {"shared": False, "huge": False},
    "ram-private": {"shared": False, "huge": False},
    "ram-shared": {"shared": True, "huge": False},
    "memfd-shared": {"shared": True, "huge": False},
    "memfd-private": {"shared": False, "huge": False},
    "file-shared": {"shared": True, "huge": False},
    "mem-path": {"shared": False, "huge": False},
    "hugetlb-shared": {"shared": True, "huge": True},
    "hugetlb-private": {"shared": False, "huge": True},
    "numa": {"shared": None, "huge": False},  # first half private, second half shared
}


def _ram_arguments(kind, mib, name):
    """(arguments, machine property) that give a guest @mib of this kind of RAM."""
    one = ",memory-backend=m0"
    size = f"size={mib}M"
    if kind == "default":
        return [], ""
    if kind == "ram-private":
        return ["-object", f"memory-backend-ram,id=m0,{size}"], one
    if kind == "ram-shared":
        return ["-object", f"memory-backend-ram,id=m0,{size},share=on"], one
    if kind in ("memfd-shared", "memfd-private"):
        share = "on" if kind == "memfd-shared" else "off"
        return ["-object", f"memory-backend-memfd,id=m0,{size},share={share}"], one
    if kind == "file-shared":
        path = os.path.join(tmpfs_dir(mib), f"{name}.ram")
        return ["-object", f"memory-backend-file,id=m0,{size},share=on,mem-path={path}"], one
    if kind == "mem-path":
        return ["-mem-path", tmpfs_dir(mib)], ""
    if kind in ("hugetlb-shared", "hugetlb-private"):
        share = "on" if kind == "hugetlb-shared" else "off"
        reserve_huge_pages(mib)
        return ["-object", f"memory-backend-memfd,id=m0,{size},share={share},hugetlb=on,hugetlbsize=2M"], one
    if kind == "numa":
        half = f"size={mib // 2}M"
        return ["-object", f"memory-backend-ram,id=m0,{half}", "-object", f"memory-backend-memfd,id=m1,{half},share=on",
                "-numa", "node,memdev=m0", "-numa", "node,memdev=m1"], ""
    raise ValueError(f"unknown kind of RAM {kind}")


def kernel_words(workload):
    """The command line of a guest's kernel. On a busy host its check of the timer fails under emulation, and it panics."""
    return " ".join(["console=ttyS0", "quiet", "nokaslr", "no_timer_check", "reboot=t", *(f"sp.{k}={v}" for k, v in (workload or {}).items())])


def guest_image():
    """(kernel, initramfs) of Linux guests, or SkipTest."""
    kernel = os.environ.get("SAMEPAGE_KERNEL")
    if not kernel:
        folder = os.path.join(CACHE, "kernel")
        found = sorted(n for n in (os.listdir(folder) if os.path.isdir(folder) else ()) if n.startswith("vmlinuz-"))
        if not found:
            raise unittest.SkipTest(f"no guest kernel in {folder}: run tests/lib/setup.sh check")
        kernel = os.path.join(folder, found[-1])
    initramfs = os.environ.get("SAMEPAGE_INITRAMFS")
    if not initramfs:
        built = subprocess.run([os.path.join(TESTS, "guest", "build")], stdout=subprocess.PIPE, text=True)
        if built.returncode != 0:
            raise unittest.SkipTest("the guest image cannot be built")
        initramfs = built.stdout.strip()
    return kernel, initramfs


def start_stranger():
    """A process that has opted in to KSM with 1 MiB of zeros, which runs until it is killed."""
    code = ("import ctypes, mmap, sys\n"
            "m = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
            f"m.madvise({MADV_MERGEABLE})\n"
            "m.write(bytes(1 << 20))\nprint('ready', flush=True)\nsys.stdin.read()\n")
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    if process.stdout.readline() != b"ready\n":
        raise AssertionError("the process that opts in does not start")
    return process


class Guest:
    """One guest. linux=False boots no kernel: the firmware runs and finds nothing, which takes no time.

    @workload: arguments of tests/guest/workload.c. @content: a file that QEMU puts into the RAM at 16 MiB; with linux=False such a
    guest stands still and yet holds known content. @extra: more QEMU arguments. @name: what `query-name` says; None gives QEMU no
    name. As a context manager it kills the guest at the end.
    """

    _count = 0

    def __init__(self, name="", ram="default", mib=160, machine="pc", linux=True, workload=None, content=None,
                 extra=(), memory=None, smp=1):
        if shutil.which(QEMU) is None:
            raise unittest.SkipTest(f"{QEMU} is not installed")
        Guest._count += 1
        self.name = f"guest{Guest._count}" if name == "" else name
        self.label = self.name or f"unnamed{Guest._count}"
        self.ram, self.mib, self.linux = ram, mib, linux
        self.dir = tempfile.mkdtemp(prefix=f"{self.label}-", dir=tmp_dir())
        self.socket = os.path.join(self.dir, "qmp.sock")
        self.serial = os.path.join(self.dir, "serial")
        self.log = os.path.join(self.dir, "qemu.log")
        self.firmware = os.path.join(self.dir, "firmware.log")
        self._second = os.path.join(self.dir, "second.sock")
        self.qmp = None

        ram_args, property_ = _ram_arguments(ram, mib, f"{self.label}-{os.getpid()}")
        args = [QEMU, "-nodefaults", "-no-user-config", "-accel", "tcg,tb-size=64", "-display", "none", "-smp", str(smp),
                "-machine", machine + property_, "-m", memory or f"{mib}M", *ram_args,
                "-chardev", f"file,id=serial,path={self.serial}", "-serial", "chardev:serial",
                "-qmp", f"unix:{self.socket},server=on,wait=off", "-qmp", f"unix:{self._second},server=on,wait=off"]
        if self.name is not None:
            args += ["-name", self.name]
        if linux:
            kernel, initramfs = guest_image()
            args += ["-kernel", kernel, "-initrd", initramfs, "-append", kernel_words(workload)]
        else:
            args += ["-chardev", f"file,id=firmware,path={self.firmware}",
                     "-device", "isa-debugcon,iobase=0x402,chardev=firmware"]
        if content:
            args += ["-device", f"loader,file={content},addr={CONTENT_AT:#x},force-raw=on"]
        args += list(extra)

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        self.pid = self.process.pid
        _running.append(self)

    def wait_ready(self):
        deadline = time.monotonic() + BOOT_SECONDS
        try:
            while not os.path.exists(self._second):
                self._check_alive(deadline)
            self.qmp = Qmp(self._second)
            while self.linux and "READY" not in self.console():
                if "FAILED" in self.console() or "Kernel panic" in self.console():
                    raise GuestError(f"{self.label}: {self.console()[-500:]}")
                self._check_alive(deadline)
        except BaseException:
            self.kill()
            raise
        return self

    def settle(self):
        """Waits until the firmware of a guest without Linux has given up: from then on its memory stands still."""
        deadline = time.monotonic() + BOOT_SECONDS
        while "No bootable device" not in _text(self.firmware):
            self._check_alive(deadline)
        return self

    def _check_alive(self, deadline):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as f:
                raise GuestError(f"{self.label}: QEMU ended with {self.process.returncode}: {f.read()[-500:]}")
        if time.monotonic() > deadline:
            raise GuestError(f"{self.label}: not ready after {BOOT_SECONDS} s: {self.console()[-500:]}")
        time.sleep(0.05)

    def console(self):
        return _text(self.serial)

    def pause(self):
        self.qmp.execute("stop")

    def resume(self):
        self.qmp.execute("cont")

    def status(self):
        return self.qmp.status()

    def take_events(self):
        return self.qmp.take_events()

    def wait_status(self, wanted, seconds):
        """Seconds until the run state was @wanted, or None."""
        begin = time.monotonic()
        while self.status() != wanted:
            if time.monotonic() - begin > seconds:
                return None
            time.sleep(0.002)
        return time.monotonic() - begin

    def kill(self):
        if self in _running:
            _running.remove(self)
        if self.qmp:
            try:
                self.qmp.close()
            except OSError:
                pass
            self.qmp = None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        ram_file = os.path.join(_tmp.get("tmpfs", "/nonexistent"), f"{self.label}-{os.getpid()}.ram")
        if os.path.exists(ram_file):
            os.unlink(ram_file)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self if self.qmp else self.wait_ready()

    def __exit__(self, *_):
        self.kill()

    # What the host sees of the guest.

    def proc_status(self):
        """Every `Name: N kB` line of /proc/PID/status, in kB."""
        with open(f"/proc/{self.pid}/status") as f:
            fields = [line.split() for line in f]
        return {w[0].rstrip(":"): int(w[1]) for w in fields if len(w) == 3 and w[2] == "kB"}

    def ram_file_blocks(self):
        """{inode: st_blocks} of the files behind the guest's big mappings."""
        found = {}
        folder = f"/proc/{self.pid}/map_files"
        for name in os.listdir(folder):
            begin, end = (int(x, 16) for x in name.split("-"))
            if end - begin >= 16 * MIB:
                st = os.stat(os.path.join(folder, name))
                found[st.st_ino] = st.st_blocks
        return found


def _text(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def boot(*guests):
    """Waits for guests that were started side by side."""
    for g in guests:
        g.wait_ready()
    for g in guests:
        if not g.linux:
            g.settle()
    return guests


def content_file(mib, equal_mib=0, zero_mib=0, seed=0):
    """A file of @mib: first @equal_mib of pages equal in every such file, then @zero_mib of zeros, then pages of @seed alone."""
    path = os.path.join(tmp_dir(), f"content-{mib}-{equal_mib}-{zero_mib}-{seed}")
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(random.Random("equal").randbytes(equal_mib * MIB))
            f.write(bytes(zero_mib * MIB))
            pages = bytearray(random.Random(seed).randbytes(MIB))
            for n in range(mib - equal_mib - zero_mib):
                for byte, value in enumerate(n.to_bytes(2, "little")):
                    pages[byte::PAGE] = bytes((value,)) * (MIB // PAGE)
                f.write(pages)
    return path


def of_two_groups():
    """Three guests that stand still: two that are much alike, and one of another group that has some pages of theirs."""
    return (Guest("a1", mib=96, linux=False, content=content_file(40, equal_mib=24, zero_mib=4, seed=1)),
            Guest("a2", mib=96, linux=False, content=content_file(40, equal_mib=24, zero_mib=4, seed=2)),
            Guest("b1", mib=96, linux=False, content=content_file(32, equal_mib=8, zero_mib=2, seed=3)))


def hot_add_dimm(guest, mib, ident="hot0", backend="memory-backend-ram", **properties):
    """Adds @mib of RAM to a running guest that was started with free slots."""
    guest.qmp.execute("object-add", {"qom-type": backend, "id": ident, "size": mib * MIB, **properties})
    guest.qmp.execute("device_add", {"driver": "pc-dimm", "id": f"dimm-{ident}", "memdev": ident})
