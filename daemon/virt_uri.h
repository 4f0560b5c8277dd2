/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which libvirt the configuration means. */
#pragma once

#include <stdbool.h>

/* The configuration's word for the host's own libvirt, if there is one. */
#define VIRT_URI_AUTO "auto"

/**
 * virt_uri_find() - the URI of the libvirt to use
 * @configured: of the configuration; NULL: none
 * @root: "", or a fixture in whose folder run/ sockets are searched
 * @has_answered: this host's libvirt has answered, so it is there even if its socket is away
 *
 * With VIRT_URI_AUTO it is qemu:///system as long as a socket of libvirtd or virtqemud is there. So a host
 * that gets libvirt later is served, and one without it causes no complaint.
 *
 * Return: borrowed; NULL when there is none.
 */
const char *virt_uri_find(const char *configured, const char *root, bool has_answered);
