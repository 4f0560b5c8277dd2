/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool print_json(struct json_object *object)
{
        if (!object)
                return false;
        (void)printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                                            JSON_C_TO_STRING_SPACED |
                                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
        (void)json_object_put(object);
        return print_finish();
}

bool print_finish(void)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return true;
        (void)fprintf(stderr, "samepage: cannot write the output: %s\n", strerror(errno));
        return false;
}
