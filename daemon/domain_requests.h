/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What domains of libvirt did and want, and results in their metadata. An observer of jobs. */
#pragma once

#include "conf/config.h"
#include "daemon/jobs.h"
#include "daemon/merger.h"
#include "daemon/virt_source.h"

#include <systemd/sd-event.h>

struct domain_requests;

/* @merger learns of domains that come and go, @libvirt whether it answers; borrowed. Return: 0, -ENOMEM. */
int domain_requests_new(sd_event *event, struct jobs *jobs, struct merger *merger,
                        struct virt_source *libvirt, struct domain_requests **ret);

struct domain_requests *domain_requests_free(struct domain_requests *requests);

/**
 * domain_requests_configure() - watch the libvirt of a configuration, instead of the previous one
 * @config: borrowed until the next one
 *
 * Return: 0, or a negative errno, which was logged.
 */
int domain_requests_configure(struct domain_requests *requests, const struct options *config);

struct jobs_observer domain_requests_observer(struct domain_requests *requests);
