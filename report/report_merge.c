/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report_merge.h"

#include "report/fields.h"

#include <stdlib.h>

struct report_merge *report_merge_new(size_t n_guests)
{
        struct report_merge *merge = calloc(1, sizeof(*merge));

        if (!merge)
                return NULL;
        merge->n_guests = n_guests;
        merge->reached_bytes = FIELD_UNKNOWN;
        merge->guests = calloc(n_guests + 1, sizeof(*merge->guests));
        return merge->guests ? merge : report_merge_free(merge);
}

struct report_merge *report_merge_free(struct report_merge *merge)
{
        if (!merge)
                return NULL;
        free(merge->group);
        free(merge->guests);
        free(merge);
        return NULL;
}
