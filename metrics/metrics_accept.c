/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For each format, the range that matches it most closely decides, whatever its place in the header: a version before
 * a plain type, that before a "type" with "*", that before the one that takes everything.
 */
#include "metrics/metrics_accept.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define QUALITY_MAX 1000

/* How closely a range matches. */
enum match {
        MATCH_NONE,
        MATCH_ANY,
        MATCH_TYPE,
        MATCH_SUBTYPE,
        MATCH_VERSION,
};

/* A piece of the header. */
struct piece {
        const char *at;
        size_t length;
};

struct offer {
        const char *type;
        const char *subtype;
        const char *version;
};

struct wish {
        enum match match;
        unsigned int quality; /* in thousandths */
};

static struct piece trim(struct piece piece)
{
        while (piece.length > 0 && (*piece.at == ' ' || *piece.at == '\t')) {
                piece.at++;
                piece.length--;
        }
        while (piece.length > 0 && (piece.at[piece.length - 1] == ' ' || piece.at[piece.length - 1] == '\t'))
                piece.length--;
        return piece;
}

/* Takes what stands before the next @separator outside quotes off the front of @rest. */
static struct piece next_piece(struct piece *rest, char separator)
{
        bool quoted = false;
        size_t end = 0;
        struct piece piece = {0};

        for (; end < rest->length && (quoted || rest->at[end] != separator); end++) {
                if (rest->at[end] == '"')
                        quoted = !quoted;
                else if (quoted && rest->at[end] == '\\' && end + 1 < rest->length)
                        end++;
        }
        piece = (struct piece){rest->at, end};
        end += end < rest->length;
        *rest = (struct piece){rest->at + end, rest->length - end};
        return trim(piece);
}

static bool is_word(struct piece piece, const char *word)
{
        return piece.length == strlen(word) && strncasecmp(piece.at, word, piece.length) == 0;
}

static struct piece unquote(struct piece piece)
{
        if (piece.length >= 2 && piece.at[0] == '"' && piece.at[piece.length - 1] == '"')
                return (struct piece){piece.at + 1, piece.length - 2};
        return piece;
}

/* "0.75" is 750. */
static bool parse_quality(struct piece piece, unsigned int *ret)
{
        unsigned int quality = 0;
        unsigned int unit = QUALITY_MAX;

        if (piece.length == 0 || piece.length > 5 || (piece.length > 1 && piece.at[1] != '.'))
                return false;
        for (size_t i = 0; i < piece.length; i++) {
                if (i == 1)
                        continue;
                if (!isdigit((unsigned char)piece.at[i]))
                        return false;
                quality += (unsigned int)(piece.at[i] - '0') * unit;
                unit /= 10;
        }
        *ret = quality;
        return quality <= QUALITY_MAX;
}

static enum match match_type(struct piece range, const struct offer *offer)
{
        const struct piece type = next_piece(&range, '/');
        const struct piece subtype = trim(range);

        if (is_word(type, "*"))
                return is_word(subtype, "*") ? MATCH_ANY : MATCH_NONE;
        if (!is_word(type, offer->type))
                return MATCH_NONE;
        if (is_word(subtype, "*"))
                return MATCH_TYPE;
        return is_word(subtype, offer->subtype) ? MATCH_SUBTYPE : MATCH_NONE;
}

/* One range with its parameters. */
static struct wish parse_wish(struct piece range, const struct offer *offer)
{
        struct wish wish = {MATCH_NONE, QUALITY_MAX};

        wish.match = match_type(next_piece(&range, ';'), offer);
        while (range.length > 0) {
                struct piece value = next_piece(&range, ';');
                const struct piece name = next_piece(&value, '=');

                value = unquote(trim(value));
                if (is_word(name, "q") && !parse_quality(value, &wish.quality))
                        return (struct wish){0};
                if (!is_word(name, "version") || wish.match != MATCH_SUBTYPE)
                        continue;
                if (!is_word(value, offer->version))
                        return (struct wish){0};
                wish.match = MATCH_VERSION;
        }
        return wish;
}

static struct wish find_wish(const char *header, const struct offer *offer)
{
        struct piece rest = {header, strlen(header)};
        struct wish best = {0};

        while (rest.length > 0) {
                const struct wish wish = parse_wish(next_piece(&rest, ','), offer);

                if (wish.match > best.match || (wish.match == best.match && wish.quality > best.quality))
                        best = wish;
        }
        return best.match == MATCH_NONE ? (struct wish){0} : best;
}

enum metrics_format metrics_accept_choose(const char *header)
{
        static const struct offer openmetrics = {"application", "openmetrics-text", "1.0.0"};
        static const struct offer text = {"text", "plain", "0.0.4"};
        struct wish wants_openmetrics = {0};
        struct wish wants_text = {0};

        if (!header)
                return METRICS_FORMAT_TEXT;
        wants_openmetrics = find_wish(header, &openmetrics);
        wants_text = find_wish(header, &text);
        if (wants_openmetrics.quality > wants_text.quality)
                return METRICS_FORMAT_OPENMETRICS;
        if (wants_openmetrics.quality == wants_text.quality && wants_openmetrics.quality > 0 &&
            wants_openmetrics.match >= MATCH_SUBTYPE)
                return METRICS_FORMAT_OPENMETRICS;
        return METRICS_FORMAT_TEXT;
}
