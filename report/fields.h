/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the members of a struct stand in JSON. One row of a table says how a member is written and how it is
 * read, so the two cannot differ.
 *
 * Input is hostile: it comes from another process or from a file. A value that is missing or of another type
 * is unknown. Text is made printable. No number is so large that the sum of a few could overflow.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An unknown number; null in JSON. */
#define FIELD_UNKNOWN (-1)

/* The address space of x86-64 with five levels: no size is larger; the sum of 32 fits an int64_t. */
#define FIELD_BYTES_MAX (INT64_C(1) << 57)

enum field_type {
        FIELD_TYPE_END,     /* after the last row */
        FIELD_TYPE_TEXT,    /* char *, allocated; NULL: null */
        FIELD_TYPE_CHARS,   /* char []; empty: null. Longer text is cut */
        FIELD_TYPE_WORD,    /* const char *, one of @names; NULL: null */
        FIELD_TYPE_CHOICE,  /* likewise, but never NULL: another word is the first */
        FIELD_TYPE_NAME,    /* enum, by @names; another word is the first */
        FIELD_TYPE_BOOL,    /* false when not known */
        FIELD_TYPE_BYTES,   /* int64_t, from 0; FIELD_UNKNOWN: null */
        FIELD_TYPE_SIGNED,  /* int64_t; FIELD_UNKNOWN: null */
        FIELD_TYPE_COUNT,   /* unsigned int; 0 when not known */
        FIELD_TYPE_PID,     /* pid_t; 0: null */
        FIELD_TYPE_SECONDS, /* double, from 0; FIELD_UNKNOWN: null */
        FIELD_TYPE_SPAN,    /* double, above 0; 0: null */
        FIELD_TYPE_DOUBLE,  /* 0 when not known */
        FIELD_TYPE_FIXED,   /* the number @size, whatever is read */
        FIELD_TYPE_LIST,    /* allocated array of at most @max structs of @size bytes, by @fields */
};

/**
 * struct field - one row
 * @is_needed: without it, the whole cannot be read
 * @within: the object that the key is in, by its key in the whole; NULL: the whole itself
 * @flag: offset of a bool, never 0: where it is false, null is written; a NAME sets it when it is read
 * @n: offset of the size_t that counts a LIST
 */
struct field {
        const char *within;
        const char *key;
        enum field_type type;
        bool is_needed;
        size_t offset;
        size_t size;
        size_t flag;
        const char *(*names)(int number);
        int n_names;
        const struct field *fields;
        size_t n;
        size_t max;
};

/* The beginning of a row. */
#define FIELD_AS(type_, key_, structure, member)                               \
        .key = (key_), .type = (type_), .offset = offsetof(structure, member), \
        .size = sizeof(((structure *)0)->member)

/* The type that goes with a member's. */
#define FIELD_TYPE_OF(structure, member) \
        _Generic(&((structure *)0)->member,        \
                 char **: FIELD_TYPE_TEXT,         \
                 bool *: FIELD_TYPE_BOOL,          \
                 int64_t *: FIELD_TYPE_BYTES,      \
                 unsigned int *: FIELD_TYPE_COUNT, \
                 pid_t *: FIELD_TYPE_PID,          \
                 double *: FIELD_TYPE_SECONDS,     \
                 default: FIELD_TYPE_CHARS)
#define FIELD(key, structure, member) FIELD_AS(FIELD_TYPE_OF(structure, member), key, structure, member)

/* A row of @n_member structs in an array. */
#define FIELD_LIST(key_, structure, member, n_member, max_, fields_)                                  \
        .key = (key_), .type = FIELD_TYPE_LIST, .offset = offsetof(structure, member),                \
        .size = sizeof(*((structure *)0)->member), .n = offsetof(structure, n_member), .max = (max_), \
        .fields = (fields_)

/* A row of the names that a function knows. */
#define FIELD_NAMES(names_, n_names_) .names = (names_), .n_names = (n_names_)

/* Adds the members of @structure to @object. */
void fields_write(struct json_object *object, const struct field *fields, const void *structure);

/**
 * fields_read() - fill a struct, which is all 0, from an object
 * @json: borrowed; where it is no object, everything is unknown
 *
 * What is allocated belongs to the struct, after a failure too.
 *
 * Return: 0; -EBADMSG when something needed is missing; -E2BIG when a list is too long; -ENOMEM.
 */
int fields_read(struct json_object *json, const struct field *fields, void *structure);
