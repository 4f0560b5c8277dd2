/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The marks of all memory are read exactly when a plan is carried out (daemon/job/merge_act.c). Between two
 * plans the check must be cheap: the flags of a large guest's mappings take long to read, but the number of
 * its pages that KSM has met does not.
 */
#include "merge/ksm/apart.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "merge/ksm/ksm.h"
#include "merge/ksm/ksmd.h"
#include "pages/page.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* QEMU always marks its video memory and firmware, which have fewer pages than this. */
#define UNMARKED_MOST_PAGES (UINT64_C(64) << 20 >> PAGE_SHIFT)

struct other {
        pid_t pid;
        int proc_fd;
        uint64_t visited_pages; /* that KSM had met when the watching began */
};

struct apart {
        pid_t *pids; /* all guests that are known */
        size_t n_pids;
        struct other *others;
        size_t n_others;
};

static void add_other(struct apart *apart, pid_t pid)
{
        CLEANUP_CLOSE int pidfd = -1;
        struct other other = {.pid = pid, .proc_fd = -1};

        if (process_open(pid, &pidfd, &other.proc_fd) < 0)
                return;
        /* Kernels before 6.1 do not show the number: then the next plan finds the marks. */
        if (ksm_visited_pages(other.proc_fd, &other.visited_pages) < 0)
                close_fd(&other.proc_fd);
        else
                apart->others[apart->n_others++] = other;
}

int apart_new(const pid_t *pids, size_t n, const pid_t *others, size_t n_others, struct apart **ret)
{
        struct apart *apart = calloc(1, sizeof(*apart));

        if (!apart)
                return -ENOMEM;
        apart->pids = calloc(n + n_others + 1, sizeof(*apart->pids));
        apart->others = calloc(n_others + 1, sizeof(*apart->others));
        if (!apart->pids || !apart->others) {
                apart_free(apart);
                return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++)
                apart->pids[apart->n_pids++] = pids[i];
        for (size_t i = 0; i < n_others; i++) {
                apart->pids[apart->n_pids++] = others[i];
                add_other(apart, others[i]);
        }
        *ret = apart;
        return 0;
}

struct apart *apart_free(struct apart *apart)
{
        if (!apart)
                return NULL;
        for (size_t i = 0; i < apart->n_others; i++)
                close_fd(&apart->others[i].proc_fd);
        free(apart->others);
        free(apart->pids);
        free(apart);
        return NULL;
}

static bool is_marked(const struct other *other)
{
        uint64_t pages = 0;

        return ksm_visited_pages(other->proc_fd, &pages) == 0 &&
               pages > other->visited_pages + UNMARKED_MOST_PAGES;
}

bool apart_find_intruder(const struct apart *apart, struct failure *ret_failure)
{
        for (size_t i = 0; i < apart->n_others; i++) {
                if (!is_marked(&apart->others[i]))
                        continue;
                (void)failure_set(
                        ret_failure, -EBUSY,
                        "memory of pid %d, which is not to share with the others, has been marked for KSM",
                        (int)apart->others[i].pid);
                return true;
        }
        return ksmd_find_stranger(apart->pids, apart->n_pids, ret_failure);
}
