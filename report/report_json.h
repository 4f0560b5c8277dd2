/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports as JSON, for programs. */
#pragma once

#include "report/report.h"

#include <json-c/json.h>

/* The schema "samepage.scan.v1". The caller owns the object; NULL when out of memory. */
struct json_object *report_to_json(const struct report *report);

/* The schema "samepage.guests.v1": the same guests without figures. */
struct json_object *report_guests_to_json(const struct report *report);
