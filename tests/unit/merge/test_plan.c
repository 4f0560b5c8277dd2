/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge/plan.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define MANY 100000 /* pages */

/* Two groups; the first one gains more. */
struct scene {
        struct forecast_figures groups[2];
        struct forecast_figures guests[4];
        uint64_t huge_pages[4];
        struct forecast forecast;
        struct plan_guest plan_guests[4];
};

static void make_scene(struct scene *scene)
{
        memset(scene, 0, sizeof(*scene));
        scene->groups[0] =
                (struct forecast_figures){.scanned = MANY, .self = 5000, .inter = 1000, .zero = 50};
        scene->groups[1] = (struct forecast_figures){.scanned = MANY, .self = 3000, .inter = 900};
        for (size_t i = 0; i < 4; i++) {
                scene->huge_pages[i] = 10 + i;
                scene->plan_guests[i] = (struct plan_guest){
                        .group = i / 2, .can_merge = true, .is_mergeable = true, .is_whole = true};
        }
        scene->forecast = (struct forecast){
                .across = {.scanned = UINT64_C(2) * MANY, .self = 8000, .inter = 3000, .zero = 50},
                .groups = scene->groups,
                .guests = scene->guests,
                .huge_pages = scene->huge_pages,
                .n_groups = 2,
                .n_guests = 4,
        };
}

static struct plan *decide(struct scene *scene, int64_t pinned)
{
        const struct plan_rules rules = {.pinned = pinned};
        struct plan *plan = NULL;

        CU_ASSERT_EQUAL_FATAL(plan_new(&rules, &scene->forecast, scene->plan_guests, 4, &plan), 0);
        return plan;
}

static void check_changes(const struct plan *plan, enum plan_change a, enum plan_change b, enum plan_change c,
                          enum plan_change d)
{
        CU_ASSERT_EQUAL(plan->changes[0], a);
        CU_ASSERT_EQUAL(plan->changes[1], b);
        CU_ASSERT_EQUAL(plan->changes[2], c);
        CU_ASSERT_EQUAL(plan->changes[3], d);
}

static void test_largest_group(void)
{
        struct scene scene;
        struct plan *plan = NULL;

        make_scene(&scene);
        plan = decide(&scene, -1);
        CU_ASSERT_TRUE(plan->merges);
        CU_ASSERT_EQUAL(plan->group, 0);
        CU_ASSERT_EQUAL(plan->huge_pages, 10 + 11);
        CU_ASSERT_EQUAL(plan->isolation_bytes, INT64_C(4096) * (11050 - 6050));
        check_changes(plan, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE, PLAN_CHANGE_UNMERGE, PLAN_CHANGE_UNMERGE);
        plan_free(plan);
}

static void test_pinned_group(void)
{
        struct scene scene;
        struct plan *plan = NULL;

        make_scene(&scene);
        plan = decide(&scene, 1);
        CU_ASSERT_EQUAL(plan->group, 1);
        check_changes(plan, PLAN_CHANGE_UNMERGE, PLAN_CHANGE_UNMERGE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE);
        plan_free(plan);
        /* One that is not there: nothing is merged, and nobody is touched. */
        plan = decide(&scene, 7);
        CU_ASSERT_FALSE(plan->merges);
        check_changes(plan, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE);
        plan_free(plan);
}

/* 64 bytes for each page that is scanned: 100000 pages cost as much as 1562.5 saved ones. */
static void test_not_worth_while(void)
{
        struct scene scene;
        struct plan *plan = NULL;

        make_scene(&scene);
        scene.groups[0] = (struct forecast_figures){.scanned = MANY, .self = 1562};
        scene.groups[1] = (struct forecast_figures){.scanned = MANY};
        plan = decide(&scene, -1);
        CU_ASSERT_FALSE(plan->merges);
        check_changes(plan, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE);
        plan_free(plan);
        scene.groups[0].self = 1563;
        plan = decide(&scene, -1);
        CU_ASSERT_TRUE(plan->merges);
        plan_free(plan);
}

