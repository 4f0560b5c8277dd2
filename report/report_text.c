/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report_text.h"

#include "report/advice.h"
#include "report/table.h"

#include <string.h>

/* One size of a printf() argument list. */
#define SIZE(bytes) table_format_bytes((bytes), (char[TABLE_SIZE_BYTES]){""})

static double percent(int64_t part, int64_t whole)
{
        return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void add_pause(struct table *table, const struct report_guest *guest)
{
        if (guest->pauses == 0)
                table_add(table, "%s", guest->consistency == REPORT_CONSISTENCY_LIVE ? "live" : "none");
        else if (guest->pauses == 1)
                table_add(table, "%.1f ms", guest->pause_seconds * 1000);
        else
                table_add(table, "%.1f ms in %u", guest->pause_seconds * 1000, guest->pauses);
}

static void print_guests(const struct report *report, FILE *out)
{
        static const char *const headings[] = {
                "GUEST", "GROUP", "RAM", "PRESENT", "ZERO", "SELF", "INTER", "MERGED", "PAUSE",
        };
        struct table table = {.n_columns = 9, .right = 0x1fc};

        for (size_t i = 0; i < table.n_columns; i++)
                table_add(&table, "%s", headings[i]);
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];

                if (!guest->scanned)
                        continue;
                table_add(&table, "%s", guest->name);
                table_add(&table, "%s", guest->group ? guest->group : "-");
                table_add(&table, "%s", SIZE(guest->figures.ram_bytes));
                table_add(&table, "%s", SIZE(guest->figures.present_bytes));
                table_add(&table, "%s", SIZE(guest->figures.zero_bytes));
                table_add(&table, "%s", SIZE(guest->figures.self_sharing_bytes));
                table_add(&table, "%s", SIZE(guest->figures.inter_sharing_bytes));
                table_add(&table, "%s", SIZE(report_merged_bytes(&guest->figures)));
                add_pause(&table, guest);
        }
        table_print(&table, "", out);
        table_deinit(&table);
}

static void print_verdict(const struct report *report, FILE *out)
{
        const struct report_figures *total = &report->total;
        const int64_t non_zero = total->present_bytes - total->zero_bytes;
        const int64_t ideal = report_ideal_bytes(total);
        const int64_t merged = report_merged_bytes(total);

        (void)fprintf(out, "Ideal   %s of %s non-zero (%.0f %%): self %s, inter %s; zero pages %s apart\n",
                      SIZE(ideal), SIZE(non_zero), percent(ideal, non_zero), SIZE(total->self_sharing_bytes),
                      SIZE(total->inter_sharing_bytes), SIZE(total->zero_bytes));
        if (merged == REPORT_UNKNOWN)
                (void)fprintf(out, "Merged  not known: the kernel does not show which frames are shared\n");
        else
                (void)fprintf(out, "Merged  %s (%.0f %% of ideal): self %s, inter %s; zero pages %s apart\n",
                              SIZE(merged), percent(merged, ideal), SIZE(total->actual_self_bytes),
                              SIZE(total->actual_inter_bytes), SIZE(total->actual_zero_bytes));
}

static void print_gap(const struct report *report, FILE *out)
{
        struct table table = {.n_columns = 3, .right = 1};

        if (report->n_reasons == 0)
                return;
        for (size_t i = 0; i < report->n_reasons; i++) {
                const struct report_reason *reason = &report->reasons[i];
                char sentence[TABLE_CELL_BYTES] = "";
                char remedy[ADVICE_REMEDY_BYTES] = "";

                advice_sentence(reason->reason, &report->ksm, sentence, sizeof(sentence));
                advice_remedy(reason->reason, &report->ksm, report->recheck_seconds, remedy, sizeof(remedy));
                for (size_t g = 0; g < report->n_guests; g++) {
                        if (reason->by_guest[g] == 0)
                                continue;
                        table_add(&table, "%s", SIZE(reason->by_guest[g]));
                        table_add(&table, "%s: %s", report->guests[g].name, sentence);
                        table_add(&table, "%s", remedy);
                }
        }
        (void)fputs("Why not more\n", out);
        table_print(&table, "  ", out);
        table_deinit(&table);
}

static void print_whom(const struct report_merge *merge, FILE *out)
{
        size_t n = 0;

        for (size_t i = 0; i < merge->n_guests; i++)
                n += merge->guests[i].is_chosen;
        (void)fprintf(out, "%zu guest%s", n, n == 1 ? "" : "s");
        if (merge->cross_group)
                (void)fprintf(out, " across all groups");
        else if (merge->group)
                (void)fprintf(out, " of group %s", merge->group);
        else
                (void)fprintf(out, " without a group, which shares with no other");
}

static void print_forecast(const struct report_merge *merge, FILE *out)
{
        (void)fprintf(out, "Forecast  merging ");
        print_whom(merge, out);
        (void)fprintf(out, " saves %s: self %s, inter %s; zero pages %s besides\n",
                      SIZE(merge->self_bytes + merge->inter_bytes), SIZE(merge->self_bytes),
                      SIZE(merge->inter_bytes), SIZE(merge->zero_bytes));
        (void)fprintf(out, "  costs   %s of bookkeeping for %s; %lld huge pages split; ",
                      SIZE(merge->bookkeeping_bytes), SIZE(merge->scanned_bytes),
                      (long long)merge->huge_pages);
        (void)fprintf(out, "%.1f s until it is done, %.1f s of CPU time; then %.0f s an hour\n",
                      merge->cost.seconds, merge->cost.cpu_seconds, merge->cost.cpu_seconds_per_hour);
        (void)fprintf(out, "  net     %s", SIZE(merge->net_bytes));
        if (merge->reached_bytes != REPORT_UNKNOWN)
                (void)fprintf(out, "; %s are saved now", SIZE(merge->reached_bytes));
        (void)fputc('\n', out);
        if (merge->isolation_bytes > 0)
                (void)fprintf(
                        out,
                        "  apart   keeping groups from each other costs %s, which all guests together would "
                        "save besides\n",
                        SIZE(merge->isolation_bytes));
}

