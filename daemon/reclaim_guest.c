/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving back what scanner/reclaim.c finds, of one guest.
 *
 * Shadow pages are punched while the guest goes on, whatever it does: nobody sees a difference. Zero pages of shared RAM
 * are punched in pauses of ours alone. A guest that somebody else stopped could be resumed by him at any moment, and
 * nobody would wait for us: its zero pages are left.
 *
 * A pause here is a deadly one: the guard resumes the guest at the deadline in any case, and ends this process before it
 * does. So it is ended long before: pages are punched in the first part of the pause only (WORK_OF_PAUSE), and what is
 * left is for the next. Before each single punch it is asked whether the time is not over and the guard lives, which
 * alone could end us in time.
 *
 * What makes it dangerous to give memory back (scanner/reclaim_judge.c) is looked for when the guest is opened, and again
 * before every pause.
 *
 * What remains:
 *  - Somebody else resumes the guest in our pause. QEMU tells the guard, which kills us; until then, that is within
 *    fractions of a millisecond, what the guest writes to pages of the batch at hand, from when they were looked at until
 *    they are punched, is lost. QMP has no way to forbid a cont. libvirt's API has none either.
 *  - The same if we are stopped within a batch, the guard is killed meanwhile, and somebody then resumes the guest by
 *    hand before we go on.
 *  - A vhost-user backend that connects between the last look and the pause. QEMU hands it the memory when the device is
 *    started, which it does not do with a stopped guest.
 *  - Memory that was given back is needed again when the guest writes there. A host without memory, or a memory cgroup at
 *    its limit, meets that write as it would have met the first one.
 */
#include "daemon/reclaim_guest.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "daemon/pausing.h"
#include "qmp/backing.h"
#include "qmp/lease.h"
#include "scanner/reclaim_facts.h"
#include "scanner/reclaim_judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The part of a pause in which pages are punched; the rest is for ending it before the guard has to. */
#define WORK_OF_PAUSE(max_pause_usec) ((max_pause_usec) / 4 * 3)

/* A batch is read and punched in well below a millisecond; what takes longer was interrupted in between. */
#define FRESH_USEC (5 * USEC_PER_MSEC)

static bool is_eligible(const struct reclaim_part *part)
{
        return part->is_open && !*part->refusal.text;
}

static struct qmp_guest *qmp_of(const struct reclaim_guest *guest)
{
        return guest->source->qmp;
}

/* What it costs */

static uint64_t read_rss_shmem(int proc_fd)
{
        CLEANUP_FREE char *status = NULL;
        const char *line = NULL;

        if (fileio_read_text(proc_fd, "status", &status) == 0)
                line = strstr(status, "\nRssShmem:");
        return line ? strtoull(line + strlen("\nRssShmem:"), NULL, 10) * 1024 : 0;
}

static bool is_same_file(const struct reclaim_part *a, const struct reclaim_part *b)
{
        return a->region.file_inode == b->region.file_inode;
}

static struct reclaim_cost measure(const struct reclaim_guest *guest)
{
        struct reclaim_cost cost = {.rss_shmem_bytes = read_rss_shmem(qmp_of(guest)->proc_fd)};

        for (size_t i = 0; i < guest->n_parts; i++) {
                uint64_t bytes = 0;

                if (!guest->parts[i].is_open ||
                    (i > 0 && is_same_file(&guest->parts[i], &guest->parts[i - 1])))
                        continue;
                if (reclaim_file_bytes(&guest->parts[i].file, &bytes) == 0)
                        cost.file_bytes += bytes;
        }
        return cost;
}

void reclaim_guest_measure_after(struct reclaim_guest *guest)
{
        guest->after = measure(guest);
}

/* Whether it may be given back */

