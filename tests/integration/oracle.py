# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent count of what `samepage scan` reports, for guests that the caller has paused.

It shares neither code nor method with the program: RAM is found by size among the process's mappings (the program asks QEMU for host
addresses), presence and frames come from reading /proc/PID/pagemap (the program uses the PAGEMAP_SCAN ioctl), and content is compared
by BLAKE2b-160. Slow and simple on purpose: lists of pages, sets and Counters.

A page is (content, frame, merged): content is None for zeros; frame is None for the kernel's shared zero page, else a frame number, or
for a page of a RAM file that QEMU has not mapped a name of its own; merged says that the frame is one of KSM's.
"""
import ctypes
import hashlib
import mmap
import os
from array import array

PAGE = 4096
ZERO = bytes(PAGE)

PM_SWAP = 1 << 62
PM_PRESENT = 1 << 63
PM_PFN = (1 << 55) - 1

KPF_COMPOUND = 1 << 15 | 1 << 16
KPF_HUGE = 1 << 17
KPF_KSM = 1 << 21
KPF_THP = 1 << 22
KPF_ZERO_PAGE = 1 << 24


class OracleError(Exception):
    pass


class Mapping:
    def __init__(self, line):
        words = line.split(maxsplit=5)
        begin, end = words[0].split("-")
        self.begin, self.end = int(begin, 16), int(end, 16)
        self.map_files = words[0]
        self.perms = words[1]
        self.offset = int(words[2], 16)
        self.file = (words[3], int(words[4]))
        self.path = words[5].strip() if len(words) > 5 else ""
        self.flags = ()
        self.kernel_page = PAGE

    def continues(self, other):
        return (other.end == self.begin and other.perms == self.perms and other.file == self.file and other.flags == self.flags
                and (self.file[1] == 0 or self.offset == other.offset + other.end - other.begin))


def _mappings(pid):
    found = []
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            first = line.split(maxsplit=1)[0]
            if not first.endswith(":"):
                found.append(Mapping(line))
            elif first == "VmFlags:":
                found[-1].flags = tuple(line.split()[1:])
            elif first == "KernelPageSize:":
                found[-1].kernel_page = int(line.split()[1]) * 1024
    return found


def _runs(mappings):
    """Neighbouring mappings that are pieces of one."""
    run = []
    for m in mappings:
        if run and not m.continues(run[-1]):
            yield run
            run = []
        run.append(m)
    if run:
        yield run


class Block:
    """One memory backend and the pages it holds."""

    def __init__(self, name, size, shared, merge, pieces):
        self.name, self.size, self.shared, self.merge = name, size, shared, merge
        self.pieces = pieces
        self.huge = pieces[0].kernel_page != PAGE
        self.mergeable = "mg" in pieces[0].flags
        self.swapped = 0
        self.pages = []


def find_blocks(qmp, pid):
    """The guest's memory backends. Two of equal size and kind cannot be told apart, and need not be: only sums are compared."""
    runs = [r for r in _runs(_mappings(pid)) if r[0].perms in ("rw-p", "rw-s")]
    blocks = []
    for entry in qmp.execute("qom-list", {"path": "/objects"}):
        if not entry["type"].startswith("child<memory-backend-"):
            continue
        path = f"/objects/{entry['name']}"
        size, share, merge = (qmp.execute("qom-get", {"path": path, "property": p}) for p in ("size", "share", "merge"))
        letter = "s" if share else "p"
        match = [r for r in runs if r[0].perms[3] == letter and r[-1].end - r[0].begin == size and "hg" in r[0].flags]
        huge = [r for r in runs if r[0].perms[3] == letter and r[-1].end - r[0].begin == size and r[0].kernel_page != PAGE]
        match = huge or match
        if not match:
            raise OracleError(f"process {pid} has no mapping of {size} bytes for {entry['name']}")
        runs.remove(match[0])
        blocks.append(Block(entry["name"], size, share, merge, match[0]))
    if not blocks:
        raise OracleError(f"process {pid} has no memory backends")
    return blocks


