/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* for strdup */

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "serve.h"
#include "world.h"

#define ULL(n) ((unsigned long long)(n))

/* Kinds of clients, after those that were measured. */
enum {
  BROWSER,   /* the header, and the spec to the letter */
  POLYFILL,  /* the cursor in the query alone */
  STALE,     /* an old cursor in the query, and the header */
  FETCH,     /* takes a clean end for the end of all */
  FORGETFUL, /* loses its cursor if a connection brings no id */
  HOSTILE,   /* makes cursors up */
  KINDS
};

static const char *const kind_names[] = {"browser", "polyfill",  "stale",
                                         "fetch",   "forgetful", "hostile"};

struct client {
  unsigned number;
  unsigned life;
  struct chance chance;
  int kind;
  bool closes; /* the page does, when it sees the end */
  bool dead;   /* it will not connect again */
  struct conn *conn;
  uint64_t token; /* of the next connect that is planned */
  struct ask ask;
  char first_id[200];
  bool brought; /* the connection has brought an id */
  /* The response. */
  struct kit_bytes head;
  bool in_body;
  struct kit_client decoder;
  char *before; /* the last id before the event that is being taken */
  /* What the page has: everything up to `at`, or it was told of the loss. */
  struct generation *generation; /* NULL: nothing yet */
  uint64_t at;
  bool gap; /* the last frame was one */
  bool finished;
};

static void connect_now(void *who, uint64_t what);
static void be_born(void *who, uint64_t what);

static void set(char **text, const char *value) {
  free(*text);
  *text = strdup(value);
  if (*text == NULL) {
    abort();
  }
}

/* --- What it is given -----------------------------------------------------*/

_Noreturn static void complain(const struct client *client, int invariant,
                               const struct kit_event *event, const char *why) {
  trace_fail(invariant,
             "client %u (%s) has %llu of %s: %s: id \"%s\" event \"%s\" "
             "\"%.60s\"",
             client->number, kind_names[client->kind], ULL(client->at),
             model_name(client->generation), why, event->id, event->type,
             event->data);
}

static bool is_own(const struct kit_event *event, const char *name) {
  const struct kit_bytes type = {event->type, event->type_len, 0};

  return watch_is_own(&type, name);
}

static bool parse_id(const struct kit_event *event, weir_cursor *cursor) {
  return watch_parse(event->id, strlen(event->id), cursor);
}

static struct generation *generation_of(const struct client *client,
                                        const struct kit_event *event) {
  const struct kit_bytes json = {event->data, event->data_len, 0};
  struct generation *generation = NULL;
  weir_cursor cursor;
  char text[80];

  if (watch_member(&json, "generation", text, sizeof text - 2)) {
    memcpy(text + strlen(text), "-0", 3);
    if (watch_parse(text, strlen(text), &cursor)) {
      generation = model_find(&world.model, client->ask.key, cursor.epoch);
    }
  }
  if (generation == NULL) {
    complain(client, 9, event, "of no generation of this stream");
  }
  return generation;
}

static void take_ready(struct client *client, const struct kit_event *event) {
  struct generation *generation = generation_of(client, event);
  weir_cursor cursor;

  if (!parse_id(event, &cursor)) {
    complain(client, 1, event, "ready without a position");
  }
  if (client->ask.cursor[0] == '\0') {
    client->generation = generation;
    client->at = cursor.seq;
    client->finished = false;
  } else if (client->generation != generation || client->at != cursor.seq) {
    complain(client, client->at < cursor.seq ? 2 : 3, event,
             "it does not go on where the page is");
  }
}

static void take_gap(struct client *client, const struct kit_event *event) {
  weir_cursor cursor;

  client->generation = generation_of(client, event);
  if (!parse_id(event, &cursor)) {
    complain(client, 1, event, "a gap without a position");
  }
  client->at = cursor.seq;
  client->finished = false;
  world.tally.gaps += 1;
}

static void take_fact(struct client *client, const struct kit_event *event,
                      uint32_t number) {
  struct fact *fact;
  weir_cursor cursor;

  if (!parse_id(event, &cursor)) {
    complain(client, 1, event, "not an id");
  }
  fact = client->generation == NULL
             ? NULL
             : model_fact(client->generation, cursor.epoch, cursor.seq);
  if (fact == NULL) {
    complain(client, 1, event, "an id that names nothing");
  }
  if (fact->number != number) {
    complain(client, 3, event, "another event has this number");
  }
  if (cursor.seq <= client->at) {
    complain(client, 3, event, "it has this one");
  }
  if (cursor.seq > client->at + 1) {
    complain(client, 2, event, "something is missing before it");
  }
  if (client->finished) {
    complain(client, 7, event, "the end came before");
  }
  client->at = cursor.seq;
  world.tally.deliveries += 1;
  if (number == 0) {
    client->finished = true;
    world.tally.ends += 1;
  }
}

