/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages/page_buffer.h"

#include "pages/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM_BYTES (PAGE_SPAN_MAX * PAGE_BYTES)

int page_buffer_init(struct page_buffer *buffer)
{
        *buffer = (struct page_buffer){.room = aligned_alloc(ROOM_BYTES, ROOM_BYTES)};
        if (!buffer->room)
                return -ENOMEM;
        (void)madvise(buffer->room, ROOM_BYTES, MADV_HUGEPAGE);
        (void)madvise(buffer->room, ROOM_BYTES, MADV_DONTDUMP);
        memset(buffer->room, 0, ROOM_BYTES);
        return 0;
}

void page_buffer_deinit(struct page_buffer *buffer)
{
        if (buffer->room)
                explicit_bzero(buffer->room, ROOM_BYTES);
        free(buffer->room);
        *buffer = (struct page_buffer){0};
}

void page_buffer_clear(struct page_buffer *buffer)
{
        buffer->in_place = false;
        buffer->bytes = buffer->room;
        buffer->n_slots = 0;
        memset(buffer->slots, 0xff, sizeof(buffer->slots));
}

unsigned char *page_buffer_next(const struct page_buffer *buffer)
{
        return buffer->room + buffer->n_slots * PAGE_BYTES;
}
