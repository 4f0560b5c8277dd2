/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/virt_source.h"

#include "daemon/virt_uri.h"

#include <stddef.h>

void virt_source_begin(struct virt_source *source, const char *configured)
{
        *source = (struct virt_source){.metrics = source->metrics, .configured = configured};
        metrics_set_source(source->metrics, NULL, false);
}

void virt_source_forget(struct virt_source *source, const char *configured)
{
        source->configured = configured;
        source->has_answered = source->answers;
        virt_source_hear(source, source->answers);
}

void virt_source_hear(struct virt_source *source, bool answers)
{
        source->answers = answers;
        source->has_answered |= answers;
        metrics_set_source(source->metrics, virt_source_uri(source), answers);
}

const char *virt_source_uri(const struct virt_source *source)
{
        return virt_uri_find(source->configured, "", source->has_answered);
}
