# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd of the test's own, with domains, for the integration tests.

libvirtd and virtlogd run by hand in a mount namespace of their own, where /run and libvirt's folders are empty ones: nothing of the
host's libvirt is seen or touched, and nothing is left. The process that holds the namespace waits for the end of its standard input,
which comes whatever ends the test, and then kills what libvirtd started.
"""
import glob
import os
import shutil
import signal
import subprocess
import time
import unittest

import guests
import harness

URI = "qemu:///system"
DAEMON_SECONDS = 60
GONE_SECONDS = 10
BOOT_SECONDS = guests.BOOT_SECONDS
IMAGES = "/var/lib/libvirt/images"
LOGS = "/var/log/libvirt/qemu"

# Debian's libvirtd wants folders, and a user to run QEMU as, that only a full installation has: these are the namespace's alone.
_HOLD = r"""
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for folder in /var/lib /var/cache /var/log; do
	if [ ! -d $folder/libvirt ]; then
		mkdir -p /run/over$folder/up /run/over$folder/work
		mount -t overlay -o lowerdir=$folder,upperdir=/run/over$folder/up,workdir=/run/over$folder/work overlay $folder
		mkdir $folder/libvirt
	fi
	mount -t tmpfs -o mode=755 tmpfs $folder/libvirt
done
mkdir -p /var/log/libvirt/qemu /var/lib/libvirt/qemu /var/lib/libvirt/images /var/lib/libvirt/boot
for file in passwd group; do
	cp /etc/$file /run/own-$file
done
grep -q '^kvm:' /etc/group || echo 'kvm:x:64056:' >>/run/own-group
grep -q '^libvirt-qemu:' /etc/group || echo 'libvirt-qemu:x:64055:' >>/run/own-group
grep -q '^libvirt-qemu:' /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false' >>/run/own-passwd
for file in passwd group; do
	mount --bind /run/own-$file /etc/$file
done
if [ -e /dev/kvm ]; then # which libvirtd may be allowed to use and QEMU not; it then asks QEMU anew every time, for seconds
	(umask 077 && : >/run/no-kvm)
	mount --bind /run/no-kvm /dev/kvm
fi
mount -t tmpfs -o mode=755 tmpfs /etc/libvirt
echo 'namespaces = []' >/etc/libvirt/qemu.conf # it could not move the mount on /dev/kvm
mkdir /run/huge
mount -t hugetlbfs -o mode=1777 none /run/huge && echo 'hugetlbfs_mount = "/run/huge"' >>/etc/libvirt/qemu.conf
echo ready
set +e
cat >/dev/null
for file in /run/libvirt/qemu/*.pid; do
	[ -e "$file" ] && kill -9 "$(cat "$file")"
done 2>/dev/null
sleep 0.2
"""


def _need():
    for program in ("libvirtd", "virtlogd", "virsh", "unshare", "nsenter", guests.QEMU):
        harness.need(program)


def _tops():
    """The folders that libvirtd makes for its domains; other libvirtds of this host use them too."""
    return set(glob.glob("/sys/fs/cgroup/machine")) | set(glob.glob("/sys/fs/cgroup/*/machine"))


def _remove(folder):
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            pass
    return not os.path.exists(folder)


