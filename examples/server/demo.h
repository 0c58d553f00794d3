/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_DEMO_H
#define SERVER_DEMO_H

/* Something to look at: producers in this process that type an answer out, and
 * a pair of scissors. */

#include "server.h"

/* POST /demo/KEY?script=answer|fail|stall&interval=MS&on_duplicate=... */
void demo_start(struct conn *conn, const struct http_request *request,
                struct slice key);

/* POST /demo/KEY/cut?client=K: reset the connections that said so. */
void demo_cut(struct conn *conn, const struct http_request *request);

/* ms to the next token, -1 for none; and type those that are due. */
int demo_timeout(const struct server *server);
void demo_type(struct server *server);

/* A connection goes, which may be waiting for an answer. */
void demo_closed(const struct conn *conn);

void demo_stop_all(struct server *server);

#endif /* SERVER_DEMO_H */
