/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/bridge_state.h"

#include <libvirt/libvirt.h>

static const char *name_pause(int reason)
{
        switch (reason) {
        case VIR_DOMAIN_PAUSED_UNKNOWN: /* somebody's stop on the monitor */
        case VIR_DOMAIN_PAUSED_USER:
        case VIR_DOMAIN_PAUSED_FROM_SNAPSHOT:
                return "paused";
        case VIR_DOMAIN_PAUSED_IOERROR:
                return "io-error";
        case VIR_DOMAIN_PAUSED_WATCHDOG:
                return "watchdog";
        case VIR_DOMAIN_PAUSED_CRASHED:
                return "guest-panicked";
        case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
                return "shutdown";
        case VIR_DOMAIN_PAUSED_STARTING_UP:
                return "starting-up";
        case VIR_DOMAIN_PAUSED_SAVE:
        case VIR_DOMAIN_PAUSED_DUMP:
        case VIR_DOMAIN_PAUSED_SNAPSHOT:
                return "save-vm";
        case VIR_DOMAIN_PAUSED_MIGRATION:
        case VIR_DOMAIN_PAUSED_POSTCOPY:
        case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
                return "finish-migrate";
        default:
                return "paused-for-unknown-reason";
        }
}

const char *bridge_state_to_run_state(int state, int reason)
{
        switch (state) {
        case VIR_DOMAIN_RUNNING:
        case VIR_DOMAIN_BLOCKED:
                return "running";
        case VIR_DOMAIN_PAUSED:
                return name_pause(reason);
        case VIR_DOMAIN_SHUTDOWN:
        case VIR_DOMAIN_SHUTOFF:
                return "shutdown";
        case VIR_DOMAIN_CRASHED:
                return "guest-panicked";
        case VIR_DOMAIN_PMSUSPENDED:
                return "suspended";
        default:
                return "unknown";
        }
}

bool bridge_state_is_postcopy(int state, int reason)
{
        return (state == VIR_DOMAIN_RUNNING &&
                (reason == VIR_DOMAIN_RUNNING_POSTCOPY || reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)) ||
               (state == VIR_DOMAIN_PAUSED &&
                (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED));
}
