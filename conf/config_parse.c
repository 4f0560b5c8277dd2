/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inih cuts lines into sections, keys and values. What it does not do is done around it:
 *
 *  - It does not say where it is. Its reader is ours and hands out one line at a time, and inih calls the
 *    handler for a line before it asks for the next; so the line counted by the reader is the handler's.
 *  - It tells only the first line that it could not read, and passes over text behind "[section]". The reader
 *    looks at each line before it hands it out: a line that should reach the handler and did not is a problem.
 *  - It has a buffer of fixed size and takes the rest of a longer line for the next line. The reader keeps
 *    such a line back, and likewise one with control characters.
 *  - It knows an indented line as more of the value above. The values of lists are collected here until the
 *    next key, with a line end between the parts. For other values, and where the line looks like a key or a
 *    section of its own, it is an error: to take "  mode = live" for a part of the value above would be a
 *    trap.
 */
#include "conf/config_parse.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS          " \t\r"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
/* Names are quoted up to here. */
#define NAME_BYTES 64

/* A key that the file has set. */
struct seen {
        const struct option_row *row;
        char *key;
        unsigned int line;
};

/* Values that wait for what the next line brings. */
struct pending {
        const struct option_row *row; /* NULL: a key that is not known, or none */
        char *key;                    /* NULL: none */
        char *value;
        unsigned int line;
        bool wrong; /* and told */
};

struct parser {
        struct options *options;
        struct problems *problems;
        const char *path;
        const char *next; /* what has not been handed out */
        const char *end;
        unsigned int line;  /* of what was handed out last */
        bool handler_owes;  /* that line must reach the handler */
        bool indented;      /* that line */
        bool known_section; /* or none has begun; keys of others are passed over */
        struct pending pending;
        struct seen *seen;
        size_t n_seen;
};

__attribute__((format(printf, 3, 4))) static void tell(struct parser *parser, int error, const char *format,
                                                       ...)
{
        struct failure text = {0};
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text.text, sizeof(text.text), format, arguments);
        va_end(arguments);
        problems_add(parser->problems, error, parser->path, parser->line, "%s", text.text);
}

/* ---- What inih hands over ---- */

static const char *section_of(const struct option_row *row, const void *context)
{
        (void)context;
        return row->section;
}

static const char *key_in(const struct option_row *row, const void *section)
{
        return row->section && strcmp(row->section, section) == 0 ? row->key : NULL;
}

static void tell_unknown_key(struct parser *parser, const char *section, const char *key)
{
        const struct option_row *elsewhere = options_find_key(NULL, key);
        const char *closest = options_closest(key, key_in, section);

        if (elsewhere)
                tell(parser, 0, "%s%s%s%.*s: is ignored here; it belongs to [%s]", section[0] ? "[" : "",
                     section, section[0] ? "] " : "", NAME_BYTES, key, elsewhere->section);
        else if (section[0] == '\0')
                tell(parser, 0, "%.*s: stands before the first section, and is ignored", NAME_BYTES, key);
        else
                tell(parser, 0, "[%s] %.*s: unknown key, which is ignored%s%s%s", section, NAME_BYTES, key,
                     closest ? "; did you mean \"" : "", closest ? closest : "", closest ? "\"?" : "");
}

static void remember(struct parser *parser, const struct option_row *row, const char *key)
{
        struct seen *larger = NULL;
        char *copy = NULL;

        for (size_t i = 0; i < parser->n_seen; i++) {
                struct seen *seen = &parser->seen[i];

                if (seen->row != row || strcmp(seen->key, key) != 0)
                        continue;
                tell(parser, 0, "[%s] %s: is set again; line %u no longer counts", row->section, key,
                     seen->line);
                seen->line = parser->line;
                return;
        }
        larger = reallocarray(parser->seen, parser->n_seen + 1, sizeof(*larger));
        copy = strdup(key);
        if (larger)
                parser->seen = larger;
        if (larger && copy)
                larger[parser->n_seen++] = (struct seen){row, TAKE_PTR(copy), parser->line};
        else
                tell(parser, -ENOMEM, "out of memory");
        free(copy);
}

