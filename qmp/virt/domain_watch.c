/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread: libvirt's event loop, in which events only note what there is to do, and after each turn of it
 * what needs further calls is done. A libvirtd that hangs hangs this process; the service sees that it is
 * silent, and replaces it.
 *
 * Event callbacks and their free functions are called by libvirt's own loop, which never frees a callback's
 * data while the callback runs. The data is the watch itself and outlives the connection, so there is nothing
 * to free.
 */
#include "qmp/virt/domain_watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/wire.h"
#include "qmp/virt/domain_metadata.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <string.h>

#define ALIVE_MSEC        60000
#define KEEPALIVE_SEC     5
#define KEEPALIVE_COUNT   3
#define SEND_USEC         (10 * USEC_PER_SEC)
#define COMMAND_MAX_BYTES 65536
/* Requests that wait to be looked at; more are dropped, they can be repeated. */
#define REQUESTS_MAX 256

struct watch {
        virConnectPtr connection;
        struct wire wire;
        virDomainPtr requests[REQUESTS_MAX]; /* whose metadata has changed */
        size_t n_requests;
        bool has_ended;
};

/* @data is taken. */
static void tell(struct watch *watch, const char *event, struct json_object *data)
{
        struct json_object *line = json_object_new_object();

        json_add_text(line, "event", event);
        json_add(line, "data", data);
        if (wire_send_before(&watch->wire, line, clock_now_usec() + SEND_USEC, NULL) < 0)
                watch->has_ended = true;
        json_object_put(line);
}

static void fail(struct watch *watch, const char *what)
{
        const char *reason = virGetLastErrorMessage();
        struct json_object *data = json_object_new_object();
        struct failure failure = {0};

        (void)failure_set(&failure, 0, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
        json_add_text(data, "desc", failure.text);
        tell(watch, DOMAIN_WATCH_EVENT_FAILED, data);
}

static struct json_object *describe(virDomainPtr domain)
{
        struct json_object *data = json_object_new_object();
        char uuid[VIR_UUID_STRING_BUFLEN] = "";

        (void)virDomainGetUUIDString(domain, uuid);
        json_add_text(data, "name", virDomainGetName(domain));
        json_add_text(data, "uuid", uuid);
        return data;
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *context)
{
        (void)connection;
        switch (event) {
        case VIR_DOMAIN_EVENT_STARTED:
                tell(context, DOMAIN_WATCH_EVENT_STARTED, describe(domain));
                break;
        case VIR_DOMAIN_EVENT_STOPPED:
                tell(context, DOMAIN_WATCH_EVENT_STOPPED, describe(domain));
                break;
        case VIR_DOMAIN_EVENT_SUSPENDED:
                /* By a migration, an I/O error and so on: not the operator's, and not the time. */
                if (detail == VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
                        tell(context, DOMAIN_WATCH_EVENT_SUSPENDED, describe(domain));
                break;
        default:
                break;
        }
        return 0;
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                        void *context)
{
        struct watch *watch = context;

        (void)connection;
        if (type != VIR_DOMAIN_METADATA_ELEMENT || !uri || strcmp(uri, DOMAIN_WATCH_SCAN_URI) != 0 ||
            watch->n_requests == REQUESTS_MAX || virDomainRef(domain) < 0)
                return;
        watch->requests[watch->n_requests++] = domain;
}

static void on_close(virConnectPtr connection, int reason, void *context)
{
        struct watch *watch = context;

        (void)connection;
        (void)reason;
        watch->has_ended = true;
}

static void on_alive(int timer, void *context)
{
        (void)timer;
        tell(context, DOMAIN_WATCH_EVENT_ALIVE, json_object_new_object());
}

/* The element is gone when somebody removed it: that is no request. */
static void look_at_request(struct watch *watch, virDomainPtr domain)
{
        CLEANUP_FREE char *xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                                      DOMAIN_WATCH_SCAN_URI, VIR_DOMAIN_AFFECT_LIVE);
        char mode[DOMAIN_METADATA_MODE_BYTES] = "";
        struct failure failure = {0};
        struct json_object *data = NULL;

        if (!xml)
                return;
        data = describe(domain);
        if (domain_metadata_read_scan(xml, mode, &failure) < 0)
                json_add_text(data, "error", failure.text);
        else if (mode[0])
                json_add_text(data, "mode", mode);
        tell(watch, DOMAIN_WATCH_EVENT_REQUESTED, data);
}

static void look_at_requests(struct watch *watch)
{
        for (size_t i = 0; i < watch->n_requests; i++) {
                look_at_request(watch, watch->requests[i]);
                (void)virDomainFree(watch->requests[i]);
        }
        watch->n_requests = 0;
}

/* Commands */

static void set_result(struct watch *watch, struct json_object *arguments)
{
        struct json_object *uuid = NULL;
        CLEANUP_FREE char *xml = NULL;
        virDomainPtr domain = NULL;

        if (!json_object_is_type(arguments, json_type_object) ||
            !json_object_object_get_ex(arguments, "uuid", &uuid) ||
            !json_object_is_type(uuid, json_type_string))
                return;
        domain = virDomainLookupByUUIDString(watch->connection, json_object_get_string(uuid));
        json_object_object_del(arguments, "uuid");
        xml = domain_metadata_write_result(arguments);
        /* A domain that is gone by now has no use for a result. */
        if (domain && xml)
                (void)virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, DOMAIN_WATCH_KEY,
                                           DOMAIN_WATCH_RESULT_URI, VIR_DOMAIN_AFFECT_LIVE);
        if (domain)
                (void)virDomainFree(domain);
}

