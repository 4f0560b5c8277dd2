/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that watches the merging of some guests by small samples: what it reads may hang with a QEMU that hangs, so
 * the service has it done. It speaks the lines of report/sampler_lines.h on its standard input and output.
 */
#pragma once

/* What that process does. Return: its exit status. */
int sampler_run_program(void);
