/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/fake_qemu.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "unit.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(FILE *stream, const char *text)
{
        (void)fprintf(stream, "%s\n", text);
        (void)fflush(stream);
}

/* A test that sees the state may read what was stored before it: the time, above all. */
static void set_state(struct fake_state *state, const char *run_state)
{
        __atomic_thread_fence(__ATOMIC_RELEASE);
        (void)snprintf(state->run_state, sizeof(state->run_state), "%s", run_state);
}

static struct json_object *text_object(const char *key, const char *text)
{
        struct json_object *object = json_object_new_object();

        if (*text)
                (void)json_object_object_add(object, key, json_object_new_string(text));
        return object;
}

static struct json_object *run_monitor(const struct fake_qemu *fake, const char *command)
{
        char text[512];

        if (strncmp(command, "gpa2hva", 7) == 0)
                (void)snprintf(text, sizeof(text), "Host virtual address for 0x0 (pc.ram) is %p\r\n",
                               fake->state->lies ? (void *)4096 : fake->ram);
        else
                (void)snprintf(text, sizeof(text),
                               "FlatView #0\r\n AS \"memory\", root: system\r\n"
                               "  0000000000000000-%016x (prio 0, ram): pc.ram\r\n",
                               FAKE_RAM_BYTES - 1);
        return json_object_new_string(text);
}

static void stop(struct fake_state *state, FILE *stream)
{
        state->stops++;
        if (strcmp(state->run_state, "running") != 0)
                return;
        state->stopped_usec = clock_now_usec();
        set_state(state, "paused");
        (void)usleep(state->stop_delay_usec);
        say(stream, "{\"event\":\"STOP\",\"data\":{}}");
}

static void cont(struct fake_state *state, FILE *stream)
{
        state->conts++;
        if (strcmp(state->run_state, "running") == 0)
                return;
        state->resumed_usec = clock_now_usec();
        set_state(state, "running");
        say(stream, "{\"event\":\"RESUME\",\"data\":{}}");
}

/* The value of "return", or NULL for an error. */
static struct json_object *run_command(const struct fake_qemu *fake, FILE *stream, const char *command,
                                       struct json_object *arguments)
{
        struct fake_state *state = fake->state;
        struct json_object *value = NULL;
        char reply[256];

        if (strcmp(command, "query-status") == 0)
                return text_object("status", state->run_state);
        if (strcmp(command, "query-migrate") == 0)
                return text_object("status", state->migration);
        if (strcmp(command, "query-name") == 0)
                return text_object("name", "fake");
        if (strcmp(command, "query-uuid") == 0)
                return text_object("UUID", "00000000-0000-0000-0000-000000000000");
        if (strcmp(command, "human-monitor-command") == 0 &&
            json_object_object_get_ex(arguments, "command-line", &value))
                return run_monitor(fake, json_object_get_string(value));
        if (strcmp(command, "query-memdev") == 0 || strcmp(command, "qom-list") == 0) {
                (void)snprintf(
                        reply, sizeof(reply),
                        "[{\"id\":\"pc.ram\",\"size\":%u,\"share\":false,\"merge\":true,\"name\":\"pc.ram\","
                        "\"type\":\"child<memory-backend-ram>\"}]",
                        FAKE_RAM_BYTES);
                return json_tokener_parse(reply);
        }
        if (strcmp(command, "cont") == 0 && state->refuses_cont)
                return NULL;
        if (strcmp(command, "stop") == 0)
                stop(state, stream);
        if (strcmp(command, "cont") == 0)
                cont(state, stream);
        return json_object_new_object();
}

static bool take(volatile bool *flag)
{
        bool value = *flag;

        *flag = false;
        return value;
}