static int fill_file_facts(const struct reclaim_part *part, struct reclaim_block_facts *facts)
{
        struct statvfs filesystem = {0};
        struct stat status = {0};

        if (fstat(part->file.view.file_fd, &status) < 0 || fstatvfs(part->file.view.file_fd, &filesystem) < 0)
                return -errno;
        facts->is_tmpfs = part->file.view.is_tmpfs;
        /* The kernel's own mount, of memfds and anonymous shared memory, has no size. */
        facts->fs_is_limited = filesystem.f_blocks > 0;
        facts->fs_free_bytes = (uint64_t)filesystem.f_bavail * filesystem.f_frsize;
        facts->file_size_bytes = (uint64_t)status.st_size;
        facts->file_bytes = (uint64_t)status.st_blocks * 512;
        if (facts->file_bytes > facts->file_size_bytes)
                facts->file_bytes = facts->file_size_bytes;
        return 0;
}

static void judge_part(struct reclaim_part *part, const struct reclaim_process_facts *process,
                       const struct reclaim_wanted *wanted)
{
        struct reclaim_block_facts facts = {
                .kind = part->file.kind,
                .is_backend_known = part->is_asked,
                .prealloc = part->prealloc,
                .device = part->device,
                .hugetlb = part->region.hugetlb,
                .locked = part->region.locked,
                .is_read_only = !part->region.writable,
                .holder = wanted->holder,
                .holder_pid = wanted->holder_pid,
        };
        int r = fill_file_facts(part, &facts);

        if (r < 0)
                (void)failure_errno(&part->refusal, r, "its RAM file cannot be examined");
        else
                (void)reclaim_judge(process, &facts, &part->refusal);
}

static int want(const struct reclaim_guest *guest, const struct reclaim_part *part,
                struct reclaim_wanted *ret_wanted)
{
        struct stat status = {0};

        if (fstat(part->file.view.file_fd, &status) < 0)
                return -errno;
        *ret_wanted = (struct reclaim_wanted){
                .device = status.st_dev,
                .inode = status.st_ino,
                .qemu = qmp_of(guest)->pid,
                .is_private = part->file.kind == RECLAIM_KIND_SHADOW,
        };
        return 0;
}

static int find_holders(const struct reclaim_guest *guest, struct reclaim_wanted *wanted)
{
        CLEANUP_CLOSE int proc_dir_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = proc_dir_fd < 0 ? -errno : 0;

        for (size_t i = 0; i < guest->n_parts && r == 0; i++)
                if (guest->parts[i].is_open)
                        r = want(guest, &guest->parts[i], &wanted[i]);
        return r < 0 ? r : reclaim_facts_find_holders(proc_dir_fd, getpid(), wanted, guest->n_parts);
}

/* Looks at all that speaks against it, and refuses parts accordingly. Returns whether any is left. */
static bool judge(struct reclaim_guest *guest)
{
        CLEANUP_FREE struct reclaim_wanted *wanted = calloc(guest->n_parts + 1, sizeof(*wanted));
        struct reclaim_process_facts process = {0};
        bool is_any_left = false;
        int r = wanted ? reclaim_facts_read_process(qmp_of(guest)->proc_fd, &process) : -ENOMEM;

        if (r == 0)
                r = find_holders(guest, wanted);
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!is_eligible(part))
                        continue;
                if (r < 0)
                        (void)failure_errno(&part->refusal, r, "cannot tell who else uses its memory");
                else
                        judge_part(part, &process, &wanted[i]);
                is_any_left |= is_eligible(part);
        }
        return is_any_left;
}

/* Opening */

static int add_part(struct reclaim_guest *guest, size_t block, const struct region *region)
{
        struct reclaim_part *larger = reallocarray(guest->parts, guest->n_parts + 1, sizeof(*larger));

        if (!larger)
                return failure_set(&guest->error, -ENOMEM, "out of memory");
        guest->parts = larger;
        guest->parts[guest->n_parts++] = (struct reclaim_part){
                .block = block,
                .region = *region,
                .file.view.file_fd = -1,
        };
        return 0;
}

