/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_PRODUCER_H
#define SIM_PRODUCER_H

/* Those who open streams, publish, send signals, trim, end, fail, cancel,
 * replace one another, and go on calling when their time is over. */

#include <weir/weir.h>

#include "chance.h"
#include "model.h"

struct host;

void producer_begin_all(void);

void producer_notice(struct host *host, const weir_notice *notice);
void producer_host_died(struct host *host);
void producer_host_shut(struct host *host);

/* Let some producer of a host do something, now: for what hosts do in notices.
 */
void producer_meddle(struct host *host, struct chance *chance);

/* Without storage: what the limits of a history leave of a generation. */
void producer_limit(struct generation *generation);

/* All trouble is over: everybody has been told everything. */
void producer_check_all(void);

void producer_free_all(void);

/* Does anybody hold a handle of it, who is told of what happens to it? */
bool producer_holds(const struct generation *generation);

#endif /* SIM_PRODUCER_H */
