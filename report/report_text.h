/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports for people. */
#pragma once

#include "report/report.h"

#include <stdio.h>

/* A scan: a table of guests, one line of verdict each for ideal and actual, and the reasons of the gap. */
void report_print(const struct report *report, FILE *out);

/* The guests and their RAM blocks: how each is read, whether KSM can merge it, and what to change if not. */
void report_print_guests(const struct report *report, FILE *out);

/* What went wrong, or is unusual, a sentence each with the guest's name. */
void report_print_complaints(const struct report *report, FILE *out);
