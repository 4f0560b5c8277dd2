/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order keeps trust groups apart at every moment. First the guests that must not be merged lose their
 * mark, and that is checked. Then the others are marked. Whoever asked for the plan switches KSM on
 * afterwards. If a guest cannot be unmarked, or a process that is not one of the guests has opted in, nothing
 * is merged.
 *
 * QEMU accepts marking RAM that KSM cannot merge and does nothing, so what counts is the flag of the mapping.
 * Each guest is examined again right before: it may have been restarted, or changed by another program.
 *
 * Marks stay when KSM's settings are put back. Removing them would let guests of different groups share as
 * soon as another program switches KSM on.
 */
#include "daemon/job/merge_act.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/pidfd.h"
#include "base/process.h"
#include "merge/ksm/ksm_settings.h"
#include "merge/ksm/ksmd.h"
#include "pages/page.h"
#include "qmp/guest_merge.h"
#include "scanner/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* QEMU's video memory and firmware are always marked; they are smaller than this. */
#define UNMARKED_MOST_BYTES (UINT64_C(512) << 20)

/* Checks that all mappings of a block that KSM can merge have the mark, or none has. */
static int check_block(const char *smaps, const struct ram_block *block, bool merge, struct failure *failure)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n = 0;
        int r = mapping_find(smaps, block->hva, block->size_bytes, &mappings, &n, failure);

        for (size_t i = 0; r == 0 && i < n; i++)
                if (!mappings[i].shared && !mappings[i].hugetlb && mappings[i].mergeable != merge)
                        return failure_set(failure, -EIO,
                                           "QEMU says that RAM block %s is%s mergeable, and its mapping is%s",
                                           block->id, merge ? "" : " not", merge ? " not" : "");
        return r;
}

/*
 * Checks that no memory outside QEMU's list of blocks has the mark. It could be plugged in just now, or be
 * marked by prctl(PR_SET_MEMORY_MERGE).
 */
static int check_rest(const char *smaps, struct failure *failure)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n = 0;
        int r = mapping_list_mergeable(smaps, UNMARKED_MOST_BYTES, &mappings, &n);

        if (r < 0)
                return failure_errno(failure, r, "cannot look at its mappings");
        return n == 0 ? 0
                      : failure_set(failure, -EIO,
                                    "%llu MiB are mergeable that are in none of its RAM blocks",
                                    (unsigned long long)(mappings[0].size_bytes >> 20));
}

static int check_guest(const struct qmp_guest *guest, bool merge, struct failure *failure)
{
        CLEANUP_FREE char *smaps = NULL;
        int r = fileio_read_text(guest->proc_fd, "smaps", &smaps);

        if (r < 0)
                return failure_errno(failure, r, "cannot look at its mappings");
        for (size_t i = 0; r == 0 && i < guest->blocks.count; i++)
                if (guest->blocks.blocks[i].hva != 0)
                        r = check_block(smaps, &guest->blocks.blocks[i], merge, failure);
        return r < 0 || merge ? r : check_rest(smaps, failure);
}

static int change_guest(struct qmp_guest *guest, bool merge, int64_t merged_bytes, struct failure *failure)
{
        int r = 0;

        if (!guest)
                return failure_set(failure, -ESRCH, "it is gone");
        for (size_t i = 0; r == 0 && i < guest->blocks.count; i++)
                r = qmp_guest_set_merge(guest, guest->blocks.blocks[i].id, merge, (uint64_t)merged_bytes,
                                        failure);
        return r < 0 ? r : check_guest(guest, merge, failure);
}

/* A guest that ended has nothing to merge. */
static bool has_ended(const struct qmp_guest *guest)
{
        return !guest || !pidfd_is_alive(guest->pidfd);
}

/* A domain's RAM can only be marked through libvirt's monitor passthrough. */
static int check_monitor(bool uses_monitor, const struct inventory_guest *guest, struct failure *failure)
{
        if (!guest->by_libvirt || uses_monitor)
                return 0;
        return failure_set(
                failure, -EPERM,
                "a domain's RAM is marked through libvirt's monitor passthrough: --libvirt-monitor");
}

/* Return: 0 when all living guests are changed; else the negative errno of the last failure. */
static int change_guests(bool uses_monitor, const struct inventory *inventory, struct report *report,
                         enum plan_change change)
{
        struct report_merge *merge = report->merge;
        int r = 0;

        for (size_t i = 0; i < merge->n_guests; i++) {
                struct report_merge_guest *guest = &merge->guests[i];
                const int64_t merged_bytes = report->guests[i].figures.actual_ksm_bytes;
                int changed = 0;

                if (guest->change != change)
                        continue;
                changed = check_monitor(uses_monitor, &inventory->guests[i], &guest->failure);
                if (changed == 0)
                        changed = change_guest(inventory->guests[i].qmp, change == PLAN_CHANGE_MERGE,
                                               merged_bytes > 0 ? merged_bytes : 0, &guest->failure);
                guest->is_done = changed == 0;
                if (changed < 0 && !has_ended(inventory->guests[i].qmp))
                        r = changed;
        }
        return r;
}