static void test_guests_differ(void)
{
        struct scene scene;
        struct plan *plan = NULL;

        make_scene(&scene);
        scene.plan_guests[0].is_whole = false; /* a part of it is not marked */
        scene.plan_guests[1].left_out = true;
        scene.plan_guests[2] = (struct plan_guest){.group = 1}; /* shared RAM only */
        scene.plan_guests[3].is_mergeable = scene.plan_guests[3].is_whole = false;
        plan = decide(&scene, -1);
        check_changes(plan, PLAN_CHANGE_MERGE, PLAN_CHANGE_UNMERGE, PLAN_CHANGE_NONE, PLAN_CHANGE_NONE);
        CU_ASSERT_EQUAL(plan->huge_pages, 10);
        plan_free(plan);
        scene.plan_guests[0].can_merge = false;
        plan = decide(&scene, -1);
        CU_ASSERT_NOT_EQUAL(plan->changes[0], PLAN_CHANGE_MERGE);
        plan_free(plan);
}

static void test_cost(void)
{
        /* 100 pages each 20 ms, 1 µs each: 20.1 ms a batch. */
        const struct plan_cost slow = plan_cost(1000000, &(struct plan_rate){100, 20}, 1e-6);
        const struct plan_cost fast = plan_cost(1000000, &(struct plan_rate){4000, 0}, 1e-6);

        CU_ASSERT_DOUBLE_EQUAL(slow.seconds, 3 * 10000 * 0.0201, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(slow.cpu_seconds, 3, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(slow.cpu_seconds_per_hour, 3600 * 0.0001 / 0.0201, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(fast.seconds, 3, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(fast.cpu_seconds_per_hour, 3600, 1e-9);
}

static void test_rates(void)
{
        struct plan_rate rate = plan_rate_for(1);

        CU_ASSERT_EQUAL(rate.pages_to_scan, 100);
        rate = plan_rate_for(UINT64_C(16) << 20); /* 64 GiB in PLAN_PASS_SECONDS */
        CU_ASSERT_EQUAL(rate.pages_to_scan, (INT64_C(16) << 20) * 20 / (INT64_C(1000) * PLAN_PASS_SECONDS));
        rate = plan_rate_of_cpu(100, 2e-6);
        CU_ASSERT_EQUAL(rate.sleep_millisecs, 0);
        rate = plan_rate_of_cpu(50, 2e-6);
        CU_ASSERT_EQUAL(rate.sleep_millisecs, (int64_t)((double)rate.pages_to_scan * 2e-6 * 1000 + 0.5));
}

static void add_file(struct ksm *ksm, const char *name, const char *text)
{
        struct ksm_file *file = &ksm->files[ksm->n_files++];

        (void)snprintf(file->name, sizeof(file->name), "%s", name);
        (void)snprintf(file->text, sizeof(file->text), "%s", text);
}

static void check_setting(const struct ksm_settings *settings, size_t i, const char *name, const char *value)
{
        CU_ASSERT_TRUE_FATAL(i < settings->n);
        CU_ASSERT_STRING_EQUAL(settings->settings[i].name, name);
        CU_ASSERT_STRING_EQUAL(settings->settings[i].value, value);
}

static void test_settings(void)
{
        const struct plan_rate rate = {4000, 5};
        const struct plan_rules plain = {0};
        const struct plan_rules all = {.use_zero_pages = TRISTATE_YES, .smart_scan = TRISTATE_NO};
        struct ksm ksm = {0};
        struct ksm_settings settings;

        add_file(&ksm, "advisor_mode", "[none] scan-time");
        settings = plan_settings(&plain, &ksm, &rate);
        CU_ASSERT_EQUAL(settings.n, 3);
        check_setting(&settings, 0, "pages_to_scan", "4000");
        check_setting(&settings, 1, "sleep_millisecs", "5");
        check_setting(&settings, 2, "run", "1");
        (void)snprintf(ksm.files[0].text, sizeof(ksm.files[0].text), "none [scan-time]");
        settings = plan_settings(&all, &ksm, &rate);
        check_setting(&settings, 0, "advisor_mode", "none");
        check_setting(&settings, 1, "use_zero_pages", "1");
        check_setting(&settings, 2, "smart_scan", "0");
        check_setting(&settings, 5, "run", "1");
        settings = plan_settings(&all, &ksm, NULL);
        CU_ASSERT_EQUAL(settings.n, 1);
        check_setting(&settings, 0, "run", "0");
}

static const struct unit_test tests[] = {
        {"largest group", test_largest_group},
        {"pinned group", test_pinned_group},
        {"not worth while", test_not_worth_while},
        {"guests differ", test_guests_differ},
        {"cost", test_cost},
        {"rates", test_rates},
        {"settings", test_settings},
};

UNIT_MAIN("plan", tests)
