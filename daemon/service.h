/* SPDX-License-Identifier: GPL-2.0-or-later */
/* samepaged(8): knows the guests of a host, scans them on a schedule and on request, and reports. */
#pragma once

#include <stdbool.h>

/**
 * service_run() - run until it is ended
 * @config_path: the configuration
 * @must_exist: whether a missing file is an error
 *
 * Blocks the signals that it handles: SIGTERM and SIGINT end it, SIGHUP makes it read the configuration
 * again.
 *
 * Return: the exit status. All messages have been written.
 */
int service_run(const char *config_path, bool must_exist);
