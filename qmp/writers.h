/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that go on writing to a guest's memory while its virtual CPUs are stopped. */
#pragma once

#include "base/failure.h"
#include "qmp/guest.h"

#include <json-c/json.h>

/**
 * writers_find() - find the first such device in a reply to qom-list
 * @ret_type: its type, a static string, or NULL when there is none
 *
 * Return: 0; -EBADMSG when the reply lacks the form of QEMU's.
 */
int writers_find(struct json_object *list, const char **ret_type, struct failure *failure);

/* Asks the guest's QEMU. Not allowed while the guest is leased. */
int writers_ask(struct qmp_guest *guest, const char **ret_type, struct failure *failure);