static int list_parts(struct reclaim_guest *guest)
{
        const struct guest_ram *ram = guest->source->ram;

        for (size_t b = 0; b < ram->n_blocks; b++)
                for (size_t i = 0; i < ram->blocks[b].n_regions; i++) {
                        int r = add_part(guest, b, &ram->blocks[b].regions[i].region);

                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Asks QEMU about the memory backends; of a domain only over its monitor. */
static int learn_backings(struct reclaim_guest *guest, const struct settings *settings)
{
        CLEANUP(backings_deinit) struct backings backings = {0};
        int r = 0;

        if (guest->source->by_libvirt && !settings->libvirt_monitor)
                return 0;
        r = backings_ask(qmp_of(guest), &backings, &guest->error);
        for (size_t i = 0; i < guest->n_parts && r == 0; i++) {
                struct reclaim_part *part = &guest->parts[i];
                const struct backing *backing =
                        backings_find(&backings, guest->source->ram->blocks[part->block].id);

                if (!backing)
                        continue;
                part->is_asked = true;
                part->prealloc = backing->prealloc;
                if (!backing->device)
                        continue;
                part->device = strdup(backing->device);
                if (!part->device)
                        r = failure_set(&guest->error, -ENOMEM, "out of memory");
        }
        return r;
}

static int check_state(struct reclaim_guest *guest)
{
        struct qmp_guest_state state = {0};
        int r = qmp_guest_refresh_state(qmp_of(guest), &state, &guest->error);

        if (r < 0)
                return r;
        memcpy(guest->found_state, state.run_state, sizeof(guest->found_state));
        if (state.migrating || strcmp(state.run_state, "inmigrate") == 0)
                return failure_set(&guest->error, -EBUSY,
                                   "a migration is under way: its memory is left as it is");
        return 0;
}

void reclaim_guest_open(struct reclaim_guest *guest, const struct inventory_guest *source,
                        const struct settings *settings)
{
        *guest = (struct reclaim_guest){.source = source, .error = source->failure};
        if (!source->ram || check_state(guest) < 0 || list_parts(guest) < 0 ||
            learn_backings(guest, settings) < 0)
                return;
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (reclaim_kind_of(&part->region) == RECLAIM_KIND_NONE)
                        continue;
                part->is_open = reclaim_open(qmp_of(guest)->proc_fd, &part->region, settings->apply,
                                             &part->file, &part->refusal) == 0;
        }
        (void)judge(guest);
        guest->before = measure(guest);
}

void reclaim_guest_find(struct reclaim_guest *guest, void (*tick)(void *context, uint64_t n_pages),
                        void *context)
{
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!*guest->error.text && is_eligible(part))
                        (void)reclaim_find(guest->source->ram, &part->file, tick, context, &part->refusal);
        }
}

/* Acting */

static bool has_work(const struct reclaim_part *part, enum reclaim_kind kind)
{
        return is_eligible(part) && part->file.kind == kind && part->file.zero_pages > 0 &&
               part->file.next < part->file.n_pages;
}

static bool has_any_work(const struct reclaim_guest *guest, enum reclaim_kind kind)
{
        for (size_t i = 0; i < guest->n_parts; i++)
                if (has_work(&guest->parts[i], kind))
                        return true;
        return false;
}

/* All parts of a kind, until the permit ends. */
static void punch(struct reclaim_guest *guest, enum reclaim_kind kind, const struct reclaim_permit *permit)
{
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!has_work(part, kind))
                        continue;
                if (reclaim_punch(&part->file, permit, &part->refusal) == RECLAIM_E_MORE)
                        return;
        }
}

static bool is_qemu_alive(void *context)
{
        const struct reclaim_guest *guest = context;

        return qmp_guest_is_alive(qmp_of(guest));
}

static void apply_shadow(struct reclaim_guest *guest)
{
        const struct reclaim_permit permit = {
                .holds = is_qemu_alive, .context = guest, .fresh_usec = USEC_INFINITY};

        if (has_any_work(guest, RECLAIM_KIND_SHADOW) && judge(guest))
                punch(guest, RECLAIM_KIND_SHADOW, &permit);
}

struct window {
        const struct guard *guard;
        uint64_t end_usec;
};

