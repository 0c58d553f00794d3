/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__OPENING_H
#define WEIR__OPENING_H

/* Opens: which generation a producer gets. */

#include "registry.h"

/* See weir_hub_open. */
int weir__opening_open(struct weir__registry *registry,
                       const weir_open_options *options,
                       struct weir_stream **stream);

/* Decide the opens that wait for this generation to be known. */
void weir__opening_settle(struct weir__registry *registry,
                          struct weir__generation *generation);

#endif /* WEIR__OPENING_H */
