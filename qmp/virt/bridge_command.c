/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP's commands, carried out by libvirt.
 *
 * Whatever the guard and the scan need is here; commands that QEMU has and nobody here asks for are
 * CommandNotFound.
 *
 * A command whose connection to libvirt breaks is run again over a new one until that works, the peer goes
 * away, or RETRY_USEC are over. That is right for each of them: stop and cont are idempotent, libvirtd
 * carries them out only after it has looked at what its QEMUs do, and nobody else can pause or resume a
 * domain while libvirtd is away. A stop that broke and could not be repeated may have been carried out: it
 * ends the peer's connection, since an error would say that the domain was not stopped.
 *
 * A domain keeps its UUID when it is started anew, and gets another id: then the peer is told that it is
 * gone.
 */
#include "qmp/virt/bridge_command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "qmp/virt/bridge.h"
#include "qmp/virt/bridge_state.h"
#include "qmp/virt/domain_memory.h"
#include "qmp/virt/domain_xml.h"

#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_USEC     (120 * USEC_PER_SEC)
#define RETRY_NAP_USEC 100000

/* What a command works on; @domain is NULL for the host. */
struct task {
        struct bridge_peer *peer;
        virConnectPtr connection;
        virDomainPtr domain;
        struct json_object *request;
        struct json_object *reply;
        struct failure failure;
        bool has_broken; /* the connection, at least once */
};

typedef int operation_fn(struct task *task);

static const char *libvirt_says(void)
{
        return virGetLastErrorMessage();
}

static int fail(struct task *task)
{
        return failure_set(&task->failure, -EREMOTEIO, "libvirt: %s", libvirt_says());
}

/* Running an operation, over a new connection if need be */

static int find_domain(struct task *task)
{
        struct bridge_peer *peer = task->peer;
        int id = -1;

        task->domain = virDomainLookupByUUIDString(task->connection, peer->uuid);
        if (!task->domain)
                return fail(task);
        id = (int)virDomainGetID(task->domain);
        if (id < 0)
                return failure_set(&task->failure, -ESRCH, "the domain does not run");
        if (peer->domain_id >= 0 && id != peer->domain_id)
                return failure_set(&task->failure, -ESRCH, "the domain has been started anew");
        peer->domain_id = id;
        return 0;
}

/* -ENOTCONN when the connection broke before it was done. */
static int attempt(struct task *task, operation_fn *operation)
{
        int r = bridge_link_get(task->peer->link, &task->connection, &task->failure);

        if (r < 0)
                return r;
        if (*task->peer->uuid)
                r = find_domain(task);
        if (r == 0)
                r = operation(task);
        if (r < 0 && r != -ESRCH && virConnectIsAlive(task->connection) == 0)
                r = -ENOTCONN;
        if (task->domain)
                (void)virDomainFree(task->domain);
        (void)virConnectClose(task->connection);
        task->domain = NULL;
        task->connection = NULL;
        return r;
}

static bool has_hung_up(const struct bridge_peer *peer)
{
        struct pollfd pollfd = {.fd = peer->wire.fd};

        return poll(&pollfd, 1, 0) > 0 && pollfd.revents & (POLLHUP | POLLERR);
}

static int run(struct task *task, operation_fn *operation)
{
        const uint64_t end_usec = clock_now_usec() + RETRY_USEC;

        for (;;) {
                int r = attempt(task, operation);

                task->has_broken |= r == -ENOTCONN;
                if (r != -ENOTCONN || clock_now_usec() >= end_usec || has_hung_up(task->peer))
                        return r;
                (void)usleep(RETRY_NAP_USEC);
        }
}

/* Operations */

static void set_reply(struct task *task, struct json_object *reply)
{
        json_object_put(task->reply);
        task->reply = reply;
}

static void reply_string(struct task *task, const char *key, const char *value)
{
        struct json_object *object = json_object_new_object();

        json_add_text(object, key, value);
        set_reply(task, object);
}

static int do_nothing(struct task *task)
{
        set_reply(task, json_object_new_object());
        return 0;
}

static int negotiate(struct task *task)
{
        task->peer->has_negotiated = true;
        return do_nothing(task);
}

static int query_name(struct task *task)
{
        const char *name = virDomainGetName(task->domain);

        if (!name)
                return fail(task);
        reply_string(task, "name", name);
        return 0;
}

