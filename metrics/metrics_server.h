/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serves metrics over HTTP, in the event loop of the daemon. */
#pragma once

#include "base/failure.h"
#include "conf/address.h"
#include "metrics/metrics.h"

#include <stdint.h>
#include <systemd/sd-event.h>

struct metrics_server;

/**
 * metrics_server_new() - listen and answer from now on
 * @address: where; at port 0 the kernel chooses one
 * @event: referenced
 * @metrics: served as they are at the moment of a request; borrowed until metrics_server_free()
 * @ksm_dir: KSM_DIR or a fixture; copied
 *
 * Return: 0, or a negative errno with a sentence.
 */
int metrics_server_new(const struct address *address, sd_event *event, const struct metrics *metrics,
                       const char *ksm_dir, struct metrics_server **ret, struct failure *failure);

/**
 * metrics_server_new_from_fd() - the same on a socket that already listens
 * @fd: of socket activation; taken, also on failure
 *
 * Return: 0, or a negative errno with a sentence.
 */
int metrics_server_new_from_fd(int fd, sd_event *event, const struct metrics *metrics, const char *ksm_dir,
                               struct metrics_server **ret, struct failure *failure);

/* Closes the socket and all connections, whatever they wait for. */
struct metrics_server *metrics_server_free(struct metrics_server *server);

/* The port it listens at; 0 when that is not known. */
uint16_t metrics_server_port(const struct metrics_server *server);
