/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "daemon/request.h"
#include "daemon/virt_uri.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct options *make_config(void)
{
        struct options *config = NULL;

        CU_ASSERT_EQUAL_FATAL(options_new(true, &config), 0);
        return config;
}

static bool has(char **words, const char *word)
{
        for (size_t i = 0; words[i]; i++)
                if (strcmp(words[i], word) == 0)
                        return true;
        return false;
}

static size_t count(char **words, const char *start)
{
        size_t n = 0;

        for (size_t i = 0; words[i]; i++)
                n += strncmp(words[i], start, strlen(start)) == 0;
        return n;
}

static char **arguments_of(const struct request *request, const struct options *config,
                           const struct patterns *skip)
{
        char **words = NULL;

        CU_ASSERT_EQUAL_FATAL(request_arguments(request, config, false, skip, &words), 0);
        return words;
}

static void test_defaults(void)
{
        struct options *config = make_config();
        struct request request;
        char **words = NULL;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_SCHEDULE, config);
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_STRING_EQUAL(words[0], "samepage");
        CU_ASSERT_STRING_EQUAL(words[1], "scan");
        CU_ASSERT_TRUE(has(words, "--events"));
        CU_ASSERT_TRUE(has(words, "--control=none"));
        CU_ASSERT_TRUE(has(words, "--mode=snapshot"));
        CU_ASSERT_TRUE(has(words, "--max-pause=500ms"));
        CU_ASSERT_FALSE(has(words, "--together"));
        CU_ASSERT_EQUAL(count(words, "--qmp"), 0);
        CU_ASSERT_EQUAL(count(words, "--cpus"), 0);
        strv_free(words);
        request_init(&request, REQUEST_RESUME, REQUEST_BY_SERVICE, config);
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_TRUE(has(words, "--stale"));
        CU_ASSERT_EQUAL(count(words, "--guest"), 0);
        strv_free(words);
        options_free(config);
}

/* The configuration's options, as the command line takes them. */
static void test_options(void)
{
        static const char *const options[][3] = {
                {"guests", "libvirt_uri", "test:///x"},
                {"guests", "include", "web* \"my vm\""},
                {"guests", "exclude", "test?"},
                {"scan", "careful", "yes"},
                {"scan", "threads", "3"},
                {"scan", "cpus", "0-2,5"},
                {"scan", "max_pause", "1ms"},
                {"scan", "timeout", "7s"},
                {"scan", "together", "yes"},
                {"scan", "recheck", "1500ms"},
                {"scan", "mode", "sliced"},
        };
        struct options *config = make_config();
        struct request request;
        char **words = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                CU_ASSERT_EQUAL(options_set_key(config, options_find_key(options[i][0], options[i][1]),
                                                options[i][1], options[i][2], NULL),
                                0);
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SCHEDULE, config);
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_TRUE(has(words, "--include=web*"));
        CU_ASSERT_TRUE(has(words, "--include=my vm"));
        CU_ASSERT_TRUE(has(words, "--exclude=test?"));
        CU_ASSERT_TRUE(has(words, "--careful"));
        CU_ASSERT_TRUE(has(words, "--threads=3"));
        CU_ASSERT_TRUE(has(words, "--cpus=0,1,2,5"));
        CU_ASSERT_TRUE(has(words, "--max-pause=1ms"));
        CU_ASSERT_TRUE(has(words, "--timeout=7s"));
        CU_ASSERT_TRUE(has(words, "--together"));
        CU_ASSERT_TRUE(has(words, "--recheck=1500ms"));
        CU_ASSERT_TRUE(has(words, "--mode=sliced"));
        CU_ASSERT_TRUE(has(words, "--libvirt=test:///x"));
        strv_free(words);
        options_free(config);
}

/* Who the service is, is said where KSM's settings are reckoned, which it writes, and nowhere else. */
static void test_for_service(void)
{
        struct options *config = make_config();
        struct request request;
        char wanted[32] = "";
        char **words = NULL;

        (void)snprintf(wanted, sizeof(wanted), "--for-service=%d", (int)getpid());
        request_init(&request, REQUEST_SCAN, REQUEST_BY_SERVICE, config);
        request.forecast = false;
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_EQUAL(count(words, "--for-service"), 0);
        strv_free(words);
        request.forecast = true;
        request.acts = true;
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_STRING_EQUAL(words[1], "tune");
        CU_ASSERT_TRUE(has(words, wanted));
        strv_free(words);
        options_free(config);
}

/* Once the libvirt of this host has answered, a scan of all guests asks it also without its socket. */
static void test_libvirt_that_has_answered(void)
{
        const bool is_there = virt_uri_find(VIRT_URI_AUTO, "", false) != NULL;
        struct options *config = make_config();
        struct request request;
        char **words = NULL;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_SCHEDULE, config);
        CU_ASSERT_EQUAL_FATAL(request_arguments(&request, config, true, NULL, &words), 0);
        CU_ASSERT_TRUE(has(words, "--libvirt=qemu:///system"));
        strv_free(words);
        CU_ASSERT_EQUAL(request_add_guest(&request, "web1"), 0);
        CU_ASSERT_EQUAL_FATAL(request_arguments(&request, config, true, NULL, &words), 0);
        CU_ASSERT_EQUAL(has(words, "--libvirt=qemu:///system"), is_there);
        strv_free(words);
        request_deinit(&request);
        options_free(config);
}

