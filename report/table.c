/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/table.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>

/* Doubles the room whenever it is full, which it is at 0, 1, 2, 4, 8 cells and so on. */
static bool has_room(struct table *table)
{
        const size_t n = table->n_cells;
        char(*larger)[TABLE_CELL_BYTES] = NULL;

        if ((n & (n - 1)) != 0)
                return true;
        larger = reallocarray(table->cells, n ? 2 * n : 1, sizeof(*table->cells));
        if (larger)
                table->cells = larger;
        return larger;
}

void table_add(struct table *table, const char *format, ...)
{
        va_list arguments;

        if (!has_room(table))
                return;
        va_start(arguments, format);
        (void)vsnprintf(table->cells[table->n_cells], TABLE_CELL_BYTES, format, arguments);
        va_end(arguments);
        text_make_printable(table->cells[table->n_cells]);
        table->n_cells++;
}

static unsigned int column_width(const struct table *table, size_t column)
{
        unsigned int width = 0;

        for (size_t i = column; i < table->n_cells; i += table->n_columns) {
                unsigned int columns = text_columns(table->cells[i]);

                width = columns > width ? columns : width;
        }
        return width;
}

/* Spaces are written only when something follows them. */
static void print_row(const struct table *table, size_t first, const unsigned int *widths, const char *indent,
                      FILE *out)
{
        int spaces = 0;

        (void)fputs(indent, out);
        for (size_t column = 0; column < table->n_columns; column++) {
                const char *cell = table->cells[first + column];
                const int padding = (int)(widths[column] - text_columns(cell));
                const bool right = table->right >> column & 1;

                spaces += right ? padding : 0;
                if (*cell)
                        (void)fprintf(out, "%*s%s", spaces, "", cell);
                spaces = *cell ? 0 : spaces;
                spaces += (right ? 0 : padding) + 2;
        }
        (void)fputc('\n', out);
}

void table_print(const struct table *table, const char *indent, FILE *out)
{
        unsigned int widths[TABLE_MAX_COLUMNS] = {0};

        for (size_t column = 0; column < table->n_columns; column++)
                widths[column] = column_width(table, column);
        for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
                print_row(table, i, widths, indent, out);
}

void table_deinit(struct table *table)
{
        free(table->cells);
}

const char *table_format_bytes(long long bytes, char *text)
{
        static const char units[] = "KMGTPE";
        double value = (double)bytes;
        size_t unit = 0;

        if (bytes < 0)
                return "-";
        if (bytes < 1024) {
                (void)snprintf(text, TABLE_SIZE_BYTES, "%lld", bytes);
                return text;
        }
        for (value /= 1024; value >= 999.5 && unit + 1 < sizeof(units) - 1; unit++)
                value /= 1024;
        (void)snprintf(text, TABLE_SIZE_BYTES, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
        return text;
}
