/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When pages may be given back, and what /proc has to look like for that. */
#include "base/cleanup.h"
#include "daemon/reclaim/reclaim_facts.h"
#include "daemon/reclaim/reclaim_judge.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct failure reason;

static struct reclaim_block_facts good_block(enum reclaim_kind kind)
{
        return (struct reclaim_block_facts){
                .kind = kind,
                .is_backend_known = true,
                .is_tmpfs = true,
        };
}

static void expect_no(const struct reclaim_process_facts *process, const struct reclaim_block_facts *block,
                      const char *word)
{
        reason = (struct failure){0};
        CU_ASSERT_FALSE(reclaim_judge(process, block, &reason));
        CU_ASSERT_PTR_NOT_NULL(strstr(reason.text, word));
}

static void test_process(void)
{
        static const struct {
                struct reclaim_process_facts process;
                const char *word;
        } cases[] = {
                {{.vfio = true}, "VFIO"},
                {{.rdma = true}, "RDMA"},
                {{.vdpa = true}, "vhost-vdpa"},
                {{.uring = true}, "io_uring"},
                {{.userfaultfd = true}, "userfaultfd"},
                {{.locked_bytes = 4096}, "locked"},
                {{.pinned_bytes = 4096}, "pinned"},
                {{.encrypted = true}, "SEV"},
        };
        static const struct reclaim_process_facts vhost = {.vhost = true};
        static const struct reclaim_process_facts dmabuf = {.dmabuf = true};
        struct reclaim_block_facts block;

        for (enum reclaim_kind kind = RECLAIM_KIND_ZERO; kind <= RECLAIM_KIND_SHADOW; kind++) {
                block = good_block(kind);
                CU_ASSERT_TRUE(reclaim_judge(&(struct reclaim_process_facts){0}, &block, &reason));
                for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                        expect_no(&cases[i].process, &block, cases[i].word);
        }
        block = good_block(RECLAIM_KIND_ZERO);
        expect_no(&vhost, &block, "vhost of the kernel");
        expect_no(&dmabuf, &block, "udmabuf");
        CU_ASSERT_FALSE(reclaim_judge_process(&dmabuf, RECLAIM_KIND_ZERO, &reason));
        block = good_block(RECLAIM_KIND_SHADOW);
        CU_ASSERT_TRUE(reclaim_judge(&vhost, &block, &reason));
        CU_ASSERT_TRUE(reclaim_judge(&dmabuf, &block, &reason));
}

static void test_block(void)
{
        static const struct reclaim_process_facts process = {0};
        struct reclaim_block_facts block = good_block(RECLAIM_KIND_ZERO);

        block.hugetlb = true;
        expect_no(&process, &block, "huge pages");
        block = good_block(RECLAIM_KIND_ZERO);
        block.locked = true;
        expect_no(&process, &block, "locked");
        block = good_block(RECLAIM_KIND_ZERO);
        block.prealloc = true;
        expect_no(&process, &block, "preallocated");
        block = good_block(RECLAIM_KIND_ZERO);
        block.writer = "virtio-9p";
        expect_no(&process, &block, "virtio-9p");
        block.kind = RECLAIM_KIND_SHADOW;
        CU_ASSERT_TRUE(reclaim_judge(&process, &block, &reason));
        block = good_block(RECLAIM_KIND_ZERO);
        block.is_read_only = true;
        expect_no(&process, &block, "read-only");
        block.kind = RECLAIM_KIND_SHADOW; /* its memory is in copies */
        CU_ASSERT_TRUE(reclaim_judge(&process, &block, &reason));
        block = good_block(RECLAIM_KIND_SHADOW);
        block.is_backend_known = false;
        expect_no(&process, &block, "--libvirt-monitor");
        block = good_block(RECLAIM_KIND_SHADOW);
        block.is_tmpfs = false;
        expect_no(&process, &block, "disk");
        block = good_block(RECLAIM_KIND_ZERO);
        block.device = "virtio-mem";
        expect_no(&process, &block, "virtio-mem");
        block.device = "dimm";
        CU_ASSERT_TRUE(reclaim_judge(&process, &block, &reason));
        block = good_block(RECLAIM_KIND_ZERO);
        block.room = (struct reclaim_room){.is_limited = true, .size_bytes = 4096, .promised_bytes = 4097};
        expect_no(&process, &block, "smaller than the files");
        block.room.promised_bytes = 4096;
        CU_ASSERT_TRUE(reclaim_judge(&process, &block, &reason));
        block.room.promised_bytes = UINT64_MAX;
        expect_no(&process, &block, "cannot be told");
        block = good_block(RECLAIM_KIND_ZERO);
        block.holder_pid = 4711;
        block.holder = RECLAIM_HOLDER_MAPS_SHARED;
        expect_no(&process, &block, "4711 has its file mapped shared");
        block.holder = RECLAIM_HOLDER_HAS_OPEN;
        expect_no(&process, &block, "4711 has its file open");
        block.holder = RECLAIM_HOLDER_MAPS_PRIVATE;
        expect_no(&process, &block, "4711 has its file mapped");
}

