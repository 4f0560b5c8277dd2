/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders of proc whose entries are numbers: the processes, and the descriptors of a process. */
#pragma once

/**
 * numbered_fn - called for each entry
 * @context: the caller's
 * @folder_fd: the folder, borrowed for the call
 * @name: the entry in it
 * @number: its name as a number
 *
 * Return: 0 to go on; anything else ends the walk.
 */
typedef int numbered_fn(void *context, int folder_fd, const char *name, long number);

/**
 * numbered_for_each() - walk through the entries of a folder that are numbers
 * @dir_fd: an open folder, borrowed
 * @folder: the folder below it to walk through, or "."
 *
 * Entries come and go during the walk: the entry that @take receives may be gone already.
 *
 * Return: 0 at the end, or what @take returned; a negative errno when the folder cannot be opened.
 */
int numbered_for_each(int dir_fd, const char *folder, numbered_fn *take, void *context);
