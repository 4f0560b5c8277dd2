/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt checked the XML, but its guests' owners may have written it: names and metadata are any text. It
 * has no DTD, so one that has is refused, and entities are never expanded; libxml2 bounds the nesting.
 */
#include "qmp/virt/domain_xml.h"

#include "base/cleanup.h"
#include "qmp/blocks.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARSER_OPTIONS (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS)

static void free_document(xmlDocPtr *document)
{
        xmlFreeDoc(*document);
}

static void free_text(xmlChar **text)
{
        xmlFree(*text);
}

#define CLEANUP_TEXT CLEANUP(free_text)

/* Going through the tree */

static bool is_element(const xmlNode *node, const char *name)
{
        return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* The first child element of this name at or after @node, with @node among brothers; NULL. */
static xmlNodePtr find_from(xmlNodePtr node, const char *name)
{
        while (node && !is_element(node, name))
                node = node->next;
        return node;
}

static xmlNodePtr child(const xmlNode *parent, const char *name)
{
        return parent ? find_from(parent->children, name) : NULL;
}

static bool has_attribute(xmlNodePtr node, const char *name, const char *value)
{
        CLEANUP_TEXT xmlChar *found = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;

        return found && strcmp((const char *)found, value) == 0;
}

static int copy_text(xmlNodePtr node, char **ret_text)
{
        CLEANUP_TEXT xmlChar *text = node ? xmlNodeGetContent(node) : NULL;

        if (!text)
                return node ? -ENOMEM : -EBADMSG;
        *ret_text = strdup((const char *)text);
        return *ret_text ? 0 : -ENOMEM;
}

/* Sizes */

static int parse_unit(const char *unit, uint64_t *ret_factor)
{
        static const struct {
                const char *names[4];
                uint64_t factor;
        } units[] = {
                {{"KiB", "k", "K"}, UINT64_C(1) << 10},
                {{"MiB", "M"}, UINT64_C(1) << 20},
                {{"GiB", "G"}, UINT64_C(1) << 30},
                {{"TiB", "T"}, UINT64_C(1) << 40},
                {{"PiB", "P"}, UINT64_C(1) << 50},
                {{"EiB", "E"}, UINT64_C(1) << 60},
                {{"b", "byte", "bytes"}, 1},
                {{"KB"}, 1000},
                {{"MB"}, 1000000},
                {{"GB"}, 1000000000},
                {{"TB"}, UINT64_C(1000000000000)},
        };

        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                for (size_t j = 0; j < ARRAY_SIZE(units[i].names) && units[i].names[j]; j++)
                        if (strcmp(unit, units[i].names[j]) == 0) {
                                *ret_factor = units[i].factor;
                                return 0;
                        }
        return -EBADMSG;
}

/* @text in units of @unit (KiB without one) as bytes. */
static int parse_size(const char *text, const char *unit, uint64_t *ret_bytes)
{
        uint64_t factor = 0;
        char *end = NULL;
        unsigned long long number = 0;

        if (parse_unit(unit ? unit : "KiB", &factor) < 0 || !*text || text[strspn(text, "0123456789 \t\r\n")])
                return -EBADMSG;
        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0 || end == text || __builtin_mul_overflow(number, factor, ret_bytes) ||
            *ret_bytes > INT64_MAX)
                return -EBADMSG;
        return 0;
}

/* The size in the content of an element. */
static int get_size(xmlNodePtr node, uint64_t *ret_bytes)
{
        CLEANUP_TEXT xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
        CLEANUP_TEXT xmlChar *unit = node ? xmlGetNoNsProp(node, (const xmlChar *)"unit") : NULL;

        return text ? parse_size((const char *)text, (const char *)unit, ret_bytes) : -EBADMSG;
}

/* The size in the attribute "memory" of a cell. */
static int get_cell_size(xmlNodePtr cell, uint64_t *ret_bytes)
{
        CLEANUP_TEXT xmlChar *text = xmlGetNoNsProp(cell, (const xmlChar *)"memory");
        CLEANUP_TEXT xmlChar *unit = xmlGetNoNsProp(cell, (const xmlChar *)"unit");

        return text ? parse_size((const char *)text, (const char *)unit, ret_bytes) : -EBADMSG;
}