class Libvirt:
    """libvirtd in its namespace. As a context manager it ends everything."""

    def __init__(self):
        _need()
        self.tops = _tops()
        self.daemons = {}
        self.domains = []
        # No die_with_parent: it has to outlive the test by a moment.
        self.holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", _HOLD],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        guests.at_end(self.close)
        line = self.holder.stdout.readline()
        if line != "ready\n":
            self.close()
            raise unittest.SkipTest(f"no mount namespace for libvirtd: {line}")
        self.start("virtlogd")
        self.start("libvirtd")
        self.wait()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-r", *command]  # -r: in a chroot it is another one

    def root(self, path):
        """A path as seen inside, for this process."""
        return f"/proc/{self.holder.pid}/root{path}"

    def start(self, name):
        log = open(os.path.join(guests.tmp_dir(), f"{name}.log"), "ab")
        self.daemons[name] = subprocess.Popen(self.inside(shutil.which(name)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              preexec_fn=guests.die_with_parent)
        log.close()

    def wait(self):
        deadline = time.monotonic() + DAEMON_SECONDS
        while self.virsh("version", check=False).returncode != 0:
            if self.daemons["libvirtd"].poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(guests.tmp_dir(), "libvirtd.log"), errors="replace") as f:
                    raise guests.GuestError(f"libvirtd does not start: {f.read()[-2000:]}")
            time.sleep(0.1)

    def restart(self):
        self.start("libvirtd")
        self.wait()

    def kill_daemon(self):
        self.daemons["libvirtd"].kill()
        self.daemons["libvirtd"].wait()

    def virsh(self, *arguments, check=True, seconds=60):
        done = subprocess.run(self.inside("virsh", "-q", "-c", URI, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=seconds, preexec_fn=guests.die_with_parent)
        if check and done.returncode != 0:
            raise guests.GuestError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def start_virsh(self, *arguments):
        return subprocess.Popen(self.inside("virsh", "-q", "-c", URI, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, preexec_fn=guests.die_with_parent)

    def close(self):
        if self.holder.poll() is None:
            self.holder.stdin.close()
            try:
                self.holder.wait(20)
            except subprocess.TimeoutExpired:
                self.holder.kill()
                self.holder.wait()
        for process in self.daemons.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.holder.stdout.close()
        for domain in self.domains:
            domain.kill()
        self.remove_cgroups()

    def remove_cgroups(self):
        """Those of our domains, which are busy until the last of their processes is gone for good."""
        folders = [os.path.join(top, name) for top in _tops() for d in self.domains for name in d.cgroups]
        deadline = time.monotonic() + GONE_SECONDS
        while not all([_remove(f) for f in folders]) and time.monotonic() < deadline:
            time.sleep(0.05)
        for top in _tops() - self.tops:
            try:
                os.rmdir(top)
            except OSError:
                pass  # another libvirtd of this host has it by now

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # samepage inside the namespace; its binary and the temporary folder are the same there.

    def run(self, *arguments, seconds=harness.SCAN_SECONDS):
        done = subprocess.run(self.inside(*harness.command(*arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", timeout=seconds, preexec_fn=guests.die_with_parent)
        if done.returncode < 0:
            raise AssertionError(f"samepage died of signal {-done.returncode}: {done.stderr}")
        return done

    def begin(self, *arguments):
        """The program in the background: its pid is samepage's own, as nsenter only executes it."""
        return subprocess.Popen(self.inside(*harness.command(*arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=guests.die_with_parent)


def quote(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(char, entity)
    return text


class Domain:
    """A Linux guest as a domain; it gets a name that no other libvirtd of this host has. @backing: the content of <memoryBacking>. @blocks: [(bytes, shared)] for the oracle, which is told
    and does not ask."""

    def __init__(self, libvirt, name, mib=160, backing="", shared=False, group=None, workload=None, cpu="", devices="", blocks=None, extra=()):
        name = f"{name}-{os.getpid()}"
        self.libvirt, self.name, self.mib = libvirt, name, mib
        self.blocks = blocks or [(mib * guests.MIB, shared)]
        kernel, initramfs = guests.guest_image()
        for source, target in ((kernel, "kernel"), (initramfs, "initramfs")):
            shutil.copyfile(source, libvirt.root(f"{IMAGES}/{target}"))
            os.chmod(libvirt.root(f"{IMAGES}/{target}"), 0o644)
        self.number = len(libvirt.domains)
        self.serial = f"{LOGS}/serial-{self.number}"
        metadata = f"<metadata><s:group xmlns:s='urn:samepage:group:1' name='{quote(group)}'/></metadata>" if group else ""
        more = "".join(f"<q:arg value='{quote(word)}'/>" for word in extra)
        xml = f"""<domain type='qemu' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>{quote(name)}</name>{metadata}<memory unit='MiB'>{mib}</memory>
            <memoryBacking>{backing}</memoryBacking><vcpu>1</vcpu>{cpu}
            <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{IMAGES}/kernel</kernel><initrd>{IMAGES}/initramfs</initrd>
            <cmdline>{guests.kernel_words(workload)}</cmdline></os>
            <devices><emulator>{shutil.which(guests.QEMU)}</emulator>
            <serial type='file'><source path='{self.serial}'/></serial><memballoon model='none'/>{devices}</devices>
            <q:commandline>{more}</q:commandline></domain>"""
        path = os.path.join(guests.tmp_dir(), f"domain-{self.number}.xml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(xml)
        libvirt.virsh("create", path)
        self.uuid = libvirt.virsh("domuuid", name).stdout.strip()
        self.pid = self._find_pid()
        with open(f"/proc/{self.pid}/cgroup", encoding="utf-8") as f:
            paths = [line.rstrip("\n").split(":", 2)[2].split("/") for line in f]
        libvirt.domains.append(self)
        self.cgroups = {p[2] for p in paths if len(p) > 2 and p[1] == "machine"}

    def _find_pid(self):
        """By the command line, as `ps` shows it; the program looks at libvirt's pid file first."""
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if self.uuid.encode() in words and b"-uuid" in words:
                return int(path.split("/")[2])
        raise guests.GuestError(f"{self.name} has no process")

    def kill(self):
        """For what libvirtd and the holder left, if a test has hidden its pid file from them."""
        try:
            with open(f"/proc/{self.pid}/cmdline", "rb") as f:
                if self.uuid.encode() in f.read().split(b"\0"):
                    os.kill(self.pid, signal.SIGKILL)
        except (OSError, ProcessLookupError):
            pass

    def wait_ready(self):
        deadline = time.monotonic() + BOOT_SECONDS
        while "READY" not in guests._text(self.libvirt.root(self.serial)):
            if time.monotonic() > deadline:
                raise guests.GuestError(f"{self.name}: not ready: {guests._text(self.libvirt.root(self.serial))[-500:]}")
            time.sleep(0.05)

    def state(self):
        """Like ("running", "unpaused")."""
        text = self.libvirt.virsh("domstate", "--reason", self.uuid).stdout.strip()
        state, _, reason = text.partition(" ")
        return state, reason.strip("()")

    def recorded_state(self):
        """As libvirtd has it on disk: faster to look at than to ask."""
        with open(self.libvirt.root(f"/run/libvirt/qemu/{self.name}.xml"), encoding="utf-8") as f:
            return f.read(4096).split("<domstatus state='")[1].split("'")[0]

    def wait_state(self, wanted, seconds):
        """Seconds until the state was @wanted, or None."""
        begin = time.monotonic()
        while self.state()[0] != wanted:
            if time.monotonic() - begin > seconds:
                return None
        return time.monotonic() - begin

    def suspend(self):
        self.libvirt.virsh("suspend", self.uuid)

    def resume(self):
        if self.state()[0] == "paused":
            self.libvirt.virsh("resume", self.uuid)

    def is_tainted(self):
        """By libvirt's own record of the running domain."""
        with open(self.libvirt.root(f"/run/libvirt/qemu/{self.name}.xml"), encoding="utf-8") as f:
            return "<taint" in f.read()

    # What the oracle wants of a guest: QMP's answers, from what the test itself asked libvirt for.

    @property
    def qmp(self):
        return self

    def status(self):
        return self.state()[0]

    def execute(self, command, arguments=None):
        if command == "qom-list":
            return [{"name": str(i), "type": "child<memory-backend-x>"} for i in range(len(self.blocks))]
        size, shared = self.blocks[int(arguments["path"].split("/")[-1])]
        return {"size": size, "share": shared, "merge": True}[arguments["property"]]
