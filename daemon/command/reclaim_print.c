/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/command/reclaim_print.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "pages/page.h"
#include "report/table.h"

#include <stdlib.h>
#include <string.h>

/* A RAM block with its mappings added up; the mappings of a block are of one kind. */
struct block_figures {
        enum reclaim_kind kind;
        const char *id;
        uint64_t size_bytes;
        uint64_t reclaimable_bytes;
        uint64_t kept_bytes;
        uint64_t reclaimed_bytes;
        const char *refusal; /* NULL: none */
};

/* Adds up the parts of the block that begins at part @first. Return: where the next block begins. */
static size_t sum_block(const struct reclaim_guest *guest, size_t first, struct block_figures *ret)
{
        const size_t block = guest->parts[first].block;
        struct block_figures sum = {
                .id = guest->source->ram->pages.blocks[block].id,
                .size_bytes = guest->source->ram->pages.blocks[block].n_pages * PAGE_BYTES,
        };
        size_t i = first;

        for (; i < guest->n_parts && guest->parts[i].block == block; i++) {
                const struct reclaim_part *part = &guest->parts[i];

                if (sum.kind == RECLAIM_KIND_NONE)
                        sum.kind = reclaim_kind_of(&part->mapping);
                if (!sum.refusal && *part->refusal.text)
                        sum.refusal = part->refusal.text;
                sum.reclaimable_bytes += part->file.zero_pages * PAGE_BYTES;
                sum.kept_bytes += part->file.kept_pages * PAGE_BYTES;
                sum.reclaimed_bytes += part->file.given_bytes;
        }
        *ret = sum;
        return i;
}

/* JSON */

static struct json_object *name_to_json(const char *name)
{
        CLEANUP_FREE char *printable = strdup(name);

        if (printable)
                text_make_printable(printable);
        return printable && *printable ? json_object_new_string(printable) : NULL;
}

static struct json_object *cost_to_json(const struct reclaim_cost *cost)
{
        struct json_object *object = json_object_new_object();

        json_add_int(object, "file_bytes", (int64_t)cost->file_bytes);
        json_add_int(object, "rss_shmem_bytes", (int64_t)cost->rss_shmem_bytes);
        return object;
}

static struct json_object *block_to_json(const struct block_figures *block, bool applied)
{
        struct json_object *object = json_object_new_object();

        json_add(object, "id", name_to_json(block->id));
        json_add_int(object, "size_bytes", (int64_t)block->size_bytes);
        json_add_text(object, "kind", reclaim_kind_to_string(block->kind));
        json_add_int(object, "reclaimable_bytes", (int64_t)block->reclaimable_bytes);
        json_add_int(object, "kept_bytes", (int64_t)block->kept_bytes);
        if (applied)
                json_add_int(object, "reclaimed_bytes", (int64_t)block->reclaimed_bytes);
        else
                json_add(object, "reclaimed_bytes", NULL);
        json_add_text(object, "refused", block->refusal);
        return object;
}

static struct json_object *blocks_to_json(const struct reclaim_guest *guest, bool applied)
{
        struct json_object *blocks = json_object_new_array();

        for (size_t i = 0; i < guest->n_parts;) {
                struct block_figures block;

                i = sum_block(guest, i, &block);
                (void)json_object_array_add(blocks, block_to_json(&block, applied));
        }
        return blocks;
}

static struct json_object *guest_to_json(const struct reclaim_guest *guest, bool applied)
{
        const struct inventory_guest *source = guest->source;
        struct json_object *object = json_object_new_object();
        const bool is_known = source->ram != NULL;

        json_add(object, "name", name_to_json(source->name));
        json_add_text(object, "uuid", source->qmp ? source->qmp->uuid : NULL);
        json_add(object, "pid", source->qmp ? json_object_new_int64(source->qmp->pid) : NULL);
        json_add_text(object, "via", source->by_libvirt ? "libvirt" : "qmp");
        json_add_text(object, "found_state", guest->found_state);
        json_add_int(object, "pauses", guest->n_pauses);
        json_add_seconds(object, "pause_seconds", (double)guest->paused_usec / USEC_PER_SEC);
        json_add_seconds(object, "longest_pause_seconds", (double)guest->longest_usec / USEC_PER_SEC);
        json_add(object, "before", is_known ? cost_to_json(&guest->before) : NULL);
        json_add(object, "after", is_known && applied ? cost_to_json(&guest->after) : NULL);
        json_add(object, "blocks", blocks_to_json(guest, applied));
        json_add_text(object, "error", guest->error.text);
        return object;
}

