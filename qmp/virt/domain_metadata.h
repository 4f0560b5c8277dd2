/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two elements of libvirt metadata that are ours. Pure: no libvirt. */
#pragma once

#include "base/failure.h"

#include <json-c/json.h>

/* Longer metadata is not looked at. */
#define DOMAIN_METADATA_MAX_BYTES 65536
/* A mode's name in a request. */
#define DOMAIN_METADATA_MODE_BYTES 32

/**
 * domain_metadata_read_scan() - understand a request to scan
 * @xml: the element <scan mode='…'/>, in whatever namespace prefix; @mode is optional
 * @ret_mode: empty when there is none
 *
 * Return: 0; -EINVAL when it is no such element, with a sentence.
 */
int domain_metadata_read_scan(const char *xml, char ret_mode[DOMAIN_METADATA_MODE_BYTES],
                              struct failure *failure);

/**
 * domain_metadata_write_result() - make the element <result …/>
 * @attributes: strings by name; others are left out
 *
 * Return: the XML, which the caller frees; NULL when out of memory.
 */
char *domain_metadata_write_result(struct json_object *attributes);
