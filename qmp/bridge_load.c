/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/bridge_proto.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

bridge_run_fn *bridge_load(struct failure *failure)
{
        void *module = dlopen(BRIDGE_MODULE, RTLD_NOW | RTLD_LOCAL);
        bridge_run_fn *run = NULL;

        if (module)
                run = (bridge_run_fn *)dlsym(module, BRIDGE_RUN_NAME);
        if (!run)
                (void)failure_set(failure, -ENOENT,
                                  "the part of samepage that speaks with libvirt cannot be loaded: %s",
                                  dlerror());
        return run;
}