/* A tree in the place of /proc */

static char tree[64];

static void make_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void make_file(const char *path, const char *format, ...)
{
        char name[128];
        va_list arguments;
        FILE *out = NULL;

        (void)snprintf(name, sizeof(name), "%s/%s", tree, path);
        out = fopen(name, "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        va_start(arguments, format);
        (void)vfprintf(out, format, arguments);
        va_end(arguments);
        (void)fclose(out);
}

static void make_link(const char *path, const char *target)
{
        char name[128];

        (void)snprintf(name, sizeof(name), "%s/%s", tree, path);
        (void)unlink(name);
        CU_ASSERT_EQUAL_FATAL(symlink(target, name), 0);
}

static void make_folder(const char *path)
{
        char name[128];

        (void)snprintf(name, sizeof(name), "%s/%s", tree, path);
        CU_ASSERT_EQUAL_FATAL(mkdir(name, 0700), 0);
}

static void make_process(const char *pid)
{
        char path[64];

        make_folder(pid);
        (void)snprintf(path, sizeof(path), "%s/fd", pid);
        make_folder(path);
        (void)snprintf(path, sizeof(path), "%s/fdinfo", pid);
        make_folder(path);
        (void)snprintf(path, sizeof(path), "%s/maps", pid);
        make_file(path, "%s", "");
        (void)snprintf(path, sizeof(path), "%s/status", pid);
        make_file(path, "Name:\tqemu\nVmLck:\t       0 kB\nVmPin:\t       0 kB\n");
}

static void begin_tree(void)
{
        (void)snprintf(tree, sizeof(tree), "/tmp/samepage-reclaim-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(tree));
}

static void end_tree(void)
{
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -rf '%s'", tree);
        CU_ASSERT_EQUAL(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
}

static int open_in_tree(const char *path)
{
        char name[128];
        int fd = -1;

        (void)snprintf(name, sizeof(name), "%s/%s", tree, path);
        fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CU_ASSERT_FATAL(fd >= 0);
        return fd;
}

static struct reclaim_process_facts read_process(void)
{
        CLEANUP_CLOSE int proc_fd = open_in_tree("100");
        struct reclaim_process_facts facts = {0};

        CU_ASSERT_EQUAL(reclaim_facts_read_process(proc_fd, &facts), 0);
        return facts;
}

static bool has_nothing(const struct reclaim_process_facts *facts)
{
        return !facts->vfio && !facts->rdma && !facts->vdpa && !facts->vhost && !facts->uring &&
               !facts->userfaultfd && !facts->encrypted && !facts->dmabuf && !facts->locked_bytes &&
               !facts->pinned_bytes;
}

static void test_descriptors(void)
{
        struct reclaim_process_facts facts;

        begin_tree();
        make_process("100");
        make_link("100/fd/0", "/dev/null");
        make_link("100/fd/1", "/memfd:memory-backend-memfd (deleted)");
        make_link("100/fd/2", "anon_inode:[io_uring]");
        make_file("100/fdinfo/2", "pos:\t0\nUserFiles:\t4\nUserBufs:\t0\n");
        make_link("100/fd/3", "/dev/net/tun");
        make_link("100/fd/4", "/somewhere/dev/vfio/1");
        make_link("100/fd/6", "/dev/sevctl");
        facts = read_process();
        CU_ASSERT_TRUE(has_nothing(&facts));
        make_file("100/fdinfo/2", "pos:\t0\nUserFiles:\t0\nUserBufs:\t2\n  0x7f: 1\n");
        CU_ASSERT_TRUE(read_process().uring);
        make_link("100/fd/5", "/dev/vfio/12");
        CU_ASSERT_TRUE(read_process().vfio);
        make_link("100/fd/5", "/dev/iommu");
        CU_ASSERT_TRUE(read_process().vfio);
        make_link("100/fd/5", "anon_inode:[vfio-device]");
        CU_ASSERT_TRUE(read_process().vfio);
        make_link("100/fd/5", "/dev/infiniband/uverbs0");
        facts = read_process();
        CU_ASSERT_TRUE(facts.rdma && !facts.vfio);
        make_link("100/fd/5", "/dev/vhost-vdpa-0");
        facts = read_process();
        CU_ASSERT_TRUE(facts.vdpa && !facts.vhost);
        make_link("100/fd/5", "/dev/vhost-net");
        facts = read_process();
        CU_ASSERT_TRUE(facts.vhost && !facts.vdpa);
        make_link("100/fd/5", "anon_inode:[userfaultfd]");
        CU_ASSERT_TRUE(read_process().userfaultfd);
        make_link("100/fd/5", "/dev/sev");
        facts = read_process();
        CU_ASSERT_TRUE(facts.encrypted && !facts.dmabuf);
        make_link("100/fd/5", "anon_inode:[kvm-gmem]");
        CU_ASSERT_TRUE(read_process().encrypted);
        make_link("100/fd/5", "/dev/udmabuf");
        facts = read_process();
        CU_ASSERT_TRUE(facts.dmabuf && !facts.encrypted);
        make_link("100/fd/5", "/dmabuf:");
        CU_ASSERT_TRUE(read_process().dmabuf);
        make_file("100/status", "Name:\tqemu\nVmLck:\t     128 kB\nVmPin:\t       4 kB\n");
        CU_ASSERT_EQUAL(read_process().locked_bytes, 131072);
        CU_ASSERT_EQUAL(read_process().pinned_bytes, 4096);
        end_tree();
}

static struct reclaim_wanted find(bool is_private)
{
        CLEANUP_CLOSE int proc_dir_fd = open_in_tree(".");
        struct reclaim_wanted wanted = {.qemu = 100, .is_private = is_private};
        struct stat status = {0};

        CU_ASSERT_EQUAL_FATAL(fstatat(proc_dir_fd, "ram", &status, 0), 0);
        wanted.device = status.st_dev;
        wanted.inode = status.st_ino;
        CU_ASSERT_EQUAL(reclaim_facts_find_holders(proc_dir_fd, 300, &wanted, 1), 0);
        return wanted;
}

static void make_mapping(const char *path, const char *perms)
{
        CLEANUP_CLOSE int proc_dir_fd = open_in_tree(".");
        struct stat status = {0};

        CU_ASSERT_EQUAL_FATAL(fstatat(proc_dir_fd, "ram", &status, 0), 0);
        make_file(path,
                  "00400000-00500000 r-xp 00000000 08:01 77                 /usr/bin/x\n"
                  "7f0000000000-7f0008000000 %s 00000000 %02x:%02x %llu       /memfd:m (deleted)\n"
                  "7fff00000000-7fff00021000 rw-p 00000000 00:00 0          [stack]\n",
                  perms, major(status.st_dev), minor(status.st_dev), (unsigned long long)status.st_ino);
}

static void test_holders(void)
{
        char ram[96];
        struct reclaim_wanted found;

        begin_tree();
        (void)snprintf(ram, sizeof(ram), "%s/ram", tree);
        make_file("ram", "%s", "x");
        make_process("100"); /* the QEMU */
        make_process("200"); /* another process */
        make_process("300"); /* this one */
        make_folder("400");  /* one that is just ending */
        make_link("100/fd/9", ram);
        make_link("300/fd/9", ram);
        make_mapping("100/maps", "rw-s");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_NONE);
        /* QEMU itself could write to the file behind its private mapping. */
        found = find(true);
        CU_ASSERT_EQUAL(found.holder, RECLAIM_HOLDER_MAPS_SHARED);
        CU_ASSERT_EQUAL(found.holder_pid, 100);
        make_mapping("100/maps", "rw-p");
        CU_ASSERT_EQUAL(find(true).holder, RECLAIM_HOLDER_NONE);
        make_mapping("200/maps", "rw-p");
        found = find(true);
        CU_ASSERT_EQUAL(found.holder, RECLAIM_HOLDER_MAPS_PRIVATE);
        CU_ASSERT_EQUAL(found.holder_pid, 200);
        make_link("200/fd/9", ram);
        found = find(true);
        CU_ASSERT_EQUAL(found.holder, RECLAIM_HOLDER_HAS_OPEN);
        CU_ASSERT_EQUAL(found.holder_pid, 200);
        make_mapping("200/maps", "r--s");
        CU_ASSERT_EQUAL(find(true).holder, RECLAIM_HOLDER_MAPS_SHARED);
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_MAPS_SHARED);
        end_tree();
}

static void make_smaps(const char *path, const char *flags)
{
        make_file(path,
                  "7f0000000000-7f0008000000 r--s 00000000 00:01 1       /memfd:m (deleted)\n"
                  "VmFlags: rd sh mr %s ms\n",
                  flags);
}

/* Such as a scan of the same guest. */
static void test_holders_that_only_read(void)
{
        char ram[96];

        begin_tree();
        (void)snprintf(ram, sizeof(ram), "%s/ram", tree);
        make_file("ram", "%s", "x");
        make_process("200");
        make_link("200/fd/9", ram);
        make_file("200/fdinfo/9", "pos:\t0\nflags:\t02100002\nmnt_id:\t1\n");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_HAS_OPEN);
        make_file("200/fdinfo/9", "pos:\t0\nflags:\t02100001\nmnt_id:\t1\n");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_HAS_OPEN);
        make_file("200/fdinfo/9", "pos:\t0\nflags:\t02100000\nmnt_id:\t1\n");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_NONE);
        make_mapping("200/maps", "r--s");
        make_smaps("200/smaps", "mw");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_MAPS_SHARED);
        make_smaps("200/smaps", "me");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_NONE);
        make_mapping("200/maps", "rw-s");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_MAPS_SHARED);
        end_tree();
}

