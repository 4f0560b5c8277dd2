/* SPDX-License-Identifier: GPL-2.0-or-later */
/* samepaged(8): knows the guests of a host, scans them on a schedule and on request, and tells. */
#pragma once

#include <stdbool.h>

/**
 * service_run() - run until somebody ends it
 * @config_path: the configuration
 * @must_exist: whether it is an error that there is none
 *
 * Blocks the signals that it takes: SIGTERM and SIGINT end it, SIGHUP has it read the configuration again.
 *
 * Return: the exit status. What there is to say has been said.
 */
int service_run(const char *config_path, bool must_exist);
