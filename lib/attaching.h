/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__ATTACHING_H
#define WEIR__ATTACHING_H

/* Attaches: what becomes of a client's cursor, and whether it may come in. */

#include "registry.h"

/* See weir_hub_attach. */
int weir__attaching_attach(struct weir__registry *registry,
                           const weir_attach_options *options,
                           struct weir_subscriber **subscriber, int *verdict);

/* Decide the attaches that wait for this generation to be known. */
void weir__attaching_settle(struct weir__registry *registry,
                            struct weir__generation *generation);

/* When a client that is turned away for this error is to come back, in ms;
 * retry is its own time. */
uint32_t weir__attaching_retry(const struct weir__core *core, int error,
                               uint32_t retry, uint32_t retry_replaced);

#endif /* WEIR__ATTACHING_H */
