/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

/* Clients as they are: see the table in client.c. Each checks that it gets
 * every event once, in order, or is told of the loss, over all its
 * connections. */

#include <stdbool.h>
#include <stddef.h>

struct client;
struct conn;

/* Make the clients of the plan. */
void client_begin_all(void);

/* Bytes have come. */
void client_take(struct client *client, struct conn *conn, const void *bytes,
                 size_t len);

/* The connection is over; clean: with all that was sent. */
void client_end(struct client *client, struct conn *conn, bool clean);

/* All trouble is over, long ago: everybody has everything. */
void client_check_all(void);

void client_free_all(void);

#endif /* SIM_CLIENT_H */
