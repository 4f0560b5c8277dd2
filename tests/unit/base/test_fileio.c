/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "base/fileio.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/samepage-fileio-XXXXXX";
static int folder_fd = -1;

static void write_file(const char *name, const char *bytes, size_t length)
{
        CLEANUP_CLOSE int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CU_ASSERT_EQUAL_FATAL(write(fd, bytes, length), (ssize_t)length);
}

static void begin(void)
{
        (void)strcpy(folder, "/tmp/samepage-fileio-XXXXXX"); /* NOLINT(*-insecureAPI.strcpy): same array */
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void end(void)
{
        (void)unlinkat(folder_fd, "file", 0);
        close_fd(&folder_fd);
        (void)rmdir(folder);
}

static void test_text_of_any_length(void)
{
        static char large[100000];

        begin();
        memset(large, 'a', sizeof(large));
        for (size_t length = 0; length < sizeof(large); length = length * 3 + 4095) {
                CLEANUP_FREE char *text = NULL;

                write_file("file", large, length);
                CU_ASSERT_EQUAL_FATAL(fileio_read_text(folder_fd, "file", &text), 0);
                CU_ASSERT_EQUAL(strlen(text), length);
        }
        end();
}

static void test_missing_file(void)
{
        char *text = NULL;

        begin();
        CU_ASSERT_EQUAL(fileio_read_text(folder_fd, "missing", &text), -ENOENT);
        CU_ASSERT_PTR_NULL(text);
        end();
}

static void check_number(const char *text, int r, int64_t value)
{
        int64_t got = 0;

        write_file("file", text, strlen(text));
        CU_ASSERT_EQUAL(fileio_read_int64(folder_fd, "file", &got), r);
        CU_ASSERT_EQUAL(got, value);
}

static void test_numbers(void)
{
        begin();
        check_number("42\n", 0, 42);
        check_number("-4096\n", 0, -4096);
        check_number("9223372036854775807\n", 0, INT64_MAX);
        check_number("9223372036854775808\n", -ERANGE, 0);
        check_number("12 monkeys\n", -EINVAL, 0);
        check_number("\n", -EINVAL, 0);
        check_number("", -EINVAL, 0);
        end();
}

static void check_field(const char *text, const char *key, int r, uint64_t value)
{
        uint64_t got = 0;

        write_file("file", text, strlen(text));
        CU_ASSERT_EQUAL(fileio_read_field(folder_fd, "file", key, &got), r);
        CU_ASSERT_EQUAL(got, value);
}

static void test_fields(void)
{
        begin();
        check_field("VmLck:\t  12 kB\nVmPin:\t   7 kB\n", "VmPin:", 0, 7);
        check_field("VmLck:\t  12 kB\nVmPin:\t   7 kB", "VmLck:", 0, 12);
        check_field("Name:\tVmPin: 3\nVmPin:\t7 kB\n", "VmPin:", 0, 7);
        check_field("OldVmPin:\t7 kB\n", "VmPin:", -ENODATA, 0);
        check_field("", "VmPin:", -ENODATA, 0);
        check_field("items 18446744073709551615\n", "items ", 0, UINT64_MAX);
        check_field("items 18446744073709551616\n", "items ", -ERANGE, 0);
        end();
}

static void test_pread_of_a_short_file(void)
{
        CLEANUP_CLOSE int fd = -1;
        char buffer[8] = "";

        begin();
        write_file("file", "0123456789", 10);
        fd = openat(folder_fd, "file", O_RDONLY | O_CLOEXEC);
        CU_ASSERT_EQUAL(fileio_pread_full(fd, buffer, 8, 2), 0);
        CU_ASSERT_EQUAL(memcmp(buffer, "23456789", 8), 0);
        CU_ASSERT_EQUAL(fileio_pread_full(fd, buffer, 8, 3), -ENODATA);
        end();
}

static void test_read_up_to(void)
{
        int pair[2];
        char buffer[8] = "";
        size_t length = 99;

        CU_ASSERT_EQUAL_FATAL(pipe2(pair, O_CLOEXEC), 0);
        CU_ASSERT_EQUAL(write(pair[1], "0123456789", 10), 10);
        CU_ASSERT_EQUAL(fileio_read_up_to(pair[0], buffer, 4, &length), 0);
        CU_ASSERT_EQUAL(length, 4);
        CU_ASSERT_EQUAL(memcmp(buffer, "0123", 4), 0);
        (void)close(pair[1]);
        CU_ASSERT_EQUAL(fileio_read_up_to(pair[0], buffer, sizeof(buffer), &length), 0);
        CU_ASSERT_EQUAL(length, 6);
        CU_ASSERT_EQUAL(memcmp(buffer, "456789", 6), 0);
        CU_ASSERT_EQUAL(fileio_read_up_to(pair[0], buffer, sizeof(buffer), &length), 0);
        CU_ASSERT_EQUAL(length, 0);
        (void)close(pair[0]);
        CU_ASSERT_EQUAL(fileio_read_up_to(folder_fd, buffer, sizeof(buffer), &length), -EBADF);
}

static const struct unit_test tests[] = {
        {"text of any length", test_text_of_any_length},
        {"missing file", test_missing_file},
        {"numbers", test_numbers},
        {"fields", test_fields},
        {"pread of a short file", test_pread_of_a_short_file},
        {"read up to a length", test_read_up_to},
};

UNIT_MAIN("fileio", tests)