/* Where memory comes from */

static enum memory_sharing parse_access(xmlNodePtr node, const char *attribute)
{
        if (has_attribute(node, attribute, "shared"))
                return MEMORY_SHARING_SHARED;
        return has_attribute(node, attribute, "private") ? MEMORY_SHARING_PRIVATE : MEMORY_SHARING_UNKNOWN;
}

/* The defaults of a domain's blocks, by <memoryBacking>. */
static struct memory_block parse_backing(const xmlNode *domain)
{
        xmlNodePtr backing = child(domain, "memoryBacking");
        xmlNodePtr source = child(backing, "source");
        xmlNodePtr huge = child(backing, "hugepages");
        struct memory_block block = {.sharing = parse_access(child(backing, "access"), "mode")};

        if (has_attribute(source, "type", "memfd"))
                block.kind = MEMORY_KIND_MEMFD;
        else if (has_attribute(source, "type", "file"))
                block.kind = MEMORY_KIND_FILE;
        else if (!huge && block.sharing == MEMORY_SHARING_UNKNOWN)
                block.kind = MEMORY_KIND_ANONYMOUS;
        return block;
}

/* Appends a block; @id may be NULL when @number names it. */
static int append(struct domain_memory *memory, const struct memory_block *like, const char *format,
                  const char *text, size_t number, uint64_t size_bytes)
{
        struct memory_block *larger = NULL;
        struct memory_block *block = NULL;
        char id[64];

        if (memory->n_blocks == BLOCKS_MAX)
                return -E2BIG;
        if (size_bytes == 0 || size_bytes % BLOCKS_ALIGN_BYTES)
                return -EBADMSG;
        larger = reallocarray(memory->blocks, memory->n_blocks + 1, sizeof(*larger));
        if (!larger)
                return -ENOMEM;
        memory->blocks = larger;
        block = &memory->blocks[memory->n_blocks];
        *block = *like;
        if (!text)
                (void)snprintf(id, sizeof(id), "%s%zu", format, number);
        block->id = strdup(text ? text : id);
        block->path = like->path ? strdup(like->path) : NULL;
        block->size_bytes = size_bytes;
        memory->n_blocks++;
        return block->id && (block->path || !like->path) ? 0 : -ENOMEM;
}

static int parse_cells(const xmlNode *domain, const struct memory_block *backing,
                       struct domain_memory *memory)
{
        xmlNodePtr cell = child(child(child(domain, "cpu"), "numa"), "cell");

        for (; cell; cell = find_from(cell->next, "cell")) {
                struct memory_block block = *backing;
                enum memory_sharing sharing = parse_access(cell, "memAccess");
                uint64_t size_bytes = 0;
                int r = get_cell_size(cell, &size_bytes);

                if (r == 0 && sharing != MEMORY_SHARING_UNKNOWN) {
                        block.sharing = sharing;
                        if (block.kind == MEMORY_KIND_ANONYMOUS)
                                block.kind = MEMORY_KIND_UNKNOWN;
                }
                /* A cell of processors only has no memory. */
                if (r == 0 && size_bytes > 0)
                        r = append(memory, &block, "ram-node", NULL, memory->n_blocks, size_bytes);
                if (r < 0)
                        return r;
        }
        memory->n_cells = memory->n_blocks;
        return 0;
}

static int append_device(xmlNodePtr device, const struct memory_block *backing, size_t number,
                         uint64_t size_bytes, struct domain_memory *memory)
{
        struct memory_block block = *backing;
        CLEANUP_TEXT xmlChar *alias = NULL;
        CLEANUP_FREE char *path = NULL;
        xmlNodePtr source = child(device, "source");
        int r = 0;

        if (has_attribute(device, "model", "sgx-epc"))
                return 0;
        if (child(source, "path")) { /* nvdimm, virtio-pmem */
                r = copy_text(child(source, "path"), &path);
                block = (struct memory_block){.kind = MEMORY_KIND_FILE, .path = path};
        } else if (child(source, "pagesize") && block.kind == MEMORY_KIND_ANONYMOUS) {
                block.kind = MEMORY_KIND_UNKNOWN;
        }
        if (parse_access(device, "access") != MEMORY_SHARING_UNKNOWN) {
                block.sharing = parse_access(device, "access");
                if (block.kind == MEMORY_KIND_ANONYMOUS)
                        block.kind = MEMORY_KIND_UNKNOWN;
        }
        if (child(device, "alias"))
                alias = xmlGetNoNsProp(child(device, "alias"), (const xmlChar *)"name");
        return r < 0 ? r : append(memory, &block, "dimm", (const char *)alias, number, size_bytes);
}

