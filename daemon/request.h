/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service is asked to do, by whom, and the command line that does it. */
#pragma once

#include "base/failure.h"
#include "conf/options.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum request_kind {
        REQUEST_SCAN,
        REQUEST_GUESTS, /* list them */
        REQUEST_RESUME, /* what a dead scan left paused */
        REQUEST_KIND_COUNT_,
};

/* Who asked for it. */
enum request_origin {
        REQUEST_BY_SCHEDULE,
        REQUEST_BY_CONTROL,  /* somebody at the control socket */
        REQUEST_BY_METADATA, /* libvirt metadata of a domain */
        REQUEST_BY_SUSPEND,  /* a domain that was suspended */
        REQUEST_BY_SERVICE,  /* the service itself */
        REQUEST_ORIGIN_COUNT_,
};

/**
 * struct request - one thing to do; initialise with request_init()
 * @guests: only these; empty: all that the configuration takes
 * @domain_uuid: of the domain that gets the result as metadata; NULL: none
 * @mode, @max_pause_usec, @together, @recheck_usec: of a scan
 * @forecast: it says what merging would save and cost
 * @acts: and does it
 */
struct request {
        enum request_kind kind;
        enum request_origin origin;
        struct patterns guests;
        char *domain_uuid;
        enum scan_mode mode;
        uint64_t max_pause_usec;
        bool together;
        uint64_t recheck_usec;
        bool forecast;
        bool acts;
};

const char *request_kind_to_string(enum request_kind kind);
const char *request_origin_to_string(enum request_origin origin);

/* A request about all guests, as the configuration says. */
void request_init(struct request *request, enum request_kind kind, enum request_origin origin,
                  const struct options *config);

void request_deinit(struct request *request);

/* Adds a guest to the request. Return: 0; -EINVAL for what is no name; -E2BIG; -ENOMEM. */
int request_add_guest(struct request *request, const char *name);

/**
 * request_read() - take over what a client of the control socket asks for
 * @arguments: {"guests": [NAME…]}, and the options that have OPTION_ON_REQUEST by their keys, true or
 *             false or a text as in the file. Durations may be numbers: "max_pause_seconds",
 *             "recheck_seconds". A pause may be shorter than the one of the configuration, not longer. May be
 *             NULL
 *
 * Return: 0; -EINVAL for a wrong type or value, or a key that is not known, with a sentence.
 */
int request_read(struct request *request, struct json_object *arguments, struct failure *failure);

/**
 * request_arguments() - the command line of samepage(1) for a request
 * @libvirt_has_answered: the host's libvirt has; a request about all guests asks it even without a socket
 * @skip: names that are left out; may be NULL
 * @ret: NULL-terminated; strv_free() it
 *
 * Return: 0 or -ENOMEM.
 */
int request_arguments(const struct request *request, const struct options *config, bool libvirt_has_answered,
                      const struct patterns *skip, char ***ret);
