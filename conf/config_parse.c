/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser works in the text that it is given: it ends sections, keys and values where they stand. Where a
 * list goes on over several lines, it moves the parts together, with a line end between them.
 *
 * An option is set when the next key or section begins, because until then an indented line may add to its
 * value. Only lists may go on. For other values, and where the line looks like a key or a section of its own,
 * an indented line is an error: to take "  mode = live" for a part of the value above would be a trap.
 */
#include "conf/config_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS          " \t\r"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define LINE_MAX_BYTES  198
/* Messages quote names up to here. */
#define NAME_BYTES 64

/* A key of the file. */
struct entry {
        const struct option_row *row;
        const char *key;
        char *value;
        unsigned int line;
};

struct parser {
        struct options *options;
        struct problems *problems;
        const char *section;
        bool known_section;    /* or none has begun; the parser passes over the keys of others */
        bool has_key;          /* in the lines above, which an indented line goes on with */
        struct entry *entry;   /* of that key; NULL: it is not set */
        struct entry *entries; /* each key once */
        size_t n_entries;
};

/* The first of @stops in a line, or the comment behind its text, or its end. */
static char *find_end(char *text, const char *stops)
{
        char *end = text;

        while (*end && !strchr(stops, *end) && !(*end == ';' && end > text && strchr(BLANKS, end[-1])))
                end++;
        return end;
}

/* Ends @text at @end, without the blanks before it. */
static void cut_text(char *text, char *end)
{
        while (end > text && strchr(BLANKS, end[-1]))
                end--;
        *end = '\0';
}

static void set_entry(struct parser *parser)
{
        const struct entry *entry = parser->entry;
        const unsigned int line = parser->problems->line;
        struct failure reason = {0};
        int r = 0;

        parser->has_key = false;
        parser->entry = NULL;
        if (entry)
                r = options_set_key(parser->options, entry->row, entry->key, entry->value, &reason);
        if (r == 0)
                return;
        parser->problems->line = entry->line;
        problems_add(parser->problems, r, "[%s] %s: %s", entry->row->section, entry->key, reason.text);
        parser->problems->line = line;
}