/* Names are words of their own, whatever is in them; one that is left out is no pattern. */
static void test_names(void)
{
        char skipped[] = "a[1]*?\\";
        char *skipped_list[] = {skipped};
        const struct patterns skip = {skipped_list, 1};
        struct options *config = make_config();
        struct request request;
        char **words = NULL;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_CONTROL, config);
        CU_ASSERT_EQUAL(request_add_guest(&request, "--json"), 0);
        CU_ASSERT_EQUAL(request_add_guest(&request, "two words; rm"), 0);
        CU_ASSERT_EQUAL(request_add_guest(&request, "--json"), 0);
        CU_ASSERT_EQUAL(request.guests.n, 2);
        words = arguments_of(&request, config, &skip);
        CU_ASSERT_TRUE(has(words, "--guest=--json"));
        CU_ASSERT_TRUE(has(words, "--guest=two words; rm"));
        CU_ASSERT_TRUE(has(words, "--exclude=a\\[1]\\*\\?\\\\"));
        strv_free(words);
        request_deinit(&request);
        options_free(config);
}

static void test_sockets(void)
{
        char folder[] = "/tmp/samepage-request-XXXXXX";
        struct options *config = make_config();
        struct request request;
        char text[256] = "";
        char **words = NULL;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        for (int i = 0; i < 3; i++) {
                (void)snprintf(text, sizeof(text), "%s/%d.qmp", folder, i);
                (void)close(open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        }
        /* What two patterns find is one guest. */
        (void)snprintf(text, sizeof(text), "%s/none-* %s/*.qmp %s/1.*", folder, folder, folder);
        CU_ASSERT_EQUAL(
                options_set_key(config, options_find_key("guests", "qmp_sockets"), "qmp_sockets", text, NULL),
                0);
        request_init(&request, REQUEST_GUESTS, REQUEST_BY_CONTROL, config);
        words = arguments_of(&request, config, NULL);
        CU_ASSERT_EQUAL(count(words, "--qmp="), 3);
        strv_free(words);
        for (int i = 0; i < 3; i++) {
                (void)snprintf(text, sizeof(text), "%s/%d.qmp", folder, i);
                (void)unlink(text);
        }
        (void)rmdir(folder);
        options_free(config);
}

static int read_text(const char *text, struct request *request)
{
        struct json_object *json = json_tokener_parse(text);
        struct failure failure = {0};
        int r = request_read(request, json, &failure);

        CU_ASSERT_EQUAL(r < 0, failure.text[0] != '\0');
        json_object_put(json);
        return r;
}

static void test_read(void)
{
        static const char *const wrong[] = {
                "{\"guests\":\"a\"}",
                "{\"guests\":[null]}",
                "{\"mode\":\"x\"}",
                "{\"mode\":1}",
                "{\"max_pause_seconds\":0}",
                "{\"max_pause_seconds\":-1}",
                "{\"max_pause_seconds\":0.51}",
                "{\"max_pause_seconds\":null}",
                "{\"guests\":[\"\"]}",
                "{\"together\":\"yes\"}",
                "{\"recheck_seconds\":3601}",
                "{\"recheck_seconds\":-1}",
                "{\"recheck_seconds\":\"60\"}",
                "{\"other\":1}",
                "{\"max_pause\":\"5\"}", /* of what? */
                "{\"max_pause\":0.25}",
                "{\"max_pause\":\"501ms\"}",
                "{\"recheck\":\"2h\"}",
                "{\"together_seconds\":1}",
                "{\"threads\":\"2\"}", /* is the configuration's */
        };
        struct options *config = make_config();
        struct request request;

        request_init(&request, REQUEST_SCAN, REQUEST_BY_CONTROL, config);
        CU_ASSERT_EQUAL(read_text("null", &request), 0);
        CU_ASSERT_EQUAL(request.max_pause_usec, config->scan.max_pause_usec);
        CU_ASSERT_EQUAL(read_text("{\"guests\":[\"a\",\"b\"],\"mode\":\"live\",\"max_pause_seconds\":0.25,"
                                  "\"together\":true,\"recheck_seconds\":60}",
                                  &request),
                        0);
        CU_ASSERT_EQUAL(request.guests.n, 2);
        CU_ASSERT_EQUAL(request.mode, SCAN_MODE_LIVE);
        CU_ASSERT_EQUAL(request.max_pause_usec, USEC_PER_SEC / 4);
        CU_ASSERT_TRUE(request.together);
        CU_ASSERT_EQUAL(request.recheck_usec, 60 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(
                read_text("{\"max_pause\":\"100ms\",\"recheck\":\"2min\",\"forecast\":true}", &request), 0);
        CU_ASSERT_EQUAL(request.max_pause_usec, USEC_PER_SEC / 10);
        CU_ASSERT_EQUAL(request.recheck_usec, 120 * USEC_PER_SEC);
        CU_ASSERT_TRUE(request.forecast);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                CU_ASSERT_EQUAL(read_text(wrong[i], &request), -EINVAL);
        request_deinit(&request);
        options_free(config);
}

static const struct unit_test tests[] = {
        {"defaults", test_defaults},
        {"options", test_options},
        {"a libvirt that has answered", test_libvirt_that_has_answered},
        {"names", test_names},
        {"for service", test_for_service},
        {"sockets", test_sockets},
        {"read", test_read},
};

UNIT_MAIN("request", tests)