/* Sets what has been collected. */
static void flush(struct parser *parser)
{
        struct pending *pending = &parser->pending;
        struct failure reason = {0};
        int r = 0;

        if (pending->row && !pending->wrong)
                r = options_set_key(parser->options, pending->row, pending->key, pending->value, &reason);
        if (r < 0)
                problems_add(parser->problems, r, parser->path, pending->line, "[%s] %s: %s",
                             pending->row->section, pending->key, reason.text);
        free(pending->key);
        free(pending->value);
        *pending = (struct pending){0};
}

/* "key = value" or "[section]", and not a pattern. */
static bool looks_like_its_own(const char *text)
{
        bool quoted = false;

        if (text[0] == '[') {
                const size_t length = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_");

                if (text[1 + length] == ']' && text[2 + length] == '\0')
                        return true;
        }
        for (; *text; text++) {
                quoted ^= *text == '"';
                if (*text == '=' && !quoted)
                        return true;
        }
        return false;
}

/* The length without a comment behind it, which some releases of inih leave there. */
static int length_without_comment(const char *text)
{
        for (size_t i = 1; text[i - 1] != '\0'; i++)
                if (text[i] == ';' && isspace((unsigned char)text[i - 1]))
                        return (int)i;
        return (int)strlen(text);
}

/* One more line of the value that is pending. */
static void go_on(struct parser *parser, const char *text)
{
        struct pending *pending = &parser->pending;
        char *longer = NULL;

        if (!pending->row || pending->wrong)
                return;
        if (!pending->row->type->is_list || looks_like_its_own(text)) {
                pending->wrong = true;
                tell(parser, -EINVAL,
                     "an indented line goes on with the value of \"%s\" above; keys and sections begin at "
                     "the "
                     "start of a line",
                     pending->key);
                return;
        }
        if (asprintf(&longer, "%s\n%.*s", pending->value, length_without_comment(text), text) < 0) {
                pending->wrong = true;
                tell(parser, -ENOMEM, "out of memory");
                return;
        }
        free(pending->value);
        pending->value = longer;
}

static void begin(struct parser *parser, const char *section, const char *key, const char *value)
{
        struct pending *pending = &parser->pending;

        pending->line = parser->line;
        pending->key = strdup(key);
        pending->value = strdup(value);
        if (!pending->key || !pending->value) {
                tell(parser, -ENOMEM, "out of memory");
                return;
        }
        if (!parser->known_section)
                return;
        if (key[0] == '\0') {
                tell(parser, -EINVAL, "no key before the \"=\"");
                return;
        }
        pending->row = options_find_key(section, key);
        if (pending->row)
                remember(parser, pending->row, key);
        else
                tell_unknown_key(parser, section, key);
}

/* Whether the line is more of the value above, for inih too. */
static bool goes_on(const struct parser *parser)
{
        return parser->indented && parser->pending.key && parser->pending.key[0];
}

/* inih repeats the key above then, cut to the length of its buffer. */
static bool is_continuation(const struct parser *parser, const char *key)
{
        return goes_on(parser) && strncmp(parser->pending.key, key, strlen(key)) == 0;
}

static int handle(void *user, const char *section, const char *key, const char *value)
{
        struct parser *parser = user;

        parser->handler_owes = false;
        if (is_continuation(parser, key)) {
                go_on(parser, value);
                return 1;
        }
        flush(parser);
        begin(parser, section, key, value ? value : "");
        return 1;
}

/* ---- What inih is given ---- */

/* The end of a section's name as inih finds it: not behind the beginning of a comment. */
static const char *find_bracket(const char *text, size_t length)
{
        for (size_t i = 0; i < length && text[i] != '\0'; i++) {
                if (text[i] == ']')
                        return text + i;
                if (text[i] == ';' && i > 0 && isspace((unsigned char)text[i - 1]))
                        return NULL;
        }
        return NULL;
}

/* A line that begins with '[' at @text. */
static void look_at_section(struct parser *parser, const char *text, size_t length)
{
        const char *bracket = find_bracket(text + 1, length - 1);
        char name[NAME_BYTES + 1] = "";
        const char *closest = NULL;

        flush(parser);
        if (!bracket) {
                parser->known_section = false;
                tell(parser, -EINVAL, "a section without \"]\"");
                return;
        }
        (void)snprintf(name, sizeof(name), "%.*s", (int)(bracket - text - 1), text + 1);
        parser->known_section = options_is_section(name);
        for (const char *rest = bracket + 1; rest < text + length; rest++) {
                if (*rest == ';' || *rest == '#')
                        break;
                if (strchr(BLANKS, *rest))
                        continue;
                tell(parser, -EINVAL, "text behind \"]\"");
                return;
        }
        if (parser->known_section)
                return;
        closest = options_closest(name, section_of, NULL);
        tell(parser, 0, "[%s]: unknown section, which is ignored%s%s%s", name,
             closest ? "; did you mean [" : "", closest ? closest : "", closest ? "]?" : "");
}

/* Finds out what a line is before inih sees it. */
static void look_at(struct parser *parser, const char *text, size_t length)
{
        size_t blanks = 0;

        if (parser->line == 1 && length >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0) {
                text += 3;
                length -= 3;
        }
        while (blanks < length && isspace((unsigned char)text[blanks]))
                blanks++;
        parser->indented = blanks > 0;
        if (blanks == length || text[blanks] == ';' || text[blanks] == '#')
                return;
        if (text[blanks] == '[' && !goes_on(parser))
                look_at_section(parser, text + blanks, length - blanks);
        else
                parser->handler_owes = true;
}

/* Whether inih may see the line. */
static bool is_sound(struct parser *parser, const char *text, size_t length, int size)
{
        for (size_t i = 0; i < length; i++) {
                const unsigned char byte = (unsigned char)text[i];

                if (!iscntrl(byte) || byte == '\t' || (byte == '\r' && i + 1 == length))
                        continue;
                tell(parser, -EINVAL, "a control character (0x%02x)", byte);
                return false;
        }
        if (length + 2 <= (size_t)size)
                return true;
        if (text[0] != '#' && text[0] != ';')
                tell(parser, -EINVAL,
                     "a line longer than %d bytes; a list may go on in the next line, which is indented then",
                     size - 2);
        return false;
}

static void tell_what_the_handler_owes(struct parser *parser)
{
        if (parser->handler_owes)
                tell(parser, -EINVAL, "neither \"key = value\" nor \"[section]\" nor a comment");
        parser->handler_owes = false;
}

/* In place of fgets(3). */
static char *read_line(char *buffer, int size, void *stream)
{
        struct parser *parser = stream;
        const char *text = parser->next;
        const char *line_end = NULL;
        size_t length = 0;

        tell_what_the_handler_owes(parser);
        if (text == parser->end)
                return NULL;
        line_end = memchr(text, '\n', (size_t)(parser->end - text));
        parser->next = line_end ? line_end + 1 : parser->end;
        length = (size_t)((line_end ? line_end : parser->end) - text);
        parser->line++;
        if (is_sound(parser, text, length, size))
                look_at(parser, text, length);
        else
                length = 0;
        memcpy(buffer, text, length);
        buffer[length] = '\n';
        buffer[length + 1] = '\0';
        return buffer;
}

void config_parse(struct options *options, const char *path, const char *text, size_t length,
                  struct problems *problems)
{
        struct parser parser = {
                .options = options,
                .problems = problems,
                .path = path,
                .next = text,
                .end = text + length,
                .known_section = true,
        };

        /* A negative number: no memory for its buffer. The number of a line was told by us already. */
        if (ini_parse_stream(read_line, &parser, handle, &parser) < 0)
                tell(&parser, -ENOMEM, "out of memory");
        flush(&parser);
        for (size_t i = 0; i < parser.n_seen; i++)
                free(parser.seen[i].key);
        free(parser.seen);
}
