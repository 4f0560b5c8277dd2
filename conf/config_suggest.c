/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config_suggest.h"

#include "conf/spelling.h"

#include <stdint.h>
#include <string.h>

const char *config_suggest_section(const char *name)
{
        const char *closest = NULL;
        size_t least = SIZE_MAX;

        for (const struct config_option *option = config_options; option->section; option++) {
                const size_t distance = spelling_distance(option->section, name);

                if (distance >= least || !spelling_is_close(distance, option->section))
                        continue;
                least = distance;
                closest = option->section;
        }
        return closest;
}

const struct config_option *config_suggest_option(const char *section, const char *key)
{
        const struct config_option *closest = NULL;
        size_t least = SIZE_MAX;

        for (const struct config_option *option = config_options; option->section; option++) {
                size_t distance = option->key ? spelling_distance(option->key, key) : SIZE_MAX;

                if (distance > 0 && strcmp(option->section, section) != 0)
                        continue;
                if (distance >= least || !spelling_is_close(distance, option->key))
                        continue;
                least = distance;
                closest = option;
        }
        return closest;
}
