/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job/inventory.h"

#include "base/cleanup.h"
#include "base/fileio.h"
#include "base/pool.h"
#include "base/text.h"
#include "qmp/virt/domain_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Guests waited for at the same time: one that hangs must not delay a host full of others. */
#define OPEN_AT_ONCE 32

struct opening {
        const struct guest_choice *choice;
        const struct scan_wish *scan;
        const struct bridge *bridge;
        struct inventory *inventory;
};

static void lose_guest(struct inventory_guest *guest, int error)
{
        guest->error = error;
        guest->ram = guest_ram_free(guest->ram);
}

static int add_blocks(struct inventory_guest *guest, const char *smaps)
{
        for (size_t i = 0; i < guest->qmp->blocks.count; i++) {
                const struct ram_block *block = &guest->qmp->blocks.blocks[i];
                int r = 0;

                if (block->hva == 0)
                        continue; /* the guest does not see it */
                r = guest_ram_add_block(guest->ram, guest->qmp->proc_fd, smaps,
                                        &(struct guest_ram_block){block->id, block->hva, block->size_bytes},
                                        &guest->failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_ram(const struct scan_wish *scan, struct inventory_guest *guest)
{
        CLEANUP_FREE char *smaps = NULL;
        int r = guest_ram_new(guest->qmp->pid, guest->qmp->proc_fd, &guest->ram, &guest->failure);

        if (r < 0)
                return r;
        r = fileio_read_text(guest->qmp->proc_fd, "smaps", &smaps);
        if (r < 0)
                return failure_errno(&guest->failure, r, "cannot read the smaps of its QEMU (process %d)",
                                     guest->qmp->pid);
        r = add_blocks(guest, smaps);
        if (r >= 0 && (scan->careful || scan->mode == SCAN_MODE_LIVE))
                guest_ram_avoid_mapping(guest->ram);
        if (r >= 0 && scan->careful)
                guest_ram_avoid_process_vm(guest->ram);
        return r;
}

static int connect_guest(const struct opening *opening, struct inventory_guest *guest)
{
        const struct guest_choice *choice = opening->choice;

        if (!guest->domain_uuid)
                return qmp_guest_open(guest->name, choice->timeout_usec, &guest->qmp, &guest->failure);
        return domain_guest_open(opening->bridge, guest->domain_uuid, choice->libvirt_monitor,
                                 choice->timeout_usec, &guest->qmp, &guest->failure);
}

static bool open_guest(void *context, unsigned int worker, size_t item)
{
        struct opening *opening = context;
        struct inventory_guest *guest = &opening->inventory->guests[item];
        int r = 0;

        (void)worker;
        if (guest->error < 0)
                return true;
        r = connect_guest(opening, guest);
        if (r >= 0) {
                char *name = strdup(guest->qmp->name);

                if (name) {
                        free(guest->name);
                        guest->name = name;
                }
                r = name ? find_ram(opening->scan, guest) : -ENOMEM;
        }
        if (r < 0)
                lose_guest(guest, r);
        return true;
}

/* The same socket under two paths would wait for itself: QEMU serves one client at a time. */
static void refuse_sockets_given_twice(struct inventory *inventory)
{
        struct stat *files = calloc(inventory->n_guests + 1, sizeof(*files));

        if (!files)
                return;
        for (size_t i = 0; i < inventory->n_guests; i++) {
                struct inventory_guest *guest = &inventory->guests[i];

                if (guest->domain_uuid || stat(guest->name, &files[i]) < 0)
                        continue;
                for (size_t j = 0; j < i; j++) {
                        if (files[j].st_ino != files[i].st_ino || files[j].st_dev != files[i].st_dev)
                                continue;
                        guest->error = failure_set(&guest->failure, -EEXIST, "this socket is given twice");
                        break;
                }
        }
        free(files);
}

/* A domain may have a QMP socket of its own besides libvirt's. */
static void refuse_processes_given_twice(struct inventory *inventory)
{
        for (size_t i = 0; i < inventory->n_guests; i++) {
                struct inventory_guest *guest = &inventory->guests[i];

                for (size_t j = 0; j < i && guest->qmp; j++) {
                        const struct inventory_guest *other = &inventory->guests[j];

                        if (!other->qmp || other->qmp->pid != guest->qmp->pid)
                                continue;
                        (void)failure_set(&guest->failure, -EEXIST,
                                          "this guest (process %d) is given twice: also by %s",
                                          (int)guest->qmp->pid, other->qmp->socket_path);
                        lose_guest(guest, -EEXIST);
                        qmp_guest_free(guest->qmp);
                        guest->qmp = NULL;
                }
        }
}

static void refuse_names_given_twice(struct inventory *inventory)
{
        for (size_t i = 0; i < inventory->n_guests; i++) {
                struct inventory_guest *guest = &inventory->guests[i];

                for (size_t j = 0; j < i && guest->qmp; j++) {
                        const struct inventory_guest *other = &inventory->guests[j];

                        if (!other->qmp || strcmp(other->name, guest->name) != 0)
                                continue;
                        (void)failure_set(&guest->failure, -EEXIST,
                                          "two guests have this name: the one at %s is left out; give each "
                                          "a -name of its own",
                                          guest->qmp->socket_path);
                        lose_guest(guest, -EEXIST);
                        break;
                }
        }
}

/* A name as it is, and as reports print it: --guest takes both. */
struct name {
        const char *raw;
        char *printable;
};

static struct name name_make(const char *raw)
{
        struct name name = {.raw = raw, .printable = strdup(raw)};

        if (name.printable)
                text_make_printable(name.printable);
        return name;
}

static void name_deinit(struct name *name)
{
        free(name->printable);
}

static bool is_called(const struct name *name, const char *wanted)
{
        return strcmp(name->raw, wanted) == 0 || (name->printable && strcmp(name->printable, wanted) == 0);
}

static bool name_fits(const struct name *name, const struct patterns *patterns)
{
        return patterns_match(patterns, name->raw) ||
               (name->printable && patterns_match(patterns, name->printable));
}

static bool is_named(const struct guest_choice *choice, const char *raw)
{
        CLEANUP(name_deinit) struct name name = name_make(raw);

        if (name_fits(&name, &choice->exclude) ||
            (choice->include.n > 0 && !name_fits(&name, &choice->include)))
                return false;
        for (size_t i = 0; i < choice->names.n; i++)
                if (is_called(&name, choice->names.words[i]))
                        return true;
        return choice->names.n == 0;
}

static void free_guest(struct inventory_guest *guest)
{
        guest_ram_free(guest->ram);
        qmp_guest_free(guest->qmp);
        free(guest->domain_uuid);
        free(guest->name);
}

static void drop_unwanted(const struct guest_choice *choice, struct inventory *inventory)
{
        size_t n = 0;

        for (size_t i = 0; i < inventory->n_guests; i++) {
                struct inventory_guest *guest = &inventory->guests[i];

                /* A guest that was not reached may be the wanted one, so its failure is reported. */
                if (!guest->qmp || is_named(choice, guest->name))
                        inventory->guests[n++] = *guest;
                else
                        free_guest(guest);
        }
        inventory->n_guests = n;
}

static bool has_name(const struct inventory_guest *guest, const char *wanted)
{
        CLEANUP(name_deinit) struct name name = name_make(guest->name);

        return is_called(&name, wanted);
}

static int add_missing(const struct guest_choice *choice, struct inventory *inventory)
{
        const size_t n_found = inventory->n_guests;

        for (size_t i = 0; i < choice->names.n; i++) {
                struct inventory_guest *missing = &inventory->guests[inventory->n_guests];
                size_t g = 0;

                while (g < n_found && !has_name(&inventory->guests[g], choice->names.words[i]))
                        g++;
                if (g < n_found)
                        continue;
                *missing = (struct inventory_guest){.name = strdup(choice->names.words[i])};
                if (!missing->name)
                        return -ENOMEM;
                missing->error = failure_set(&missing->failure, -ENOENT, "no guest has this name");
                inventory->n_guests++;
        }
        return 0;
}

static int open_all(struct opening *opening)
{
        const size_t n = opening->inventory->n_guests;
        struct pool *pool = NULL;
        int r = 0;

        if (n == 0)
                return 0;
        r = pool_new((unsigned int)(n < OPEN_AT_ONCE ? n : OPEN_AT_ONCE), &pool);
        if (r < 0)
                return r;
        pool_run(pool, n, open_guest, opening);
        pool_free(pool);
        return 0;
}

static int append_guest(struct inventory *inventory, const char *name, const char *domain_uuid)
{
        struct inventory_guest *guest = &inventory->guests[inventory->n_guests++];

        guest->name = strdup(name);
        guest->domain_uuid = domain_uuid ? strdup(domain_uuid) : NULL;
        guest->by_libvirt = domain_uuid != NULL;
        return guest->name && (guest->domain_uuid || !domain_uuid) ? 0 : -ENOMEM;
}

/* Lists the domains to reach. A libvirt that does not answer counts as a guest that failed. */
static int list_wanted_domains(const struct opening *opening, const struct failure *bridge_failure,
                               struct bridge_domains *ret_domains, struct failure *ret_failure)
{
        if (!opening->choice->libvirt_uri)
                return 0;
        if (!opening->bridge) {
                *ret_failure = *bridge_failure;
                return -ENOTCONN;
        }
        return bridge_list(opening->bridge, opening->choice->timeout_usec, ret_domains, ret_failure);
}

/* Makes room for every guest: named, found, and missing ones. */
static int list_guests(const struct opening *opening, const struct bridge_domains *domains)
{
        const struct guest_choice *choice = opening->choice;
        struct inventory *inventory = opening->inventory;
        int r = 0;

        inventory->guests = calloc(choice->qmp_sockets.n + domains->count + choice->names.n + 2,
                                   sizeof(*inventory->guests));
        if (!inventory->guests)
                return -ENOMEM;
        for (size_t i = 0; i < choice->qmp_sockets.n && r == 0; i++)
                r = append_guest(inventory, choice->qmp_sockets.words[i], NULL);
        if (r == 0)
                refuse_sockets_given_twice(inventory);
        /* An unwanted domain is not even connected to. */
        for (size_t i = 0; i < domains->count && r == 0; i++)
                if (is_named(choice, domains->domains[i].name))
                        r = append_guest(inventory, domains->domains[i].name, domains->domains[i].uuid);
        return r;
}

static int append_failed_libvirt(const struct opening *opening, int error, const struct failure *failure)
{
        struct inventory *inventory = opening->inventory;
        struct inventory_guest *guest = &inventory->guests[inventory->n_guests];
        int r = append_guest(inventory, opening->choice->libvirt_uri, NULL);

        guest->by_libvirt = true;
        guest->error = error;
        guest->failure = *failure;
        return r;
}

static int fill_inventory(struct opening *opening, const struct failure *bridge_failure)
{
        CLEANUP(bridge_domains_deinit) struct bridge_domains domains = {0};
        struct failure failure = {0};
        const int error = list_wanted_domains(opening, bridge_failure, &domains, &failure);
        int r = list_guests(opening, &domains);

        if (r == 0)
                r = open_all(opening);
        if (r < 0)
                return r;
        refuse_processes_given_twice(opening->inventory);
        refuse_names_given_twice(opening->inventory);
        drop_unwanted(opening->choice, opening->inventory);
        if (error < 0)
                r = append_failed_libvirt(opening, error, &failure);
        return r < 0 ? r : add_missing(opening->choice, opening->inventory);
}

int inventory_new(const struct guest_choice *choice, const struct scan_wish *scan,
                  const struct bridge *bridge, const struct failure *bridge_failure, struct inventory **ret)
{
        struct inventory *inventory = calloc(1, sizeof(*inventory));
        struct opening opening = {.choice = choice, .scan = scan, .bridge = bridge, .inventory = inventory};
        int r = 0;

        if (!inventory)
                return -ENOMEM;
        r = fill_inventory(&opening, bridge_failure);
        if (r < 0) {
                inventory_free(inventory);
                return r;
        }
        *ret = inventory;
        return 0;
}

struct bridge *inventory_start_bridge(const struct guest_choice *choice, struct failure *ret_failure)
{
        struct bridge *bridge = NULL;

        if (choice->libvirt_uri)
                (void)bridge_start(choice->libvirt_uri, choice->libvirt_monitor, &bridge, ret_failure);
        return bridge;
}

struct inventory *inventory_free(struct inventory *inventory)
{
        if (!inventory)
                return NULL;
        for (size_t i = 0; i < inventory->n_guests; i++)
                free_guest(&inventory->guests[i]);
        free(inventory->guests);
        free(inventory);
        return NULL;
}
