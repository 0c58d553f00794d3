/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

/* The page and what it is made of, from examples/server/page; they are in the
 * program. */

#include "server.h"

bool page_has(struct slice path);
void page_serve(struct conn *conn, struct slice path);

#endif /* SERVER_PAGE_H */
