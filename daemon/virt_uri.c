/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/virt_uri.h"

#include "base/cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_socket(const char *root, const char *name)
{
        char path[PATH_MAX] = "";
        struct stat status = {0};

        (void)snprintf(path, sizeof(path), "%s/run/libvirt/%s", root, name);
        return stat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

const char *virt_uri_find(const char *configured, const char *root, bool has_answered)
{
        static const char *const sockets[] = {"libvirt-sock", "virtqemud-sock"};
        bool is_there = has_answered;

        if (!configured || strcmp(configured, VIRT_URI_AUTO) != 0)
                return configured;
        for (size_t i = 0; i < ARRAY_SIZE(sockets) && !is_there; i++)
                is_there = is_socket(root, sockets[i]);
        return is_there ? "qemu:///system" : NULL;
}
