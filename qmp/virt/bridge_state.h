/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's states of a domain in the words of QEMU's run states. */
#pragma once

#include <stdbool.h>

/**
 * bridge_state_to_run_state() - QEMU's word for what virDomainGetState() says
 *
 * "paused" is said only of a domain that is paused on somebody's request, which is what may be resumed;
 * pauses of libvirt's own for the time of a job have other names, which nobody acts upon.
 */
const char *bridge_state_to_run_state(int state, int reason);

/* Whether the domain's memory is on its way from or to another host, which no job of libvirt need tell. */
bool bridge_state_is_postcopy(int state, int reason);