def pagemap(pid, begin, end):
    entries = array("Q")
    with open(f"/proc/{pid}/pagemap", "rb") as f:
        f.seek(begin // PAGE * 8)
        entries.frombytes(f.read((end - begin) // PAGE * 8))
    if len(entries) != (end - begin) // PAGE:
        raise OracleError(f"short read of the pagemap of {pid}")
    return entries


def _data_pages(fd, begin, end):
    """Page numbers of the file within begin..end that are not holes."""
    pages = set()
    at = begin
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: no data behind
            break
        stop = min(os.lseek(fd, at, os.SEEK_HOLE), end)
        pages.update(range(at // PAGE, (stop + PAGE - 1) // PAGE))
        at = stop
    return {p for p in pages if begin // PAGE <= p < end // PAGE}


class Frames:
    def __init__(self):
        self.fd = os.open("/proc/kpageflags", os.O_RDONLY)
        self.count_fd = os.open("/proc/kpagecount", os.O_RDONLY)
        self.known = {}
        self.all_ksm = self._calls_ours_ksm()

    def _calls_ours_ksm(self):
        """Linux 6.10 to 7.2-rc2 set KPF_KSM for all anonymous memory: so for a page that nobody marked."""
        with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            page[0] = 1
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            pfn = pagemap("self", address, address + PAGE)[0] & PM_PFN
        return pfn != 0 and bool(self._word(self.fd, pfn) & KPF_KSM)

    @staticmethod
    def _word(fd, pfn):
        return int.from_bytes(os.pread(fd, 8, pfn * 8), "little")

    def flags(self, pfn):
        if pfn not in self.known:
            flags = self._word(self.fd, pfn)
            if self.all_ksm and flags & KPF_KSM and (flags & (KPF_THP | KPF_COMPOUND) or self._word(self.count_fd, pfn) < 2):
                flags &= ~KPF_KSM
            self.known[pfn] = flags
        return self.known[pfn]

    def close(self):
        os.close(self.fd)
        os.close(self.count_fd)


def _content(fd, offset):
    data = os.pread(fd, PAGE, offset)
    if len(data) != PAGE:
        raise OracleError(f"short read at {offset:#x}")
    return None if data == ZERO else hashlib.blake2b(data, digest_size=20).digest()


def _read_piece(block, m, pid, mem, frames):
    entries = pagemap(pid, m.begin, m.end)
    block.swapped += sum(1 for e in entries if e & PM_SWAP)
    fd = os.open(f"/proc/{pid}/map_files/{m.map_files}", os.O_RDONLY) if block.shared else None
    try:
        if block.shared and not block.huge:
            st = os.fstat(fd)
            present = sorted(p - m.offset // PAGE for p in _data_pages(fd, m.offset, m.offset + m.end - m.begin))
        else:
            present = [i for i, e in enumerate(entries) if e & PM_PRESENT]
        for i in present:
            entry = entries[i]
            if entry & PM_PRESENT:
                pfn = entry & PM_PFN
                if pfn == 0:
                    raise OracleError("frame numbers read as 0: no privilege")
                flags = frames.flags(pfn)
            else:
                pfn, flags = (pid, st.st_ino, i + m.offset // PAGE), 0
            if flags & KPF_ZERO_PAGE:
                block.pages.append((None, None, False))
                continue
            content = _content(fd, m.offset + i * PAGE) if block.shared else _content(mem, m.begin + i * PAGE)
            block.pages.append((content, pfn, bool(flags & KPF_KSM)))
    finally:
        if fd is not None:
            os.close(fd)


class Memory:
    """One paused guest's pages."""

    def __init__(self, name, qmp, pid):
        self.name, self.pid = name, pid
        self.blocks = find_blocks(qmp, pid)
        frames = Frames()
        mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        try:
            for block in self.blocks:
                for piece in block.pieces:
                    _read_piece(block, piece, pid, mem, frames)
        finally:
            os.close(mem)
            frames.close()
        pages = [p for b in self.blocks for p in b.pages]
        self.present = len(pages)
        self.ram = sum(b.size for b in self.blocks) // PAGE
        self.swapped = sum(b.swapped for b in self.blocks)
        self.contents = [c for c, _, _ in pages if c is not None]
        self.frames = [f for c, f, _ in pages if c is not None]
        self.zero_frames = [f for c, f, _ in pages if c is None and f is not None]
        self.zero = self.present - len(self.contents)
        self.merged = sum(1 for _, _, k in pages if k)


def look(guest):
    """Memory of a Guest that is paused already."""
    if guest.status() == "running":
        raise OracleError(f"{guest.label} runs: its memory is not one state")
    return Memory(guest.name, guest.qmp, guest.pid)


def look_at_all(some_guests):
    """Memories of Guests that run, all of them paused for it."""
    for g in some_guests:
        g.pause()
    try:
        return [look(g) for g in some_guests]
    finally:
        for g in some_guests:
            g.resume()


def saved(memories):
    """Pages less the frames behind them."""
    frames = set().union(*(set(m.frames) | set(m.zero_frames) for m in memories))
    return sum(m.present for m in memories) - len(frames)


def ksm_frames(*guests):
    """Pages of these guests that lie in a frame of KSM's; pauses nothing, changes nothing."""
    count = 0
    frames = Frames()
    try:
        for g in guests:
            for block in find_blocks(g.qmp, g.pid):
                for m in block.pieces:
                    for e in pagemap(g.pid, m.begin, m.end):
                        if e & PM_PRESENT and frames.flags(e & PM_PFN) & KPF_KSM:
                            count += 1
    finally:
        frames.close()
    return count


def report(memories):
    """The figures of the scan's JSON, in bytes, keyed as there; per guest in the order of @memories."""
    per_guest = []
    for m in memories:
        others = [o for o in memories if o is not m]
        mine, my_frames = set(m.contents), set(m.frames)
        theirs = set().union(*(o.contents for o in others))
        their_frames = set().union(*(o.frames for o in others))
        self_actual = len(m.frames) - len(my_frames)
        zero_actual = m.zero - len(set(m.zero_frames))
        per_guest.append({
            "ram_bytes": m.ram,
            "present_bytes": m.present,
            "absent_bytes": m.ram - m.present - m.swapped,
            "swapped_bytes": m.swapped,
            "zero_bytes": m.zero,
            "distinct_bytes": len(mine),
            "self_sharing_bytes": len(m.contents) - len(mine),
            "inter_sharing_bytes": len(mine & theirs),
            "actual": {
                "saved_bytes": self_actual + zero_actual + len(my_frames & their_frames),
                "ksm_bytes": m.merged,
                "self_bytes": self_actual,
                "zero_bytes": zero_actual,
            },
        })

    distinct = set().union(*(m.contents for m in memories))
    frames = set().union(*(m.frames for m in memories))
    zero_frames = set().union(*(m.zero_frames for m in memories))
    zero = sum(m.zero for m in memories)
    ideal = {
        "present_bytes": sum(m.present for m in memories),
        "zero_bytes": zero,
        "distinct_bytes": len(distinct),
        "self_sharing_bytes": sum(len(m.contents) - len(set(m.contents)) for m in memories),
        "inter_sharing_bytes": sum(len(set(m.contents)) for m in memories) - len(distinct),
    }
    actual = {
        "self_bytes": sum(len(m.frames) - len(set(m.frames)) for m in memories),
        "inter_bytes": sum(len(set(m.frames)) for m in memories) - len(frames),
        "zero_bytes": zero - len(zero_frames),
    }
    actual["saved_bytes"] = ideal["present_bytes"] - len(frames | zero_frames)
    gap = (ideal["self_sharing_bytes"] + ideal["inter_sharing_bytes"]) - (actual["self_bytes"] + actual["inter_bytes"])
    return _in_bytes({"guests": per_guest, "ideal": ideal, "actual": actual, "gap": {"bytes": gap}})


def _in_bytes(value):
    if isinstance(value, dict):
        return {k: _in_bytes(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_in_bytes(v) for v in value]
    return value * PAGE


def differences(expected, found, where=""):
    """What of @expected the JSON says otherwise; empty when all is equal. Sizes in pages."""
    if isinstance(expected, dict):
        return [d for k, v in expected.items() for d in differences(v, (found or {}).get(k), f"{where}.{k}")]
    if isinstance(expected, list):
        if len(expected) != len(found or ()):
            return [f"{where}: {len(found or ())} entries, not {len(expected)}"]
        return [d for i, v in enumerate(expected) for d in differences(v, found[i], f"{where}[{i}]")]
    if expected != found:
        shown = found / PAGE if isinstance(found, int) else found
        return [f"{where}: {shown} pages, the oracle counts {expected / PAGE}"]
    return []
