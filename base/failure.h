/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why an operation failed, as one sentence for a person. Libraries do not log: they hand a struct failure up
 * to the place that knows the guest. The errno travels as the return value as usual.
 */
#pragma once

#define FAILURE_TEXT_BYTES 512

/* Initialise with {0}: no failure. @text never holds control characters, whatever input it quotes. */
struct failure {
        char text[FAILURE_TEXT_BYTES];
};

/**
 * failure_set() - describe a failure and pass its error on
 * @failure: receives the sentence, replacing an earlier one; may be NULL
 * @error: negative errno
 * @format: a sentence without the guest's name and without a full stop at its end
 *
 * '?' replaces bytes that a terminal could interpret: the text may quote what a guest or QEMU said.
 *
 * Return: @error, so that callers can write "return failure_set(...)".
 */
int failure_set(struct failure *failure, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/**
 * failure_errno() - like failure_set(), with ": " and the text of the error appended
 */
int failure_errno(struct failure *failure, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