/* Returns false when the connection is to be closed. */
static bool answer(const struct fake_qemu *fake, FILE *stream, struct json_object *request)
{
        struct json_object *command = NULL;
        struct json_object *arguments = NULL;
        struct json_object *id = NULL;
        struct json_object *reply = json_object_new_object();
        struct json_object *value = NULL;

        (void)json_object_object_get_ex(request, "execute", &command);
        (void)json_object_object_get_ex(request, "arguments", &arguments);
        value = run_command(fake, stream, json_object_get_string(command), arguments);
        if (json_object_object_get_ex(request, "id", &id))
                (void)json_object_object_add(reply, "id", json_object_get(id));
        (void)json_object_object_add(reply, value ? "return" : "error",
                                     value ? value : text_object("desc", "not now"));
        if (take(&fake->state->closes)) {
                json_object_put(reply);
                return false;
        }
        if (take(&fake->state->says_garbage))
                say(stream, "garbage");
        say(stream, json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN));
        json_object_put(reply);
        if (strcmp(json_object_get_string(command), "stop") == 0 && take(&fake->state->stop_event_resumed)) {
                (void)usleep(fake->state->stop_event_delay_usec);
                cont(fake->state, stream);
        }
        return true;
}

static void serve(const struct fake_qemu *fake, int fd)
{
        FILE *requests = fdopen(fd, "r");
        FILE *stream = fdopen(dup(fd), "w");
        char line[65536];

        fake->state->clients++;
        say(stream, "{\"QMP\":{\"version\":{},\"capabilities\":[]}}");
        while (fgets(line, sizeof(line), requests)) {
                struct json_object *request = json_tokener_parse(*line == '\xff' ? line + 1 : line);
                bool goes_on = true;

                while (fake->state->is_mute)
                        (void)usleep(1000);
                if (request)
                        goes_on = answer(fake, stream, request);
                json_object_put(request);
                if (!goes_on)
                        break;
        }
        (void)fclose(stream);
        (void)fclose(requests);
}

static _Noreturn void run_fake(const struct fake_qemu *fake, int listen_fd)
{
        (void)signal(SIGPIPE, SIG_IGN);
        for (;;) {
                int fd = accept(listen_fd, NULL, NULL);

                if (fd >= 0)
                        serve(fake, fd);
        }
}

static int make_listener(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        CU_ASSERT_FATAL(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

void fake_qemu_start(struct fake_qemu *fake, const char *folder, const char *name, bool foreign_listener)
{
        const int protection = PROT_READ | PROT_WRITE;
        int fd = -1;

        (void)snprintf(fake->path, sizeof(fake->path), "%s/%s", folder, name);
        fake->state = mmap(NULL, sizeof(*fake->state), protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        fake->ram = mmap(NULL, FAKE_RAM_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CU_ASSERT_FATAL(fake->state != MAP_FAILED && fake->ram != MAP_FAILED);
        set_state(fake->state, "running");
        fd = make_listener(fake->path);
        if (foreign_listener)
                (void)listen(fd, 1);
        fake->pid = fork();
        CU_ASSERT_FATAL(fake->pid >= 0);
        if (fake->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* Who listens is who counts as the peer. */
                if (!foreign_listener)
                        (void)listen(fd, 1);
                fake->state->is_listening = true;
                run_fake(fake, fd);
        }
        close_fd(&fd);
        (void)munmap(fake->ram, FAKE_RAM_BYTES);
        while (!fake->state->is_listening)
                (void)usleep(100);
}

void fake_qemu_stop(struct fake_qemu *fake)
{
        (void)kill(fake->pid, SIGKILL);
        (void)waitpid(fake->pid, NULL, 0);
        (void)munmap(fake->state, sizeof(*fake->state));
        (void)unlink(fake->path);
}

bool fake_qemu_wait_for(const struct fake_qemu *fake, const char *run_state, int msec)
{
        uint64_t deadline_usec = clock_now_usec() + (uint64_t)msec * USEC_PER_MSEC;

        while (strcmp(fake->state->run_state, run_state) != 0) {
                if (clock_now_usec() >= deadline_usec)
                        return false;
                (void)usleep(500);
        }
        return true;
}
