/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding pages on this process's own memory: what is found, and that looking creates nothing. */
#include "base/cleanup.h"
#include "base/fileio.h"
#include "own_memory.h"
#include "scanner/pagemap.h"
#include "scanner/present.h"
#include "scanner/reader.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kernel-page-flags.h>
#include <sys/syscall.h>

static size_t find(const struct guest_ram *ram, uint64_t page, size_t n_pages, struct page_run *runs)
{
        const struct page_span span = {&ram->mappings[0][0].reader, page, n_pages};
        size_t n_runs = 0;

        CU_ASSERT_EQUAL_FATAL(present_find(&span, runs, &n_runs), 0);
        return n_runs;
}

static void check_pages_3_4_and_9(const struct guest_ram *ram)
{
        struct page_run runs[PAGE_SPAN_MAX];

        CU_ASSERT_EQUAL_FATAL(find(ram, 0, 64, runs), 2);
        CU_ASSERT_EQUAL(runs[0].page, 3);
        CU_ASSERT_EQUAL(runs[0].n_pages, 2);
        CU_ASSERT_EQUAL(runs[0].state, PAGE_STATE_DATA);
        CU_ASSERT_EQUAL(runs[1].page, 9);
        CU_ASSERT_EQUAL(runs[1].n_pages, 1);
        /* a window that begins and ends inside the runs */
        CU_ASSERT_EQUAL_FATAL(find(ram, 4, 5, runs), 1);
        CU_ASSERT_EQUAL(runs[0].page, 4);
        CU_ASSERT_EQUAL(runs[0].n_pages, 1);
        CU_ASSERT_EQUAL(find(ram, 10, 54, runs), 0);
}

