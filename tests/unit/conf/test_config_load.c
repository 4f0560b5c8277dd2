/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files: what they may hold, what else may lie in their place, drop-ins, and what is said about it. */
#include "base/clock.h"
#include "config_files.h"

#include <errno.h>

#define HOUR (3600 * USEC_PER_SEC)

static void test_no_file(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load(&files, false), 0);
        CU_ASSERT_EQUAL(files.config->interval_usec, HOUR);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL(config_files_load(&files, true), -ENOENT);
        ASSERT_TOLD(&files, "error: main: cannot be opened: No such file");
        CU_ASSERT_EQUAL(rmdir(files.drop_ins), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), 0);
        config_files_stop(&files);
}

static void test_a_file(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, "\xef\xbb\xbf# a comment\r\n"
                                                             "; another = comment\n"
                                                             "\n"
                                                             "[schedule]   # the plan\n"
                                                             "interval=10min ; often\n"
                                                             "  jitter_typo\n"),
                              -EINVAL);
        ASSERT_TOLD(&files, "error: main:6: an indented line goes on with the value of \"interval\" above");
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, "\xef\xbb\xbf[schedule]\r\n"
                                                             "  interval : 10min\t; often\r\n"
                                                             "[scan] ; how\n"
                                                             "mode=live\n"
                                                             "threads = 3"),
                              0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL(files.config->interval_usec, 600 * USEC_PER_SEC);
        CU_ASSERT_EQUAL(files.config->scan.mode, SCAN_MODE_LIVE);
        CU_ASSERT_EQUAL(files.config->scan.threads, 3);
        CU_ASSERT_EQUAL(config_files_load_text(&files, ""), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        config_files_stop(&files);
}

static void test_drop_ins_in_order(void)
{
        struct config_files files;

        config_files_start(&files);
        config_files_write(&files, "main", "[scan]\nthreads = 1\ncpus = 0\n[guests]\ninclude = a b c\n");
        config_files_write(&files, "main.d/20.conf", "[scan]\nthreads = 20\n");
        config_files_write(&files, "main.d/100.conf", "[scan]\nthreads = 100\ncpus = 1-2\n");
        config_files_write(&files, "main.d/Z.conf", "[guests]\ninclude = z\n");
        config_files_write(&files, "main.d/a.conf", "[guests]\ninclude = d e\n");
        config_files_write(&files, "main.d/.hidden.conf", "[scan]\nthreads = 7\ntogether = yes\n");
        config_files_write(&files, "main.d/zz.conf~", "[scan]\nthreads = 8\n");
        config_files_write(&files, "main.d/zzconf", "[scan]\nthreads = 9\n");
        CU_ASSERT_EQUAL_FATAL(config_files_load(&files, true), 0);
        CU_ASSERT_EQUAL(files.config->scan.threads, 20);
        CU_ASSERT_FALSE(files.config->scan.together);
        CU_ASSERT_EQUAL(CPU_COUNT(&files.config->scan.cpus.set), 2);
        CU_ASSERT_EQUAL_FATAL(files.config->guests.include.n, 2);
        CU_ASSERT_STRING_EQUAL(files.config->guests.include.words[0], "d");
        CU_ASSERT_STRING_EQUAL(files.told, "");
        /* Also without the file itself. */
        CU_ASSERT_EQUAL(unlink(files.main), 0);
        CU_ASSERT_EQUAL_FATAL(config_files_load(&files, false), 0);
        CU_ASSERT_EQUAL(files.config->scan.threads, 20);
        config_files_stop(&files);
}

