/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files of proc and sys, read below an open folder. A process's open folder stays that process's even
 * when its pid is used again, and a fixture tree can stand in for the kernel.
 */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>

/* The largest text that is read whole; /proc/PID/smaps of a QEMU with thousands of mappings is smaller. */
#define FILEIO_MAX_BYTES (64U << 20)

/**
 * fileio_read_text() - read a whole file below a folder
 * @dir_fd: open folder, borrowed
 * @name: path relative to it
 * @ret_text: receives the NUL-terminated content; the caller frees it
 *
 * Return: 0; -EFBIG above FILEIO_MAX_BYTES; another negative errno.
 */
int fileio_read_text(int dir_fd, const char *name, char **ret_text);

/**
 * fileio_read_int64() - read a file that holds one decimal number
 *
 * Return: 0; -EINVAL when it holds something else, -ERANGE when it is too large; another negative errno.
 */
int fileio_read_int64(int dir_fd, const char *name, int64_t *ret_value);

/**
 * fileio_read_field() - the number behind a key
 * @key: the start of its line, including the colon or the space behind it
 *
 * The file holds lines of "Key:  NUMBER", as /proc/PID/status does.
 *
 * Return: 0; -ENODATA when no line starts with @key; -ERANGE when the number is too large; another negative
 * errno.
 */
int fileio_read_field(int dir_fd, const char *name, const char *key, uint64_t *ret_value);

/**
 * fileio_open_folder() - open a folder below another one, to list its entries
 *
 * Return: NULL with errno; else closedir() it.
 */
DIR *fileio_open_folder(int dir_fd, const char *name);

/**
 * fileio_read_up_to() - read from a descriptor to its end, or until @capacity bytes have been read
 *
 * It never relies on the length that a file claims, which may change meanwhile.
 *
 * Return: 0 or a negative errno.
 */
int fileio_read_up_to(int fd, void *buffer, size_t capacity, size_t *ret_length);

/**
 * fileio_pread_full() - read exactly @length bytes at @offset
 *
 * Return: 0; -ENODATA when the file ends before; another negative errno.
 */
int fileio_pread_full(int fd, void *buffer, size_t length, uint64_t offset);

/**
 * fileio_lock() - wait for an exclusive flock(2), which ends when the descriptor is closed
 *
 * Anyone who can open a file for reading can hold its lock. So lock only a file that nobody but its owner can
 * open.
 *
 * Return: 0; -ETIMEDOUT when another holder still has it after @wait_usec; another negative errno.
 */
int fileio_lock(int fd, uint64_t wait_usec);

/**
 * fileio_replace_text() - replace the content of the file @name below a folder by @text
 *
 * It renames a new file over the old one, so that nobody reads half of it. The file gets mode 0600.
 *
 * Return: 0 or a negative errno.
 */
int fileio_replace_text(int dir_fd, const char *name, const char *text);
