/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a scan and its bridge: messages on a SOCK_SEQPACKET pair, each with one descriptor, on which QMP is
 * spoken from then on. Private to the bridge's two sides.
 */
#pragma once

#include "base/failure.h"

#include <stdbool.h>

#define BRIDGE_UUID_BYTES 37 /* as text, with its end */

/* What the bridge says of its own accord, once: that it is ready (no text), or why not. */
struct bridge_greeting {
        struct failure failure;
};

struct bridge_request {
        char uuid[BRIDGE_UUID_BYTES]; /* of the domain that the descriptor is to speak for; empty: the host */
};

/* Commands that QEMU does not have. */
#define BRIDGE_LIST_DOMAINS "samepage-list-domains" /* of the host's connection */
#define BRIDGE_QUERY_DOMAIN "samepage-query-domain" /* of a domain's: see domain_memory.h */
#define BRIDGE_WATCH_DOMAIN \
        "samepage-watch-domain" /* of a domain's, before stop: see bridge_peer_note_watch() */

/* What the bridge's process runs: VIRT_BRIDGE_RUN, see bridge_loop.c. Takes @control_fd. Returns when nobody
 * is left. */
typedef void bridge_run_fn(int control_fd, const char *uri, bool use_monitor);
