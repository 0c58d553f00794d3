/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "reply.h"

#include <string.h>

static void reply(struct conn *conn, int status, const char *fields,
                  const char *type, const void *body, size_t len) {
  const struct text *cors = &conn->pool->server->cors;
  struct text all = {NULL, 0, 0, false};

  text_add(&all, cors->data, cors->len);
  text_put(&all,
           "Cache-Control: no-store\r\n"
           "X-Content-Type-Options: nosniff\r\n");
  if (fields != NULL) {
    text_put(&all, fields);
  }
  text_add(&all, "", 1);
  conn_respond(conn, status, all.failed ? NULL : all.data, type, body, len);
  text_free(&all);
}

void reply_json(struct conn *conn, int status, const struct text *body) {
  if (body->failed) {
    reply_error(conn, 503, "out_of_memory", "out of memory", NULL);
  } else {
    reply(conn, status, NULL, "application/json", body->data, body->len);
  }
}

void reply_error(struct conn *conn, int status, const char *code,
                 const char *message, const char *fields) {
  struct text body = {NULL, 0, 0, false};

  text_put(&body, "{\"error\":");
  text_json(&body, code, strlen(code));
  text_put(&body, ",\"message\":");
  text_json(&body, message, strlen(message));
  text_put(&body, "}\n");
  reply(conn, status, fields, "application/json", body.data,
        body.failed ? 0 : body.len);
  text_free(&body);
}

/* The errors of weir as HTTP has them: a status and a name. */
static const struct {
  int error;
  int status;
  const char *code;
} errors[] = {
    {WEIR_EINVAL, 400, "invalid"},
    {WEIR_EUTF8, 400, "not_utf8"},
    {WEIR_EJSON, 400, "not_json"},
    {WEIR_ERESERVED, 400, "reserved_type"},
    {WEIR_ENOENT, 404, "no_such_stream"},
    {WEIR_EEXISTS, 409, "exists"},
    {WEIR_EENDED, 409, "ended"},
    {WEIR_EFENCED, 409, "fenced"},
    {WEIR_ETOOBIG, 413, "event_too_big"},
    {WEIR_EDRAINING, 503, "draining"},
    {WEIR_ESTREAMS, 503, "too_many_streams"},
    {WEIR_ERESIDENT, 503, "memory_limit"},
    {WEIR_EPENDING, 503, "too_many_pending"},
    {WEIR_ENOMEM, 503, "out_of_memory"},
    {WEIR_EUNKNOWN, 503, "storage_unknown"},
};

void reply_weir_error(struct conn *conn, int error, const char *rule) {
  const char *message = weir_strerror(error);
  size_t i;

  if (error == WEIR_EINVAL && rule != NULL) {
    message = rule;
  }
  for (i = 0; i < sizeof errors / sizeof errors[0]; ++i) {
    if (errors[i].error == error) {
      reply_error(conn, errors[i].status, errors[i].code, message, NULL);
      return;
    }
  }
  reply_error(conn, 503, "storage_failed", message, NULL);
}

/* "URI Too Long" is "uri_too_long" in a body. */
void reply_refusal(struct conn *conn, int status, const char *wrong) {
  const char *reason = http_reason(status);
  char code[64];
  size_t i;

  for (i = 0; reason[i] != '\0' && i + 1 < sizeof code; ++i) {
    code[i] = reason[i];
    if (reason[i] == ' ') {
      code[i] = '_';
    } else if (reason[i] >= 'A' && reason[i] <= 'Z') {
      code[i] = (char)(reason[i] - 'A' + 'a');
    }
  }
  code[i] = '\0';
  reply_error(conn, status, code, wrong == NULL ? reason : wrong, NULL);
}

void reply_content(struct conn *conn, const char *type, const char *fields,
                   const void *body, size_t len) {
  reply(conn, 200, fields, type, body, len);
}
