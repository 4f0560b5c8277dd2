/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is refused of guests that are reached: with doubles of QEMU and libvirt. */
#include "base/cleanup.h"
#include "daemon/job/inventory.h"
#include "qmp/virt/domain_guest.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKES_MAX 4
#define NO_BRIDGE ((const struct bridge *)&fakes)

/* A QEMU behind a socket, which is a plain file here, or a domain by its UUID. */
struct fake {
        const char *address;
        const char *name;
        pid_t pid;
};

static struct fake fakes[FAKES_MAX];
static size_t n_fakes;
static size_t n_opened;
static bool libvirt_is_silent;

/* Doubles */

static int open_fake(const char *address, struct qmp_guest **ret_guest, struct failure *failure)
{
        for (size_t i = 0; i < n_fakes; i++) {
                struct qmp_guest *guest = NULL;

                if (strcmp(fakes[i].address, address) != 0)
                        continue;
                guest = calloc(1, sizeof(*guest));
                if (!guest)
                        return failure_set(failure, -ENOMEM, "out of memory");
                guest->name = strdup(fakes[i].name);
                guest->socket_path = strdup(address);
                guest->pid = fakes[i].pid;
                guest->proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
                *ret_guest = guest;
                __atomic_fetch_add(&n_opened, 1, __ATOMIC_RELAXED);
                return 0;
        }
        return failure_set(failure, -ECONNREFUSED, "nobody answers");
}

int qmp_guest_open(const char *socket_path, uint64_t timeout_usec, struct qmp_guest **ret_guest,
                   struct failure *failure)
{
        (void)timeout_usec;
        return open_fake(socket_path, ret_guest, failure);
}

void qmp_guest_free(struct qmp_guest *guest)
{
        if (!guest)
                return;
        (void)close(guest->proc_fd);
        free(guest->name);
        free(guest->socket_path);
        free(guest);
}

int domain_guest_open(const struct bridge *bridge, const char *uuid, bool use_monitor, uint64_t timeout_usec,
                      struct qmp_guest **ret_guest, struct failure *failure)
{
        (void)bridge;
        (void)use_monitor;
        (void)timeout_usec;
        return open_fake(uuid, ret_guest, failure);
}

int bridge_start(const char *uri, bool use_monitor, struct bridge **ret_bridge, struct failure *failure)
{
        (void)uri;
        (void)use_monitor;
        (void)ret_bridge;
        (void)failure;
        return -ENOSYS;
}

/* All fakes whose address is no path. */
int bridge_list(const struct bridge *bridge, uint64_t timeout_usec, struct bridge_domains *ret_domains,
                struct failure *failure)
{
        (void)bridge;
        (void)timeout_usec;
        if (libvirt_is_silent)
                return failure_set(failure, -EREMOTEIO, "libvirt is silent");
        ret_domains->domains = calloc(n_fakes + 1, sizeof(*ret_domains->domains));
        if (!ret_domains->domains)
                return failure_set(failure, -ENOMEM, "out of memory");
        for (size_t i = 0; i < n_fakes; i++)
                if (fakes[i].address[0] != '/')
                        ret_domains->domains[ret_domains->count++] =
                                (struct bridge_domain){strdup(fakes[i].address), strdup(fakes[i].name)};
        return 0;
}

void bridge_domains_deinit(struct bridge_domains *domains)
{
        for (size_t i = 0; i < domains->count; i++) {
                free(domains->domains[i].uuid);
                free(domains->domains[i].name);
        }
        free(domains->domains);
        *domains = (struct bridge_domains){0};
}

/* The inventory of some sockets and names, and of libvirt's domains where there is a libvirt. */
static struct inventory *take(char **sockets, size_t n_sockets, char **names, size_t n_names, bool libvirt)
{
        static char uri[] = "test:///default";
        const struct guest_choice choice = {
                .qmp_sockets = {sockets, n_sockets},
                .names = {names, n_names},
                .libvirt_uri = libvirt ? uri : NULL,
        };
        const struct scan_wish scan = {0};
        struct inventory *inventory = NULL;

        n_opened = 0;
        CU_ASSERT_EQUAL_FATAL(inventory_new(&choice, &scan, NO_BRIDGE, &(struct failure){0}, &inventory), 0);
        return inventory;
}

static void check(const struct inventory *inventory, size_t i, const char *name, const char *sentence)
{
        CU_ASSERT_TRUE_FATAL(i < inventory->n_guests);
        CU_ASSERT_STRING_EQUAL(inventory->guests[i].name, name);
        CU_ASSERT_EQUAL(inventory->guests[i].error == 0, sentence == NULL);
        CU_ASSERT_EQUAL(inventory->guests[i].ram != NULL, sentence == NULL);
        if (sentence)
                CU_ASSERT_PTR_NOT_NULL(strstr(inventory->guests[i].failure.text, sentence));
}

