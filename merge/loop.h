/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closed loop around KSM: when to plan, when to act, at what speed, when to end. Pure: a state, events,
 * and what follows.
 */
#pragma once

#include "merge/pace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is to be done now; any number of them at once. */
enum loop_action {
        LOOP_CANCEL = 1 << 0,  /* end the tuning that waits or runs */
        LOOP_TUNE = 1 << 1,    /* ask for one: a scan that plans and marks guests; loop_tuned() at its end */
        LOOP_COMPARE = 1 << 2, /* ask for a scan with a forecast, for the history and metrics */
        LOOP_END_SAMPLING = 1 << 3, /* if any is going on */
        LOOP_PUT_BACK = 1 << 4,     /* put KSM's settings back as they were found */
        LOOP_STOP = 1 << 5,         /* stop KSM if it runs; what a person has set stays */
        LOOP_WRITE_PLAN = 1 << 6,  /* write the plan's settings, at the loop's speed, and sample its guests */
        LOOP_WRITE_SPEED = 1 << 7, /* write what that speed means */
};

/**
 * struct loop_rules - what the operator wants
 * @is_wanted: samepage is to act on KSM
 * @cross_group: guests of different groups may share
 */
struct loop_rules {
        bool is_wanted;
        bool cross_group;
};

/**
 * struct loop_look - what was observed
 * @now_usec: of the monotonic clock
 * @full_scans, @merged_pages: as in struct pace_facts
 * @is_sampling: a sampling is going on
 */
struct loop_look {
        uint64_t now_usec;
        int64_t full_scans;
        int64_t merged_pages;
        bool is_sampling;
};

enum loop_plan {
        LOOP_PLAN_NONE, /* no report, merging is not worth while, or the plan cannot be carried out for now */
        LOOP_PLAN_READY,   /* guests are marked and kept apart; the settings are to be written */
        LOOP_PLAN_REFUSED, /* the plan cannot be carried out until somebody removes the obstacle */
};

/**
 * struct loop_tuning - the result of a tuning
 * @is_complete: the tuning knew all guests
 * @duration_usec: of the scan
 * @sharable, @scanned_pages: as in struct pace_facts
 * @pids: the @n_pids QEMUs that are merged by the plan; borrowed
 */
struct loop_tuning {
        enum loop_plan plan;
        bool is_complete;
        uint64_t duration_usec;
        double sharable;
        int64_t scanned_pages;
        const pid_t *pids;
        size_t n_pids;
};

/**
 * struct loop - the state; initialise with {0}, and loop_deinit() it
 * @acts: the loop decides whether KSM runs
 * @is_tuning: a tuning waits or runs
 * @has_given_up: nothing is done any more until loop_begin()
 *
 * The other members are the loop's own.
 */
struct loop {
        struct loop_rules rules;
        struct pace pace;
        struct pace_facts facts;
        bool acts;
        bool is_tuning;
        bool has_given_up;
        pid_t *pids; /* QEMUs of the guests that are merged */
        size_t n_pids;
        bool is_outdated;  /* the tuning that runs may not know who has come */
        bool begins_again; /* the tuning began under rules that are no longer in force */
        bool is_complete;  /* the last one knew all guests */
        uint64_t tuned_usec;
        uint64_t tune_gap_usec;
        uint64_t retry_usec;
        uint64_t soon_usec;     /* the last interval of a soon retry; 0: no trouble since */
        uint64_t compared_usec; /* time of the last LOOP_COMPARE */
};

void loop_deinit(struct loop *loop);

/* Whether the loop may act: that is wanted, and was not given up. */
bool loop_is_open(const struct loop *loop);

/* Each event returns enum loop_action, or'ed. */

/* The rules are new, or perhaps the same: ends the present state, and begins. */
unsigned int loop_begin(struct loop *loop, const struct loop_rules *rules, uint64_t now_usec);

/* Acting is not wanted any more; a tuning may still run. */
unsigned int loop_end(struct loop *loop);

/* A guest has come, or gone. */
unsigned int loop_arrived(struct loop *loop, uint64_t now_usec);

/* Somebody could be merged whom the plan does not know. */
unsigned int loop_met_stranger(struct loop *loop, uint64_t now_usec);

/* There is a new sample. Its number is counted here. */
void loop_sampled(struct loop *loop, const struct pace_sample *sample);

/* The sampling ended by itself. */
unsigned int loop_lost_sampling(struct loop *loop);

/* The tuning that was asked for ended, or could not be asked for. */
unsigned int loop_tuned(struct loop *loop, const struct loop_look *look, const struct loop_tuning *tuning);

/* The settings of a plan that was ready could not be written. */
unsigned int loop_refused(struct loop *loop);

/* Somebody else writes the settings too: the loop does nothing more. */
unsigned int loop_give_up(struct loop *loop);

/* Whether the next loop_step() decides KSM's speed: then nobody else may write the settings. */
bool loop_is_pacing(const struct loop *loop);

/* Call it every second. */
unsigned int loop_step(struct loop *loop, const struct loop_look *look);
