/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "qmp/virt/bridge_peer.h"

/* Serves the connection until all who hold its other end have closed it, or it speaks garbage. */
void bridge_serve(struct bridge_peer *peer);
