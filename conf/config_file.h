/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading files of the configuration, whatever lies in their place. */
#pragma once

#include "base/failure.h"

#include <stddef.h>

/**
 * config_file_read() - read a whole file, of at most CONFIG_FILE_MAX_BYTES
 * @dir_fd: open folder, borrowed; or AT_FDCWD
 * @name: path relative to it
 * @ret_text: its bytes with a NUL behind them, for free(); they may hold NULs themselves
 * @ret_length: without that NUL
 * @failure: why not, without the path
 *
 * Waits for nobody: a FIFO or a device is refused, not read.
 *
 * Return: 0 or a negative errno.
 */
int config_file_read(int dir_fd, const char *name, char **ret_text, size_t *ret_length,
                     struct failure *failure);

/**
 * config_file_list() - the names in a folder that end in ".conf", without hidden ones, in byte order
 * @dir_fd: open folder, borrowed
 * @ret_names: at most CONFIG_DROP_INS_MAX strings, for config_file_free_list()
 * @failure: why not, without the path
 *
 * Return: 0 or a negative errno.
 */
int config_file_list(int dir_fd, char ***ret_names, size_t *ret_n, struct failure *failure);

void config_file_free_list(char **names, size_t n);
