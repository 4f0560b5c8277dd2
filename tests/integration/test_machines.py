# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines and ways to give them memory: every RAM block is found, with its size, and counted page for page."""
import unittest

import harness
import oracle
from guests import MIB, Guest, hot_add_dimm

WORKLOAD = {"equal": 2, "unique": 1, "zero": 1}


# Without acpi=off every second boot hangs under TCG: the guest then has no clock to calibrate against.
MICROVM = "microvm,rtc=on,acpi=off"


class Machines(unittest.TestCase):
    def check(self, guest, blocks):
        """@blocks: {id: (MiB, shared)}, compared with the report; all figures with the oracle's."""
        guest.pause()
        try:
            expected = oracle.report([oracle.look(guest)])
            report = harness.scan([guest])
        finally:
            guest.resume()
        self.assertEqual(oracle.differences(expected, report), [])
        found = {b["id"]: b for b in report["guests"][0]["blocks"]}
        self.assertEqual({i: (b["size_bytes"] // MIB, b["shared"]) for i, b in found.items()}, blocks)
        for b in found.values():
            self.assertEqual(b["ksm_eligible"], not b["shared"] and b["page_size"] == 4096)
            self.assertEqual(b["reason"] is None, b["ksm_eligible"])
            self.assertTrue(b["reader"])
        self.check_listing(guest, blocks)
        return report

    def check_listing(self, guest, blocks):
        done = harness.run("guests", "--qmp", guest.socket, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        listed = harness.by_name(harness.json.loads(done.stdout))[guest.name]
        self.assertEqual({b["id"]: b["size_bytes"] // MIB for b in listed["blocks"]}, {i: mib for i, (mib, _) in blocks.items()})

    def test_pc(self):
        with Guest("pc", mib=144, workload=WORKLOAD) as g:
            self.check(g, {"pc.ram": (144, False)})

    def test_pc_with_vga(self):
        """A VGA card hides a piece of the RAM from the guest; the bytes exist on the host all the same."""
        with Guest("vga", mib=144, linux=False, extra=["-device", "VGA"]) as g:
            self.check(g, {"pc.ram": (144, False)})

    def test_q35(self):
        with Guest("q35", "memfd-shared", 144, machine="q35", workload=WORKLOAD) as g:
            self.check(g, {"m0": (144, True)})

    def test_q35_split(self):
        with Guest("split", mib=3072, machine="q35", linux=False) as g:
            self.check(g, {"pc.ram": (3072, False)})

    def test_microvm(self):
        with Guest("microvm", mib=144, machine=MICROVM, workload=WORKLOAD) as g:
            self.check(g, {"microvm.ram": (144, False)})

    def test_microvm_shared(self):
        with Guest("microvm", "memfd-shared", 144, machine=MICROVM, workload=WORKLOAD) as g:
            self.check(g, {"m0": (144, True)})

    def test_numa(self):
        with Guest("numa", "numa", 160, workload=WORKLOAD) as g:
            self.check(g, {"m0": (80, False), "m1": (80, True)})

    def test_hot_added_dimm(self):
        with Guest("hotplug", mib=144, workload=WORKLOAD, memory="144M,slots=3,maxmem=2G") as g:
            self.check(g, {"pc.ram": (144, False)})
            hot_add_dimm(g, 128)
            self.check(g, {"pc.ram": (144, False), "hot0": (128, False)})
            hot_add_dimm(g, 256, "hot1", "memory-backend-memfd", share=True)
            self.check(g, {"pc.ram": (144, False), "hot0": (128, False), "hot1": (256, True)})

    def test_virtio_mem(self):
        extra = ["-object", "memory-backend-ram,id=vm0,size=512M", "-device", "virtio-mem-pci,id=v0,memdev=vm0,requested-size=64M"]
        with Guest("virtiomem", mib=144, workload=WORKLOAD, memory="144M,maxmem=2G", extra=extra) as g:
            self.check(g, {"pc.ram": (144, False), "vm0": (512, False)})

    def test_backend_that_is_no_ram_yet(self):
        """An object of the operator's that no device uses is not the guest's memory."""
        with Guest("spare", mib=144, linux=False) as g:
            g.qmp.execute("object-add", {"qom-type": "memory-backend-ram", "id": "spare0", "size": 32 * MIB})
            g.pause()
            report = harness.scan([g])
            g.resume()
            found = report["guests"][0]
            self.assertEqual([b["id"] for b in found["blocks"]], ["pc.ram", "spare0"])  # it is told, as it takes memory
            self.assertEqual(found["blocks"][1]["reader"], None)
            self.assertEqual(found["blocks"][1]["reason"], "not-mapped")
            self.assertEqual(found["ram_bytes"], 144 * MIB)  # but it is not counted

    def test_unnamed(self):
        """Without a name of QEMU's, the socket's file name serves."""
        with Guest(None, mib=48, linux=False) as g:
            report = harness.scan([g])
            self.assertEqual(report["guests"][0]["name"], "qmp.sock")


if __name__ == "__main__":
    harness.main()
