/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives back what daemon/reclaim/reclaim.c finds, of one guest.
 *
 * Shadow pages are punched while the guest runs, whatever it does: nobody sees a difference. Zero pages of
 * shared RAM are punched only in pauses of our own. When somebody else stopped a guest, they could resume it
 * at any moment without waiting for us, so its zero pages are left alone.
 *
 * A pause here is an exclusive one: the guard resumes the guest at the deadline in any case, and ends this
 * process before it does. So it is ended before: pages are punched in the first part of the pause only
 * (MARGIN_USEC), and what is left is for the next. Before each single punch it is asked whether the time is
 * not over and the guard lives, which alone could end us in time.
 *
 * Dangers to giving memory back (daemon/reclaim/reclaim_judge.c) are checked when the guest is opened, and
 * again before every pause; without a pause, every second. Some of them can change while all processes are
 * examined, and can do so in a stopped guest (somebody plugs in a VFIO device). These are cheap to check:
 * QEMU's own descriptors, and what it has locked and pinned. That check comes last, as soon as the pause is
 * granted, and repeats every LOOK_USEC.
 *
 * What remains:
 *  - Somebody else resumes the guest in our pause. QEMU tells the guard, which kills us. Until then, a write
 *    by the guest to a page of a batch, between the read and the punch of that page, is lost. This window
 *    lasts fractions of a millisecond, plus the time that libvirtd takes to pass the event on for a domain.
 *    Neither QMP nor libvirt's API has a way to forbid a cont.
 *  - Other writers to the memory of a paused guest: input on a virtio-serial port, loadvm, system_reset. Only
 *    devices that write of their own accord are refused (qmp/writers.c).
 *  - The same loss if we are stopped within a batch, the guard is killed meanwhile, and somebody then resumes
 *    the guest by hand before we continue.
 *  - A vhost-user backend that connects between the last check and the pause. QEMU hands it the memory when
 *    the device is started, which does not happen in a stopped guest.
 *  - A VFIO device that is plugged in up to LOOK_USEC before a page is punched.
 *  - When the guest writes to memory that was given back, the host must supply that memory again. A host
 *    without free memory, or a memory cgroup at its limit, treats that write as it would have treated the
 *    first one.
 */
#include "daemon/reclaim/reclaim_guest.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "daemon/job/pause_pace.h"
#include "daemon/reclaim/reclaim_facts.h"
#include "daemon/reclaim/reclaim_judge.h"
#include "daemon/reclaim/reclaim_room.h"
#include "qmp/backing.h"
#include "qmp/pause/lease.h"
#include "qmp/virt/domain_guest.h"
#include "qmp/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Punching ends this long before the guard would end the pause, and with it this process. It is a quarter of
 * the pause, since a busy host may delay us, and at least the time of a batch and of sending RESUME to the
 * guard.
 */
#define MARGIN_USEC(max_pause_usec) \
        ((max_pause_usec) / 4 > MARGIN_LEAST_USEC ? (max_pause_usec) / 4 : MARGIN_LEAST_USEC)
#define MARGIN_LEAST_USEC (2 * USEC_PER_MSEC)

/* How often QEMU's descriptors are checked while pages are punched in a pause. A check takes 0.1 ms. */
#define LOOK_USEC (2 * USEC_PER_MSEC)

/* How often all processes are examined while pages are punched without a pause. */
#define SHADOW_USEC (1 * USEC_PER_SEC)

/* Reading and punching a batch takes well below a millisecond; a batch that takes longer was interrupted. */
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

static struct reclaim_cost measure_cost(const struct reclaim_guest *guest)
{
        struct reclaim_cost cost = {.rss_shmem_bytes = read_rss_shmem(qmp_of(guest)->proc_fd)};

        for (size_t i = 0; i < guest->n_parts; i++) {
                const struct reclaim_part *part = &guest->parts[i];
                const bool is_counted = i > 0 && part->mapping.file_inode == part[-1].mapping.file_inode;
                uint64_t bytes = 0;

                if (part->is_open && !is_counted && reclaim_file_bytes(&part->file, &bytes) == 0)
                        cost.file_bytes += bytes;
        }
        return cost;
}

void reclaim_guest_measure_after(struct reclaim_guest *guest)
{
        guest->after = measure_cost(guest);
}

/* Whether it may be given back */

/* What is found out once for all parts. */
struct judging {
        int proc_dir_fd;
        struct reclaim_process_facts process;
        struct reclaim_wanted *wanted; /* one for each part */
        dev_t device;                  /* of @room; 0 at first */
        struct reclaim_room room;
};

