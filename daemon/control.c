/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/control.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "daemon/control_client.h"
#include "daemon/peer.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64
#define MODE    0660

struct control {
        struct control_server server;
        sd_event *event;
        sd_event_source *listener;
        int fd;
        char *path;
        gid_t group; /* (gid_t)-1: none */
        struct control_client *clients[CONTROL_CLIENTS_MAX];
        size_t n_clients;
};

static void drop_client(void *context, struct control_client *client)
{
        struct control *control = context;

        for (size_t i = 0; i < control->n_clients; i++)
                if (control->clients[i] == client) {
                        control->clients[i] = control->clients[--control->n_clients];
                        break;
                }
        control_client_free(client);
}

void control_broadcast(struct control *control, const char *event, struct json_object *data)
{
        struct json_object *line = json_object_new_object();

        json_add_text(line, "event", event);
        json_add(line, "data", data);
        for (size_t i = 0; i < control->n_clients; i++)
                control_client_tell(control->clients[i], line);
        json_object_put(line);
}

static void serve(struct control *control, int fd)
{
        const size_t max = CONTROL_CLIENTS_MAX;
        const struct control_client_owner owner = {&control->server, drop_client, control};
        struct peer peer = {0};

        if (peer_get(fd, &peer) < 0)
                (void)close(fd);
        else if (!peer_is_allowed(fd, &peer, control->group))
                control_client_refuse(fd,
                                      "only root and members of the group of the control socket may use it");
        else if (control->n_clients >= (peer.uid == 0 ? max : max - CONTROL_CLIENTS_ROOT))
                control_client_refuse(fd, "too many clients");
        else if (control_client_new(&owner, control->event, fd, &control->clients[control->n_clients]) == 0)
                control->n_clients++;
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *context)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)source;
        (void)revents;
        if (fd >= 0)
                serve(context, fd);
        return 0;
}

static int fill_address(const char *path, struct sockaddr_un *ret, struct failure *failure)
{
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(ret->sun_path))
                return failure_set(failure, -ENAMETOOLONG,
                                   "the path of the control socket is longer than %zu bytes",
                                   sizeof(ret->sun_path) - 1);
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
}

/* Removes a socket on which nobody listens any more. */
static int remove_left_over(const char *path, const struct sockaddr_un *address, struct failure *failure)
{
        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat status = {0};

        if (lstat(path, &status) < 0)
                return 0;
        if (!S_ISSOCK(status.st_mode))
                return failure_set(failure, -EEXIST, "%s is there and is no socket", path);
        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
                return failure_set(failure, -EADDRINUSE, "another samepaged listens on %s", path);
        (void)unlink(path);
        return 0;
}

/* Its folder is the runtime directory, which may be missing when nobody made it. */
static void make_folder(const char *path)
{
        CLEANUP_FREE char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!slash || slash == folder)
                return;
        *slash = '\0';
        (void)mkdir(folder, 0755);
}

static int bind_socket(struct control *control, struct failure *failure)
{
        struct sockaddr_un address;
        int r = fill_address(control->path, &address, failure);

        if (r < 0)
                return r;
        make_folder(control->path);
        r = remove_left_over(control->path, &address, failure);
        if (r < 0)
                return r;
        control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* Nobody connects before its owner is set: it has no permission for others until then. */
        if (control->fd < 0 || fchmod(control->fd, 0600) < 0 ||
            bind(control->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return failure_errno(failure, -errno, "cannot listen on %s", control->path);
        if (control->group != (gid_t)-1 && chown(control->path, (uid_t)-1, control->group) < 0)
                return failure_errno(failure, -errno, "cannot give %s to its group", control->path);
        if (chmod(control->path, MODE) < 0 || listen(control->fd, BACKLOG) < 0)
                return failure_errno(failure, -errno, "cannot listen on %s", control->path);
        return 0;
}

static gid_t find_group(const char *name)
{
        const struct group *group = getgrnam(name);

        return group ? group->gr_gid : (gid_t)-1;
}

int control_new(sd_event *event, const char *path, const char *group, const struct control_server *server,
                struct control **ret, struct failure *failure)
{
        struct control *control = calloc(1, sizeof(*control));
        int r = 0;

        if (!control)
                return failure_errno(failure, -ENOMEM, "cannot open the control socket");
        *control = (struct control){
                .server = *server,
                .event = event,
                .fd = -1,
                .path = strdup(path),
                .group = find_group(group),
        };
        r = control->path ? bind_socket(control, failure)
                          : failure_errno(failure, -ENOMEM, "cannot open the control socket");
        if (r >= 0) {
                r = sd_event_add_io(event, &control->listener, control->fd, EPOLLIN, on_connection, control);
                if (r < 0)
                        (void)failure_errno(failure, r, "cannot watch the control socket");
        }
        if (r < 0) {
                control_free(control);
                return r;
        }
        *ret = control;
        return 0;
}

struct control *control_free(struct control *control)
{
        if (!control)
                return NULL;
        while (control->n_clients > 0)
                drop_client(control, control->clients[0]);
        sd_event_source_disable_unref(control->listener);
        if (control->listener)
                (void)unlink(control->path);
        close_fd(&control->fd);
        free(control->path);
        free(control);
        return NULL;
}
