/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing the kernel's KSM settings, and putting back what was found. */
#pragma once

#include "base/failure.h"
#include "merge/ksm/ksm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define APPLY_MAX_SETTINGS 8
#define APPLY_VALUE_BYTES  32

/* One file of the KSM folder and what is to stand in it. */
struct apply_setting {
        char name[KSM_NAME_BYTES];
        char value[APPLY_VALUE_BYTES];
};

/**
 * struct apply_settings - settings, in the order in which they are to be written
 *
 * Initialise with {0}.
 */
struct apply_settings {
        struct apply_setting settings[APPLY_MAX_SETTINGS];
        size_t n;
};

/* Appends one, or gives one that is there another value; there is room for all that exist. */
void apply_settings_add(struct apply_settings *settings, const char *name, int64_t value);
void apply_settings_add_text(struct apply_settings *settings, const char *name, const char *value);

/**
 * struct apply_owner - whose change it is
 * @pid, @start_ticks: the process at whose end what was found is put back; 0: nobody's, it stays until it is
 * undone
 */
struct apply_owner {
        int pid;
        uint64_t start_ticks;
};

/* Where the settings are, and where it is noted what was found. */
struct apply_place {
        const char *ksm_dir;
        const char *runtime_dir;
};

/* A process as owner; nobody for 0, and for one that has ended. */
struct apply_owner apply_owner_of(pid_t pid);

/**
 * apply_owner_check() - whether @owner may change settings: one does at a time
 *
 * Return: 0; -EBUSY with a sentence when a person has changed them, or another process that lives.
 */
int apply_owner_check(const struct apply_place *place, const struct apply_owner *owner,
                      struct failure *failure);

/* Whether the change that is in force is this owner's. */
bool apply_owner_is(const struct apply_place *place, const struct apply_owner *owner);

/**
 * apply_settings_write() - change settings; only this function and apply_restore() write them
 * @owner: noted as the one whose change it is; apply_owner_check() is made under the lock
 *
 * Notes what is found before the first change; settings that already have their value are left alone. Looks
 * again right before it writes: a setting that no longer has the value that was written last was changed by
 * somebody else, and then nothing is done. Reads back what it wrote.
 *
 * Return: 0; -EBUSY when it is somebody else's, or somebody else changed a setting, with a sentence that
 * names it; -EOPNOTSUPP when the kernel lacks KSM or a setting; another negative errno.
 */
int apply_settings_write(const struct apply_place *place, const struct apply_owner *owner,
                         const struct apply_settings *settings, struct failure *failure);

/**
 * apply_settings_check() - whether all settings still have the values that were written last
 *
 * Return: 0, also when nothing was written; -EBUSY with a sentence; another negative errno.
 */
int apply_settings_check(const struct apply_place *place, struct failure *failure);

/**
 * apply_restore() - put back what was found
 * @ret_n: how many settings were changed back; may be NULL
 *
 * A setting that somebody else has changed since is left as it is. Never writes run = 2.
 *
 * Return: 0, also when there is nothing to put back; a negative errno with a sentence, the note then stays.
 */
int apply_restore(const struct apply_place *place, size_t *ret_n, struct failure *failure);

/**
 * apply_owner_read() - whose change is in force
 *
 * Return: 0; -ENOENT when none is; another negative errno.
 */
int apply_owner_read(const struct apply_place *place, struct apply_owner *ret);