static void on_command(int handle, int fd, int events, void *context)
{
        struct watch *watch = context;
        struct json_object *line = NULL;
        int r = 0;

        (void)handle;
        (void)fd;
        (void)events;
        while ((r = wire_next(&watch->wire, &line, NULL)) == 0) {
                struct json_object *command = NULL;
                struct json_object *arguments = NULL;

                if (json_object_object_get_ex(line, "execute", &command) &&
                    json_object_object_get_ex(line, "arguments", &arguments) &&
                    strcmp(json_object_get_string(command), DOMAIN_WATCH_SET_RESULT) == 0)
                        set_result(watch, arguments);
                json_object_put(line);
        }
        if (r != WIRE_E_NOTHING)
                watch->has_ended = true;
}

/* The beginning */

static int list_domains(struct watch *watch)
{
        virDomainPtr *domains = NULL;
        const int n = virConnectListAllDomains(watch->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

        if (n < 0)
                return -EIO;
        for (int i = 0; i < n; i++) {
                tell(watch, DOMAIN_WATCH_EVENT_STARTED, describe(domains[i]));
                (void)virDomainFree(domains[i]);
        }
        free(domains);
        return 0;
}

static int watch_events(struct watch *watch)
{
        virConnectPtr connection = watch->connection;

        /* Drivers without a daemon behind them have nothing to be kept alive. */
        (void)virConnectSetKeepAlive(connection, KEEPALIVE_SEC, KEEPALIVE_COUNT);
        if (virConnectRegisterCloseCallback(connection, on_close, watch, NULL) < 0 ||
            virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                             VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), watch, NULL) < 0 ||
            virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                                             VIR_DOMAIN_EVENT_CALLBACK(on_metadata), watch, NULL) < 0 ||
            virEventAddTimeout(ALIVE_MSEC, on_alive, watch, NULL) < 0 ||
            virEventAddHandle(watch->wire.fd, VIR_EVENT_HANDLE_READABLE, on_command, watch, NULL) < 0)
                return -EIO;
        return 0;
}

static void be_quiet(void *context, virErrorPtr error)
{
        (void)context;
        (void)error;
}

static int run(struct watch *watch, const char *uri)
{
        virSetErrorFunc(NULL, be_quiet);
        if (virEventRegisterDefaultImpl() < 0) {
                fail(watch, "cannot watch libvirt");
                return -EIO;
        }
        watch->connection = virConnectOpen(uri);
        if (!watch->connection || watch_events(watch) < 0) {
                fail(watch, "cannot watch libvirt");
                return -EIO;
        }
        tell(watch, DOMAIN_WATCH_EVENT_CONNECTED, json_object_new_object());
        if (list_domains(watch) < 0) {
                fail(watch, "cannot list the domains of libvirt");
                return -EIO;
        }
        while (!watch->has_ended && virEventRunDefaultImpl() >= 0)
                look_at_requests(watch);
        return 0;
}

int domain_watch_run(const char *uri, int fd)
{
        struct watch watch = {0};
        int r = wire_init(&watch.wire, fd, COMMAND_MAX_BYTES);

        if (r == 0)
                r = run(&watch, uri);
        /* What is left goes with the process. */
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
