/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching the domains of a libvirt: a process of its own that speaks JSON lines on a socket. It tells
 *
 *      {"event":"DOMAIN_STARTED",   "data":{"name","uuid"}}            also for those that run when it begins
 *      {"event":"DOMAIN_STOPPED",   "data":{"name","uuid"}}
 *      {"event":"DOMAIN_SUSPENDED", "data":{"name","uuid"}}
 *      {"event":"SCAN_REQUESTED",   "data":{"name","uuid","mode"}}     mode may be absent
 *      {"event":"SCAN_REQUESTED",   "data":{"name","uuid","error"}}    the metadata makes no sense
 *      {"event":"CONNECTED",        "data":{}}                         libvirt answers, all of the above follows
 *      {"event":"ALIVE",            "data":{}}                         now and then
 *      {"event":"FAILED",           "data":{"desc"}}                   why it ends
 *
 * and takes
 *
 *      {"execute":"set-result", "arguments":{"uuid", and attributes of the result, each a string}}
 *
 * It ends when the connection to libvirt breaks, or the socket is closed: whoever wants to know starts another one.
 */
#pragma once

#include "qmp/virt/virt_load.h"

/* The namespaces of libvirt metadata. */
#define DOMAIN_WATCH_SCAN_URI   "urn:samepage:scan:1"
#define DOMAIN_WATCH_RESULT_URI "urn:samepage:result:1"
/* The prefix, virsh's --key. */
#define DOMAIN_WATCH_KEY "samepage"

#define DOMAIN_WATCH_EVENT_STARTED   "DOMAIN_STARTED"
#define DOMAIN_WATCH_EVENT_STOPPED   "DOMAIN_STOPPED"
#define DOMAIN_WATCH_EVENT_SUSPENDED "DOMAIN_SUSPENDED"
#define DOMAIN_WATCH_EVENT_REQUESTED "SCAN_REQUESTED"
#define DOMAIN_WATCH_EVENT_CONNECTED "CONNECTED"
#define DOMAIN_WATCH_EVENT_ALIVE     "ALIVE"
#define DOMAIN_WATCH_EVENT_FAILED    "FAILED"

#define DOMAIN_WATCH_SET_RESULT "set-result"

/**
 * domain_watch_run() - watch until the end
 * @uri: of libvirt
 * @fd: the socket; taken
 *
 * Return: the exit status.
 */
VIRT_EXPORT int domain_watch_run(const char *uri, int fd);

/* What virt_load() gives for VIRT_DOMAIN_WATCH_RUN. */
typedef int domain_watch_run_fn(const char *uri, int fd);