static void test_groups_of_several_files(void)
{
        struct config_files files;

        config_files_start(&files);
        config_files_write(&files, "main", "[groups]\nacme = web*\nour own = \"a b\" mail\nall = *\n");
        config_files_write(&files, "main.d/1.conf", "[groups]\nacme = shop*\nlate = web*\n");
        CU_ASSERT_EQUAL_FATAL(config_files_load(&files, true), 0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL(files.config->merging.groups.n, 4);
        CU_ASSERT_STRING_EQUAL(groups_find(&files.config->merging.groups, "shop1"), "acme");
        CU_ASSERT_STRING_EQUAL(groups_find(&files.config->merging.groups, "a b"), "our own");
        CU_ASSERT_STRING_EQUAL(groups_find(&files.config->merging.groups, "web1"), "all");
        config_files_stop(&files);
}

static void test_lists_over_several_lines(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files,
                                                     "[guests]\n"
                                                     "include = one ; first\n"
                                                     "\t two ;sec=ond\n"
                                                     "\n"
                                                     "  # not me\n"
                                                     "  \"thr=ee\" [f]our\n"
                                                     "[groups]\n"
                                                     "a_group_with_a_long_name_of_50_letters_0123456789_0 =\n"
                                                     "  x*\n"
                                                     "  y*\n"
                                                     "[schedule]\n"
                                                     "quiet_hours = Mon 01:00-02:00\n"
                                                     "   03:00-04:00\n"),
                              0);
        CU_ASSERT_STRING_EQUAL(files.told, "");
        CU_ASSERT_EQUAL_FATAL(files.config->guests.include.n, 4);
        CU_ASSERT_STRING_EQUAL(files.config->guests.include.words[1], "two");
        CU_ASSERT_STRING_EQUAL(files.config->guests.include.words[2], "thr=ee");
        CU_ASSERT_EQUAL(files.config->merging.groups.n, 1);
        CU_ASSERT_STRING_EQUAL(groups_find(&files.config->merging.groups, "y"),
                               "a_group_with_a_long_name_of_50_letters_0123456789_0");
        CU_ASSERT_EQUAL_FATAL(files.config->quiet_hours.n, 2);
        CU_ASSERT_EQUAL(files.config->quiet_hours.ranges[1].days, 0x7f);
        config_files_stop(&files);
}

/* What is indented by habit is not taken for a part of the value above. */
static void test_indented_keys(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL(config_files_load_text(&files, "[guests]\n"
                                                       "  include = a\n"
                                                       "  exclude = b\n"
                                                       "[scan]\n"
                                                       "threads = 1\n"
                                                       "  2\n"
                                                       "[guests]\n"
                                                       "qmp_sockets = /a\n"
                                                       "  [scan]\n"),
                        -EINVAL);
        ASSERT_TOLD(&files, "error: main:3: an indented line goes on with the value of \"include\" above");
        ASSERT_TOLD(&files, "error: main:6: an indented line goes on with the value of \"threads\" above");
        ASSERT_TOLD(&files,
                    "error: main:9: an indented line goes on with the value of \"qmp_sockets\" above");
        CU_ASSERT_EQUAL(files.n_errors, 3);
        config_files_stop(&files);
}

static void test_unknown_keys_warn(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL(config_files_load_text(&files, "colour = red\n"
                                                       "interval = 2h\n"
                                                       "[schedule]\n"
                                                       "intervall = 2h\n"
                                                       "max_pause = 1s\n"
                                                       "fondness = 3\n"
                                                       "[sched]\n"
                                                       "interval = 2h\n"
                                                       "  more\n"
                                                       "[shedule]\n"
                                                       "interval = 2h\n"
                                                       "[scan]\n"
                                                       "max-pause = 1s\n"),
                        0);
        CU_ASSERT_STRING_EQUAL(
                files.told,
                "warning: main:1: colour: stands before the first section, and is ignored\n"
                "warning: main:2: interval: is ignored here; it belongs to [schedule]\n"
                "warning: main:4: [schedule] intervall: unknown key, which is ignored; did you mean "
                "\"interval\"?\n"
                "warning: main:5: [schedule] max_pause: is ignored here; it belongs to [scan]\n"
                "warning: main:6: [schedule] fondness: unknown key, which is ignored\n"
                "warning: main:7: [sched]: unknown section, which is ignored\n"
                "warning: main:10: [shedule]: unknown section, which is ignored; did you mean [schedule]?\n"
                "warning: main:13: [scan] max-pause: unknown key, which is ignored; did you mean "
                "\"max_pause\"?\n");
        CU_ASSERT_EQUAL(files.config->interval_usec, HOUR);
        config_files_stop(&files);
}

