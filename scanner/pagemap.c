/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanner/pagemap.h"

#include "base/fileio.h"
#include "pages/page.h"

#include <errno.h>

bool pagemap_has_scan(int pagemap_fd)
{
        struct pagemap_scan_argument argument = {.size = sizeof(argument)};

        /* An empty range: succeeds where the ioctl exists. */
        return ioctl(pagemap_fd, PAGEMAP_SCAN_IOCTL, &argument) >= 0;
}

int pagemap_read(int pagemap_fd, uint64_t hva, uint64_t *ret_entries, size_t n_pages)
{
        int r = fileio_pread_full(pagemap_fd, ret_entries, n_pages * sizeof(*ret_entries),
                                  (hva >> PAGE_SHIFT) * sizeof(*ret_entries));

        /* An address space that was torn down reads as an empty file. */
        return r == -ENODATA ? -ESRCH : r;
}
