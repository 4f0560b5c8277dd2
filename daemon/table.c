/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/table.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <stdarg.h>

void table_add(struct table *table, const char *format, ...)
{
        char(*larger)[TABLE_CELL_BYTES] =
                reallocarray(table->cells, table->n_cells + 1, sizeof(*table->cells));
        va_list arguments;

        if (!larger)
                return;
        table->cells = larger;
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

void table_print(const struct table *table, const char *indent, FILE *out)
{
        unsigned int widths[TABLE_MAX_COLUMNS] = {0};

        for (size_t column = 0; column < table->n_columns; column++)
                widths[column] = column_width(table, column);
        for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns) {
                (void)fputs(indent, out);
                for (size_t column = 0; column < table->n_columns; column++) {
                        const char *cell = table->cells[i + column];
                        const int padding = (int)(widths[column] - text_columns(cell));
                        const int last = column + 1 == table->n_columns;

                        if (table->right >> column & 1)
                                (void)fprintf(out, "%*s%s", padding, "", cell);
                        else
                                (void)fprintf(out, "%s%*s", cell, last ? 0 : padding, "");
                        (void)fputs(last ? "\n" : "  ", out);
                }
        }
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
