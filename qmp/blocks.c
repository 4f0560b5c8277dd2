/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks from three replies of QEMU.
 *
 * query-memdev gives ids and sizes of all memory backends, but no address. `info ramblock` shows addresses
 * only since QEMU 8.0. Every version has two other commands. `info mtree -f` shows at which guest physical
 * addresses (GPA) a backend's region appears, and from which offset in it. `gpa2hva` turns a GPA into an
 * address in QEMU's own address space (HVA). A block is one contiguous mapping of QEMU, so hva = gpa2hva(GPA)
 * - offset holds for any range of it. This file asks for the two largest ranges, as a guard against having
 * misread the tree.
 *
 * The tree prints one flat view after another, in no fixed order, each under the list of address spaces that
 * share it. The view wanted here lists ` AS "memory"`. Its lines look like
 *
 *   0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM
 *
 * The offset is missing when it is 0, and the accelerator's name is missing without one. The name is the
 * backend's id, or its path "/objects/ID". Parts below 1 MiB may be `rom` (shadowed firmware) and still
 * belong to the block. A block split around the PCI hole appears twice. A virtio-mem device shows its block
 * whole, or in parts where the memory slots are dynamic. A block that appears nowhere belongs to no guest
 * memory (an unused backend, an unplugged DIMM): it is kept, with hva 0.
 *
 * While the firmware runs, the parts below 1 MiB can come and go between the two commands; the largest ranges
 * are above that. A caller that gets -EBADMSG may ask for everything once more.
 */
#include "qmp/blocks.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_QUOTED 80

void blocks_deinit(struct ram_blocks *blocks)
{
        for (size_t i = 0; i < blocks->count; i++) {
                free(blocks->blocks[i].id);
                free(blocks->blocks[i].backend);
        }
        free(blocks->blocks);
        *blocks = (struct ram_blocks){0};
}

void blocks_ranges_deinit(struct ram_ranges *ranges)
{
        free(ranges->ranges);
        *ranges = (struct ram_ranges){0};
}

static struct ram_block *find_block(const struct ram_blocks *blocks, const char *id, size_t length)
{
        for (size_t i = 0; i < blocks->count; i++)
                if (strncmp(blocks->blocks[i].id, id, length) == 0 && !blocks->blocks[i].id[length])
                        return &blocks->blocks[i];
        return NULL;
}

struct ram_block *blocks_find(const struct ram_blocks *blocks, const char *id)
{
        return find_block(blocks, id, strlen(id));
}

uint64_t blocks_total_bytes(const struct ram_blocks *blocks)
{
        uint64_t total = 0;

        for (size_t i = 0; i < blocks->count; i++)
                total += blocks->blocks[i].size_bytes;
        return total;
}

/* query-memdev */

static bool get_typed(struct json_object *object, const char *key, enum json_type type,
                      struct json_object **ret_value)
{
        return json_object_is_type(object, json_type_object) &&
               json_object_object_get_ex(object, key, ret_value) && json_object_is_type(*ret_value, type);
}

static bool get_flag(struct json_object *object, const char *key)
{
        struct json_object *value = NULL;

        return get_typed(object, key, json_type_boolean, &value) && json_object_get_boolean(value);
}

static int append_memdev(struct ram_blocks *blocks, struct json_object *memdev, struct failure *failure)
{
        struct ram_block *block = &blocks->blocks[blocks->count];
        struct json_object *id = NULL;
        struct json_object *size = NULL;
        int64_t size_bytes = 0;
        const char *text = NULL;

        if (!get_typed(memdev, "id", json_type_string, &id) || !*json_object_get_string(id))
                return failure_set(failure, -EBADMSG, "QEMU shows a memory backend without an id");
        text = json_object_get_string(id);
        if (blocks_find(blocks, text))
                return failure_set(failure, -EBADMSG, "QEMU shows the memory backend %s twice", text);
        if (!get_typed(memdev, "size", json_type_int, &size))
                return failure_set(failure, -EBADMSG, "QEMU shows no size of the memory backend %s", text);
        size_bytes = json_object_get_int64(size);
        if (size_bytes <= 0 || size_bytes == INT64_MAX || (uint64_t)size_bytes % BLOCKS_ALIGN_BYTES)
                return failure_set(failure, -EBADMSG,
                                   "the memory backend %s has a size that is not whole pages: %lld bytes",
                                   text, (long long)size_bytes);
        *block = (struct ram_block){
                .id = strdup(text),
                .size_bytes = (uint64_t)size_bytes,
                .share = get_flag(memdev, "share"),
                .merge = get_flag(memdev, "merge"),
        };
        if (!block->id)
                return failure_errno(failure, -ENOMEM, "cannot keep the memory backends");
        blocks->count++;
        return 0;
}

