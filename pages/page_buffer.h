/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of the pages of one span. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages are looked up and read in spans of at most this many: 2 MiB, which is a huge page on x86-64. */
#define PAGE_SPAN_MAX 512

/**
 * struct page_buffer - where they are
 * @room: of PAGE_SPAN_MAX pages, for readers that copy; owned. NULL where there is none
 * @in_place: they lie where they are: page i of the span is number i behind @bytes, and no slot is used
 * @bytes: else @n_slots pages, one behind the other
 * @slots: by page of the span, where in @bytes it is, for pages that had to be read; equal pages may share
 *         a slot
 */
struct page_buffer {
        unsigned char *room;
        bool in_place;
        const unsigned char *bytes;
        size_t n_slots;
        uint16_t slots[PAGE_SPAN_MAX];
};

/**
 * page_buffer_init() - make room for a span, faulted in
 *
 * Return: 0 or -ENOMEM.
 */
int page_buffer_init(struct page_buffer *buffer);

/* Wipes the pages. Takes one that is zeroed. */
void page_buffer_deinit(struct page_buffer *buffer);

/* Forgets what was read: no page has a slot. */
void page_buffer_clear(struct page_buffer *buffer);

/* The room for the next slot. */
unsigned char *page_buffer_next(const struct page_buffer *buffer);