/* A RAM block may have thousands of mappings, all of one file, so its file system is measured once. */
static int fill_room(const struct reclaim_guest *guest, const struct reclaim_part *part,
                     struct judging *judging, struct reclaim_room *ret_room)
{
        const int fd = part->file.view.file_fd;
        struct stat status = {0};
        int r = 0;

        if (fstat(fd, &status) < 0)
                return -errno;
        if (status.st_dev != judging->device)
                r = reclaim_room_measure(judging->proc_dir_fd, qmp_of(guest)->proc_fd, fd, &judging->room);
        if (r < 0)
                return r;
        judging->device = status.st_dev;
        *ret_room = judging->room;
        return 0;
}

static void judge_part(const struct reclaim_guest *guest, struct reclaim_part *part, struct judging *judging)
{
        const struct reclaim_wanted *wanted = &judging->wanted[part - guest->parts];
        struct reclaim_block_facts facts = {
                .kind = part->file.kind,
                .is_backend_known = part->is_asked,
                .prealloc = part->prealloc,
                .writer = guest->writer,
                .device = part->device,
                .hugetlb = part->mapping.hugetlb,
                .locked = part->mapping.locked,
                .is_read_only = !part->mapping.writable,
                .is_tmpfs = part->file.view.is_tmpfs,
                .holder = wanted->holder,
                .holder_pid = wanted->holder_pid,
        };
        int r = facts.is_tmpfs ? fill_room(guest, part, judging, &facts.room) : 0;

        if (r < 0)
                (void)failure_errno(&part->refusal, r, "its RAM file cannot be examined");
        else
                (void)reclaim_judge(&judging->process, &facts, &part->refusal);
}

static int fill_wanted(const struct reclaim_guest *guest, const struct reclaim_part *part,
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

static int find_holders(const struct reclaim_guest *guest, const struct judging *judging)
{
        int r = 0;

        for (size_t i = 0; i < guest->n_parts && r == 0; i++)
                if (guest->parts[i].is_open)
                        r = fill_wanted(guest, &guest->parts[i], &judging->wanted[i]);
        return r < 0 ? r
                     : reclaim_facts_find_holders(judging->proc_dir_fd, getpid(), judging->wanted,
                                                  guest->n_parts);
}

/* Refuses parts by the facts found here and by their own. Returns whether any part is left. */
static bool judge_parts(struct reclaim_guest *guest, struct judging *judging)
{
        bool is_any_left = false;
        int r = judging->wanted ? 0 : -ENOMEM;

        if (r == 0 && judging->proc_dir_fd < 0)
                r = -EACCES;
        if (r == 0)
                r = find_holders(guest, judging);
        if (r == 0)
                r = reclaim_facts_read_process(qmp_of(guest)->proc_fd, &judging->process);
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!is_eligible(part))
                        continue;
                if (r < 0)
                        (void)failure_errno(&part->refusal, r, "cannot tell who else uses its memory");
                else
                        judge_part(guest, part, judging);
                is_any_left |= is_eligible(part);
        }
        return is_any_left;
}

/* Checks all that speaks against giving back, and refuses parts accordingly. Returns whether any is left. */
static bool judge_guest(struct reclaim_guest *guest)
{
        CLEANUP_CLOSE int proc_dir_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FREE struct reclaim_wanted *wanted = calloc(guest->n_parts + 1, sizeof(*wanted));
        struct judging judging = {.proc_dir_fd = proc_dir_fd, .wanted = wanted};

        if (guest->is_asked && writers_ask(qmp_of(guest), &guest->writer, &guest->error) < 0)
                return false;
        return judge_parts(guest, &judging);
}

/* Opening */

static int add_part(struct reclaim_guest *guest, size_t block, const struct mapping *mapping)
{
        struct reclaim_part *larger = reallocarray(guest->parts, guest->n_parts + 1, sizeof(*larger));

        if (!larger)
                return failure_set(&guest->error, -ENOMEM, "out of memory");
        guest->parts = larger;
        guest->parts[guest->n_parts++] = (struct reclaim_part){
                .block = block,
                .mapping = *mapping,
                .file.view.file_fd = -1,
        };
        return 0;
}

