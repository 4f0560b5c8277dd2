/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that watches the merging of some guests by small samples. Reading them may hang with a QEMU
 * that hangs, so the service leaves it to this process. It speaks the lines of report/sampler_lines.h on its
 * standard input and output.
 */
#pragma once

/* Runs that process. Return: its exit status. */
int sampler_run_program(void);
