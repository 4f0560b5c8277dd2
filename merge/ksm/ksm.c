/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/ksm/ksm.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_ksm_number(const char *text, int64_t *ret)
{
        char *end = NULL;

        errno = 0;
        *ret = strtoll(text, &end, 10);
        return errno == 0 && end != text && *end == '\0';
}

static void add_ksm_file(struct ksm *ksm, int dir_fd, const char *name)
{
        CLEANUP_FREE char *text = NULL;
        struct ksm_file file = {0};

        if (ksm->n_files == KSM_MAX_FILES || strlen(name) >= sizeof(file.name) ||
            fileio_read_text(dir_fd, name, &text) < 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        text_make_printable(text);
        (void)snprintf(file.name, sizeof(file.name), "%s", name);
        (void)snprintf(file.text, sizeof(file.text), "%s", text);
        file.is_number = parse_ksm_number(file.text, &file.value);
        ksm->files[ksm->n_files++] = file;
}

static int compare_files(const void *a, const void *b)
{
        return strcmp(((const struct ksm_file *)a)->name, ((const struct ksm_file *)b)->name);
}

int ksm_read(const char *path, struct ksm *ret)
{
        DIR *dir = opendir(path);
        const struct dirent *entry = NULL;

        *ret = (struct ksm){0};
        if (!dir)
                return errno == ENOENT ? 0 : -errno;
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        add_ksm_file(ret, dirfd(dir), entry->d_name);
        (void)closedir(dir);
        qsort(ret->files, ret->n_files, sizeof(ret->files[0]), compare_files);
        ret->available = ret->n_files > 0;
        return 0;
}

const struct ksm_file *ksm_find(const struct ksm *ksm, const char *name)
{
        for (size_t i = 0; i < ksm->n_files; i++)
                if (strcmp(ksm->files[i].name, name) == 0)
                        return &ksm->files[i];
        return NULL;
}

bool ksm_get(const struct ksm *ksm, const char *name, int64_t *ret_value)
{
        const struct ksm_file *file = ksm_find(ksm, name);

        if (!file || !file->is_number)
                return false;
        *ret_value = file->value;
        return true;
}

int ksm_read_progress(const char *path, struct ksm_progress *ret)
{
        CLEANUP_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct ksm_progress progress = {0};
        int64_t shared = 0;
        int64_t sharing = 0;
        int64_t zero = 0;
        int r = fd < 0 ? -errno : fileio_read_int64(fd, "full_scans", &progress.full_scans);

        if (r == 0)
                r = fileio_read_int64(fd, "pages_shared", &shared);
        if (r == 0)
                r = fileio_read_int64(fd, "pages_sharing", &sharing);
        if (r < 0)
                return r;
        /* Those two came later than the others. */
        (void)fileio_read_int64(fd, "ksm_zero_pages", &zero);
        (void)fileio_read_int64(fd, "pages_scanned", &progress.pages_scanned);
        progress.merged_pages = shared + sharing + zero;
        *ret = progress;
        return 0;
}

bool ksm_is_running(const char *path)
{
        CLEANUP_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int64_t run = 0;

        return fd >= 0 && fileio_read_int64(fd, "run", &run) == 0 && run == 1;
}

int ksm_visited_pages(int proc_fd, uint64_t *ret_pages)
{
        return fileio_read_field(proc_fd, "ksm_stat", "ksm_rmap_items ", ret_pages);
}
