/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static bool is_continuation(unsigned char byte)
{
        return (byte & 0xc0) == 0x80;
}

/* Length of the UTF-8 sequence at @text, or 0 when there is none; *@ret_code is its code point. */
static size_t utf8_decode(const unsigned char *text, uint32_t *ret_code)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t length = text[0] < 0x80             ? 1
                        : (text[0] & 0xe0) == 0xc0 ? 2
                        : (text[0] & 0xf0) == 0xe0 ? 3
                        : (text[0] & 0xf8) == 0xf0 ? 4
                                                   : 0;
        uint32_t code = 0;

        if (length == 0)
                return 0;
        code = length == 1 ? text[0] : text[0] & (0x7fU >> length);
        for (size_t i = 1; i < length; i++) {
                if (!is_continuation(text[i]))
                        return 0;
                code = code << 6 | (text[i] & 0x3fU);
        }
        if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
                return 0;
        *ret_code = code;
        return length;
}

/* C0, DEL, C1, and the marks that change the direction of writing. */
static bool is_control(uint32_t code)
{
        return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
               (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void text_make_printable(char *text)
{
        unsigned char *position = (unsigned char *)text;

        while (*position) {
                uint32_t code = 0;
                size_t length = utf8_decode(position, &code);

                if (length == 0 || is_control(code)) {
                        length = length == 0 ? 1 : length;
                        for (size_t i = 0; i < length; i++)
                                position[i] = '?';
                }
                position += length;
        }
}

unsigned int text_columns(const char *text)
{
        unsigned int columns = 0;

        for (; *text; text++)
                columns += !is_continuation((unsigned char)*text);
        return columns;
}

bool text_is_same(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}
