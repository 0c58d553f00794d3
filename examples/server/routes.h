/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

/* What each request means, and who may make it. */

#include "server.h"

/* conn_handler.admit, .handle and .closed */
bool routes_admit(struct conn *conn, const struct http_request *request);
void routes_handle(struct conn *conn, const struct http_request *request,
                   struct slice body);
void routes_closed(struct conn *conn);

#endif /* SERVER_ROUTES_H */