static void print_changes(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        for (size_t i = 0; i < merge->n_guests; i++) {
                const struct report_merge_guest *guest = &merge->guests[i];
                const char *name = report->guests[i].name;

                if (guest->left_out)
                        (void)fprintf(out, "  %s: left out, merging it would cost %s more than it saves\n",
                                      name, SIZE(-guest->net_bytes));
                if (guest->change == PLAN_CHANGE_NONE)
                        continue;
                (void)fprintf(out, "  %s: %s%s%s%s\n", name,
                              guest->change == PLAN_CHANGE_MERGE ? "mark its RAM mergeable"
                                                                 : "take the mark off its RAM",
                              guest->is_done ? ": done" : "", guest->failure.text[0] ? ": " : "",
                              guest->failure.text);
        }
}

static void print_settings(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        for (size_t i = 0; i < merge->settings.n; i++) {
                const struct ksm_setting *setting = &merge->settings.settings[i];
                const struct ksm_file *file = ksm_find(&report->ksm, setting->name);
                const char *found = file ? file->text : "?";

                if (strcmp(found, setting->value) != 0)
                        (void)fprintf(out, "  KSM: %s %s, was %s%s\n", setting->name, setting->value, found,
                                      merge->is_done ? ": done" : "");
        }
}

static void print_merge(const struct report *report, FILE *out)
{
        const struct report_merge *merge = report->merge;

        if (!merge)
                return;
        if (!merge->merges) {
                (void)fputs("Forecast  merging would save no more than it costs: nothing is to be done\n",
                            out);
                return;
        }
        print_forecast(merge, out);
        (void)fputs(merge->acts ? "Done\n" : "To be done\n", out);
        print_changes(report, out);
        print_settings(report, out);
        if (merge->refusal.text[0])
                (void)fprintf(out, "  not done: %s\n", merge->refusal.text);
}

void report_print(const struct report *report, FILE *out)
{
        if (report_n_scanned(report) == 0)
                return;
        print_guests(report, out);
        print_verdict(report, out);
        print_gap(report, out);
        print_merge(report, out);
}

static enum gap_reason reason_of_name(const char *name)
{
        for (enum gap_reason reason = 0; reason < GAP_REASON_COUNT_; reason++)
                if (strcmp(gap_reason_to_string(reason), name) == 0)
                        return reason;
        return GAP_REASON_COUNT_;
}

static void add_eligibility(struct table *table, const struct report_block *block, const struct ksm *ksm)
{
        char sentence[TABLE_CELL_BYTES] = "";
        char remedy[ADVICE_REMEDY_BYTES] = "";
        enum gap_reason reason = GAP_REASON_COUNT_;

        table_add(table, "%s", block->ksm_eligible ? "yes" : "no");
        if (block->reason)
                reason = reason_of_name(block->reason);
        if (!block->reason) {
                table_add(table, "%s", "");
        } else if (reason == GAP_REASON_COUNT_) {
                table_add(table, "the guest does not see it");
        } else {
                advice_sentence(reason, ksm, sentence, sizeof(sentence));
                advice_remedy(reason, ksm, 0, remedy, sizeof(remedy));
                table_add(table, "%s; %s", sentence, remedy);
        }
}

void report_print_guests(const struct report *report, FILE *out)
{
        static const char *const headings[] = {
                "GUEST", "STATE", "PID", "BLOCK", "SIZE", "PAGES", "BACKEND", "READ BY", "KSM", "WHY NOT",
        };
        struct table table = {.n_columns = 10, .right = 0x34};

        for (size_t i = 0; i < table.n_columns; i++)
                table_add(&table, "%s", headings[i]);
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];

                for (size_t b = 0; b < guest->n_blocks && guest->error.text[0] == '\0'; b++) {
                        const struct report_block *block = &guest->blocks[b];

                        table_add(&table, "%s", b == 0 ? guest->name : "");
                        table_add(&table, "%s", b == 0 ? guest->found_state : "");
                        if (b == 0)
                                table_add(&table, "%d", guest->pid);
                        else
                                table_add(&table, "%s", "");
                        table_add(&table, "%s", block->id);
                        table_add(&table, "%s", SIZE(block->size_bytes));
                        table_add(&table, "%s", SIZE(block->page_size));
                        table_add(&table, "%s", block->backend ? block->backend : "-");
                        table_add(&table, "%s", block->reader ? block->reader : "-");
                        add_eligibility(&table, block, &report->ksm);
                }
        }
        if (table.n_cells > table.n_columns)
                table_print(&table, "", out);
        table_deinit(&table);
}

void report_print_complaints(const struct report *report, FILE *out)
{
        if (report->note.text[0])
                (void)fprintf(out, "samepage: %s\n", report->note.text);
        for (size_t i = 0; i < report->n_guests; i++) {
                const struct report_guest *guest = &report->guests[i];

                if (guest->error.text[0])
                        (void)fprintf(out, "samepage: guest %s: %s\n", guest->name, guest->error.text);
                else if (guest->note.text[0])
                        (void)fprintf(out, "samepage: guest %s: %s\n", guest->name, guest->note.text);
        }
}