static int check_total(const struct ram_blocks *blocks, struct failure *failure)
{
        int64_t total = 0;

        for (size_t i = 0; i < blocks->count; i++)
                if (__builtin_add_overflow(total, blocks->blocks[i].size_bytes, &total))
                        return failure_set(failure, -EBADMSG,
                                           "the memory backends together exceed 2^63 bytes");
        return 0;
}

int blocks_parse_memdev(struct json_object *reply, struct ram_blocks *ret_blocks, struct failure *failure)
{
        CLEANUP(blocks_deinit) struct ram_blocks blocks = {0};
        size_t count = 0;
        int r = 0;

        if (!json_object_is_type(reply, json_type_array))
                return failure_set(failure, -EBADMSG, "the reply to query-memdev is no list");
        count = json_object_array_length(reply);
        if (count == 0)
                return failure_set(failure, -EBADMSG, "QEMU shows no memory backend");
        if (count > BLOCKS_MAX)
                return failure_set(failure, -EBADMSG, "QEMU shows %zu memory backends, more than %d", count,
                                   BLOCKS_MAX);
        blocks.blocks = calloc(count, sizeof(*blocks.blocks));
        if (!blocks.blocks)
                return failure_errno(failure, -ENOMEM, "cannot keep the memory backends");
        for (size_t i = 0; i < count && r == 0; i++)
                r = append_memdev(&blocks, json_object_array_get_idx(reply, i), failure);
        if (r == 0)
                r = check_total(&blocks, failure);
        if (r < 0)
                return r;
        *ret_blocks = blocks;
        blocks = (struct ram_blocks){0};
        return 0;
}

/* qom-list /objects */

static int note_type(struct json_object *property, struct ram_blocks *blocks)
{
        static const char prefix[] = "child<";
        struct json_object *name = NULL;
        struct json_object *type = NULL;
        struct ram_block *block = NULL;
        const char *text = NULL;
        size_t length = 0;

        if (!get_typed(property, "name", json_type_string, &name) ||
            !get_typed(property, "type", json_type_string, &type))
                return 0;
        block = blocks_find(blocks, json_object_get_string(name));
        text = json_object_get_string(type);
        length = strlen(text);
        if (!block || strncmp(text, prefix, strlen(prefix)) != 0 || text[length - 1] != '>')
                return 0;
        free(block->backend);
        block->backend = strndup(text + strlen(prefix), length - strlen(prefix) - 1);
        return block->backend ? 0 : -ENOMEM;
}

