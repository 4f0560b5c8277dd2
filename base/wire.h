/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON objects, one per line, over a non-blocking stream descriptor. It knows nothing of QMP. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line accepted by default; `info mtree -f` with hundreds of devices stays below 1 MiB. */
#define WIRE_LINE_MAX_BYTES (16U << 20)
/* Nesting of objects and arrays; QMP's replies stay below 10. */
#define WIRE_DEPTH_MAX 32
/* How much output may wait before the other side counts as hung, unless the user sets another limit. */
#define WIRE_OUTPUT_MAX_BYTES (1U << 20)

enum wire_result {
        WIRE_E_NOTHING = 1, /* no whole line has arrived (or not all could be sent) yet: poll and retry */
        WIRE_E_END = 2,     /* the other side closed the connection at the end of a line */
};

/* Embedded; the fields are private except @fd, which may be polled. */
struct wire {
        int fd;
        size_t line_max_bytes;
        size_t output_max_bytes; /* WIRE_OUTPUT_MAX_BYTES unless the wire's user changes it */
        char *input;
        size_t input_start;    /* where the next line begins */
        size_t input_searched; /* no line end before this */
        size_t input_end;
        size_t input_capacity;
        char *output;
        size_t output_start;
        size_t output_end;
        size_t output_capacity;
        struct json_tokener *tokener;
        bool resyncing;
        bool ended;
};

/**
 * wire_init() - start to speak on a descriptor
 * @fd: a connected stream socket; taken, also on failure; made non-blocking
 * @line_max_bytes: a longer line is an error
 *
 * Return: 0 or a negative errno.
 */
int wire_init(struct wire *wire, int fd, size_t line_max_bytes);

/* Closes the descriptor and frees the buffers; a zeroed struct wire with fd -1 is allowed. */
void wire_deinit(struct wire *wire);

/**
 * wire_resync() - expect that another reader took the first half of the next line
 *
 * The next line is dropped, instead of being an error, when it is not a JSON object. This applies once.
 */
void wire_resync(struct wire *wire);

/**
 * wire_next() - take the next object that has arrived
 * @ret_object: the caller owns a reference
 *
 * It never waits. It reads from the descriptor only when no whole line is buffered.
 *
 * Return: 0; WIRE_E_NOTHING; WIRE_E_END; -EMSGSIZE for a line that is too long; -EBADMSG for a line that is
 * not a JSON object, nests too deep, or was cut off by the end of the stream; another negative errno. After
 * an error the stream is of no more use.
 */
int wire_next(struct wire *wire, struct json_object **ret_object, struct failure *failure);

/**
 * wire_next_before() - like wire_next(), waiting until @deadline_usec
 *
 * Return: as wire_next(), but -ETIMEDOUT (without a sentence) instead of WIRE_E_NOTHING.
 */
int wire_next_before(struct wire *wire, uint64_t deadline_usec, struct json_object **ret_object,
                     struct failure *failure);

/**
 * wire_queue() - append an object (and its line end) to the output
 * @object: borrowed
 *
 * Return: 0; -ENOBUFS when too much is waiting already; -ENOMEM.
 */
int wire_queue(struct wire *wire, struct json_object *object);

/* Like wire_queue(), for bytes as they are. */
int wire_queue_bytes(struct wire *wire, const void *bytes, size_t length);

/**
 * wire_flush() - send as much of the queued output as the descriptor takes
 *
 * Return: 0 when all is sent; WIRE_E_NOTHING when some is left (poll for writing); a negative errno.
 */
int wire_flush(struct wire *wire, struct failure *failure);

/* Whether some output is still to be sent. */
bool wire_has_output(const struct wire *wire);

/**
 * wire_send_before() - queue and send an object, waiting until @deadline_usec
 *
 * Return: 0; -ETIMEDOUT (with a sentence) when the other side takes no bytes; another negative errno. After a
 * time-out the rest stays queued, so that a later send cannot tear the line.
 */
int wire_send_before(struct wire *wire, struct json_object *object, uint64_t deadline_usec,
                     struct failure *failure);