/* Checks guests that had no mark at the scan, too. */
static bool are_unmarked(const struct inventory *inventory, struct report_merge *merge)
{
        bool all = true;

        for (size_t i = 0; i < merge->n_guests; i++) {
                struct report_merge_guest *guest = &merge->guests[i];

                if (guest->is_known && !guest->is_chosen && inventory->guests[i].qmp &&
                    check_guest(inventory->guests[i].qmp, false, &guest->failure) < 0 &&
                    !has_ended(inventory->guests[i].qmp))
                        all = false;
        }
        return all;
}

/* The plan decides the marks of scanned guests; a guest that could not be scanned counts as a stranger. */
static bool find_stranger(const struct inventory *inventory, const struct report_merge *merge,
                          struct failure *failure)
{
        CLEANUP_FREE pid_t *pids = calloc(inventory->n_guests + 1, sizeof(*pids));
        size_t n = 0;

        for (size_t i = 0; pids && i < inventory->n_guests; i++)
                if (merge->guests[i].is_known && !has_ended(inventory->guests[i].qmp))
                        pids[n++] = inventory->guests[i].qmp->pid;
        return ksmd_find_stranger(pids, n, failure);
}

/*
 * Memory that the guests to be unmarked will need: pages of their own for all that they have in KSM's pages
 * now, and for the zero pages that KSM placed (use_zero_pages). REPORT_UNKNOWN where their frames are not
 * known.
 */
static int64_t needed_bytes(const struct report *report)
{
        int64_t zero_bytes = 0;
        int64_t placed_pages = 0;
        int64_t bytes = 0;

        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_figures *figures = &report->guests[i].figures;

                if (report->merge->guests[i].change != PLAN_CHANGE_UNMERGE)
                        continue;
                if (figures->actual_ksm_bytes == REPORT_UNKNOWN)
                        return REPORT_UNKNOWN;
                bytes += figures->actual_ksm_bytes;
                zero_bytes += figures->actual_zero_bytes;
        }
        (void)ksm_get(&report->ksm, "ksm_zero_pages", &placed_pages);
        if (zero_bytes > placed_pages * (int64_t)PAGE_BYTES)
                zero_bytes = placed_pages * (int64_t)PAGE_BYTES;
        return bytes + zero_bytes;
}

/* MemAvailable of /proc/meminfo, proc(5); INT64_MAX where it is not known. */
static int64_t available_bytes(void)
{
        uint64_t kb = 0;

        if (fileio_read_field(AT_FDCWD, "/proc/meminfo", "MemAvailable:", &kb) < 0 || kb > INT64_MAX / 1024)
                return INT64_MAX;
        return (int64_t)kb * 1024;
}

/* Un-merging must not get a guest killed for lack of memory. */
static bool has_memory(const struct report *report, struct failure *failure)
{
        const int64_t needed = needed_bytes(report);
        const int64_t available = available_bytes();

        if (needed == REPORT_UNKNOWN) {
                (void)failure_set(failure, -ENODATA,
                                  "how much memory it takes to keep guests apart is not known, as their "
                                  "frames are not");
                return false;
        }
        if (needed < available - available / 8)
                return true;
        (void)failure_set(
                failure, -ENOMEM,
                "taking guests apart that must not share needs %lld MiB, and %lld MiB are available",
                (long long)(needed >> 20), (long long)(available >> 20));
        return false;
}

static bool may_act(const struct ksm_settings_place *place, pid_t service_pid,
                    const struct inventory *inventory, struct report *report)
{
        const struct ksm_settings_owner owner = ksm_settings_owner_of(service_pid);
        struct report_merge *merge = report->merge;

        if (ksmd_find_rival(&merge->refusal) || ksm_settings_owner_check(place, &owner, &merge->refusal) < 0)
                return false;
        merge->may_pass = !has_memory(report, &merge->refusal) ||
                          (!merge->cross_group && find_stranger(inventory, merge, &merge->refusal));
        return !merge->may_pass;
}

void merge_act_run(const struct ksm_settings_place *place, pid_t service_pid, bool uses_monitor,
                   const struct inventory *inventory, struct report *report)
{
        struct report_merge *merge = report->merge;

        if (!merge || !merge->merges)
                return;
        merge->acts = true;
        if (!may_act(place, service_pid, inventory, report))
                return;
        if (change_guests(uses_monitor, inventory, report, PLAN_CHANGE_UNMERGE) < 0 ||
            !are_unmarked(inventory, merge)) {
                merge->may_pass = true;
                (void)failure_set(&merge->refusal, 0,
                                  "a guest that must not share could not be kept from it: nothing is merged");
                return;
        }
        (void)change_guests(uses_monitor, inventory, report, PLAN_CHANGE_MERGE);
}
