# SPDX-License-Identifier: GPL-2.0-or-later
"""A container that boots the Debian of this machine with samepage installed: /usr is the host's own, read-only, everything else is new.

Its KSM is the host's: /sys is read-only in a container, but for that.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import daemon
import guests
import harness
import ksm

BOOT_SECONDS = 60
# What a Debian that boots needs of /etc; the rest is empty.
ETC = ("passwd", "group", "shadow", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "dbus-1", "pam.d", "alternatives")


def _left_over_cgroups():
    found = []
    for hierarchy in os.listdir("/sys/fs/cgroup"):
        for name in ("payload", "supervisor"):
            path = os.path.join("/sys/fs/cgroup", hierarchy, name)
            if os.path.isdir(path):
                found.append(path)
    return found


class Container:
    def __init__(self):
        for needed in ("systemd-nspawn", "systemctl", "nsenter"):
            if not shutil.which(needed):
                raise unittest.SkipTest(f"there is no {needed}")
        if not os.path.exists("/usr/lib/systemd/systemd"):
            raise unittest.SkipTest("there is no systemd to boot")
        self.folder = tempfile.mkdtemp(dir=guests.tmp_dir())
        self.root = os.path.join(self.folder, "root")
        self.before = set(_left_over_cgroups())
        self.nspawn = self.pid = None
        guests.at_end(self.kill)
        self._make_root()
        self._install()
        self._boot()

    def _make_root(self):
        for path in ("usr/lib", "etc", "run", "var/lib", "var/log", "tmp", "proc", "sys", "dev", "root"):
            os.makedirs(os.path.join(self.root, path))
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{link}", os.path.join(self.root, link))
        for name in ETC:
            subprocess.run(["cp", "-a", f"/etc/{name}", os.path.join(self.root, "etc")], check=False, stderr=subprocess.DEVNULL)
        os.symlink("../usr/lib/os-release", os.path.join(self.root, "etc/os-release"))
        shutil.copy("/etc/os-release", os.path.join(self.root, "usr/lib/os-release"))
        with open(os.path.join(self.root, "etc/machine-id"), "w"):
            pass

    def _install(self):
        build = os.path.dirname(harness.BINARY)
        done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", os.path.join(self.folder, "dest")], capture_output=True, text=True)
        if done.returncode:
            raise unittest.SkipTest(f"meson install fails: {done.stderr or done.stdout}")
        prefix = json.loads(subprocess.run(["meson", "introspect", build, "--buildoptions"], capture_output=True, text=True, check=True).stdout)
        self.prefix = next(o["value"] for o in prefix if o["name"] == "prefix")
        if self.prefix != "/usr/local":
            raise unittest.SkipTest(f"this build is for {self.prefix}, not /usr/local")

    def _boot(self):
        self.log = open(os.path.join(self.folder, "console"), "wb")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "-D", self.root, "-M", f"samepage-{os.getpid()}", "-b", "--register=no", "--keep-unit", "--console=pipe",
             *(["--bind=" + ksm.DIR] if os.path.isdir(ksm.DIR) else []), "--bind-ro=/usr", f"--bind={os.path.join(self.folder, 'dest', 'usr/local')}:/usr/local"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=guests.die_with_parent)
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            if self.nspawn.poll() is not None:
                raise unittest.SkipTest(f"no container can be booted here: {self.console()}")
            found = harness.children(self.nspawn.pid)
            if found:
                self.pid = found[0]
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"the container does not boot: {self.console()}")
            time.sleep(0.1)

    def console(self):
        with open(os.path.join(self.folder, "console"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def command(self, *words):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-r", *words]

    def run(self, *words, check=True, **popen):
        """Runs a command inside."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **popen)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def path(self, inside):
        """Where a path of the container is seen from outside."""
        return f"/proc/{self.pid}/root{inside}"

    def write(self, inside, text):
        with open(self.path(inside), "w", encoding="utf-8") as f:
            f.write(text)

    def journal(self, unit):
        return self.run("journalctl", "-u", unit, "--no-pager", "-o", "cat").stdout

    def wait_for(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come: {self.journal('samepaged')[-3000:]}")
            time.sleep(0.02)

    @contextlib.contextmanager
    def drop_in(self, name, text):
        """The service's unit has more to it for the length of the block."""
        folder = "/run/systemd/system/samepaged.service.d"
        os.makedirs(self.path(folder), exist_ok=True)
        self.write(f"{folder}/{name}.conf", text)
        self.run("systemctl", "daemon-reload")
        try:
            yield
        finally:
            os.unlink(self.path(f"{folder}/{name}.conf"))
            self.run("systemctl", "daemon-reload")

    def start_guest(self, name, mib, backend="ram"):
        """A guest inside whose RAM is all there; a second QMP socket is the test's."""
        self.run("systemd-run", f"--unit={name}", guests.QEMU, "-accel", "tcg", "-name", name, "-display", "none", "-nodefaults", "-m", str(mib),
                 "-object", f"memory-backend-{backend},id=ram,size={mib}M,prealloc=on", "-machine", "pc,memory-backend=ram",
                 "-qmp", f"unix:/run/guests/{name}.qmp,server=on,wait=off", "-qmp", f"unix:/run/guests/{name}.test,server=on,wait=off")
        self.wait_for(lambda: os.path.exists(self.path(f"/run/guests/{name}.test")))
        return guests.Qmp(self.path(f"/run/guests/{name}.test"))

    def start_libvirt(self):
        """A libvirtd inside, which runs QEMU as root: there is nobody else."""
        for program in ("libvirtd", "virtlogd", "virsh"):
            harness.need(program)
        for folder in ("/etc/libvirt", "/run/lock", "/var/lib/libvirt/images", "/var/lib/libvirt/qemu", "/var/cache/libvirt", "/var/log/libvirt/qemu"):
            self.run("mkdir", "-p", folder)
        self.write("/etc/libvirt/qemu.conf", 'user = "root"\ngroup = "root"\nnamespaces = []\ncgroup_controllers = []\nremember_owner = 0\nsecurity_driver = "none"\n')
        self.run("sh", "-c", "grep -q ^libvirt-qemu: /etc/passwd || { echo libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false >>/etc/passwd; "
                             "echo libvirt-qemu:x:64055: >>/etc/group; }; grep -q ^kvm: /etc/group || echo kvm:x:64056: >>/etc/group")
        for program in ("virtlogd", "libvirtd"):
            self.run("systemd-run", f"--unit={program}", shutil.which(program))
        self.wait_for(lambda: self.virsh("version", check=False).returncode == 0, 60)

    def virsh(self, *words, check=True):
        return self.run("virsh", "-q", "-c", "qemu:///system", *words, check=check)

    def control(self):
        return daemon.Control(self.path("/run/samepage/control.sock"))

    def kill(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)  # the container's init: all of it ends
            except ProcessLookupError:
                pass
            self.pid = None
        if self.nspawn:
            try:
                self.nspawn.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
            self.nspawn = None
            self.log.close()
        for path in sorted(set(_left_over_cgroups()) - self.before):
            for folder, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass
