/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__HUB_H
#define WEIR__HUB_H

#include <weir/hub.h>

/* When a client that is turned away for this error is to come back, in ms. */
uint32_t weir__hub_draw_retry(weir_hub *hub, int error,
                              const weir_attach_options *options);

#endif /* WEIR__HUB_H */