struct json_object *reclaim_to_json(const struct reclaim_result *result)
{
        struct json_object *root = json_object_new_object();
        struct json_object *guests = json_object_new_array();

        for (size_t i = 0; i < result->n_guests; i++)
                (void)json_object_array_add(guests, guest_to_json(&result->guests[i], result->applied));
        json_add_text(root, "schema", "samepage.reclaim.v1");
        json_add_bool(root, "applied", result->applied);
        json_add(root, "duration_seconds", json_object_new_double(result->duration_seconds));
        json_add(root, "guests", guests);
        return root;
}

/* Text */

static const char *size(uint64_t bytes, char *text)
{
        return table_format_bytes((long long)bytes, text);
}

static void add_block(struct table *table, const char *name, const struct block_figures *block, bool applied)
{
        char text[TABLE_SIZE_BYTES] = "";

        table_add(table, "%s", name);
        table_add(table, "%s", block->id);
        table_add(table, "%s", size(block->size_bytes, text));
        table_add(table, "%s", reclaim_kind_to_string(block->kind));
        if (block->kind == RECLAIM_KIND_NONE || (block->refusal && block->reclaimable_bytes == 0)) {
                table_add(table, "-");
                table_add(table, "-");
        } else {
                table_add(table, "%s", size(block->reclaimable_bytes, text));
                table_add(table, "%s", size(block->kept_bytes, text));
        }
        if (applied)
                table_add(table, "%s", size(block->reclaimed_bytes, text));
}

static void add_guest(struct table *table, const struct reclaim_guest *guest, bool applied)
{
        for (size_t i = 0; i < guest->n_parts;) {
                struct block_figures block;

                i = sum_block(guest, i, &block);
                add_block(table, guest->source->name, &block, applied);
        }
}

static void print_costs(const struct reclaim_result *result, FILE *out)
{
        char before[TABLE_SIZE_BYTES] = "";
        char after[TABLE_SIZE_BYTES] = "";

        for (size_t i = 0; i < result->n_guests; i++) {
                const struct reclaim_guest *guest = &result->guests[i];
                CLEANUP_FREE char *name = strdup(guest->source->name);

                if (!name || !guest->source->ram)
                        continue;
                text_make_printable(name);
                (void)fprintf(out, "%s: RAM files %s before, %s after", name,
                              size(guest->before.file_bytes, before), size(guest->after.file_bytes, after));
                if (guest->n_pauses > 0)
                        (void)fprintf(out, "; paused %.3f s in %u pause%s, the longest %.3f s",
                                      (double)guest->paused_usec / USEC_PER_SEC, guest->n_pauses,
                                      guest->n_pauses > 1 ? "s" : "",
                                      (double)guest->longest_usec / USEC_PER_SEC);
                (void)fputc('\n', out);
        }
}

void reclaim_print(const struct reclaim_result *result, FILE *out)
{
        static const char *const headings[] = {"GUEST",       "BLOCK",    "SIZE",    "KIND",
                                               "TO GET BACK", "NOT ZERO", "GOT BACK"};
        const size_t n_columns = ARRAY_SIZE(headings) - !result->applied;
        struct table table = {.n_columns = n_columns, .right = 1U << 2 | 1U << 4 | 1U << 5 | 1U << 6};

        for (size_t i = 0; i < n_columns; i++)
                table_add(&table, "%s", headings[i]);
        for (size_t i = 0; i < result->n_guests; i++)
                add_guest(&table, &result->guests[i], result->applied);
        if (table.n_cells > n_columns)
                table_print(&table, "", out);
        table_deinit(&table);
        if (result->applied)
                print_costs(result, out);
        else if (result->n_guests > 0)
                (void)fputs("Nothing was changed; --apply gives it back.\n", out);
}

static void print_complaint(const char *name, const char *block, const char *sentence, FILE *out)
{
        CLEANUP_FREE char *line = NULL;

        if (asprintf(&line, "guest %s: %s%s%s", name, block ? block : "", block ? " is left as it is: " : "",
                     sentence) < 0) {
                line = NULL;
                return;
        }
        text_make_printable(line);
        (void)fprintf(out, "samepage: %s\n", line);
}

void reclaim_print_complaints(const struct reclaim_result *result, FILE *out)
{
        for (size_t g = 0; g < result->n_guests; g++) {
                const struct reclaim_guest *guest = &result->guests[g];

                if (*guest->error.text)
                        print_complaint(guest->source->name, NULL, guest->error.text, out);
                for (size_t i = 0; i < guest->n_parts;) {
                        struct block_figures block;

                        i = sum_block(guest, i, &block);
                        if (block.refusal)
                                print_complaint(guest->source->name, block.id, block.refusal, out);
                }
        }
}