static int query_uuid(struct task *task)
{
        reply_string(task, "UUID", task->peer->uuid);
        return 0;
}

static int query_status(struct task *task)
{
        const char *status = NULL;
        int state = 0;
        int reason = 0;

        if (virDomainGetState(task->domain, &state, &reason, 0) < 0)
                return fail(task);
        status = bridge_state_to_run_state(state, reason);
        reply_string(task, "status", status);
        json_add_bool(task->reply, "running", strcmp(status, "running") == 0);
        return 0;
}

/* Any job of libvirt on the domain counts as a migration: QEMU saves, dumps and snapshots by one, too. */
static int query_migrate(struct task *task)
{
        virDomainJobInfo job = {.type = VIR_DOMAIN_JOB_NONE};
        int state = 0;
        int reason = 0;

        if (virDomainGetState(task->domain, &state, &reason, 0) < 0)
                return fail(task);
        /* The test driver has no jobs. */
        if (virDomainGetJobInfo(task->domain, &job) < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT &&
            virGetLastErrorCode() != VIR_ERR_OPERATION_UNSUPPORTED)
                return fail(task);
        set_reply(task, json_object_new_object());
        if (bridge_state_is_postcopy(state, reason))
                json_add_text(task->reply, "status", "postcopy-active");
        else if (job.type == VIR_DOMAIN_JOB_BOUNDED || job.type == VIR_DOMAIN_JOB_UNBOUNDED)
                json_add_text(task->reply, "status", "active");
        return 0;
}

static bool is_in_state(virDomainPtr domain, int wanted)
{
        int state = 0;

        return virDomainGetState(domain, &state, NULL, 0) == 0 && state == wanted;
}

static int watch(struct task *task)
{
        /* In this order: a connection that breaks in between is noticed one way or the other. */
        bridge_peer_note_watch(task->peer, true);
        if (bridge_link_has_events(task->peer->link))
                return do_nothing(task);
        bridge_peer_note_watch(task->peer, false);
        return failure_set(
                &task->failure, -ENOTSUP,
                "libvirt sends no events, so nobody would notice if somebody else resumed the domain");
}

static int stop(struct task *task)
{
        /* Before the call: its event may come before its reply. */
        bridge_peer_note_stop(task->peer, true);
        if (virDomainSuspend(task->domain) < 0) {
                int r = fail(task);

                /* QMP's stop does nothing to a guest that is paused; some drivers make that an error. */
                if (!is_in_state(task->domain, VIR_DOMAIN_PAUSED)) {
                        bridge_peer_note_stop(task->peer, false);
                        return r;
                }
        }
        return do_nothing(task);
}

static int cont(struct task *task)
{
        if (virDomainResume(task->domain) < 0) {
                int r = fail(task);

                if (!is_in_state(task->domain, VIR_DOMAIN_RUNNING))
                        return r;
        }
        bridge_peer_note_stop(task->peer, false);
        return do_nothing(task);
}

static int query_domain(struct task *task)
{
        CLEANUP(domain_memory_deinit) struct domain_memory memory = {0};
        CLEANUP_FREE char *xml = virDomainGetXMLDesc(task->domain, 0);
        int r = 0;

        if (!xml)
                return fail(task);
        r = domain_xml_parse(xml, &memory, &task->failure);
        if (r == 0)
                set_reply(task, domain_memory_to_json(&memory));
        return r;
}

static void append_domain(struct json_object *list, virDomainPtr domain)
{
        struct json_object *object = json_object_new_object();
        char uuid[VIR_UUID_STRING_BUFLEN] = "";
        const char *name = virDomainGetName(domain);

        (void)virDomainGetUUIDString(domain, uuid);
        json_add_text(object, "uuid", uuid);
        json_add_text(object, "name", name ? name : uuid);
        (void)json_object_array_add(list, object);
}

