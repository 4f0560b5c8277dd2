/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports as JSON, for programs, and back. */
#pragma once

#include "base/failure.h"
#include "report/report.h"

#include <json-c/json.h>

/* The schema "samepage.scan.v1". The caller owns the object; NULL when out of memory. */
struct json_object *report_to_json(const struct report *report);

/* The schema "samepage.guests.v1": the same guests without figures. */
struct json_object *report_guests_to_json(const struct report *report);

/**
 * report_parse() - make a report from what report_to_json() returned
 * @json: schema "samepage.scan.v1"; borrowed
 * @ret: report_free() it
 *
 * Ignores unknown keys; missing keys are unknown values. So a report of another version of the program is
 * read as far as possible. Text is made printable.
 *
 * Return: 0; -EBADMSG when it is no such report; -E2BIG when it has more than GUEST_CHOICE_MAX guests;
 * -ENOMEM; all with a sentence.
 */
int report_parse(struct json_object *json, struct report **ret, struct failure *failure);

/* The same for the schema "samepage.guests.v1" of report_guests_to_json(). */
int report_parse_guests(struct json_object *json, struct report **ret, struct failure *failure);
