/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagemap gives the frame number of each page, and /proc/kpageflags says what the frame is (the kernel's
 * Documentation/admin-guide/mm/pagemap.rst). Without CAP_SYS_ADMIN frame numbers read as 0 with no error.
 * This must be noticed, or nothing would seem to be merged.
 *
 * kpageflags is read in runs of neighbouring frames. A run includes short gaps, since a call costs more than
 * the entries in a gap.
 */
#include "scanner/frames.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "pages/page.h"
#include "scanner/kpageflags.h"
#include "scanner/mapping.h"
#include "scanner/pagemap.h"

#include <errno.h>
#include <fcntl.h>

/* A call costs about as much as this many entries. */
#define FLAGS_GAP 32
#define FLAGS_RUN 512

int frames_open(int proc_dir_fd)
{
        int fd = openat(proc_dir_fd, "kpageflags", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        kpageflags_probe(proc_dir_fd, fd);
        return fd;
}

/* The longest run at the start of @pfns that one read of kpageflags can cover. Entries of 0 are skipped. */
static size_t measure_frame_run(const uint64_t *pfns, size_t n, uint64_t *ret_first, size_t *ret_n_flags)
{
        uint64_t last = *pfns;
        size_t i = 1;

        for (; i < n; i++) {
                if (pfns[i] == 0)
                        continue;
                if (pfns[i] < last || pfns[i] - last > FLAGS_GAP || pfns[i] - *pfns >= FLAGS_RUN)
                        break;
                last = pfns[i];
        }
        *ret_first = *pfns;
        *ret_n_flags = (size_t)(last - *pfns) + 1;
        return i;
}

/* Turns the pagemap entries in @words into frame words, in place: FRAME_OWN where @pfns has no frame. */
static int add_flags(int kpageflags_fd, const uint64_t *pfns, uint64_t *words, size_t n)
{
        uint64_t flags[FLAGS_RUN];

        for (size_t i = 0; i < n;) {
                uint64_t first = 0;
                size_t n_flags = 0;
                size_t length = 0;
                int r = 0;

                if (pfns[i] == 0) {
                        words[i++] = FRAME_OWN;
                        continue;
                }
                length = measure_frame_run(pfns + i, n - i, &first, &n_flags);
                r = fileio_pread_full(kpageflags_fd, flags, n_flags * sizeof(*flags), first * sizeof(*flags));
                if (r < 0)
                        return r;
                for (size_t end = i + length; i < end; i++)
                        words[i] =
                                pfns[i] ? kpageflags_frame_word(words[i], flags[pfns[i] - first]) : FRAME_OWN;
        }
        return 0;
}

int frames_find(const struct page_span *span, uint64_t *ret_frames)
{
        const struct mapping *mapping = mapping_of_reader(span->reader);
        uint64_t pfns[PAGE_SPAN_MAX];
        int r = pagemap_read(mapping->process->pagemap_fd, mapping->hva + span->first * PAGE_BYTES,
                             ret_frames, span->n);

        if (r < 0)
                return r;
        for (size_t i = 0; i < span->n; i++) {
                pfns[i] = ret_frames[i] & PAGEMAP_PRESENT ? ret_frames[i] & PAGEMAP_PFN : 0;
                if (ret_frames[i] & PAGEMAP_PRESENT && pfns[i] == 0)
                        return -EPERM;
        }
        return add_flags(mapping->process->kpageflags_fd, pfns, ret_frames, span->n);
}

void frame_users_init(struct frame_users *users, int proc_dir_fd, int kpageflags_fd)
{
        users->kpageflags_fd = kpageflags_fd;
        users->kpagecount_fd = openat(proc_dir_fd, "kpagecount", O_RDONLY | O_CLOEXEC);
}

void frame_users_deinit(struct frame_users *users)
{
        close_fd(&users->kpagecount_fd);
}

uint64_t frame_users_of_ksm_page(const struct frame_users *users, uint64_t pfn)
{
        uint64_t flags = 0;
        uint64_t count = 0;

        if (fileio_pread_full(users->kpagecount_fd, &count, sizeof(count), pfn * sizeof(count)) < 0)
                return 0;
        /* The flags are read last: the frame may have gone to somebody else since it was found. */
        if (fileio_pread_full(users->kpageflags_fd, &flags, sizeof(flags), pfn * sizeof(flags)) < 0)
                return 0;
        return kpageflags_is_ksm(flags, count == 1) ? count : 0;
}