static void test_duplicate_keys_warn(void)
{
        struct config_files files;

        config_files_start(&files);
        config_files_write(&files, "main.d/1.conf", "[scan]\nthreads = 4\n");
        CU_ASSERT_EQUAL(config_files_load_text(&files, "[guests]\n"
                                                       "include = a\n"
                                                       "include = b\n"
                                                       "[groups]\n"
                                                       "acme = a\n"
                                                       "[scan]\n"
                                                       "threads = 1\n"
                                                       "[groups]\n"
                                                       "acme = b\n"
                                                       "[scan]\n"
                                                       "threads = 2\n"
                                                       "threads = 3\n"),
                        0);
        CU_ASSERT_STRING_EQUAL(files.told,
                               "warning: main:3: [guests] include: is set again; line 2 no longer counts\n"
                               "warning: main:9: [groups] acme: is set again; line 5 no longer counts\n"
                               "warning: main:11: [scan] threads: is set again; line 7 no longer counts\n"
                               "warning: main:12: [scan] threads: is set again; line 11 no longer counts\n");
        CU_ASSERT_EQUAL(files.config->guests.include.n, 1);
        CU_ASSERT_STRING_EQUAL(files.config->guests.include.words[0], "b");
        CU_ASSERT_PTR_NULL(groups_find(&files.config->merging.groups, "a"));
        CU_ASSERT_EQUAL(files.config->scan.threads, 4);
        config_files_stop(&files);
}

static void test_all_errors_of_all_files(void)
{
        struct config_files files;

        config_files_start(&files);
        config_files_write(&files, "main",
                           "[schedule]\ninterval = soon\n\nquiet_hours = 1\n 2\n[scan]\nmode = quick\n");
        config_files_write(&files, "main.d/1.conf", "[scan]\nthreads = 2000\n");
        config_files_write(&files, "main.d/2.conf", "[metrics]\naddress = here\n");
        CU_ASSERT_EQUAL(config_files_load(&files, true), -EINVAL);
        CU_ASSERT_EQUAL(files.n_errors, 5);
        ASSERT_TOLD(&files,
                    "error: main:2: [schedule] interval: \"soon\" is not allowed; it takes a number with one "
                    "of the units us, ms, s, min, h, d, w from 1s to 365d, or never\n");
        ASSERT_TOLD(&files, "error: main:4: [schedule] quiet_hours: \"1\" is no range of time");
        ASSERT_TOLD(&files,
                    "error: main:7: [scan] mode: \"quick\" is not allowed; it takes a mode: snapshot, "
                    "sliced or live\n");
        ASSERT_TOLD(&files, "error: main.d/1.conf:2: [scan] threads: ");
        ASSERT_TOLD(&files, "error: main.d/2.conf:2: [metrics] address: ");
        CU_ASSERT_PTR_NOT_NULL(strstr(files.failure.text, "main:2: [schedule] interval"));
        CU_ASSERT_PTR_NOT_NULL(strstr(files.failure.text, "(and 4 more errors)"));
        config_files_stop(&files);
}

static void test_problems_are_limited(void)
{
        char text[4096] = "";
        size_t length = (size_t)snprintf(text, sizeof(text), "[scan]\n");
        struct config_files files;

        config_files_start(&files);
        for (unsigned int i = 0; i < CONFIG_PROBLEMS_MAX + 3; i++)
                length += (size_t)snprintf(text + length, sizeof(text) - length, "no key and no section\n");
        for (unsigned int i = 0; i < CONFIG_PROBLEMS_MAX + 1; i++)
                length += (size_t)snprintf(text + length, sizeof(text) - length, "unknown_to_us = 1\n");
        CU_ASSERT_EQUAL(config_files_load_text(&files, text), -EINVAL);
        CU_ASSERT_EQUAL(files.n_errors, CONFIG_PROBLEMS_MAX + 1);
        CU_ASSERT_EQUAL(files.n_warnings, CONFIG_PROBLEMS_MAX + 1);
        ASSERT_TOLD(&files, "error: main:2: neither \"key = value\" nor");
        ASSERT_TOLD(&files, "error: 3 more errors are not shown\n");
        ASSERT_TOLD(&files, "warning: 1 more warning is not shown\n");
        CU_ASSERT_PTR_NOT_NULL(strstr(files.failure.text, "(and 22 more errors)"));
        config_files_stop(&files);
}

