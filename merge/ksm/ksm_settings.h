/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing the kernel's KSM settings, and putting back what was found. */
#pragma once

#include "base/failure.h"
#include "merge/ksm/ksm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KSM_SETTINGS_MAX         8
#define KSM_SETTINGS_VALUE_BYTES 32

/* One file of the KSM folder and what is to stand in it. */
struct ksm_setting {
        char name[KSM_NAME_BYTES];
        char value[KSM_SETTINGS_VALUE_BYTES];
};

/**
 * struct ksm_settings - settings, in the order in which they are to be written
 *
 * Initialise with {0}.
 */
struct ksm_settings {
        struct ksm_setting settings[KSM_SETTINGS_MAX];
        size_t n;
};

/* Appends one, or gives one that is there another value; there is room for all that exist. */
void ksm_settings_add(struct ksm_settings *settings, const char *name, int64_t value);
void ksm_settings_add_text(struct ksm_settings *settings, const char *name, const char *value);

/**
 * struct ksm_settings_owner - whose change it is
 * @pid, @start_ticks: the process at whose end what was found is put back; 0: nobody's, it stays until it is
 * undone
 */
struct ksm_settings_owner {
        int pid;
        uint64_t start_ticks;
};

/* Where the settings are, and where it is noted what was found. */
struct ksm_settings_place {
        const char *ksm_dir;
        const char *runtime_dir;
};

/* A process as owner; nobody for 0, and for one that has ended. */
struct ksm_settings_owner ksm_settings_owner_of(pid_t pid);

/**
 * ksm_settings_owner_check() - whether @owner may change settings: one does at a time
 *
 * Return: 0; -EBUSY with a sentence when a person has changed them, or another process that lives.
 */
int ksm_settings_owner_check(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner,
                             struct failure *failure);

/* Whether the change that is in force is this owner's. */
bool ksm_settings_owner_is(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner);

/**
 * ksm_settings_write() - change settings; only this function and ksm_settings_restore() write them
 * @owner: noted as the one whose change it is; ksm_settings_owner_check() is made under the lock
 *
 * Notes what is found before the first change; settings that already have their value are left alone. Looks
 * again right before it writes: a setting that no longer has the value that was written last was changed by
 * somebody else, and then nothing is done. Reads back what it wrote.
 *
 * Return: 0; -EBUSY when it is somebody else's, or somebody else changed a setting, with a sentence that
 * names it; -EOPNOTSUPP when the kernel lacks KSM or a setting; another negative errno.
 */
int ksm_settings_write(const struct ksm_settings_place *place, const struct ksm_settings_owner *owner,
                       const struct ksm_settings *settings, struct failure *failure);

/**
 * ksm_settings_check() - whether all settings still have the values that were written last
 *
 * Return: 0, also when nothing was written; -EBUSY with a sentence; another negative errno.
 */
int ksm_settings_check(const struct ksm_settings_place *place, struct failure *failure);

/**
 * ksm_settings_restore() - put back what was found
 * @ret_n: how many settings were changed back; may be NULL
 *
 * A setting that somebody else has changed since is left as it is. Never writes run = 2.
 *
 * Return: 0, also when there is nothing to put back; a negative errno with a sentence, the note then stays.
 */
int ksm_settings_restore(const struct ksm_settings_place *place, size_t *ret_n, struct failure *failure);

/**
 * ksm_settings_owner_read() - whose change is in force
 *
 * Return: 0; -ENOENT when none is; another negative errno.
 */
int ksm_settings_owner_read(const struct ksm_settings_place *place, struct ksm_settings_owner *ret);