static bool is_window_open(void *context)
{
        const struct window *window = context;

        return clock_now_usec() < window->end_usec && guard_is_alive(window->guard);
}

static void refuse_all(struct reclaim_guest *guest, enum reclaim_kind kind, const char *reason)
{
        for (size_t i = 0; i < guest->n_parts; i++)
                if (has_work(&guest->parts[i], kind))
                        (void)failure_set(&guest->parts[i].refusal, -EBUSY, "%s", reason);
}

static uint64_t position(const struct reclaim_guest *guest)
{
        uint64_t n_pages = 0;

        for (size_t i = 0; i < guest->n_parts; i++)
                n_pages += guest->parts[i].file.next;
        return n_pages;
}

/* One pause, with as much work in it as there is time for. Return: 0; a negative errno when it was the last. */
static int pause_and_punch(struct reclaim_guest *guest, uint64_t max_pause_usec, struct guard *guard,
                           struct lease *lease)
{
        struct lease *leases[] = {lease};

        *lease = (struct lease){.guest = qmp_of(guest)};
        (void)lease_pause_deadly(guard, leases, 1, max_pause_usec);
        if (lease->state == LEASE_STATE_PAUSED) {
                struct window window = {guard, lease->stop_sent_usec + WORK_OF_PAUSE(max_pause_usec)};

                punch(guest, RECLAIM_KIND_ZERO,
                      &(struct reclaim_permit){is_window_open, &window, FRESH_USEC});
                (void)lease_resume(guard, leases, 1);
        }
        if (lease->stop_sent_usec) {
                const uint64_t paused_usec = pausing_usec(lease);

                guest->n_pauses++;
                guest->paused_usec += paused_usec;
                guest->longest_usec = paused_usec > guest->longest_usec ? paused_usec : guest->longest_usec;
        }
        if (lease->state == LEASE_STATE_RESUMED)
                return 0;
        guest->error = lease->failure;
        return -EIO;
}

static void apply_zero(struct reclaim_guest *guest, const struct settings *settings, struct guard *guard)
{
        unsigned int n_fruitless = 0;

        while (has_any_work(guest, RECLAIM_KIND_ZERO) && judge(guest)) {
                const uint64_t begin = position(guest);
                struct lease lease = {0};

                if (pause_and_punch(guest, settings->max_pause_usec, guard, &lease) < 0)
                        return;
                n_fruitless = position(guest) > begin ? 0 : n_fruitless + 1;
                if (n_fruitless == PAUSING_FRUITLESS_MAX) {
                        (void)failure_set(
                                &guest->error, -ETIME,
                                "a pause of %llu ms is too short to give anything back: raise --max-pause",
                                (unsigned long long)(settings->max_pause_usec / USEC_PER_MSEC));
                        return;
                }
                if (has_any_work(guest, RECLAIM_KIND_ZERO))
                        pausing_rest(pausing_usec(&lease));
        }
}

void reclaim_guest_apply(struct reclaim_guest *guest, const struct settings *settings, struct guard *guard,
                         const struct failure *guard_failure)
{
        if (*guest->error.text || check_state(guest) < 0)
                return;
        apply_shadow(guest);
        if (strcmp(guest->found_state, "running") != 0)
                refuse_all(guest, RECLAIM_KIND_ZERO,
                           "it was found stopped, and whoever stopped it could resume it while pages are "
                           "given back");
        else if (!guard)
                refuse_all(guest, RECLAIM_KIND_ZERO, guard_failure->text);
        else
                apply_zero(guest, settings, guard);
}

bool reclaim_guest_is_partly(const struct reclaim_guest *guest)
{
        for (size_t i = 0; i < guest->n_parts; i++)
                if (*guest->parts[i].refusal.text)
                        return true;
        return *guest->error.text != '\0';
}

void reclaim_guest_deinit(struct reclaim_guest *guest)
{
        for (size_t i = 0; i < guest->n_parts; i++) {
                if (guest->parts[i].is_open)
                        reclaim_close(&guest->parts[i].file);
                free(guest->parts[i].device);
        }
        free(guest->parts);
}
