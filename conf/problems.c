/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/problems.h"

#include <stdarg.h>
#include <stdio.h>

void problems_add(struct problems *problems, int error, const char *format, ...)
{
        const enum config_severity severity = error < 0 ? CONFIG_ERROR : CONFIG_WARNING;
        char reason[FAILURE_TEXT_BYTES] = "";
        struct failure problem = {0};
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(reason, sizeof(reason), format, arguments);
        va_end(arguments);
        if (problems->line > 0)
                (void)failure_set(&problem, 0, "%s:%u: %s", problems->path, problems->line, reason);
        else
                (void)failure_set(&problem, 0, "%s: %s", problems->path, reason);

        if (severity == CONFIG_ERROR && problems->error == 0) {
                problems->error = error;
                problems->first = problem;
        }
        if (problems->n[severity]++ < CONFIG_PROBLEMS_MAX && problems->warn)
                problems->warn(problems->context, severity, problem.text);
}

static void tell_omitted_problems(const struct problems *problems, enum config_severity severity,
                                  const char *name)
{
        const unsigned int n = problems->n[severity];
        struct failure text = {0};

        if (n <= CONFIG_PROBLEMS_MAX || !problems->warn)
                return;
        (void)failure_set(&text, 0, "%u more %s%s not shown", n - CONFIG_PROBLEMS_MAX, name,
                          n - CONFIG_PROBLEMS_MAX > 1 ? "s are" : " is");
        problems->warn(problems->context, severity, text.text);
}

int problems_end(struct problems *problems, struct failure *failure)
{
        const unsigned int n = problems->n[CONFIG_ERROR];

        tell_omitted_problems(problems, CONFIG_WARNING, "warning");
        tell_omitted_problems(problems, CONFIG_ERROR, "error");
        if (n == 0)
                return 0;
        if (n == 1)
                return failure_set(failure, problems->error, "%s", problems->first.text);
        return failure_set(failure, problems->error, "%s (and %u more error%s)", problems->first.text, n - 1,
                           n > 2 ? "s" : "");
}
