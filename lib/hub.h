/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__HUB_H
#define WEIR__HUB_H

#include <weir/hub.h>

/* A retry time for a client that is turned away: 1000 to 1500 ms, drawn. */
uint32_t weir__hub_draw_retry(weir_hub *hub);

#endif /* WEIR__HUB_H */
