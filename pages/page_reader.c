/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/page_reader.h"

#include <assert.h>

const char *page_reader_to_string(enum page_reader_kind kind)
{
        static const char *const names[] = {
                [PAGE_READER_MAPPED] = "mapped",
                [PAGE_READER_PREAD] = "pread",
                [PAGE_READER_PROC_MEM] = "proc-mem",
                [PAGE_READER_PROCESS_VM] = "process-vm",
        };

        static_assert(sizeof(names) / sizeof(names[0]) == PAGE_READER_COUNT_, "every reader has a name");
        return names[kind];
}
