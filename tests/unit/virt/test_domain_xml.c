/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
#include "qmp/blocks.h"
#include "qmp/virt/domain_xml.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define HEAD "<domain type='kvm' id='3'><name>web1</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
#define TAIL "</domain>"

static struct domain_memory memory;
static struct failure failure;

static int parse(const char *xml)
{
        domain_memory_deinit(&memory);
        failure = (struct failure){0};
        return domain_xml_parse(xml, &memory, &failure);
}

static bool is_text(const char *text, const char *expected)
{
        return text && strcmp(text, expected) == 0;
}

static void expect_block(size_t i, const char *id, uint64_t size_bytes, enum memory_kind kind,
                         enum memory_sharing sharing)
{
        CU_ASSERT_TRUE_FATAL(i < memory.n_blocks);
        CU_ASSERT_TRUE(is_text(memory.blocks[i].id, id));
        CU_ASSERT_EQUAL(memory.blocks[i].size_bytes, size_bytes);
        CU_ASSERT_EQUAL(memory.blocks[i].kind, kind);
        CU_ASSERT_EQUAL(memory.blocks[i].sharing, sharing);
}

static void test_plain(void)
{
        CU_ASSERT_EQUAL(parse(HEAD "<memory unit='KiB'>524288</memory><currentMemory unit='KiB'>262144"
                                   "</currentMemory><devices><emulator>/x</emulator></devices>" TAIL),
                        0);
        CU_ASSERT_TRUE(is_text(memory.name, "web1"));
        CU_ASSERT_TRUE(is_text(memory.uuid, "c7a5fdbd-edaf-9455-926a-d65c16db1809"));
        CU_ASSERT_PTR_NULL(memory.group);
        CU_ASSERT_TRUE(memory.merge);
        CU_ASSERT_EQUAL(memory.n_blocks, 1);
        expect_block(0, "ram", 512 * MIB, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        domain_memory_deinit(&memory);
}

static void test_backings(void)
{
        static const struct {
                const char *backing;
                enum memory_kind kind;
                enum memory_sharing sharing;
        } cases[] = {
                {"<source type='memfd'/><access mode='shared'/>", MEMORY_KIND_MEMFD, MEMORY_SHARING_SHARED},
                {"<source type='memfd'/>", MEMORY_KIND_MEMFD, MEMORY_SHARING_UNKNOWN},
                {"<source type='file'/><access mode='private'/>", MEMORY_KIND_FILE, MEMORY_SHARING_PRIVATE},
                {"<hugepages/>", MEMORY_KIND_UNKNOWN, MEMORY_SHARING_UNKNOWN},
                {"<hugepages/><source type='memfd'/>", MEMORY_KIND_MEMFD, MEMORY_SHARING_UNKNOWN},
                {"<access mode='shared'/>", MEMORY_KIND_UNKNOWN, MEMORY_SHARING_SHARED},
                {"<source type='anonymous'/>", MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN},
                {"<locked/>", MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *xml = NULL;

                CU_ASSERT_TRUE_FATAL(
                        asprintf(&xml, HEAD "<memory>1024</memory><memoryBacking>%s</memoryBacking>" TAIL,
                                 cases[i].backing) > 0);
                CU_ASSERT_EQUAL(parse(xml), 0);
                expect_block(0, "ram", MIB, cases[i].kind, cases[i].sharing);
        }
        CU_ASSERT_EQUAL(
                parse(HEAD "<memory>1024</memory><memoryBacking><nosharepages/></memoryBacking>" TAIL), 0);
        CU_ASSERT_FALSE(memory.merge);
        domain_memory_deinit(&memory);
}

static void test_cells(void)
{
        CU_ASSERT_EQUAL(parse(HEAD "<memory unit='GiB'>3</memory><cpu><numa>"
                                   "<cell id='0' cpus='0' memory='1048576' unit='KiB'/>"
                                   "<cell id='1' cpus='1' memory='2' unit='GiB' memAccess='shared'/>"
                                   "<cell id='2' cpus='2' memory='0'/>"
                                   "</numa></cpu>" TAIL),
                        0);
        CU_ASSERT_EQUAL(memory.n_blocks, 2);
        CU_ASSERT_EQUAL(memory.n_cells, 2);
        expect_block(0, "ram-node0", GIB, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        expect_block(1, "ram-node1", 2 * GIB, MEMORY_KIND_UNKNOWN, MEMORY_SHARING_SHARED);
        domain_memory_deinit(&memory);
}

#define DIMM(size, more)                                              \
        "<memory model='dimm'>" more "<target><size unit='KiB'>" size \
        "</size><node>0</node></target></memory>"

static void test_devices(void)
{
        CU_ASSERT_EQUAL(parse(HEAD "<memory unit='KiB'>1179648</memory><devices>" DIMM(
                                "524288",
                                "<alias name='dimm0'/>") "<memory model='virtio-mem'><target><size "
                                                         "unit='KiB'>65536</size><node>0</node>"
                                                         "<requested unit='KiB'>0</requested></target><alias "
                                                         "name='virtiomem0'/></memory>"
                                                         "<memory "
                                                         "model='nvdimm'><source><path>/dev/pmem0</path></"
                                                         "source><target>"
                                                         "<size unit='KiB'>32768</size></target></memory>"
                                                         "<memory model='sgx-epc'><target><size "
                                                         "unit='KiB'>32768</size></target></memory>"
                                                         "</devices>" TAIL),
                        0);
        CU_ASSERT_EQUAL(memory.n_blocks, 4);
        expect_block(0, "dimm0", 512 * MIB, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        expect_block(1, "virtiomem0", 64 * MIB, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        expect_block(2, "dimm2", 32 * MIB, MEMORY_KIND_FILE, MEMORY_SHARING_UNKNOWN);
        CU_ASSERT_TRUE(is_text(memory.blocks[2].path, "/dev/pmem0"));
        expect_block(3, "ram", 512 * MIB, MEMORY_KIND_ANONYMOUS, MEMORY_SHARING_UNKNOWN);
        domain_memory_deinit(&memory);
}

static void test_group(void)
{
        CU_ASSERT_EQUAL(parse(HEAD
                              "<metadata><group name='other'/>"
                              "<x:group xmlns:x='urn:samepage:group:2' name='newer'/>"
                              "<x:group xmlns:x='urn:samepage:group:1' name=''/>"
                              "<x:group xmlns:x='urn:samepage:group:1' name='a&amp;b &quot;&#252;&quot;'/>"
                              "</metadata><memory>1024</memory>" TAIL),
                        0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(memory.group);
        CU_ASSERT_TRUE(is_text(memory.group, "a&b \"\xc3\xbc\""));
        domain_memory_deinit(&memory);
}

static void test_strange_names(void)
{
        CU_ASSERT_EQUAL(parse("<domain><name>a'b\"c&lt;\xe2\x82\xac&#10;&#9;</name><uuid>u</uuid><memory>4</"
                              "memory></domain>"),
                        0);
        CU_ASSERT_TRUE(is_text(memory.name, "a'b\"c<\xe2\x82\xac\n\t"));
        domain_memory_deinit(&memory);
}

static void test_garbage(void)
{
        static const char *const texts[] = {
                "",
                "hello",
                "<domain>",
                "<domain/>",
                "<network><name>n</name></network>",
                HEAD TAIL,
                HEAD "<memory>0</memory>" TAIL,
                HEAD "<memory>3</memory>" TAIL, /* no whole pages */
                HEAD "<memory>-4</memory>" TAIL,
                HEAD "<memory>1024 x</memory>" TAIL,
                HEAD "<memory unit='parsec'>1024</memory>" TAIL,
                HEAD "<memory unit='EiB'>8</memory>" TAIL,
                HEAD "<memory>99999999999999999999</memory>" TAIL,
                HEAD "<memory>1024</memory><devices>" DIMM("1024", "") "</devices>" TAIL,
                HEAD "<memory>1024</memory><devices><memory model='dimm'/></devices>" TAIL,
                HEAD "<memory>1024</memory><cpu><numa><cell id='0'/></numa></cpu>" TAIL,
                "<domain><uuid>u</uuid><memory>4</memory></domain>",
                "<!DOCTYPE domain [<!ENTITY a 'x'>]>" HEAD "<memory>1024</memory>" TAIL,
                HEAD "<name>\xff\xfe</name><memory>1024</memory>" TAIL,
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                CU_ASSERT_EQUAL(parse(texts[i]), -EBADMSG);
                CU_ASSERT_PTR_NOT_NULL(strstr(failure.text, "not what libvirt writes"));
        }
}

/* Ten entities of ten entities of … : 10^9 of them if they were expanded. */
static void test_entities(void)
{
        CU_ASSERT_EQUAL(
                parse("<!DOCTYPE domain [<!ENTITY a '0123456789'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
                      "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>"
                      "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;'>]>"
                      "<domain><name a='&f;&f;&f;&f;'>&f;</name><uuid>u</uuid><memory>4</memory></domain>"),
                -EBADMSG);
        CU_ASSERT_EQUAL(parse("<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
                              "<domain><name>&a;</name><uuid>u</uuid><memory>4</memory></domain>"),
                        -EBADMSG);
}

static void test_limits(void)
{
        const size_t size = DOMAIN_XML_MAX_BYTES + 100;
        CLEANUP_FREE char *text = malloc(size);
        char *position = text;

        if (!text) {
                CU_FAIL("no memory");
                return;
        }
        memset(text, ' ', size - 1);
        text[size - 1] = '\0';
        CU_ASSERT_EQUAL(parse(text), -E2BIG);
        /* Deep nesting is the parser's to refuse. */
        for (size_t i = 0; i < 100000; i++)
                position = stpcpy(position, "<domain>");
        CU_ASSERT_EQUAL(parse(text), -EBADMSG);
        position = stpcpy(text, HEAD "<memory unit='GiB'>100</memory><devices>");
        for (size_t i = 0; i < BLOCKS_MAX + 1; i++)
                position = stpcpy(position, DIMM("4", ""));
        (void)stpcpy(position, "</devices>" TAIL);
        CU_ASSERT_EQUAL(parse(text), -E2BIG);
}

static void test_json(void)
{
        struct domain_memory copy = {0};
        struct json_object *object = NULL;

        CU_ASSERT_EQUAL(parse(HEAD
                              "<metadata><x:group xmlns:x='urn:samepage:group:1' name='acme'/></metadata>"
                              "<memory unit='GiB'>3</memory><memoryBacking><source type='memfd'/>"
                              "</memoryBacking><cpu><numa><cell memory='1' unit='GiB'/></numa></cpu><devices>"
                              "<memory model='nvdimm'><source><path>/p</path></source><target>"
                              "<size unit='GiB'>2</size></target></memory></devices>" TAIL),
                        0);
        object = domain_memory_to_json(&memory);
        CU_ASSERT_EQUAL_FATAL(domain_memory_from_json(object, &copy, &failure), 0);
        CU_ASSERT_TRUE(is_text(copy.name, "web1"));
        CU_ASSERT_TRUE(is_text(copy.group, "acme"));
        CU_ASSERT_EQUAL(copy.n_cells, 1);
        CU_ASSERT_TRUE(copy.merge);
        CU_ASSERT_EQUAL_FATAL(copy.n_blocks, 2);
        CU_ASSERT_EQUAL(copy.blocks[0].kind, MEMORY_KIND_MEMFD);
        CU_ASSERT_EQUAL(copy.blocks[1].size_bytes, 2 * GIB);
        CU_ASSERT_TRUE(is_text(copy.blocks[1].path, "/p"));
        domain_memory_deinit(&copy);
        (void)json_object_object_add(object, "cells", json_object_new_int(3));
        CU_ASSERT_EQUAL(domain_memory_from_json(object, &copy, &failure), -EBADMSG);
        (void)json_object_object_del(object, "blocks");
        CU_ASSERT_EQUAL(domain_memory_from_json(object, &copy, &failure), -EBADMSG);
        CU_ASSERT_EQUAL(domain_memory_from_json(NULL, &copy, &failure), -EBADMSG);
        json_object_put(object);
        domain_memory_deinit(&memory);
}

static const struct unit_test tests[] = {
        {"plain", test_plain},     {"backings", test_backings}, {"cells", test_cells},
        {"devices", test_devices}, {"group", test_group},       {"strange names", test_strange_names},
        {"garbage", test_garbage}, {"entities", test_entities}, {"limits", test_limits},
        {"json", test_json},
};

UNIT_MAIN("virt/domain_xml", tests)