static void set_fakes(const struct fake *some, size_t n)
{
        memcpy(fakes, some, n * sizeof(*some));
        n_fakes = n;
        libvirt_is_silent = false;
}

static void test_names_given_twice(void)
{
        static const struct fake two[] = {{"/a.qmp", "web", 100}, {"/b.qmp", "web", 200}};
        char a[] = "/a.qmp";
        char b[] = "/b.qmp";
        struct inventory *inventory = NULL;

        set_fakes(two, ARRAY_SIZE(two));
        inventory = take((char *[]){a, b}, 2, NULL, 0, false);
        CU_ASSERT_EQUAL(inventory->n_guests, 2);
        check(inventory, 0, "web", NULL);
        check(inventory, 1, "web", "the one at /b.qmp is left out");
        inventory_free(inventory);
}

/* By two paths; the second is not even connected to: QEMU serves one client at a time. */
static void test_sockets_given_twice(void)
{
        char folder[] = "/tmp/samepage-inventory-XXXXXX";
        char a[64] = "";
        char b[64] = "";
        struct inventory *inventory = NULL;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        (void)snprintf(a, sizeof(a), "%s/a", folder);
        (void)snprintf(b, sizeof(b), "%s/b", folder);
        (void)close(open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        CU_ASSERT_EQUAL(symlink("a", b), 0);
        set_fakes((const struct fake[]){{a, "web1", 100}, {b, "web2", 100}}, 2);
        inventory = take((char *[]){a, b}, 2, NULL, 0, false);
        CU_ASSERT_EQUAL(n_opened, 1);
        check(inventory, 0, "web1", NULL);
        check(inventory, 1, b, "given twice");
        inventory_free(inventory);
        (void)unlink(a);
        (void)unlink(b);
        (void)rmdir(folder);
}

/* A domain that has a QMP socket of its own. */
static void test_processes_given_twice(void)
{
        static const struct fake two[] = {{"/a.qmp", "web", 100}, {"some-uuid", "dom", 100}};
        char a[] = "/a.qmp";
        struct inventory *inventory = NULL;

        set_fakes(two, ARRAY_SIZE(two));
        inventory = take((char *[]){a}, 1, NULL, 0, true);
        CU_ASSERT_EQUAL(inventory->n_guests, 2);
        check(inventory, 0, "web", NULL);
        check(inventory, 1, "dom", "(process 100) is given twice: also by /a.qmp");
        CU_ASSERT_PTR_NULL(inventory->guests[1].qmp);
        inventory_free(inventory);
}

/* Who is not asked for is not told of, and domains not even connected to; who is asked for and missing is. */
static void test_names(void)
{
        static const struct fake three[] = {
                {"/a.qmp", "web", 100}, {"uuid-1", "db", 200}, {"uuid-2", "mail", 300}};
        char a[] = "/a.qmp";
        char db[] = "db";
        char gone[] = "gone";
        struct inventory *inventory = NULL;

        set_fakes(three, ARRAY_SIZE(three));
        inventory = take((char *[]){a}, 1, (char *[]){db, gone}, 2, true);
        CU_ASSERT_EQUAL(n_opened, 2);
        CU_ASSERT_EQUAL(inventory->n_guests, 2);
        check(inventory, 0, "db", NULL);
        check(inventory, 1, "gone", "no guest has this name");
        inventory_free(inventory);
}

static void test_failures(void)
{
        static const struct fake one[] = {{"/a.qmp", "web", 100}};
        char a[] = "/a.qmp";
        char b[] = "/b.qmp";
        struct inventory *inventory = NULL;

        set_fakes(one, ARRAY_SIZE(one));
        libvirt_is_silent = true;
        inventory = take((char *[]){b, a}, 2, NULL, 0, true);
        CU_ASSERT_EQUAL(inventory->n_guests, 3);
        check(inventory, 0, "/b.qmp", "nobody answers");
        check(inventory, 1, "web", NULL);
        check(inventory, 2, "test:///default", "libvirt is silent");
        CU_ASSERT_TRUE(inventory->guests[2].by_libvirt);
        inventory_free(inventory);
}

static const struct unit_test tests[] = {
        {"names given twice", test_names_given_twice},
        {"sockets given twice", test_sockets_given_twice},
        {"processes given twice", test_processes_given_twice},
        {"names", test_names},
        {"failures", test_failures},
};

UNIT_MAIN("inventory", tests)
