/* SPDX-License-Identifier: GPL-2.0-or-later */
/* samepage(1): what people type. */
#include "daemon/command/program.h"

int main(int argc, char **argv)
{
        return program_run(argc, argv);
}