int blocks_parse_types(struct json_object *reply, struct ram_blocks *blocks)
{
        if (!json_object_is_type(reply, json_type_array))
                return 0;
        for (size_t i = 0; i < json_object_array_length(reply); i++) {
                int r = note_type(json_object_array_get_idx(reply, i), blocks);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* info mtree -f */

/* Moves *@position past @literal, if it is next. */
static bool skip_literal(const char **position, const char *literal)
{
        size_t length = strlen(literal);

        if (strncmp(*position, literal, length) != 0)
                return false;
        *position += length;
        return true;
}

static bool skip_hex(const char **position, uint64_t *ret_value)
{
        char *end = NULL;

        if (!strchr("0123456789abcdefABCDEF", **position) || !**position)
                return false;
        errno = 0;
        *ret_value = strtoull(*position, &end, 16);
        if (errno != 0)
                return false;
        *position = end;
        return true;
}

static const char *line_end(const char *line)
{
        return line + strcspn(line, "\n");
}

static const char *next_line(const char *line)
{
        line = line_end(line);
        return *line ? line + 1 : line;
}

static bool is_view_start(const char *line)
{
        return strncmp(line, "FlatView", strlen("FlatView")) == 0;
}

static bool is_memory_space(const char *line)
{
        static const char space[] = " AS \"memory\"";

        return strncmp(line, space, strlen(space)) == 0;
}

/* The first line of the flat view of the address space "memory", or NULL. */
static const char *find_view(const char *text)
{
        const char *view = text;

        for (const char *line = text; *line; line = next_line(line)) {
                if (is_view_start(line))
                        view = line;
                if (is_memory_space(line))
                        return view;
        }
        return NULL;
}

/* Skips "ram): ", "rom): " and their non-volatile kinds. */
static bool skip_type(const char **position, bool *ret_rom)
{
        (void)skip_literal(position, "nv-");
        *ret_rom = strncmp(*position, "rom", 3) == 0;
        return skip_literal(position, "ram): ") || skip_literal(position, "rom): ");
}

/*
 * Reads one line of a view. Returns false when the line shows no RAM block of the list; check_range() finds
 * contradictions.
 */
static bool parse_range(const char *line, const struct ram_blocks *blocks, struct ram_range *ret_range,
                        uint64_t *ret_gpa_last)
{
        struct ram_range range = {0};
        const struct ram_block *block = NULL;
        size_t length = 0;

        line += strspn(line, " ");
        if (!skip_hex(&line, &range.gpa) || !skip_literal(&line, "-") || !skip_hex(&line, ret_gpa_last) ||
            !skip_literal(&line, " (prio "))
                return false;
        line += strspn(line, "-0123456789");
        if (!skip_literal(&line, ", ") || !skip_type(&line, &range.rom))
                return false;
        (void)skip_literal(&line, "/objects/");
        length = strcspn(line, " \r\n");
        block = find_block(blocks, line, length);
        if (!block)
                return false;
        line += length;
        if (skip_literal(&line, " @") && !skip_hex(&line, &range.offset))
                return false;
        range.block = (size_t)(block - blocks->blocks);
        *ret_range = range;
        return true;
}

/* Sets the size; false when the range exceeds its block. */
static bool check_range(struct ram_range *range, uint64_t gpa_last, const struct ram_blocks *blocks)
{
        uint64_t end = 0;

        if (gpa_last < range->gpa || gpa_last - range->gpa == UINT64_MAX)
                return false;
        range->size_bytes = gpa_last - range->gpa + 1;
        return !__builtin_add_overflow(range->offset, range->size_bytes, &end) &&
               end <= blocks->blocks[range->block].size_bytes;
}

static int append_range(struct ram_ranges *ranges, size_t *capacity, const struct ram_range *range)
{
        if (ranges->count == *capacity) {
                size_t larger_capacity = *capacity ? *capacity * 2 : 16;
                struct ram_range *larger =
                        reallocarray(ranges->ranges, larger_capacity, sizeof(*ranges->ranges));

                if (!larger)
                        return -ENOMEM;
                ranges->ranges = larger;
                *capacity = larger_capacity;
        }
        ranges->ranges[ranges->count++] = *range;
        return 0;
}

static int parse_view(const char *view, const struct ram_blocks *blocks, struct ram_ranges *ranges,
                      struct failure *failure)
{
        size_t capacity = 0;

        for (const char *line = next_line(view); *line && !is_view_start(line); line = next_line(line)) {
                size_t length = (size_t)(line_end(line) - line);
                struct ram_range range;
                uint64_t gpa_last = 0;

                if (!parse_range(line, blocks, &range, &gpa_last))
                        continue;
                length = length > LINE_QUOTED ? LINE_QUOTED : length;
                if (!check_range(&range, gpa_last, blocks))
                        return failure_set(
                                failure, -EBADMSG,
                                "QEMU's memory tree has a line that does not fit its block: \"%.*s\"",
                                (int)length, line);
                if (ranges->count == BLOCKS_RANGES_MAX)
                        return failure_set(failure, -EBADMSG,
                                           "QEMU's memory tree shows RAM in more than %d ranges",
                                           BLOCKS_RANGES_MAX);
                if (append_range(ranges, &capacity, &range) < 0)
                        return failure_errno(failure, -ENOMEM, "cannot keep the memory tree");
        }
        return 0;
}

int blocks_parse_mtree(const char *text, const struct ram_blocks *blocks, struct ram_ranges *ret_ranges,
                       struct failure *failure)
{
        CLEANUP(blocks_ranges_deinit) struct ram_ranges ranges = {0};
        const char *view = find_view(text);
        int r = 0;

        if (!view)
                return failure_set(failure, -EBADMSG, "QEMU's memory tree shows no address space \"memory\"");
        r = parse_view(view, blocks, &ranges, failure);
        if (r < 0)
                return r;
        *ret_ranges = ranges;
        ranges = (struct ram_ranges){0};
        return 0;
}

/* gpa2hva */

int blocks_parse_gpa2hva(const char *text, const char *id, uint64_t *ret_hva, struct failure *failure)
{
        const char *position = text;
        size_t quoted = strcspn(text, "\r\n");
        size_t length = strlen(id);
        uint64_t gpa = 0;
        uint64_t hva = 0;
        bool is_sound = skip_literal(&position, "Host virtual address for 0x") && skip_hex(&position, &gpa) &&
                        skip_literal(&position, " (");

        if (is_sound) {
                (void)skip_literal(&position, "/objects/");
                is_sound = strncmp(position, id, length) == 0;
                position += is_sound ? length : 0;
        }
        if (is_sound && skip_literal(&position, ") is 0x") && skip_hex(&position, &hva) && hva != 0) {
                *ret_hva = hva;
                return 0;
        }
        return failure_set(failure, -EBADMSG, "QEMU does not tell where the RAM block %s lies: \"%.*s\"", id,
                           (int)(quoted > LINE_QUOTED ? LINE_QUOTED : quoted), text);
}

/* Where each block lies */

static int translate_range(const struct ram_block *block, const struct ram_range *range,
                           blocks_translate_fn *translate, void *context, uint64_t *ret_hva,
                           struct failure *failure)
{
        CLEANUP_FREE char *text = NULL;
        uint64_t hva = 0;
        uint64_t end = 0;
        int r = translate(context, range->gpa, &text, failure);

        if (r == 0)
                r = blocks_parse_gpa2hva(text, block->id, &hva, failure);
        if (r < 0)
                return r;
        if (__builtin_sub_overflow(hva, range->offset, &hva) || hva == 0 || hva % BLOCKS_ALIGN_BYTES ||
            __builtin_add_overflow(hva, block->size_bytes, &end) || end > INT64_MAX)
                return failure_set(failure, -EBADMSG,
                                   "QEMU gives an impossible address for the RAM block %s: 0x%llx", block->id,
                                   (unsigned long long)hva);
        *ret_hva = hva;
        return 0;
}

/* RAM goes before ROM, then the larger range: the better one to ask for. */
static bool is_better(const struct ram_range *range, const struct ram_range *other)
{
        if (!other)
                return true;
        if (range->rom != other->rom)
                return !range->rom;
        return range->size_bytes > other->size_bytes;
}

struct best_ranges {
        const struct ram_range *first, *second;
};

static struct best_ranges pick_ranges(const struct ram_ranges *ranges, size_t block)
{
        struct best_ranges best = {0};

        for (size_t i = 0; i < ranges->count; i++) {
                const struct ram_range *range = &ranges->ranges[i];

                if (range->block != block)
                        continue;
                if (is_better(range, best.first)) {
                        best.second = best.first;
                        best.first = range;
                } else if (is_better(range, best.second)) {
                        best.second = range;
                }
        }
        return best;
}

/* Below 1 MiB the firmware switches RAM on and off, so a second address from there would prove little. */
static bool is_settled(const struct ram_range *range)
{
        return range && !range->rom && range->gpa >= (1U << 20);
}

static int locate_block(struct ram_block *block, struct best_ranges best, blocks_translate_fn *translate,
                        void *context, struct failure *failure)
{
        uint64_t hva = 0;
        uint64_t second_hva = 0;
        int r = 0;

        if (!best.first)
                return 0;
        r = translate_range(block, best.first, translate, context, &hva, failure);
        if (r < 0)
                return r;
        if (is_settled(best.second)) {
                r = translate_range(block, best.second, translate, context, &second_hva, failure);
                if (r < 0)
                        return r;
                if (second_hva != hva)
                        return failure_set(failure, -EBADMSG,
                                           "QEMU gives two addresses for the RAM block %s: 0x%llx and 0x%llx",
                                           block->id, (unsigned long long)hva,
                                           (unsigned long long)second_hva);
        }
        block->hva = hva;
        return 0;
}

static int check_overlaps(const struct ram_blocks *blocks, struct failure *failure)
{
        for (size_t i = 0; i < blocks->count; i++)
                for (size_t j = 0; j < i; j++) {
                        const struct ram_block *a = &blocks->blocks[i];
                        const struct ram_block *b = &blocks->blocks[j];

                        if (a->hva && b->hva && a->hva < b->hva + b->size_bytes &&
                            b->hva < a->hva + a->size_bytes)
                                return failure_set(
                                        failure, -EBADMSG,
                                        "QEMU gives overlapping addresses for the RAM blocks %s and %s",
                                        b->id, a->id);
                }
        return 0;
}

int blocks_locate(struct ram_blocks *blocks, const struct ram_ranges *ranges, blocks_translate_fn *translate,
                  void *context, struct failure *failure)
{
        for (size_t i = 0; i < blocks->count; i++) {
                int r = locate_block(&blocks->blocks[i], pick_ranges(ranges, i), translate, context, failure);

                if (r < 0)
                        return r;
        }
        return check_overlaps(blocks, failure);
}