static int list_parts(struct reclaim_guest *guest)
{
        const struct guest_ram *ram = guest->source->ram;

        for (size_t b = 0; b < ram->pages.n_blocks; b++)
                for (size_t i = 0; i < ram->pages.blocks[b].n_ranges; i++) {
                        int r = add_part(guest, b, &ram->mappings[b][i]);

                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Asks QEMU about the memory backends; of a domain only over its monitor. */
static int learn_backings(struct reclaim_guest *guest, bool uses_monitor)
{
        CLEANUP(backings_deinit) struct backings backings = {0};
        int r = 0;

        guest->is_asked = !guest->source->by_libvirt || uses_monitor;
        if (!guest->is_asked)
                return 0;
        r = backings_ask(qmp_of(guest), &backings, &guest->error);
        for (size_t i = 0; i < guest->n_parts && r == 0; i++) {
                struct reclaim_part *part = &guest->parts[i];
                const struct backing *backing =
                        backings_find(&backings, guest->source->ram->pages.blocks[part->block].id);

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

void reclaim_guest_open(struct reclaim_guest *guest, const struct inventory_guest *source, bool uses_monitor)
{
        *guest = (struct reclaim_guest){.source = source, .error = source->failure};
        if (!source->ram || check_state(guest) < 0 || list_parts(guest) < 0 ||
            learn_backings(guest, uses_monitor) < 0)
                return;
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (reclaim_kind_of(&part->mapping) == RECLAIM_KIND_NONE)
                        continue;
                part->is_open = reclaim_open(qmp_of(guest)->proc_fd, &part->mapping, &part->file,
                                             &part->refusal) == 0;
        }
        (void)judge_guest(guest);
        guest->before = measure_cost(guest);
}

void reclaim_guest_find(struct reclaim_guest *guest, void (*tick)(void *context, uint64_t n_pages),
                        void *context)
{
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!*guest->error.text && is_eligible(part))
                        (void)reclaim_find(&part->file, tick, context, &part->refusal);
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

static void refuse_all(struct reclaim_guest *guest, enum reclaim_kind kind, const char *reason)
{
        for (size_t i = 0; i < guest->n_parts; i++)
                if (has_work(&guest->parts[i], kind))
                        (void)failure_set(&guest->parts[i].refusal, -EBUSY, "%s", reason);
}

/*
 * Checks QEMU itself once more, and refuses parts of @kind accordingly. Returns false when any fact about it
 * speaks against going on.
 */
static bool judge_process_again(struct reclaim_guest *guest, enum reclaim_kind kind)
{
        struct reclaim_process_facts process = {0};
        struct failure reason = {0};
        int r = reclaim_facts_read_process(qmp_of(guest)->proc_fd, &process);

        if (r < 0)
                (void)failure_errno(&reason, r, "cannot tell who else uses its memory");
        else if (reclaim_judge_process(&process, kind, &reason))
                return true;
        refuse_all(guest, kind, reason.text);
        return false;
}

/* The time in which pages may be punched. */
struct window {
        struct reclaim_guest *guest;
        enum reclaim_kind kind;
        const struct guard *guard; /* of the pause, or NULL */
        uint64_t end_usec;
        uint64_t look_usec; /* when QEMU must be checked again */
};

static bool is_window_open(void *context)
{
        struct window *window = context;

        if (!qmp_guest_is_alive(qmp_of(window->guest)))
                return false;
        if (clock_now_usec() >= window->look_usec) {
                if (!judge_process_again(window->guest, window->kind))
                        return false;
                window->look_usec = clock_now_usec() + LOOK_USEC;
        }
        return clock_now_usec() < window->end_usec && (!window->guard || guard_is_alive(window->guard));
}

/* Punches all parts of a kind, until the window closes. */
static void punch_parts(struct reclaim_guest *guest, struct window *window)
{
        const struct reclaim_permit permit = {is_window_open, window, FRESH_USEC};

        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (!has_work(part, window->kind))
                        continue;
                if (reclaim_punch(&part->file, &permit, &part->refusal) == RECLAIM_E_MORE)
                        return;
        }
}

static uint64_t count_handled_pages(const struct reclaim_guest *guest)
{
        uint64_t n_pages = 0;

        for (size_t i = 0; i < guest->n_parts; i++)
                n_pages += guest->parts[i].file.next;
        return n_pages;
}

/* Does what punching needs but must not be done while the guest waits. Returns whether there is work. */
static bool prepare_parts(struct reclaim_guest *guest, enum reclaim_kind kind)
{
        for (size_t i = 0; i < guest->n_parts; i++) {
                struct reclaim_part *part = &guest->parts[i];

                if (has_work(part, kind) && reclaim_open_to_change(&part->file, &part->refusal) == 0)
                        (void)reclaim_look_for_resident(&part->file, &part->refusal);
        }
        return has_any_work(guest, kind) && judge_guest(guest) && has_any_work(guest, kind);
}

/* Notes whether a round achieved anything. Returns false after so many fruitless rounds in a row that more
 * are no use. */
static bool is_fruitful(struct reclaim_guest *guest, uint64_t begin, unsigned int *n_fruitless)
{
        *n_fruitless = count_handled_pages(guest) > begin ? 0 : *n_fruitless + 1;
        return *n_fruitless < PAUSE_PACE_FRUITLESS_MAX;
}

static void apply_shadow(struct reclaim_guest *guest)
{
        unsigned int n_fruitless = 0;

        while (prepare_parts(guest, RECLAIM_KIND_SHADOW)) {
                const uint64_t begin = count_handled_pages(guest);
                struct window window = {.guest = guest,
                                        .kind = RECLAIM_KIND_SHADOW,
                                        .end_usec = clock_now_usec() + SHADOW_USEC,
                                        .look_usec = USEC_INFINITY}; /* prepare_parts() checks each round */

                punch_parts(guest, &window);
                if (is_fruitful(guest, begin, &n_fruitless))
                        continue;
                (void)failure_set(&guest->error, -ETIME, "the host is too busy to give anything back");
                return;
        }
}

/* Describes a pause that did not end as it should. */
static int fail_pause(struct reclaim_guest *guest, const struct lease *lease)
{
        guest->error = lease->failure;
        if (!*guest->error.text)
                (void)failure_set(&guest->error, -EIO,
                                  "its pause ended in the state \"%s\"; should it still be paused, samepage "
                                  "resume --stale resumes it",
                                  pause_outcome_to_string(lease->state));
        return -EIO;
}

/* Pauses once and works as long as there is time. Return: 0; a negative errno when it was the last pause. */
static int pause_and_punch(struct reclaim_guest *guest, uint64_t max_pause_usec, struct guard *guard,
                           struct lease *lease)
{
        struct lease *leases[] = {lease};

        *lease = (struct lease){.guest = qmp_of(guest)};
        if (guest->source->by_libvirt && domain_guest_watch(qmp_of(guest), &guest->error) < 0)
                return -EIO;
        (void)lease_pause_exclusive(guard, leases, 1, max_pause_usec);
        if (lease->state == PAUSE_OUTCOME_PAUSED) {
                struct window window = {
                        .guest = guest,
                        .kind = RECLAIM_KIND_ZERO,
                        .guard = guard,
                        .end_usec = lease_end_usec(lease->stop_sent_usec, max_pause_usec) -
                                    MARGIN_USEC(max_pause_usec),
                };

                punch_parts(guest, &window);
                (void)lease_resume(guard, leases, 1);
        }
        if (lease->stop_sent_usec) {
                const uint64_t paused_usec = pause_pace_usec(lease);

                guest->n_pauses++;
                guest->paused_usec += paused_usec;
                guest->longest_usec = paused_usec > guest->longest_usec ? paused_usec : guest->longest_usec;
        }
        return lease->state == PAUSE_OUTCOME_RESUMED ? 0 : fail_pause(guest, lease);
}

static void apply_zero(struct reclaim_guest *guest, uint64_t max_pause_usec, struct guard *guard)
{
        unsigned int n_fruitless = 0;

        while (prepare_parts(guest, RECLAIM_KIND_ZERO)) {
                const uint64_t begin = count_handled_pages(guest);
                struct lease lease = {0};

                if (pause_and_punch(guest, max_pause_usec, guard, &lease) < 0)
                        return;
                if (has_any_work(guest, RECLAIM_KIND_ZERO) && !is_fruitful(guest, begin, &n_fruitless)) {
                        (void)failure_set(
                                &guest->error, -ETIME,
                                "a pause of %llu ms is too short to give anything back: raise --max-pause",
                                (unsigned long long)(max_pause_usec / USEC_PER_MSEC));
                        return;
                }
                if (has_any_work(guest, RECLAIM_KIND_ZERO))
                        pause_pace_rest(pause_pace_usec(&lease));
        }
}

void reclaim_guest_apply(struct reclaim_guest *guest, uint64_t max_pause_usec, struct guard *guard,
                         const struct failure *guard_failure)
{
        if (*guest->error.text || check_state(guest) < 0)
                return;
        apply_shadow(guest);
        if (*guest->error.text)
                return;
        if (strcmp(guest->found_state, "running") != 0)
                refuse_all(guest, RECLAIM_KIND_ZERO,
                           "it was found stopped, and whoever stopped it could resume it while pages are "
                           "given back");
        else if (!guard)
                refuse_all(guest, RECLAIM_KIND_ZERO, guard_failure->text);
        else
                apply_zero(guest, max_pause_usec, guard);
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
