/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

/* What the server says of itself. */

#include "server.h"

void stats_json(struct conn *conn);    /* GET /stats */
void stats_metrics(struct conn *conn); /* GET /metrics: Prometheus */
void stats_health(struct conn *conn);  /* GET /healthz */

#endif /* SERVER_STATS_H */
