/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of samepage that speaks with libvirt is a module of its own, samepage-virt.so: only processes that
 * do nothing else load it, and with it libvirt and the dozens of libraries that it brings.
 */
#pragma once

#include "base/failure.h"

/* Functions of the module. */
#define VIRT_BRIDGE_RUN       "bridge_loop_run"
#define VIRT_DOMAIN_WATCH_RUN "domain_watch_run"

/* Gives one of them its place among what the module shows. */
#define VIRT_EXPORT __attribute__((visibility("default")))

/* Return: the function; NULL with a sentence where there is no module, or samepage was built without it. */
void *virt_load(const char *function, struct failure *failure);