static void take_event(struct client *client, const struct kit_event *event) {
  const uint32_t number = content_number(event->data, event->data_len);
  const bool moved = strcmp(event->id, client->before) != 0;
  const bool gap = is_own(event, "gap");

  if (moved || is_own(event, "ready") || gap) {
    client->brought = true;
    if (client->first_id[0] == '\0') {
      snprintf(client->first_id, sizeof client->first_id, "%s", event->id);
    }
  }
  if (client->kind != HOSTILE) {
    if (is_own(event, "ready")) {
      take_ready(client, event);
    } else if (gap) {
      take_gap(client, event);
    } else if (is_own(event, "closing") || is_own(event, "ping") ||
               (is_own(event, "failed") && !moved) ||
               (number != 0 && number <= world.model.said &&
                world.model.sayings[number].state == SAYING_SIGNAL)) {
      if (moved) {
        complain(client, 1, event, "it moves the cursor");
      }
    } else {
      take_fact(client, event, number);
    }
  }
  client->gap = gap;
  set(&client->before, event->id);
  if (client->closes && (is_own(event, "done") || is_own(event, "failed"))) {
    trace_say("client %u has seen the end, and closes", client->number);
    client->dead = true;
  }
}

/* --- The response ---------------------------------------------------------*/

static void take_head(struct client *client) {
  const char *head = client->head.data;
  const int status = atoi(head + 9);

  if (strncmp(head, "HTTP/1.1 ", 9) != 0) {
    trace_fail(6, "client %u: not a head: \"%.40s\"", client->number, head);
  }
  client->in_body = true;
  if (status == 204) {
    if (strstr(head, "text/event-stream") == NULL) {
      trace_fail(7, "client %u: a 204 that not all understand", client->number);
    }
    client->dead = true;
  } else if (status != 200 || strstr(head, "text/event-stream") == NULL) {
    trace_say("client %u dies of status %d", client->number, status);
    client->dead = true;
  }
}

void client_take(struct client *client, struct conn *conn, const void *bytes,
                 size_t len) {
  const char *end;
  size_t n;
  size_t i;

  if (client->conn != conn || client->dead) {
    return;
  }
  world.tally.bytes += len;
  if (!client->in_body) {
    kit_bytes_add(&client->head, bytes, len);
    end = strstr(client->head.data, "\r\n\r\n");
    if (end == NULL) {
      return;
    }
    take_head(client);
    n = (size_t)(end + 4 - client->head.data);
    if (!client->dead) {
      kit_client_feed(&client->decoder, client->head.data + n,
                      client->head.len - n);
    }
  } else {
    kit_client_feed(&client->decoder, bytes, len);
  }
  for (i = 0; i < client->decoder.count && !client->dead; ++i) {
    take_event(client, &client->decoder.events[i]);
  }
  kit_client_forget(&client->decoder);
  if (client->dead) {
    client->conn = NULL;
    serve_hang_up(conn);
    agenda_plan(&world.agenda, chance_size(&client->chance, 20000), be_born,
                client, 0);
  }
}

static void plan_connect(struct client *client, uint64_t after) {
  client->token += 1;
  agenda_plan(&world.agenda, after, connect_now, client, client->token);
}

void client_end(struct client *client, struct conn *conn, bool clean) {
  const uint64_t retry = client->decoder.retry;

  if (client->conn != conn) {
    return;
  }
  client->conn = NULL;
  kit_client_end(&client->decoder);
  set(&client->before, client->decoder.last_id);
  trace_say("client %u is cut off%s, and has %llu of %s", client->number,
            clean ? " cleanly" : "", ULL(client->at),
            model_name(client->generation));
  if (client->kind == FETCH && clean && client->in_body) {
    client->dead = true;
    agenda_plan(&world.agenda, chance_size(&client->chance, 20000), be_born,
                client, 0);
    return;
  }
  if (world.healed && HAS(LIMITS) && !client->brought) {
    client->dead = true; /* it gives up: nothing will change any more */
    return;
  }
  plan_connect(client, retry == UINT64_MAX ? 3000 : retry);
}

/* --- The request ----------------------------------------------------------*/

/* A cursor that nobody gave it. */
static void invent(struct client *client, char *text, size_t size) {
  static const char *const odd[] = {"",
                                    "0",
                                    "x",
                                    "a-1",
                                    "b-01",
                                    "b-",
                                    "-1",
                                    "B-1",
                                    "b 1",
                                    "b-1 ",
                                    "b.c-1",
                                    "bbbbbbbbbbbbbb-1",
                                    "b-1-1",
                                    "77777777777777-9223372036854775806",
                                    "p777777777777-9223372036854775806",
                                    "%00",
                                    "bWEIR_EHOST - 199999999999999999"};
  const struct generation *generation =
      world.model.newest[chance_below(&client->chance, world.plan.keys)];
  uint64_t epoch;
  char digits[16];
  size_t n = sizeof digits;

  if (generation == NULL || chance_permille(&client->chance, 300)) {
    snprintf(text, size, "%s",
             odd[chance_below(&client->chance, sizeof odd / sizeof odd[0])]);
    return;
  }
  epoch =
      generation->epochs[chance_below(&client->chance, generation->epoch_count)]
          .epoch;
  digits[--n] = '\0';
  for (; epoch != 0; epoch >>= 5) {
    digits[--n] = "abcdefghijklmnopqrstuvwxyz234567"[epoch & 31];
  }
  snprintf(text, size, "%s-%llu", digits + n,
           ULL(chance_below(&client->chance, generation->last + 3)));
}

