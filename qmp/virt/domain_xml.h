/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's memory as libvirt describes it. */
#pragma once

#include "base/failure.h"
#include "qmp/virt/domain_memory.h"

/* libvirt's own limit on strings that it sends. */
#define DOMAIN_XML_MAX_BYTES (4U << 20)
/* Longer names of groups are no names. */
#define DOMAIN_XML_GROUP_MAX_BYTES 256
/* The metadata element that puts a domain into a trust group: <group name='…'/> in this namespace. */
#define DOMAIN_XML_GROUP_NAMESPACE "urn:samepage:group:1"

/**
 * domain_xml_parse() - name, UUID, group and RAM blocks from the XML of a domain that runs
 *
 * Follows what libvirt's qemu driver makes of it: each NUMA cell a block, without cells one block of what the
 * memory devices leave of the total; each memory device a block. SGX memory, which nobody can read, is none.
 *
 * Return: 0; -EBADMSG for what is no such XML, -E2BIG beyond the limits, -ENOMEM; with a sentence.
 */
int domain_xml_parse(const char *xml, struct domain_memory *ret_memory, struct failure *failure);