static void fill_pages_3_4_and_9(const struct own_memory *memory)
{
        (void)madvise(memory->pages, memory->n_pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        own_memory_fill(memory, 3, 1);
        own_memory_fill(memory, 4, 2);
        own_memory_fill(memory, 9, 0); /* zeros that were written are data as well */
}

static void test_shared_file(void)
{
        struct own_memory memory = own_memory_map(64, MAP_SHARED, 1);
        struct guest_ram *ram = NULL;
        blkcnt_t before = 0;

        fill_pages_3_4_and_9(&memory);
        ram = own_memory_as_guest(&memory);
        before = own_memory_blocks(&memory);
        check_pages_3_4_and_9(ram);
        CU_ASSERT_EQUAL(own_memory_blocks(&memory), before);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static void test_private(void)
{
        struct own_memory memory = own_memory_map(64, MAP_PRIVATE, 0);
        struct guest_ram *ram = NULL;

        fill_pages_3_4_and_9(&memory);
        ram = own_memory_as_guest(&memory);
        check_pages_3_4_and_9(ram);
        ram->process.has_pagemap_scan = false; /* kernels before 6.7 */
        check_pages_3_4_and_9(ram);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

/* What was only read is usually the kernel's zero page, but there are kernels that have none (pvm_no_zero_page). */
static bool is_zero_page(const void *address)
{
        CLEANUP_CLOSE int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        CLEANUP_CLOSE int kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
        uint64_t entry = 0;
        uint64_t flags = 0;

        if (fileio_pread_full(pagemap_fd, &entry, 8, (uintptr_t)address / PAGE_BYTES * 8) < 0 ||
            fileio_pread_full(kpageflags_fd, &flags, 8, (entry & ((UINT64_C(1) << 55) - 1)) * 8) < 0)
                return false;
        return flags >> KPF_ZERO_PAGE & 1;
}

static void test_zero_page_of_the_kernel(void)
{
        struct own_memory memory = own_memory_map(64, MAP_PRIVATE, 0);
        struct page_run runs[PAGE_SPAN_MAX];
        struct guest_ram *ram = NULL;

        (void)madvise(memory.pages, memory.n_pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        CU_ASSERT_EQUAL(*(volatile unsigned char *)(memory.pages + 7 * PAGE_BYTES), 0);
        ram = own_memory_as_guest(&memory);
        CU_ASSERT_EQUAL_FATAL(find(ram, 0, 64, runs), 1);
        CU_ASSERT_EQUAL(runs[0].page, 7);
        if (ram->process.has_pagemap_scan && is_zero_page(memory.pages + 7 * PAGE_BYTES))
                CU_ASSERT_EQUAL(runs[0].state, PAGE_STATE_ZERO_MAPPED);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static void test_range_limit_of_alternating_pages(void)
{
        struct own_memory memory = own_memory_map(PAGE_SPAN_MAX, MAP_PRIVATE, 0);
        struct page_run runs[PAGE_SPAN_MAX];
        struct guest_ram *ram = NULL;

        (void)madvise(memory.pages, memory.n_pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < PAGE_SPAN_MAX; i += 2)
                own_memory_fill(&memory, i, 1);
        ram = own_memory_as_guest(&memory);
        CU_ASSERT_EQUAL(find(ram, 0, PAGE_SPAN_MAX, runs), PAGE_SPAN_MAX / 2);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

/* Takes CAP_DAC_OVERRIDE and CAP_FOWNER out of the effective capabilities, or puts them back. */
static void set_file_capabilities(bool on)
{
        const uint32_t bits = 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER;
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

        CU_ASSERT_EQUAL(syscall(SYS_capget, &header, data), 0);
        data[0].effective = on ? data[0].effective | bits : data[0].effective & ~bits;
        CU_ASSERT_EQUAL(syscall(SYS_capset, &header, data), 0);
}

/* To those who may not write to a file mincore(2) calls every page resident: then nothing is read, for reading a hole
 * allocates it. */
static void test_file_of_somebody_else(void)
{
        struct own_memory memory = own_memory_map(64, MAP_SHARED, 1);
        CLEANUP_CLOSE int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FREE char *smaps = NULL;
        struct guest_ram *ram = NULL;
        const struct guest_ram_block block = {"own", (uintptr_t)memory.pages, memory.n_pages * PAGE_BYTES};
        struct failure failure = {0};

        fill_pages_3_4_and_9(&memory);
        CU_ASSERT_EQUAL(fchown(memory.fd, 12345, 12345), 0);
        CU_ASSERT_EQUAL(fchmod(memory.fd, 0600), 0);
        CU_ASSERT_EQUAL_FATAL(fileio_read_text(proc_fd, "smaps", &smaps), 0);
        CU_ASSERT_EQUAL_FATAL(guest_ram_new(getpid(), proc_fd, &ram, &failure), 0);
        set_file_capabilities(false);
        CU_ASSERT_EQUAL(guest_ram_add_block(ram, proc_fd, smaps, &block, &failure), -EPERM);
        set_file_capabilities(true);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "CAP_FOWNER"));
        CU_ASSERT_EQUAL(guest_ram_add_block(ram, proc_fd, smaps, &block, &failure), 0);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static void populate(const struct guest_ram *ram)
{
        const struct page_reader *reader = &ram->mappings[0][0].reader;
        const struct page_run all = {.n_pages = PAGE_SPAN_MAX};

        CU_ASSERT_PTR_NOT_NULL(reader->prepare);
        if (reader->prepare)
                reader->prepare(reader, &all);
}

/* Pages that became holes after they were found stay holes, but for the few that are touched. */
static void test_populating_what_went_away(void)
{
        struct own_memory memory = own_memory_map(PAGE_SPAN_MAX, MAP_SHARED, 1);
        const blkcnt_t blocks_per_page = (blkcnt_t)(PAGE_BYTES / 512);
        struct guest_ram *ram = own_memory_as_guest(&memory);

        CU_ASSERT_EQUAL(ram->mappings[0][0].reader.kind, PAGE_READER_MAPPED);
        populate(ram);
        CU_ASSERT(own_memory_blocks(&memory) <= (PAGE_SPAN_MAX / 16 + 1) * blocks_per_page);
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

/* All the same the pages that exist are mapped. */
static void test_populating_maps_what_exists(void)
{
        struct own_memory memory = own_memory_map(PAGE_SPAN_MAX, MAP_SHARED, 1);
        struct guest_ram *ram = own_memory_as_guest(&memory);
        uint64_t entries[PAGE_SPAN_MAX] = {0};
        size_t n_mapped = 0;

        for (size_t i = 0; i < PAGE_SPAN_MAX; i++)
                own_memory_fill(&memory, i, 1);
        populate(ram);
        CU_ASSERT_EQUAL(pagemap_read(ram->process.pagemap_fd, (uintptr_t)ram->mappings[0][0].window, entries,
                                     PAGE_SPAN_MAX),
                        0);
        for (size_t i = 0; i < PAGE_SPAN_MAX; i++)
                n_mapped += entries[i] >> 63;
        CU_ASSERT(n_mapped >= PAGE_SPAN_MAX * 7 / 8); /* the kernel passes over some now and then */
        guest_ram_free(ram);
        own_memory_unmap(&memory);
}

static const struct unit_test tests[] = {
        {"shared file", test_shared_file},
        {"file of somebody else", test_file_of_somebody_else},
        {"populating what went away", test_populating_what_went_away},
        {"populating maps what exists", test_populating_maps_what_exists},
        {"private", test_private},
        {"zero page of the kernel", test_zero_page_of_the_kernel},
        {"range limit of alternating pages", test_range_limit_of_alternating_pages},
};

UNIT_MAIN("present", tests)