static void test_broken_lines(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL(config_files_load_text(&files, "[scan\n"
                                                       "threads = x\n"
                                                       "[scan] threads = 1\n"
                                                       "threads\n"
                                                       "= 3\n"
                                                       "[]\n"
                                                       "[scan]\n"
                                                       "mode = li\x1b[31mve\n"
                                                       "mode = l\xffve\n"),
                        -EINVAL);
        CU_ASSERT_EQUAL(files.n_errors, 6);
        ASSERT_TOLD(&files, "error: main:1: a section without \"]\"\n");
        ASSERT_TOLD(&files, "error: main:3: text behind \"]\"\n");
        ASSERT_TOLD(&files, "error: main:4: neither \"key = value\" nor \"[section]\" nor a comment\n");
        ASSERT_TOLD(&files, "error: main:8: a control character (0x1b)\n");
        ASSERT_TOLD(&files, "error: main:9: [scan] mode: \"l?ve\" is not");
        ASSERT_TOLD(&files, "warning: main:6: []: unknown section");
        config_files_stop(&files);
}

static void test_bytes_that_are_no_text(void)
{
        static const char text[] = "[scan]\nthreads = 1\0 2\n# \0\nthreads = 3\n";
        struct config_files files;

        config_files_start(&files);
        config_files_write_bytes(&files, "main", text, sizeof(text) - 1);
        CU_ASSERT_EQUAL(config_files_load(&files, true), -EINVAL);
        CU_ASSERT_STRING_EQUAL(files.told, "error: main:2: a control character (0x00)\n"
                                           "error: main:3: a control character (0x00)\n");
        config_files_stop(&files);
}

/* Up to 198 bytes, as the manual says; no line is torn. */
static void test_long_lines(void)
{
        static char text[300000];
        struct config_files files;

        config_files_start(&files);
        for (size_t length = 150; length < 260; length++) {
                (void)snprintf(text, sizeof(text), "[paths]\nksm_dir = /%0*d\n[scan]\nthreads = 5\n",
                               (int)length, 0);
                if (config_files_load_text(&files, text) == 0) {
                        CU_ASSERT(strlen("ksm_dir = /") + length <= 198);
                        CU_ASSERT_EQUAL(strlen(files.config->ksm_dir), length + 1);
                        CU_ASSERT_EQUAL(files.config->scan.threads, 5);
                } else {
                        CU_ASSERT(strlen("ksm_dir = /") + length > 198);
                        CU_ASSERT_EQUAL(files.n_errors, 1);
                        ASSERT_TOLD(&files, "error: main:2: a line longer than ");
                }
        }
        memset(text, 'x', sizeof(text) - 1);
        CU_ASSERT_EQUAL(config_files_load_text(&files, text), -EINVAL);
        CU_ASSERT_EQUAL(files.n_errors, 1);
        text[0] = '#';
        CU_ASSERT_EQUAL(config_files_load_text(&files, text), 0);
        config_files_stop(&files);
}

static void test_large_file(void)
{
        static char text[CONFIG_FILE_MAX_BYTES + 1];
        struct config_files files;

        config_files_start(&files);
        memset(text, '\n', sizeof(text));
        config_files_write_bytes(&files, "main", text, CONFIG_FILE_MAX_BYTES);
        CU_ASSERT_EQUAL(config_files_load(&files, true), 0);
        config_files_write_bytes(&files, "main", text, CONFIG_FILE_MAX_BYTES + 1);
        CU_ASSERT_EQUAL(config_files_load(&files, true), -EFBIG);
        ASSERT_TOLD(&files, "error: main: is larger than 1048576 bytes\n");
        config_files_stop(&files);
}

static void test_what_is_no_file(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL(mkdir(files.main, 0700), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -EISDIR);
        ASSERT_TOLD(&files, "error: main: is a folder, not a file\n");
        CU_ASSERT_EQUAL(rmdir(files.main), 0);
        CU_ASSERT_EQUAL(mkfifo(files.main, 0600), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -EINVAL);
        ASSERT_TOLD(&files, "error: main: is no regular file\n");
        CU_ASSERT_EQUAL(unlink(files.main), 0);
        CU_ASSERT_EQUAL(symlink("/dev/zero", files.main), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -EINVAL);
        ASSERT_TOLD(&files, "error: main: is no regular file\n");
        CU_ASSERT_EQUAL(unlink(files.main), 0);
        config_files_write(&files, "else", "[scan]\nthreads = 9\n");
        CU_ASSERT_EQUAL(symlink("else", files.main), 0);
        CU_ASSERT_EQUAL_FATAL(config_files_load(&files, false), 0);
        CU_ASSERT_EQUAL(files.config->scan.threads, 9);
        config_files_stop(&files);
}

