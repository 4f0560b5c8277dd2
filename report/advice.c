/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/advice.h"

#include "pages/page.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define REMEDY_LOOK_TWICE "look twice: samepage scan --recheck 60"
#define REMEDY_LOOKED_TWICE \
        "none known: it may be pinned unseen, or KSM may pass it over (smart_scan); look again later"
#define SENTENCE_NO_KSM "this kernel has no KSM, or does not show it"
#define REMEDY_NO_KSM   "boot a kernel with CONFIG_KSM"

static const struct {
        const char *sentence;
        const char *remedy;
} advice[] = {
        [GAP_REASON_SHARED_MAPPING] =
                {"RAM is shared (share=on): KSM merges private memory only",
                 "use memory-backend-ram without share=on, unless vhost-user or virtiofs needs it"},
        [GAP_REASON_HUGETLB] = {"RAM is in hugetlb pages, which KSM never merges",
                                "use transparent huge pages instead of hugetlbfs"},
        [GAP_REASON_NOT_MERGEABLE] =
                {"RAM is not marked mergeable",
                 "start QEMU with -machine mem-merge=on, or qom-set merge=true on its memory backend"},
        [GAP_REASON_KSM_OFF] = {"KSM is switched off",
                                "samepage tune --dry-run, then echo 1 > /sys/kernel/mm/ksm/run"},
        [GAP_REASON_NOT_SCANNED_YET] = {"KSM has not scanned it twice yet",
                                        "wait, or scan faster: samepage tune --dry-run says how much"},
        [GAP_REASON_NUMA] = {"KSM keeps a copy on each NUMA node (merge_across_nodes is 0)",
                             "cd /sys/kernel/mm/ksm; echo 2 > run; echo 1 > merge_across_nodes; echo 1 > run "
                             "# un-merges all first"},
        [GAP_REASON_VOLATILE] = {"its content changed between two looks",
                                 "none: KSM rightly leaves pages alone that change"},
        [GAP_REASON_HUGE_PAGE] = {"KSM met it twice, and could not split the huge page that it lies in",
                                  "none known: somebody holds on to that huge page, like direct I/O"},
        [GAP_REASON_SHARING_LIMIT] = {"one KSM page serves max_page_sharing users at most",
                                      "raise max_page_sharing, for which all has to be un-merged first"},
        [GAP_REASON_PINNED] = {"it is pinned for a device or for io_uring, and KSM merges no such page",
                               "detach the VFIO device, or have QEMU register no io_uring buffers there"},
        [GAP_REASON_UNEXPLAINED] = {"nothing proves why", REMEDY_LOOK_TWICE},
};

static_assert(sizeof(advice) / sizeof(advice[0]) == GAP_REASON_COUNT_, "every reason has advice");

/* KSM's speed as far as it is known: pages a second at most. */
static bool find_pace(const struct ksm *ksm, int64_t *ret_pages_per_sec)
{
        int64_t pages = 0;
        int64_t msec = 0;

        if (!ksm_get(ksm, "pages_to_scan", &pages) || !ksm_get(ksm, "sleep_millisecs", &msec) || msec < 1 ||
            pages < 1 || pages > INT64_MAX / 1000)
                return false;
        *ret_pages_per_sec = pages * 1000 / msec;
        return true;
}

static void describe_not_scanned(const struct ksm *ksm, char *text, size_t size)
{
        int64_t value = 0;

        if (ksm_get(ksm, "full_scans", &value) && value < GAP_PASSES_NEEDED)
                (void)snprintf(text, size, "KSM has completed %" PRId64 " of the %d passes it needs", value,
                               GAP_PASSES_NEEDED);
        else if (find_pace(ksm, &value))
                (void)snprintf(text, size,
                               "KSM has not scanned it twice yet, at %" PRId64 " MiB a second at most",
                               (int64_t)((uint64_t)value * PAGE_BYTES >> 20));
        else
                (void)snprintf(text, size, "%s", advice[GAP_REASON_NOT_SCANNED_YET].sentence);
}

void advice_sentence(enum gap_reason reason, const struct ksm *ksm, char *text, size_t size)
{
        int64_t value = 0;

        if (reason == GAP_REASON_NOT_SCANNED_YET)
                describe_not_scanned(ksm, text, size);
        else if (reason == GAP_REASON_SHARING_LIMIT && ksm_get(ksm, "max_page_sharing", &value))
                (void)snprintf(text, size, "one KSM page serves at most %" PRId64 " users (max_page_sharing)",
                               value);
        else if (reason == GAP_REASON_NOT_MERGEABLE && !ksm->available)
                (void)snprintf(text, size, "%s", SENTENCE_NO_KSM);
        else
                (void)snprintf(text, size, "%s", advice[reason].sentence);
}

/* Twice the present number of users; the kernel keeps it in an int. */
static int64_t more_users(int64_t now)
{
        return now > INT32_MAX / 2 ? INT32_MAX : 2 * now;
}

void advice_remedy(enum gap_reason reason, const struct ksm *ksm, double recheck_seconds, char *text,
                   size_t size)
{
        int64_t value = 0;

        if (reason == GAP_REASON_SHARING_LIMIT && ksm_get(ksm, "max_page_sharing", &value) && value > 0)
                (void)snprintf(text, size,
                               "cd /sys/kernel/mm/ksm; echo 2 > run; echo %" PRId64
                               " > max_page_sharing; echo 1 > run # un-merges all first",
                               more_users(value));
        else if (reason == GAP_REASON_UNEXPLAINED && recheck_seconds > 0)
                (void)snprintf(text, size, "%s", REMEDY_LOOKED_TWICE);
        else if (reason == GAP_REASON_NOT_MERGEABLE && !ksm->available)
                (void)snprintf(text, size, "%s", REMEDY_NO_KSM);
        else
                (void)snprintf(text, size, "%s", advice[reason].remedy);
}