/* "key = value" or "[section]", and not a pattern. */
static bool looks_like_its_own(const char *text)
{
        bool quoted = false;

        if (text[0] == '[' && strcmp(text + 1 + strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_"), "]") == 0)
                return true;
        for (; *text; text++) {
                quoted ^= *text == '"';
                if (*text == '=' && !quoted)
                        return true;
        }
        return false;
}

/* An indented line, without its blanks. */
static void go_on_with_value(struct parser *parser, char *text)
{
        const struct entry *entry = parser->entry;
        char *value_end = NULL;

        if (!entry)
                return;
        cut_text(text, find_end(text, ""));
        if (!entry->row->type->is_list || looks_like_its_own(text)) {
                problems_add(parser->problems, -EINVAL,
                             "an indented line goes on with the value of \"%s\" above; keys and sections "
                             "begin at the start of a line",
                             entry->key);
                parser->entry = NULL;
                return;
        }
        value_end = entry->value + strlen(entry->value);
        *value_end = '\n';
        memmove(value_end + 1, text, strlen(text) + 1);
}

static const char *section_of(const struct option_row *row, const void *context)
{
        (void)context;
        return row->section;
}

static const char *key_in(const struct option_row *row, const void *section)
{
        return row->section && strcmp(row->section, section) == 0 ? row->key : NULL;
}

static void tell_unknown_key(struct parser *parser, const char *key)
{
        const char *section = parser->section;
        const struct option_row *elsewhere = options_find_key(NULL, key);
        const char *closest = options_closest(key, key_in, section);

        if (elsewhere)
                problems_add(parser->problems, 0, "%s%s%s%.*s: is ignored here; it belongs to [%s]",
                             section[0] ? "[" : "", section, section[0] ? "] " : "", NAME_BYTES, key,
                             elsewhere->section);
        else if (section[0] == '\0')
                problems_add(parser->problems, 0, "%.*s: stands before the first section, and is ignored",
                             NAME_BYTES, key);
        else
                problems_add(parser->problems, 0, "[%s] %.*s: unknown key, which is ignored%s%s%s", section,
                             NAME_BYTES, key, closest ? "; did you mean \"" : "", closest ? closest : "",
                             closest ? "\"?" : "");
}

/* The place of a key among the entries, its own when the file has set it before; NULL without memory. */
static struct entry *find_entry(struct parser *parser, const struct option_row *row, const char *key)
{
        struct entry *larger = NULL;

        for (size_t i = 0; i < parser->n_entries; i++) {
                struct entry *entry = &parser->entries[i];

                if (entry->row != row || strcmp(entry->key, key) != 0)
                        continue;
                problems_add(parser->problems, 0, "[%s] %s: is set again; line %u no longer counts",
                             row->section, key, entry->line);
                return entry;
        }
        larger = reallocarray(parser->entries, parser->n_entries + 1, sizeof(*larger));
        if (!larger) {
                problems_add(parser->problems, -ENOMEM, "out of memory");
                return NULL;
        }
        parser->entries = larger;
        return &larger[parser->n_entries++];
}

static void parse_key(struct parser *parser, char *key)
{
        char *key_end = find_end(key, "=:");
        char *value = key_end + 1;
        const struct option_row *row = NULL;

        if (*key_end != '=' && *key_end != ':') {
                problems_add(parser->problems, -EINVAL,
                             "neither \"key = value\" nor \"[section]\" nor a comment");
                return;
        }
        set_entry(parser);
        cut_text(key, key_end);
        cut_text(value, find_end(value, ""));
        parser->has_key = key[0] != '\0';
        if (!parser->known_section)
                return;
        if (!parser->has_key) {
                problems_add(parser->problems, -EINVAL, "no key before the \"=\"");
                return;
        }
        row = options_find_key(parser->section, key);
        if (!row) {
                tell_unknown_key(parser, key);
                return;
        }
        parser->entry = find_entry(parser, row, key);
        if (parser->entry)
                *parser->entry =
                        (struct entry){row, key, value + strspn(value, BLANKS), parser->problems->line};
}

static void parse_section(struct parser *parser, char *name)
{
        char *bracket = find_end(name, "]");
        const char *rest = NULL;
        const char *closest = NULL;

        set_entry(parser);
        parser->known_section = false;
        if (*bracket != ']') {
                problems_add(parser->problems, -EINVAL, "a section without \"]\"");
                return;
        }
        *bracket = '\0';
        parser->section = name;
        parser->known_section = options_is_section(name);
        rest = bracket + 1 + strspn(bracket + 1, BLANKS);
        if (*rest && *rest != ';' && *rest != '#') {
                problems_add(parser->problems, -EINVAL, "text behind \"]\"");
                return;
        }
        if (parser->known_section)
                return;
        closest = options_closest(name, section_of, NULL);
        problems_add(parser->problems, 0, "[%.*s]: unknown section, which is ignored%s%s%s", NAME_BYTES, name,
                     closest ? "; did you mean [" : "", closest ? closest : "", closest ? "]?" : "");
}

/* Whether a line has nothing in it that would tear it, and is not too long. */
static bool is_sound(struct problems *problems, const char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                const unsigned char byte = (unsigned char)text[i];

                if (!iscntrl(byte) || byte == '\t' || (byte == '\r' && i + 1 == length))
                        continue;
                problems_add(problems, -EINVAL, "a control character (0x%02x)", byte);
                return false;
        }
        if (length <= LINE_MAX_BYTES)
                return true;
        if (text[0] != '#' && text[0] != ';')
                problems_add(problems, -EINVAL,
                             "a line longer than %d bytes; a list may go on in the next line, which is "
                             "indented then",
                             LINE_MAX_BYTES);
        return false;
}

/* A line, which ends with a NUL. */
static void parse_line(struct parser *parser, char *text)
{
        const size_t n_blanks = strspn(text, BLANKS);

        text += n_blanks;
        if (*text == '\0' || *text == ';' || *text == '#')
                return;
        if (n_blanks > 0 && parser->has_key)
                go_on_with_value(parser, text);
        else if (*text == '[')
                parse_section(parser, text + 1);
        else
                parse_key(parser, text);
}

void config_parse(struct options *options, char *text, size_t length, struct problems *problems)
{
        struct parser parser = {
                .options = options,
                .problems = problems,
                .section = "",
                .known_section = true,
        };
        char *const text_end = text + length;

        for (problems->line = 1; text < text_end; problems->line++) {
                char *line_end = memchr(text, '\n', (size_t)(text_end - text));

                line_end = line_end ? line_end : text_end;
                *line_end = '\0';
                if (is_sound(problems, text, (size_t)(line_end - text))) {
                        if (problems->line == 1 && strncmp(text, BYTE_ORDER_MARK, 3) == 0)
                                text += 3;
                        parse_line(&parser, text);
                }
                text = line_end + 1;
        }
        set_entry(&parser);
        free(parser.entries);
}
