/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads from a mapping that can break: a RAM file truncated under us, a poisoned page. */
#pragma once

#include <stdbool.h>

/**
 * sigbus_install() - catch SIGBUS for sigbus_survives()
 *
 * Once per process. A SIGBUS outside sigbus_survives() still ends the process.
 *
 * Return: 0, or a negative errno.
 */
int sigbus_install(void);

/**
 * sigbus_survives() - call a function that may meet SIGBUS
 * @function: called in this thread; must not own anything when it touches the mapping, because it may never
 * return
 *
 * Return: whether it returned.
 */
bool sigbus_survives(void (*function)(void *argument), void *argument);
