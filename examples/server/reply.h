/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

/* Responses as this server writes them: JSON, with what was wrong in it. */

#include "server.h"

/* JSON, with the fields that every response has. */
void reply_json(struct conn *conn, int status, const struct text *body);

/* {"error":code,"message":text}. fields are further header fields, or NULL. */
void reply_error(struct conn *conn, int status, const char *code,
                 const char *message, const char *fields);

/* The same, for an error of weir's. `rule` says what is allowed, for an
 * argument that is not; NULL: no argument of the request's can be wrong. */
void reply_weir_error(struct conn *conn, int error, const char *rule);

/* conn_handler.refuse */
void reply_refusal(struct conn *conn, int status, const char *wrong);

/* A page, a script, a metric: anything else. */
void reply_content(struct conn *conn, const char *type, const char *fields,
                   const void *body, size_t len);

#endif /* SERVER_REPLY_H */
