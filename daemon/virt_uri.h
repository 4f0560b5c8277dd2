/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which libvirt the configuration means. */
#pragma once

#include <stdbool.h>

/* In the configuration: the host's own, if there is one. */
#define VIRT_URI_AUTO "auto"

/**
 * virt_uri_find() - the URI of the libvirt to use
 * @configured: of the configuration; NULL: none
 * @root: "", or a fixture in whose folder run/ sockets are looked for
 * @has_answered: the one of this host has, and so it is there, though its socket may be away
 *
 * With VIRT_URI_AUTO it is qemu:///system as long as a socket of libvirtd or virtqemud is there; so a host that gets
 * libvirt later is served, and one without it is not complained about.
 *
 * Return: borrowed; NULL when there is none.
 */
const char *virt_uri_find(const char *configured, const char *root, bool has_answered);
