/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/advice.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

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
        [GAP_REASON_KSM_OFF] = {"KSM is switched off", "echo 1 > /sys/kernel/mm/ksm/run"},
        [GAP_REASON_NOT_SCANNED_YET] = {"KSM has not scanned it yet",
                                        "wait, or raise pages_to_scan in /sys/kernel/mm/ksm"},
        [GAP_REASON_HUGE_PAGE] = {"equal pages lie in huge pages that KSM has not split",
                                  "wait for KSM's next passes; each merge splits a huge page"},
        [GAP_REASON_SHARING_LIMIT] = {"one KSM page serves max_page_sharing users at most",
                                      "raise max_page_sharing (KSM must be unmerged first)"},
        [GAP_REASON_UNEXPLAINED] = {"one scan cannot tell why",
                                    "scan again after KSM's next pass; pages that change often never merge"},
};

static_assert(sizeof(advice) / sizeof(advice[0]) == GAP_REASON_MAX_, "every reason has advice");

void advice_sentence(enum gap_reason reason, const struct ksm *ksm, char *text, size_t size)
{
        int64_t value = 0;

        if (reason == GAP_REASON_NOT_SCANNED_YET && ksm_get(ksm, "full_scans", &value) &&
            value < GAP_PASSES_NEEDED)
                (void)snprintf(text, size, "KSM has completed %" PRId64 " of the %d passes it needs", value,
                               GAP_PASSES_NEEDED);
        else if (reason == GAP_REASON_SHARING_LIMIT && ksm_get(ksm, "max_page_sharing", &value))
                (void)snprintf(text, size, "one KSM page serves at most %" PRId64 " users (max_page_sharing)",
                               value);
        else
                (void)snprintf(text, size, "%s", advice[reason].sentence);
}

const char *advice_remedy(enum gap_reason reason)
{
        return advice[reason].remedy;
}
