/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads /proc/PID/smaps. It has a line with the range, permissions and file of each mapping, followed by
 * lines "Key: value", of which KernelPageSize and VmFlags matter here. smaps is the only place where the
 * kernel shows which mappings KSM may merge (VmFlags "mg").
 */
#include "scanner/mapping.h"

#include "base/cleanup.h"
#include "pages/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *next_smaps_line(const char *line)
{
        const char *end = strchr(line, '\n');

        return end ? end + 1 : line + strlen(line);
}

/* Reads a number in @base and the one character behind it. */
static bool parse_smaps_number(const char **text, int base, char behind, uint64_t *ret)
{
        char *end = NULL;

        errno = 0;
        *ret = strtoull(*text, &end, base);
        if (errno || end == *text || *end != behind)
                return false;
        *text = end + 1;
        return true;
}

/* "start-end perms offset major:minor inode   file": sscanf() would measure the whole text at every line. */
static bool parse_heading(const char *line, struct mapping *ret)
{
        struct mapping mapping = {.page_size_bytes = PAGE_BYTES, .file_fd = -1};
        uint64_t device_major = 0;
        uint64_t device_minor = 0;
        char *end = NULL;

        if (!parse_smaps_number(&line, 16, '-', &mapping.start) ||
            !parse_smaps_number(&line, 16, ' ', &mapping.end))
                return false;
        if (strnlen(line, 5) < 5 || line[4] != ' ' || mapping.end <= mapping.start)
                return false;
        mapping.shared = line[3] == 's';
        mapping.writable = line[1] == 'w';
        line += 5;
        if (!parse_smaps_number(&line, 16, ' ', &mapping.file_offset) ||
            !parse_smaps_number(&line, 16, ':', &device_major) ||
            !parse_smaps_number(&line, 16, ' ', &device_minor))
                return false;
        errno = 0;
        mapping.file_inode = strtoull(line, &end, 10);
        if (errno || end == line)
                return false;
        *ret = mapping;
        return true;
}

/* Headings start with a lower-case hexadecimal digit, details with a capital letter. */
static bool is_heading(const char *line)
{
        return (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');
}

/* Each of VmFlags is two letters with a space behind. */
static bool has_flag(const char *line, const char *end, const char *flag)
{
        for (const char *at = strchr(line, ':') + 1; at + 2 < end; at++)
                if (at[0] == ' ' && at[1] == flag[0] && at[2] == flag[1])
                        return true;
        return false;
}

static void parse_detail(const char *line, struct mapping *mapping)
{
        const char *end = next_smaps_line(line);
        uint64_t kib = 0;

        if (strncmp(line, "VmFlags:", 8) == 0) {
                mapping->writable |= has_flag(line, end, "mw");
                mapping->hugetlb = has_flag(line, end, "ht");
                mapping->locked = has_flag(line, end, "lo");
                mapping->mergeable = has_flag(line, end, "mg");
        } else if (strncmp(line, "KernelPageSize:", 15) == 0) {
                line += 15;
                if (parse_smaps_number(&line, 10, ' ', &kib) && kib >= 4 && kib <= UINT64_MAX / 1024)
                        mapping->page_size_bytes = kib * 1024;
        }
}

/* Reads the mapping that @text starts with; *@ret_next is where the next one starts. */
static bool parse_mapping(const char *text, struct mapping *ret, const char **ret_next)
{
        if (!parse_heading(text, ret))
                return false;
        for (text = next_smaps_line(text); *text && !is_heading(text); text = next_smaps_line(text))
                parse_detail(text, ret);
        *ret_next = text;
        return true;
}

/* The part of a whole mapping from @start to @end, which lies in the block at @hva. */
static struct mapping cut_to_block(struct mapping mapping, uint64_t start, uint64_t end, uint64_t hva)
{
        mapping.hva = start;
        mapping.size_bytes = end - start;
        mapping.first_page = (start - hva) >> PAGE_SHIFT;
        mapping.file_offset = mapping.file_inode ? mapping.file_offset + (start - mapping.start) : 0;
        return mapping;
}

static int append_mapping(struct mapping **mappings, size_t *n_mappings, struct mapping mapping)
{
        struct mapping *larger = reallocarray(*mappings, *n_mappings + 1, sizeof(mapping));

        if (!larger)
                return -ENOMEM;
        larger[(*n_mappings)++] = mapping;
        *mappings = larger;
        return 0;
}

int mapping_find(const char *smaps, uint64_t hva, uint64_t size_bytes, struct mapping **ret_mappings,
                 size_t *ret_n_mappings, struct failure *failure)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n_mappings = 0;
        uint64_t covered = hva;
        uint64_t end = 0;

        if (__builtin_add_overflow(hva, size_bytes, &end) || hva % PAGE_BYTES || size_bytes % PAGE_BYTES)
                return failure_set(failure, -EINVAL, "a RAM block lies at an impossible address");
        while (*smaps && covered < end) {
                struct mapping mapping = {0};
                uint64_t cut = 0;
                int r = 0;

                if (!parse_mapping(smaps, &mapping, &smaps))
                        return failure_set(failure, -EINVAL, "its smaps file cannot be understood");
                if (mapping.end <= covered)
                        continue;
                if (mapping.start > covered)
                        break;
                if (n_mappings == MAPPING_MAX_PER_BLOCK)
                        return failure_set(failure, -E2BIG, "a RAM block has more than %d mappings",
                                           MAPPING_MAX_PER_BLOCK);
                cut = mapping.end < end ? mapping.end : end;
                r = append_mapping(&mappings, &n_mappings, cut_to_block(mapping, covered, cut, hva));
                if (r < 0)
                        return r;
                covered = cut;
        }
        if (covered < end)
                return failure_set(failure, -ENXIO,
                                   "QEMU has not mapped its RAM where it says it has (at %#" PRIx64 ")",
                                   covered);
        *ret_mappings = TAKE_PTR(mappings);
        *ret_n_mappings = n_mappings;
        return 0;
}

int mapping_list_mergeable(const char *smaps, uint64_t least_bytes, struct mapping **ret_mappings,
                           size_t *ret_n_mappings)
{
        CLEANUP_FREE struct mapping *mappings = NULL;
        size_t n_mappings = 0;

        while (*smaps) {
                struct mapping mapping = {0};
                int r = 0;

                if (!parse_mapping(smaps, &mapping, &smaps))
                        return -EINVAL;
                if (!mapping.mergeable || mapping.shared || mapping.end - mapping.start < least_bytes)
                        continue;
                if (n_mappings == MAPPING_MAX_PER_BLOCK)
                        return -E2BIG;
                r = append_mapping(&mappings, &n_mappings,
                                   cut_to_block(mapping, mapping.start, mapping.end, mapping.start));
                if (r < 0)
                        return r;
        }
        *ret_mappings = TAKE_PTR(mappings);
        *ret_n_mappings = n_mappings;
        return 0;
}