static void test_links_that_lead_nowhere(void)
{
        struct config_files files;
        char path[256] = "";

        config_files_start(&files);
        CU_ASSERT_EQUAL(symlink("nowhere", files.main), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -ENOENT);
        CU_ASSERT_EQUAL(unlink(files.main), 0);
        CU_ASSERT_EQUAL(symlink("main", files.main), 0);
        (void)snprintf(path, sizeof(path), "%s/1.conf", files.drop_ins);
        CU_ASSERT_EQUAL(symlink("2.conf", path), 0);
        (void)snprintf(path, sizeof(path), "%s/2.conf", files.drop_ins);
        CU_ASSERT_EQUAL(symlink("1.conf", path), 0);
        (void)snprintf(path, sizeof(path), "%s/3.conf", files.drop_ins);
        CU_ASSERT_EQUAL(symlink("nowhere", path), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -ELOOP);
        CU_ASSERT_EQUAL(files.n_errors, 4);
        ASSERT_TOLD(&files, "error: main: cannot be opened: Too many levels of symbolic links\n");
        ASSERT_TOLD(&files, "error: main.d/1.conf: cannot be opened: Too many levels");
        ASSERT_TOLD(&files, "error: main.d/2.conf: cannot be opened: Too many levels");
        ASSERT_TOLD(&files, "error: main.d/3.conf: cannot be opened: No such file");
        config_files_stop(&files);
}

static void test_drop_ins_that_are_none(void)
{
        struct config_files files;
        char path[256] = "";

        config_files_start(&files);
        (void)snprintf(path, sizeof(path), "%s/1.conf", files.drop_ins);
        CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/2.conf", files.drop_ins);
        CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
        (void)snprintf(path, sizeof(path), "%s/3.conf", files.drop_ins);
        CU_ASSERT_EQUAL(symlink("..", path), 0);
        config_files_write(&files, "main.d/4.conf", "[scan]\nthreads = none\n");
        CU_ASSERT_EQUAL(config_files_load(&files, false), -EISDIR);
        CU_ASSERT_EQUAL(files.n_errors, 4);
        ASSERT_TOLD(&files, "error: main.d/1.conf: is a folder");
        ASSERT_TOLD(&files, "error: main.d/2.conf: is no regular file");
        ASSERT_TOLD(&files, "error: main.d/3.conf: is a folder");
        ASSERT_TOLD(&files, "error: main.d/4.conf:2: [scan] threads: ");
        config_files_stop(&files);
}

static void test_folder_that_is_none(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL(rmdir(files.drop_ins), 0);
        CU_ASSERT_EQUAL(mkfifo(files.drop_ins, 0600), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -ENOTDIR);
        ASSERT_TOLD(&files, "error: main.d: cannot be opened: Not a directory\n");
        CU_ASSERT_EQUAL(unlink(files.drop_ins), 0);
        CU_ASSERT_EQUAL(symlink("main.d", files.drop_ins), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -ELOOP);
        CU_ASSERT_EQUAL(unlink(files.drop_ins), 0);
        CU_ASSERT_EQUAL(symlink("nowhere", files.drop_ins), 0);
        CU_ASSERT_EQUAL(config_files_load(&files, false), -ENOENT);
        config_files_stop(&files);
}

static void test_too_many_drop_ins(void)
{
        struct config_files files;

        config_files_start(&files);
        for (unsigned int i = 0; i <= CONFIG_DROP_INS_MAX; i++) {
                char name[64] = "";

                if (i == CONFIG_DROP_INS_MAX)
                        CU_ASSERT_EQUAL(config_files_load(&files, false), 0);
                (void)snprintf(name, sizeof(name), "main.d/%u.conf", i);
                config_files_write(&files, name, "");
        }
        CU_ASSERT_EQUAL(config_files_load(&files, false), -E2BIG);
        ASSERT_TOLD(&files, "error: main.d: holds more than 256 files\n");
        config_files_stop(&files);
}

