/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__SUBSCRIBER_H
#define WEIR__SUBSCRIBER_H

/* A connection as its host sees it: what there is to be sent, and has been. */

#include "reader.h"

/* For weir__floors. */
bool weir__subscriber_take(struct weir_subscriber *subscriber,
                           weir_notice *notice, bool *more);
void weir__subscriber_destroy(struct weir_subscriber *subscriber);

/* Its timer has fired. */
void weir__subscriber_expired(struct weir__timer *timer);

#endif /* WEIR__SUBSCRIBER_H */
