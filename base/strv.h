/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A NULL-terminated list of strings that grows. */
#pragma once

#include <stddef.h>

/* Initialise with {0}. After a failure strv_add() adds nothing; strv_end() frees it and returns the error. */
struct strv {
        char **words;
        size_t n;
        int error;
};

/* Appends a formatted string. */
void strv_add(struct strv *strv, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands the list over. Return: 0 or -ENOMEM. */
int strv_end(struct strv *strv, char ***ret);

/* Frees a list; returns NULL. */
char **strv_free(char **words);