/* A process whose first thread has ended, while another one has the file. */
static void test_holders_without_a_first_thread(void)
{
        char ram[96];
        struct reclaim_wanted found;

        begin_tree();
        (void)snprintf(ram, sizeof(ram), "%s/ram", tree);
        make_file("ram", "%s", "x");
        make_process("200");
        make_folder("200/task");
        make_process("200/task/200");
        make_process("200/task/201");
        CU_ASSERT_EQUAL(find(false).holder, RECLAIM_HOLDER_NONE);
        make_link("200/task/201/fd/9", ram);
        found = find(false);
        CU_ASSERT_EQUAL(found.holder, RECLAIM_HOLDER_HAS_OPEN);
        CU_ASSERT_EQUAL(found.holder_pid, 200);
        make_mapping("200/task/201/maps", "rw-s");
        found = find(false);
        CU_ASSERT_EQUAL(found.holder, RECLAIM_HOLDER_MAPS_SHARED);
        CU_ASSERT_EQUAL(found.holder_pid, 200);
        end_tree();
}

static const struct unit_test tests[] = {
        {"what a process has", test_process},
        {"what a block is", test_block},
        {"descriptors", test_descriptors},
        {"other users of the file", test_holders},
        {"others that only read it", test_holders_that_only_read},
        {"a process without its first thread", test_holders_without_a_first_thread},
};

UNIT_MAIN("reclaim/reclaim_judge", tests)
