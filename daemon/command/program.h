/* SPDX-License-Identifier: GPL-2.0-or-later */
/* samepage(1) as a function: the service runs its commands in child processes. */
#pragma once

/* What both programs do first: keep secrets out of core dumps, raise limits. */
void program_prepare(void);

/* Runs samepage(1). Return: its exit status. */
int program_run(int argc, char **argv);