static void connect_now(void *who, uint64_t what) {
  struct client *client = who;
  struct ask *ask = &client->ask;
  const char *last = client->decoder.last_id;

  if (what != client->token || client->dead || client->conn != NULL) {
    return;
  }
  ask->header[0] = '\0';
  ask->query[0] = '\0';
  if (client->kind == FORGETFUL && !client->brought) {
    last = "";
  }
  if (client->kind == HOSTILE) {
    invent(client, ask->header, sizeof ask->header);
    last = ask->header;
  } else if (client->kind == POLYFILL) {
    snprintf(ask->query, sizeof ask->query, "a=b&lastEventId=%s", last);
  } else {
    snprintf(ask->header, sizeof ask->header, "%s", last);
  }
  if (client->kind == STALE && last[0] != '\0') {
    snprintf(ask->query, sizeof ask->query, "lastEventId=%s", client->first_id);
  }
  snprintf(ask->cursor, sizeof ask->cursor, "%s", last);
  client->head.len = 0;
  kit_bytes_add(&client->head, NULL, 0);
  client->in_body = false;
  client->brought = false;
  client->gap = false;
  client->conn = serve_connect(
      client, (unsigned)chance_below(&client->chance, world.host_count), ask);
}

/* A new user, who opens some page. */
static void be_born(void *who, uint64_t what) {
  struct client *client = who;
  struct chance *chance = &client->chance;

  (void)what;
  if (world.healed && client->life != 0) {
    return;
  }
  client->life += 1;
  client->dead = false;
  client->kind = (int)chance_below(chance, HAS(HOSTILE) ? KINDS : HOSTILE);
  client->closes = chance_permille(chance, 500);
  client->generation = NULL;
  client->at = 0;
  client->finished = false;
  client->first_id[0] = '\0';
  client->ask.key = (unsigned)chance_below(chance, world.plan.keys);
  client->ask.from =
      chance_permille(chance, 300) ? WEIR_FROM_HEAD : WEIR_FROM_START;
  client->ask.name[0] = '\0';
  if (HAS(DUPLICATE) && chance_permille(chance, 500)) {
    snprintf(client->ask.name, sizeof client->ask.name, "u%u",
             (unsigned)chance_below(chance, 10));
  }
  kit_client_free(&client->decoder);
  kit_client_init(&client->decoder, "");
  set(&client->before, "");
  client->brought = true;
  trace_say("client %u, a %s, wants k%c", client->number,
            kind_names[client->kind], (char)('a' + client->ask.key));
  plan_connect(client, chance_below(chance, 2000));
}

/* --- Beginning and end ----------------------------------------------------*/

void client_begin_all(void) {
  struct client *client;
  unsigned i;

  world.clients = calloc(world.plan.clients + 1, sizeof *world.clients);
  if (world.clients == NULL) {
    abort();
  }
  for (i = 0; i < world.plan.clients; ++i) {
    client = &world.clients[i];
    client->number = i + 1;
    chance_init(&client->chance, world.plan.seed, "client", client->number);
    kit_client_init(&client->decoder, "");
    kit_bytes_add(&client->head, NULL, 0);
    agenda_plan(&world.agenda, chance_size(&client->chance, 20000), be_born,
                client, 0);
  }
}

void client_check_all(void) {
  const struct client *client;
  const struct generation *newest;
  unsigned i;

  for (i = 0; i < world.plan.clients; ++i) {
    client = &world.clients[i];
    newest = world.model.newest[client->ask.key];
    if (client->dead || client->kind == HOSTILE || client->life == 0 ||
        newest == NULL || newest->gone) {
      continue;
    }
    if (HAS(LIMITS) && HAS(LOG)) {
      continue; /* its pages may not fit */
    }
    if ((HAS(LIMITS) || HAS(DUPLICATE)) &&
        (client->conn == NULL || !client->brought)) {
      continue; /* it is not let in */
    }
    if (client->conn != NULL && serve_is_deposed(client->conn)) {
      continue;
    }
    if (client->generation != newest || client->at != newest->last) {
      trace_fail(4, "client %u (%s) has %llu of %s in the end, not %llu of %s",
                 client->number, kind_names[client->kind], ULL(client->at),
                 model_name(client->generation), ULL(newest->last),
                 model_name(newest));
    }
  }
}

void client_free_all(void) {
  struct client *client;
  unsigned i;

  for (i = 0; i < world.plan.clients; ++i) {
    client = &world.clients[i];
    kit_client_free(&client->decoder);
    kit_bytes_free(&client->head);
    free(client->before);
  }
  free(world.clients);
}
