/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int append_group(struct groups *groups, const char *name, struct group **ret, struct failure *failure)
{
        struct group *larger = NULL;
        char *copy = NULL;

        if (*name == '\0')
                return failure_set(failure, -EINVAL, "a group without a name");
        if (strlen(name) > GROUPS_NAME_MAX_BYTES)
                return failure_set(failure, -EINVAL, "a group's name has at most %d bytes",
                                   GROUPS_NAME_MAX_BYTES);
        if (groups->n == GROUPS_MAX)
                return failure_set(failure, -E2BIG, "more than %d groups", GROUPS_MAX);
        larger = reallocarray(groups->groups, groups->n + 1, sizeof(*larger));
        if (!larger)
                return failure_set(failure, -ENOMEM, "out of memory");
        groups->groups = larger;
        copy = strdup(name);
        if (!copy)
                return failure_set(failure, -ENOMEM, "out of memory");
        groups->groups[groups->n] = (struct group){.name = copy};
        *ret = &groups->groups[groups->n++];
        return 0;
}

int groups_set(struct groups *groups, const char *name, const char *text, struct failure *failure)
{
        struct group *group = NULL;

        for (size_t i = 0; i < groups->n; i++)
                if (strcmp(groups->groups[i].name, name) == 0)
                        group = &groups->groups[i];
        if (!group) {
                int r = append_group(groups, name, &group, failure);

                if (r < 0)
                        return r;
        }
        return patterns_parse(text, &group->members, failure);
}

const char *groups_find(const struct groups *groups, const char *guest_name)
{
        for (size_t i = 0; i < groups->n; i++)
                if (patterns_match(&groups->groups[i].members, guest_name))
                        return groups->groups[i].name;
        return NULL;
}

void groups_deinit(struct groups *groups)
{
        for (size_t i = 0; i < groups->n; i++) {
                free(groups->groups[i].name);
                patterns_deinit(&groups->groups[i].members);
        }
        free(groups->groups);
        *groups = (struct groups){0};
}