static int list_domains(struct task *task)
{
        virDomainPtr *domains = NULL;
        int count = virConnectListAllDomains(task->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        struct json_object *list = NULL;

        if (count < 0)
                return fail(task);
        list = json_object_new_array();
        for (int i = 0; i < count; i++) {
                if (i < BRIDGE_DOMAINS_MAX)
                        append_domain(list, domains[i]);
                (void)virDomainFree(domains[i]);
        }
        free(domains);
        set_reply(task, list);
        if (count > BRIDGE_DOMAINS_MAX)
                return failure_set(&task->failure, -E2BIG, "the host has %d domains, more than %d", count,
                                   BRIDGE_DOMAINS_MAX);
        return 0;
}

/* Hands a command to the domain's monitor and takes the reply apart: the "id" in it is libvirt's. */
static int ask_monitor(struct task *task)
{
        struct json_object *command = json_object_new_object();
        struct json_object *arguments = NULL;
        struct json_object *result = NULL;
        struct json_object *value = NULL;
        CLEANUP_FREE char *text = NULL;
        int r = 0;

        (void)json_object_object_get_ex(task->request, "execute", &value);
        json_add(command, "execute", json_object_get(value));
        if (json_object_object_get_ex(task->request, "arguments", &arguments))
                json_add(command, "arguments", json_object_get(arguments));
        r = virDomainQemuMonitorCommand(task->domain, json_object_to_json_string(command), &text, 0);
        json_object_put(command);
        if (r < 0)
                return fail(task);
        result = text ? json_tokener_parse(text) : NULL;
        if (json_object_object_get_ex(result, "return", &value))
                set_reply(task, json_object_get(value));
        else
                r = failure_set(&task->failure, -EREMOTEIO, "the monitor refused it: %.200s",
                                text ? text : "");
        json_object_put(result);
        return r;
}

/* 0 when the domain is paused. */
static int check_paused(struct task *task)
{
        return is_in_state(task->domain, VIR_DOMAIN_PAUSED) ? 0 : -EAGAIN;
}

bool bridge_command_is_paused(struct bridge_peer *peer)
{
        struct task task = {.peer = peer};

        return run(&task, check_paused) == 0;
}

/* Commands */

enum command_of { OF_DOMAIN = 1U << 0, OF_HOST = 1U << 1, OF_MONITOR = 1U << 2 };

static const struct command {
        const char *name;
        unsigned int of;
        operation_fn *operation;
} commands[] = {
        {"qmp_capabilities", OF_DOMAIN | OF_HOST, negotiate},
        {"query-status", OF_DOMAIN, query_status},
        {"query-migrate", OF_DOMAIN, query_migrate},
        {"stop", OF_DOMAIN, stop},
        {"cont", OF_DOMAIN, cont},
        {"query-name", OF_DOMAIN, query_name},
        {"query-uuid", OF_DOMAIN, query_uuid},
        {"migrate-set-capabilities", OF_DOMAIN | OF_HOST, do_nothing},
        {BRIDGE_QUERY_DOMAIN, OF_DOMAIN, query_domain},
        {BRIDGE_WATCH_DOMAIN, OF_DOMAIN, watch},
        {BRIDGE_LIST_DOMAINS, OF_HOST, list_domains},
        {"human-monitor-command", OF_MONITOR, ask_monitor},
        {"query-memdev", OF_MONITOR, ask_monitor},
        {"query-memory-devices", OF_MONITOR, ask_monitor},
        {"qom-list", OF_MONITOR, ask_monitor},
        {"qom-set", OF_MONITOR, ask_monitor},
};

static const struct command *find_command(const struct bridge_peer *peer, const char *name)
{
        unsigned int of = *peer->uuid ? OF_DOMAIN : OF_HOST;

        if (*peer->uuid && peer->use_monitor)
                of |= OF_MONITOR;
        for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++)
                if (commands[i].of & of && strcmp(commands[i].name, name) == 0 &&
                    (peer->has_negotiated || commands[i].operation == negotiate))
                        return &commands[i];
        return NULL;
}

int bridge_command_execute(struct bridge_peer *peer, struct json_object *request, struct json_object *answer)
{
        struct task task = {.peer = peer, .request = request};
        struct json_object *name = NULL;
        const struct command *command = NULL;
        int r = 0;

        (void)json_object_object_get_ex(request, "execute", &name);
        if (json_object_is_type(name, json_type_string))
                command = find_command(peer, json_object_get_string(name));
        if (command)
                r = run(&task, command->operation);
        if (!command)
                json_add(answer, "error",
                         json_new_error("CommandNotFound", "no such command for a domain of libvirt"));
        else if (r < 0)
                json_add(answer, "error", json_new_error(QMP_CLIENT_SENTENCE_CLASS, task.failure.text));
        else
                json_add(answer, "return", json_object_get(task.reply));
        json_object_put(task.reply);
        return r < 0 && command->operation == stop && task.has_broken ? -ENOTCONN : 0;
}
