/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/virt_uri.h"
#include "unit.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void test_named(void)
{
        CU_ASSERT_STRING_EQUAL(virt_uri_find("test:///default", "/nonexistent", false), "test:///default");
        CU_ASSERT_PTR_NULL(virt_uri_find(NULL, "", true));
}

/* Only what is a socket counts. */
static void test_auto(void)
{
        char root[] = "/tmp/samepage-virt-XXXXXX";
        char run[40] = "";
        char folder[64] = "";
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
        CU_ASSERT_PTR_NULL(virt_uri_find(VIRT_URI_AUTO, root, false));
        (void)snprintf(run, sizeof(run), "%s/run", root);
        (void)snprintf(folder, sizeof(folder), "%s/libvirt", run);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/virtqemud-sock", folder);
        CU_ASSERT_EQUAL(mkdir(run, 0700) | mkdir(folder, 0700) | mkdir(address.sun_path, 0700), 0);
        CU_ASSERT_PTR_NULL(virt_uri_find(VIRT_URI_AUTO, root, false));
        (void)rmdir(address.sun_path);
        CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        CU_ASSERT_STRING_EQUAL(virt_uri_find(VIRT_URI_AUTO, root, false), "qemu:///system");
        (void)close(fd);
        (void)unlink(address.sun_path);
        CU_ASSERT_PTR_NULL(virt_uri_find(VIRT_URI_AUTO, root, false));
        CU_ASSERT_STRING_EQUAL(virt_uri_find(VIRT_URI_AUTO, root, true), "qemu:///system");
        (void)rmdir(folder);
        (void)rmdir(run);
        (void)rmdir(root);
}

static const struct unit_test tests[] = {
        {"named", test_named},
        {"auto", test_auto},
};

UNIT_MAIN("virt_uri", tests)
