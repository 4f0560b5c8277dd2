/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns of text that line up. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#define TABLE_MAX_COLUMNS 12
#define TABLE_CELL_BYTES  320

/* Room for a size in human units. */
#define TABLE_SIZE_BYTES 16

/**
 * struct table - rows of cells, all of the same number of columns
 * @right: bit mask of the columns that are aligned to the right
 */
struct table {
        char (*cells)[TABLE_CELL_BYTES];
        size_t n_columns;
        size_t n_cells;
        unsigned int right;
};

/* Appends a cell; foreign text is made printable. When out of memory the table is cut short. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the rows, each preceded by @indent, without spaces at line ends. */
void table_print(const struct table *table, const char *indent, FILE *out);

void table_deinit(struct table *table);

/**
 * table_format_bytes() - a size in human units: "0", "512", "3.1K", "412M", "4.0G"; "-" when negative
 *
 * Return: @text, which holds TABLE_SIZE_BYTES.
 */
const char *table_format_bytes(long long bytes, char *text);
