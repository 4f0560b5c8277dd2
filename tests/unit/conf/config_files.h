/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration files in a folder of the test's own, and what is told when they are loaded. */
#pragma once

#include "conf/config.h"
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Paths in @folder; what is told, with @folder cut away and a line end behind each problem. */
struct config_files {
        char folder[64];
        char main[128];
        char drop_ins[128];
        char told[16384];
        unsigned int n_errors;
        unsigned int n_warnings;
        struct failure failure;
        struct options *config; /* of the last load; NULL when it failed */
        int result;
};

static inline int config_files_remove_one(const char *path, const struct stat *status, int type,
                                          struct FTW *place)
{
        (void)status;
        (void)type;
        (void)place;
        return remove(path);
}

static inline void config_files_start(struct config_files *files)
{
        *files = (struct config_files){.folder = "/tmp/samepage-config.XXXXXX"};
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(files->folder));
        (void)snprintf(files->main, sizeof(files->main), "%s/main", files->folder);
        (void)snprintf(files->drop_ins, sizeof(files->drop_ins), "%s/main.d", files->folder);
        CU_ASSERT_EQUAL_FATAL(mkdir(files->drop_ins, 0755), 0);
}

static inline void config_files_stop(struct config_files *files)
{
        files->config = options_free(files->config);
        (void)nftw(files->folder, config_files_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes "main" or "main.d/NAME". */
static inline void config_files_write_bytes(struct config_files *files, const char *name, const void *bytes,
                                            size_t length)
{
        char path[256] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", files->folder, name);
        file = fopen(path, "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_EQUAL(fwrite(bytes, 1, length, file), length);
        CU_ASSERT_EQUAL(fclose(file), 0);
}

static inline void config_files_write(struct config_files *files, const char *name, const char *text)
{
        config_files_write_bytes(files, name, text, strlen(text));
}

static inline void config_files_note(void *context, enum config_severity severity, const char *text)
{
        struct config_files *files = context;
        const size_t length = strlen(files->told);
        const size_t folder = strlen(files->folder) + 1;

        if (strncmp(text, files->folder, folder - 1) == 0)
                text += folder;
        (void)snprintf(files->told + length, sizeof(files->told) - length, "%s%s\n",
                       severity == CONFIG_ERROR ? "error: " : "warning: ", text);
        if (severity == CONFIG_ERROR)
                files->n_errors++;
        else
                files->n_warnings++;
}

static inline int config_files_load(struct config_files *files, bool must_exist)
{
        const struct config_source source = {files->main, must_exist, config_files_note, files};

        files->config = options_free(files->config);
        files->told[0] = '\0';
        files->n_errors = 0;
        files->n_warnings = 0;
        files->failure = (struct failure){0};
        files->result = config_load(&source, &files->config, &files->failure);
        CU_ASSERT_EQUAL(files->result<0, files->n_errors> 0);
        CU_ASSERT_EQUAL(files->result < 0, files->failure.text[0] != '\0');
        CU_ASSERT_EQUAL(files->result < 0, files->config == NULL);
        return files->result;
}

/* Loads a main file with this text. */
static inline int config_files_load_text(struct config_files *files, const char *text)
{
        config_files_write(files, "main", text);
        return config_files_load(files, true);
}

#define ASSERT_TOLD(files, text)                                                     \
        do {                                                                         \
                CU_ASSERT_PTR_NOT_NULL(strstr((files)->told, (text)));               \
                if (!strstr((files)->told, (text)))                                  \
                        printf("\n  wanted: %s\n  told: %s", (text), (files)->told); \
        } while (0)
