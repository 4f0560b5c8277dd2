/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domains of libvirt as the daemon sees them. A child process watches them (qmp/virt/domain_watch.h); it
 * is replaced when it ends.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-event.h>

struct domains;

/* argv[0] of the process that watches; its one argument is the URI. */
#define DOMAINS_PROGRAM "samepaged-domains"

/* Runs that process, which speaks on its standard input. Return: its exit status. */
int domains_run_program(const char *uri);

/**
 * struct domains_observer - receives the events
 * @event: one of DOMAIN_WATCH_EVENT_…; @data as described there, borrowed. DOMAIN_WATCH_EVENT_FAILED has
 *         none; it comes whenever libvirt cannot be watched
 */
struct domains_observer {
        void (*event)(void *context, const char *event, struct json_object *data);
        void *context;
};

/**
 * domains_new() - begin to watch
 * @uri: of libvirt, or VIRT_URI_AUTO; copied
 *
 * Retries a libvirt that does not answer, at growing intervals.
 *
 * Return: 0 or a negative errno.
 */
int domains_new(sd_event *event, const char *uri, const struct domains_observer *observer,
                struct domains **ret);

struct domains *domains_free(struct domains *domains);

/**
 * domains_set_result() - put a result into a domain's metadata
 * @attributes: strings by name; taken
 *
 * The result is lost if libvirt does not answer now.
 */
void domains_set_result(struct domains *domains, const char *uuid, struct json_object *attributes);