/* Root reads everything, so the test becomes nobody for a while; who is not root is denied as it is. */
static void test_no_permission(void)
{
        const bool is_root = geteuid() == 0;
        struct config_files files;

        config_files_start(&files);
        config_files_write(&files, "main", "[scan]\nthreads = 1\n");
        config_files_write(&files, "main.d/1.conf", "[scan]\nthreads = 2\n");
        CU_ASSERT_EQUAL(chmod(files.folder, 0755), 0);
        CU_ASSERT_EQUAL(chmod(files.main, 0), 0);
        CU_ASSERT_EQUAL(chmod(files.drop_ins, 0), 0);
        if (is_root && seteuid(65534) < 0) {
                printf("skipped: this root cannot become nobody ");
                config_files_stop(&files);
                return;
        }
        CU_ASSERT_EQUAL(config_files_load(&files, false), -EACCES);
        if (is_root)
                CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
        CU_ASSERT_EQUAL(files.n_errors, 2);
        ASSERT_TOLD(&files, "error: main: cannot be opened: Permission denied\n");
        ASSERT_TOLD(&files, "error: main.d: cannot be opened: Permission denied\n");
        CU_ASSERT_EQUAL(chmod(files.drop_ins, 0700), 0);
        config_files_stop(&files);
}

static int load_path(const char *path, bool must_exist, struct options **ret, struct failure *failure)
{
        return config_load(&(struct config_source){.path = path, .must_exist = must_exist}, ret, failure);
}

static void test_odd_paths(void)
{
        static char path[8192];
        struct options *config = NULL;
        struct failure failure = {0};

        CU_ASSERT_EQUAL(load_path("", true, &config, &failure), -ENOENT);
        CU_ASSERT_EQUAL(load_path("/dev/null/x", false, &config, &failure), -ENOTDIR);
        CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "/dev/null/x: cannot be opened: Not a directory"));
        memset(path, 'p', sizeof(path) - 1);
        CU_ASSERT_EQUAL(load_path(path, false, &config, &failure), -ENAMETOOLONG);
        CU_ASSERT_PTR_NULL(config);
        CU_ASSERT_EQUAL(load_path("/nowhere/\x1b[31m", false, &config, &failure), 0);
        config = options_free(config);
        CU_ASSERT_EQUAL(load_path("/nowhere/\x1b[31m", true, &config, NULL), -ENOENT);
}

static void test_jitter_is_no_longer_than_the_interval(void)
{
        struct config_files files;

        config_files_start(&files);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, "[schedule]\ninterval = 10s\n"), 0);
        CU_ASSERT_EQUAL(files.config->jitter_usec, 10 * USEC_PER_SEC);
        CU_ASSERT_EQUAL_FATAL(config_files_load_text(&files, "[schedule]\ninterval = never\n"), 0);
        CU_ASSERT_EQUAL(files.config->jitter_usec, 300 * USEC_PER_SEC);
        config_files_stop(&files);
}

static const struct unit_test tests[] = {
        {"no file", test_no_file},
        {"a file", test_a_file},
        {"drop-ins in order", test_drop_ins_in_order},
        {"groups of several files", test_groups_of_several_files},
        {"lists over several lines", test_lists_over_several_lines},
        {"indented keys", test_indented_keys},
        {"unknown keys warn", test_unknown_keys_warn},
        {"duplicate keys warn", test_duplicate_keys_warn},
        {"all errors of all files", test_all_errors_of_all_files},
        {"problems are limited", test_problems_are_limited},
        {"broken lines", test_broken_lines},
        {"bytes that are no text", test_bytes_that_are_no_text},
        {"long lines", test_long_lines},
        {"large file", test_large_file},
        {"what is no file", test_what_is_no_file},
        {"links that lead nowhere", test_links_that_lead_nowhere},
        {"drop-ins that are none", test_drop_ins_that_are_none},
        {"folder that is none", test_folder_that_is_none},
        {"too many drop-ins", test_too_many_drop_ins},
        {"no permission", test_no_permission},
        {"odd paths", test_odd_paths},
        {"jitter is no longer than the interval", test_jitter_is_no_longer_than_the_interval},
};

UNIT_MAIN("config_load", tests)
