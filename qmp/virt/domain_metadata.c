/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/virt/domain_metadata.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <string.h>

/* No network, no entities from outside, no messages on standard error. */
#define PARSE_FLAGS (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

static int read_mode(xmlNode *scan, char ret_mode[DOMAIN_METADATA_MODE_BYTES], struct failure *failure)
{
        xmlChar *mode = xmlGetNoNsProp(scan, BAD_CAST "mode");
        int r = 0;

        ret_mode[0] = '\0';
        if (mode && xmlStrlen(mode) >= DOMAIN_METADATA_MODE_BYTES)
                r = failure_set(failure, -EINVAL, "its mode is none of snapshot, sliced, live");
        else if (mode)
                (void)snprintf(ret_mode, DOMAIN_METADATA_MODE_BYTES, "%s", (const char *)mode);
        xmlFree(mode);
        return r;
}

int domain_metadata_read_scan(const char *xml, char ret_mode[DOMAIN_METADATA_MODE_BYTES],
                              struct failure *failure)
{
        const size_t length = strnlen(xml, DOMAIN_METADATA_MAX_BYTES + 1);
        xmlDoc *document = NULL;
        xmlNode *root = NULL;
        int r = 0;

        if (length > DOMAIN_METADATA_MAX_BYTES)
                return failure_set(failure, -EINVAL, "it is longer than %d bytes", DOMAIN_METADATA_MAX_BYTES);
        document = xmlReadMemory(xml, (int)length, "scan", NULL, PARSE_FLAGS);
        root = document ? xmlDocGetRootElement(document) : NULL;
        if (!root || strcmp((const char *)root->name, "scan") != 0)
                r = failure_set(failure, -EINVAL, "it is no element <scan mode='snapshot'/>");
        else
                r = read_mode(root, ret_mode, failure);
        xmlFreeDoc(document);
        return r;
}

/* Attribute names are ours; anything else would be a way into somebody's XML. */
static bool is_name(const char *name)
{
        for (const char *c = name; *c; c++)
                if (!islower((unsigned char)*c) && *c != '-')
                        return false;
        return *name && *name != '-';
}

char *domain_metadata_write_result(struct json_object *attributes)
{
        xmlNode *node = xmlNewNode(NULL, BAD_CAST "result");
        xmlBuffer *buffer = xmlBufferCreate();
        char *xml = NULL;

        if (node && buffer && json_object_is_type(attributes, json_type_object)) {
                json_object_object_foreach(attributes, name, value)
                {
                        if (is_name(name) && json_object_is_type(value, json_type_string))
                                (void)xmlNewProp(node, BAD_CAST name, BAD_CAST json_object_get_string(value));
                }
                if (xmlNodeDump(buffer, NULL, node, 0, 0) >= 0)
                        xml = strdup((const char *)xmlBufferContent(buffer));
        }
        xmlFreeNode(node);
        xmlBufferFree(buffer);
        return xml;
}