/* Blocks of the memory devices, and what they have together. */
static int parse_devices(const xmlNode *domain, const struct memory_block *backing,
                         struct domain_memory *memory, uint64_t *ret_total)
{
        xmlNodePtr device = child(child(domain, "devices"), "memory");
        size_t number = 0;

        *ret_total = 0;
        for (; device; device = find_from(device->next, "memory"), number++) {
                uint64_t size_bytes = 0;
                int r = get_size(child(child(device, "target"), "size"), &size_bytes);

                if (r == 0 && __builtin_add_overflow(*ret_total, size_bytes, ret_total))
                        r = -EBADMSG;
                if (r == 0)
                        r = append_device(device, backing, number, size_bytes, memory);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_memory(const xmlNode *domain, struct domain_memory *memory)
{
        struct memory_block backing = parse_backing(domain);
        uint64_t total_bytes = 0;
        uint64_t device_bytes = 0;
        int r = parse_cells(domain, &backing, memory);

        if (r == 0)
                r = parse_devices(domain, &backing, memory, &device_bytes);
        if (r < 0 || memory->n_cells > 0)
                return r;
        r = get_size(child(domain, "memory"), &total_bytes);
        if (r < 0 || total_bytes <= device_bytes)
                return -EBADMSG;
        return append(memory, &backing, "", "ram", 0, total_bytes - device_bytes);
}

/* Everything else */

static int parse_group(const xmlNode *domain, struct domain_memory *memory)
{
        xmlNodePtr node = child(child(domain, "metadata"), "group");

        for (; node; node = find_from(node->next, "group")) {
                CLEANUP_TEXT xmlChar *name = NULL;

                if (!node->ns || strcmp((const char *)node->ns->href, DOMAIN_XML_GROUP_NAMESPACE) != 0)
                        continue;
                name = xmlGetNoNsProp(node, (const xmlChar *)"name");
                if (!name || !*name || strlen((const char *)name) > DOMAIN_XML_GROUP_MAX_BYTES)
                        continue;
                memory->group = strdup((const char *)name);
                return memory->group ? 0 : -ENOMEM;
        }
        return 0;
}

static int parse_domain(const xmlNode *domain, struct domain_memory *memory)
{
        int r = copy_text(child(domain, "name"), &memory->name);

        if (r == 0)
                r = copy_text(child(domain, "uuid"), &memory->uuid);
        if (r == 0)
                r = parse_group(domain, memory);
        if (r == 0)
                r = parse_memory(domain, memory);
        memory->merge = !child(child(domain, "memoryBacking"), "nosharepages");
        return r;
}

int domain_xml_parse(const char *xml, struct domain_memory *ret_memory, struct failure *failure)
{
        CLEANUP(domain_memory_deinit) struct domain_memory memory = {0};
        CLEANUP(free_document) xmlDocPtr document = NULL;
        const xmlNode *root = NULL;
        size_t length = strlen(xml);
        int r = -EBADMSG;

        if (length > DOMAIN_XML_MAX_BYTES)
                return failure_set(failure, -E2BIG, "the domain's XML has %zu bytes, more than %u", length,
                                   DOMAIN_XML_MAX_BYTES);
        document = xmlReadMemory(xml, (int)length, NULL, NULL, PARSER_OPTIONS);
        root = document ? xmlDocGetRootElement(document) : NULL;
        if (root && !document->intSubset && is_element(root, "domain"))
                r = parse_domain(root, &memory);
        if (r == -EBADMSG)
                return failure_set(failure, r, "the domain's XML is not what libvirt writes");
        if (r < 0)
                return failure_errno(failure, r, "cannot take the domain's XML");
        *ret_memory = memory;
        memory = (struct domain_memory){0};
        return 0;
}
