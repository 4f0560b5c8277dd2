/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/virt_load.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#define MODULE "samepage-virt.so"

void *virt_load(const char *function, struct failure *failure)
{
        void *module = dlopen(MODULE, RTLD_NOW | RTLD_LOCAL);
        void *found = module ? dlsym(module, function) : NULL;

        if (!found)
                (void)failure_set(failure, -ENOENT,
                                  "the part of samepage that speaks with libvirt cannot be loaded: %s",
                                  dlerror());
        return found;
}
