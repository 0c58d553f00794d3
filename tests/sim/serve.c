/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "serve.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "host.h"
#include "producer.h"
#include "store.h"
#include "world.h"

#define RUNS 4 /* of bytes that are looked at at once */

struct conn {
  struct conn *next;  /* all there ever were */
  struct conn *other; /* those of a host */
  unsigned number;
  struct chance chance;
  struct client *client; /* NULL: has gone */
  unsigned place;
  struct host *host; /* NULL: not yet, or not any more */
  struct ask ask;
  struct watch_request request;
  /* The server. */
  weir_subscriber *subscriber;
  bool pending; /* no verdict yet */
  bool drained; /* there was nothing, and no notice has come since */
  bool starved; /* there was no memory */
  bool aborted;
  bool left; /* detached */
  bool ending;
  uint64_t pull;        /* one is planned */
  struct kit_bytes out; /* what it has to write itself */
  struct kit_bytes shown;
  weir_bytes runs[RUNS]; /* of a write that is under way */
  size_t run_count;
  bool writing;
  bool doomed; /* released as soon as the write is over, or a bit later */
  bool watching;
  struct watch watch;
  /* The socket and the network. */
  size_t room;
  struct kit_bytes buf;
  bool fin;
  bool flowing;
  bool broken;
  bool silent; /* and the server has not been told */
  bool stalled;
};

static struct conn *all;
static unsigned count;

static void pull(struct conn *conn);
static void flow(void *who, uint64_t what);

static void *grow(size_t size) {
  void *made = calloc(1, size);

  if (made == NULL) {
    abort();
  }
  return made;
}

bool serve_is_deposed(const struct conn *conn) {
  const struct generation *generation = conn->watch.generation;
  const void *port = conn->host == NULL ? NULL : host_port(conn->host);

  return port != NULL && conn->watching && !generation->shared &&
         model_was_writer(generation, port) &&
         (!model_is_writer(generation, port) ||
          generation != world.model.newest[generation->key]);
}

static void drop_front(struct kit_bytes *bytes, size_t n) {
  memmove(bytes->data, bytes->data + n, bytes->len - n + 1);
  bytes->len -= n;
}

static uint64_t delay(struct conn *conn) {
  return HAS(DELAY) && !world.healed ? chance_size(&conn->chance, 1000) : 1;
}

/* --- The network ----------------------------------------------------------*/

static void plan_flow(struct conn *conn) {
  if (!conn->flowing && !conn->broken && !conn->stalled &&
      (conn->buf.len != 0 || conn->fin)) {
    conn->flowing = true;
    agenda_plan(&world.agenda, delay(conn), flow, conn, 0);
  }
}

/* The client hears no more of it. */
static void lose_client(struct conn *conn, bool clean) {
  struct client *client = conn->client;

  conn->client = NULL;
  if (client != NULL) {
    client_end(client, conn, clean);
  }
}

/* The server learns that the connection is no more. */
static void hear_of_it(void *who, uint64_t what);

static void break_off(struct conn *conn, bool told) {
  size_t n;

  if (conn->broken) {
    return;
  }
  conn->broken = true;
  n = (size_t)chance_below(&conn->chance, conn->buf.len + 1);
  trace_say("c%u breaks, %zu bytes of %zu come through", conn->number, n,
            conn->buf.len);
  if (conn->client != NULL && n != 0) {
    client_take(conn->client, conn, conn->buf.data, n);
  }
  lose_client(conn, false);
  if (told) {
    agenda_plan(&world.agenda, delay(conn), hear_of_it, conn, 0);
  }
}

static void cut(void *who, uint64_t what) {
  (void)what;
  if (!world.healed) {
    break_off(who, true);
  }
}

/* The client has gone, and the server's writes go on until nothing more fits.
 */
static void vanish(void *who, uint64_t what) {
  struct conn *conn = who;

  (void)what;
  if (!world.healed && !conn->broken) {
    conn->silent = true;
    break_off(conn, false);
  }
}

/* The process at the other end has gone. */
static void fall(void *who, uint64_t what) {
  (void)what;
  break_off(who, false);
}

static void stall(void *who, uint64_t what) {
  struct conn *conn = who;

  if (what == 0 || world.healed) {
    conn->stalled = false;
    plan_flow(conn);
  } else if (!conn->broken) {
    trace_say("c%u stalls", conn->number);
    conn->stalled = true;
    agenda_plan(&world.agenda, chance_size(&conn->chance, 100000), stall, conn,
                0);
  }
}

static void plan_pull(struct conn *conn, uint64_t after);

static void flow(void *who, uint64_t what) {
  struct conn *conn = who;
  size_t n = conn->buf.len;

  (void)what;
  conn->flowing = false;
  if (conn->broken || conn->stalled) {
    return;
  }
  if (n != 0 && HAS(PARTIAL) && !world.healed) {
    n = (size_t)chance_size(&conn->chance, n);
  }
  if (conn->client != NULL && n != 0) {
    client_take(conn->client, conn, conn->buf.data, n);
  }
  drop_front(&conn->buf, n);
  if (conn->buf.len == 0 && conn->fin) {
    conn->broken = true;
    lose_client(conn, true);
    return;
  }
  if (conn->host != NULL) {
    plan_pull(conn, 0);
  }
  plan_flow(conn);
}

/* Write to the socket: what it takes of that. */
static size_t write_some(struct conn *conn, const void *bytes, size_t len) {
  size_t n;

  if (world.healed && conn->room < 65536) {
    conn->room = 65536;
  }
  n = conn->room - conn->buf.len;
  n = n < len ? n : len;
  if (n != 0 && TROUBLE(&conn->chance, PARTIAL, 500)) {
    n = (size_t)chance_size(&conn->chance, n);
  }
  if (conn->broken && !conn->silent) {
    return n; /* into the void */
  }
  kit_bytes_add(&conn->buf, bytes, n);
  plan_flow(conn);
  return n;
}

/* --- The server -----------------------------------------------------------*/

static void leave_host(struct conn *conn) {
  struct conn **at;

  if (conn->host == NULL) {
    return;
  }
  for (at = &conn->host->conns; *at != conn; at = &(*at)->other) {
  }
  *at = conn->other;
  conn->host = NULL;
}

static void part(void *who, uint64_t what);

/* It is through with the subscriber, and with the connection. Some hosts detach
 * first, and release in their own time. */
static void let_go(struct conn *conn) {
  const bool at_leisure =
      !conn->left && conn->subscriber != NULL &&
      (conn->writing || chance_permille(&conn->chance, 200));

  if (at_leisure) {
    weir_subscriber_detach(conn->subscriber);
    conn->left = true;
  }
  if (conn->writing || at_leisure) {
    conn->doomed = true;
    if (!conn->writing) {
      agenda_plan(&world.agenda, chance_size(&conn->chance, 1000), part, conn,
                  0);
    }
    return;
  }
  weir_subscriber_release(conn->subscriber);
  conn->subscriber = NULL;
  if (conn->watching) {
    watch_free(&conn->watch);
    conn->watching = false;
  }
  kit_bytes_free(&conn->shown);
  kit_bytes_free(&conn->out);
  leave_host(conn);
}

static void part(void *who, uint64_t what) {
  struct conn *conn = who;

  (void)what;
  if (conn->host != NULL && conn->doomed) {
    conn->doomed = false;
    host_touch(conn->host);
    let_go(conn);
  }
}

static void hear_of_it(void *who, uint64_t what) {
  struct conn *conn = who;

  (void)what;
  if (conn->host != NULL && !conn->doomed) {
    host_touch(conn->host);
    let_go(conn);
  }
}

/* What was shown before has to be shown again, in front. */
static void compare_shown(struct conn *conn, const char *bytes, size_t len) {
  const size_t n = len < conn->shown.len ? len : conn->shown.len;

  if (n != 0 && memcmp(conn->shown.data, bytes, n) != 0) {
    trace_fail(6, "c%u: bytes that were shown have changed", conn->number);
  }
  if (len > n) {
    watch_see(&conn->watch, bytes + n, len - n);
    kit_bytes_add(&conn->shown, bytes + n, len - n);
  }
}

static void consume(struct conn *conn, size_t n) {
  if (weir_subscriber_consume(conn->subscriber, n) != WEIR_OK) {
    trace_fail(12, "c%u cannot consume %zu of %zu bytes", conn->number, n,
               conn->shown.len);
  }
  drop_front(&conn->shown, n);
}

static int look(struct conn *conn, weir_bytes *runs, size_t cap,
                size_t *run_count) {
  struct kit_bytes flat = {NULL, 0, 0};
  int rv = weir_subscriber_peek(conn->subscriber, runs, cap, run_count);
  size_t i;

  if (rv != WEIR_OK) {
    return rv;
  }
  for (i = 0; i < *run_count; ++i) {
    kit_bytes_add(&flat, runs[i].base, runs[i].len);
  }
  if (flat.len == 0) {
    trace_fail(12, "c%u is shown nothing", conn->number);
  }
  compare_shown(conn, flat.data, flat.len);
  kit_bytes_free(&flat);
  return rv;
}

/* A write that was under way has come to an end. */
static void written(void *who, uint64_t what) {
  struct conn *conn = who;
  size_t at = 0;
  size_t n;
  size_t i;

  (void)what;
  if (!conn->writing || conn->host == NULL) {
    return;
  }
  for (i = 0; i < conn->run_count; ++i) {
    if (memcmp(conn->shown.data + at, conn->runs[i].base, conn->runs[i].len) !=
        0) {
      trace_fail(6, "c%u: bytes of a write under way have changed",
                 conn->number);
    }
    at += conn->runs[i].len;
  }
  conn->writing = false;
  n = write_some(conn, conn->shown.data, at);
  consume(conn, n);
  if (conn->doomed) {
    conn->doomed = false;
    host_touch(conn->host);
    let_go(conn);
  } else {
    pull(conn);
  }
}

/* Move some bytes from the subscriber to the socket: as the calls say. */
static int move(struct conn *conn, size_t room) {
  const uint64_t way = chance_below(&conn->chance, HAS(ASYNC) ? 3 : 2);
  char buffer[4096];
  weir_bytes runs[RUNS];
  size_t run_count;
  size_t len;
  size_t n = 0;
  size_t i;
  int rv;

  if (way == 0) {
    len = (size_t)chance_size(&conn->chance,
                              room < sizeof buffer ? room : sizeof buffer);
    rv = weir_subscriber_read(conn->subscriber, buffer, len, &n);
    if (rv == WEIR_OK) {
      if (n == 0 || n > len) {
        trace_fail(12, "c%u reads %zu of %zu bytes", conn->number, n, len);
      }
      compare_shown(conn, buffer, n);
      drop_front(&conn->shown, n);
      kit_bytes_add(&conn->out, buffer, n);
    }
    return rv;
  }
  run_count = (size_t)chance_between(&conn->chance, 1, RUNS);
  rv = look(conn, runs, run_count, &run_count);
  if (rv != WEIR_OK) {
    return rv;
  }
  if (way == 2) {
    memcpy(conn->runs, runs, sizeof runs);
    conn->run_count = run_count;
    conn->writing = true;
    agenda_plan(&world.agenda,
                world.healed ? 1 : chance_size(&conn->chance, 1000), written,
                conn, 0);
    return rv;
  }
  for (i = 0; i < run_count && n == 0; ++i) {
    n = write_some(conn, runs[i].base, runs[i].len);
    consume(conn, n);
  }
  return rv;
}

/* See what there is, before the socket says that it takes anything. */
static int look_on(struct conn *conn) {
  weir_bytes runs[RUNS];
  size_t run_count;

  return look(conn, runs, RUNS, &run_count);
}

/* The subscriber has nothing to give now, or ever. */
static void take_end(struct conn *conn, int rv) {
  if (rv == WEIR_EAGAIN || (rv == WEIR_ENOMEM && host_is_scarce(conn->host))) {
    conn->drained = true;
    conn->starved = rv == WEIR_ENOMEM;
  } else if (rv == WEIR_EDONE) {
    watch_end(&conn->watch);
    trace_say("  c%u: all is said", conn->number);
    conn->fin = true;
    let_go(conn);
    plan_flow(conn);
  } else if (rv == WEIR_EGONE && (conn->aborted || conn->left || HAS(LIMITS) ||
                                  host_is_scarce(conn->host))) {
    break_off(conn, false);
    let_go(conn);
  } else {
    trace_fail(12, "c%u: a pull says %d", conn->number, rv);
  }
}

static void pull(struct conn *conn) {
  struct host *host = conn->host;
  unsigned n = 0;
  size_t room;
  int rv;

  while (conn->host != NULL && !conn->writing && n++ < 20) {
    if (conn->out.len != 0) {
      room = write_some(conn, conn->out.data, conn->out.len);
      drop_front(&conn->out, room);
      if (room == 0) {
        break;
      }
      continue;
    }
    if (conn->ending) {
      conn->fin = true;
      plan_flow(conn);
      let_go(conn);
      break;
    }
    room = conn->room - conn->buf.len;
    if (conn->subscriber == NULL || conn->pending || conn->drained) {
      break;
    }
    rv = room == 0 ? look_on(conn) : move(conn, room);
    if (rv != WEIR_OK) {
      take_end(conn, rv);
    }
    if (rv != WEIR_OK || room == 0) {
      break;
    }
  }
  if (conn->host != NULL && n > 20) {
    plan_pull(conn, 1);
  }
  host_touch(host);
}

static void pull_now(void *who, uint64_t what) {
  struct conn *conn = who;

  if (conn->host != NULL && what == conn->pull && !conn->doomed) {
    pull(conn);
  }
}

static void plan_pull(struct conn *conn, uint64_t after) {
  conn->pull += 1;
  agenda_plan(&world.agenda, after, pull_now, conn, conn->pull);
}

/* What this server adds to its responses: refusals are frames of weir's too. */
static const weir_http_options *http_options(void) {
  static weir_http_options options;

  weir_http_options_init(&options, sizeof options);
  options.prefix = world.plan.prefix;
  options.prefix_len = strlen(world.plan.prefix);
  return &options;
}

/* There is a response: its head, and perhaps its body. */
static void respond(struct conn *conn, const weir_response *response) {
  char text[2048];
  size_t len;

  if (weir_http_write_head(response, text, sizeof text, &len) != WEIR_OK) {
    trace_fail(12, "c%u: no head", conn->number);
  }
  kit_bytes_add(&conn->out, text, len);
  if (response->stream == 0) {
    if (weir_http_write_body(response, text, sizeof text, &len) != WEIR_OK) {
      trace_fail(12, "c%u: no body", conn->number);
    }
    kit_bytes_add(&conn->out, text, len);
    conn->ending = true;
  }
  trace_say("  c%u: status %d, %s, error %d", conn->number, response->status,
            weir_verdict_name(response->verdict), response->error);
}

static void begin_watch(struct conn *conn, int verdict) {
  conn->watching = true;
  watch_begin(&conn->watch, conn->host, conn->number, &conn->request,
              conn->subscriber, verdict);
  trace_say("  c%u reads %s from %llu on, %s", conn->number,
            model_name(conn->watch.generation),
            (unsigned long long)conn->watch.at + 1, weir_verdict_name(verdict));
}

/* What may refuse an attach. */
static void check_refusal(const struct conn *conn, int error) {
  static const struct {
    int error;
    unsigned features;
  } rows[] = {
#define BIT(name) (1u << PLAN_BIT_##name)
      {WEIR_ENOMEM, BIT(MEMORY)},       {WEIR_ERESIDENT, BIT(LIMITS)},
      {WEIR_ESUBSCRIBERS, BIT(LIMITS)}, {WEIR_ECROWD, BIT(LIMITS)},
      {WEIR_ESTREAMS, BIT(LIMITS)},     {WEIR_ECLIENT, BIT(DUPLICATE)},
      {WEIR_EEXISTS, BIT(DUPLICATE)},   {WEIR_EDRAINING, BIT(DRAIN)},
      {WEIR_EGONE, BIT(DRAIN)}};
#undef BIT
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    if (rows[i].error == error &&
        (rows[i].features & world.plan.features) != 0) {
      return;
    }
  }
  if (HAS(LOG) && (HAS(REFUSE) || HAS(WRONG) || HAS(NEVER) || HAS(JUMP))) {
    return;
  }
  trace_fail(12, "c%u is refused with %d", conn->number, error);
}

static void accept_conn(void *who, uint64_t what) {
  struct conn *conn = who;
  struct host *host = world.hosts[conn->place];
  weir_attach_options options;
  weir_response response;
  weir_request request;
  weir_hub_info before;
  weir_hub_info after;
  char key[2];
  int rv;

  (void)what;
  if (conn->broken) {
    return;
  }
  if (host == NULL || !host->up) {
    conn->broken = true;
    lose_client(conn, false);
    return;
  }
  conn->host = host;
  conn->other = host->conns;
  host->conns = conn;
  key[0] = 'k';
  key[1] = (char)('a' + conn->ask.key);
  weir_request_init(&request, sizeof request);
  request.header = conn->ask.header;
  request.header_len = strlen(conn->ask.header);
  request.query = conn->ask.query;
  request.query_len = strlen(conn->ask.query);
  weir_attach_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = 2;
  options.user = conn;
  options.request = &request;
  options.start = conn->ask.from;
  options.client = conn->ask.name;
  options.client_len = strlen(conn->ask.name);
  options.on_duplicate = (int32_t)chance_below(&conn->chance, 3);
  options.stall = (uint32_t)chance_between(&conn->chance, 5000, 40000);
  if (HAS(EXPIRE)) {
    options.flags = chance_permille(&conn->chance, 300) ? WEIR_ATTACH_PING : 0;
    options.heartbeat = 2000 + (uint32_t)chance_size(&conn->chance, 60000);
    options.heartbeat_jitter = options.heartbeat / 10;
    options.lifetime = world.healed || chance_permille(&conn->chance, 700)
                           ? 0
                           : 1000 + chance_size(&conn->chance, 300000);
  }
  conn->request.key = conn->ask.key;
  conn->request.cursor = conn->ask.cursor;
  conn->request.from = conn->ask.from;
  conn->request.newest = world.model.newest[conn->ask.key];
  conn->request.acked =
      conn->request.newest == NULL ? 0 : conn->request.newest->acked;
  conn->request.said = world.model.said;
  world.tally.connections += 1;
  trace_say("c%u comes to host %u for k%c with \"%.40s\" %s", conn->number,
            host->number, (char)('a' + conn->ask.key), conn->ask.cursor,
            conn->ask.name);
  before.size = sizeof before;
  after.size = sizeof after;
  (void)weir_hub_get_info(host->hub, &before);
  response.size = sizeof response;
  rv = weir_http_attach(host->hub, &options, http_options(), &conn->subscriber,
                        &response);
  (void)weir_hub_get_info(host->hub, &after);
  if (rv != WEIR_OK) {
    trace_fail(12, "c%u: attach says %d", conn->number, rv);
  }
  /* With storage, an answer may come in here that others wait for. */
  if (!HAS(LOG) && after.opens != before.opens) {
    trace_fail(8, "c%u: a client has begun a generation", conn->number);
  }
  /* Those who had waited are counted before and after. */
  if (conn->subscriber == NULL &&
      after.subscribers + after.pending > before.subscribers + before.pending) {
    trace_fail(12, "c%u is refused, and there", conn->number);
  }
  conn->pending = response.status == 0;
  if (!conn->pending) {
    if (response.error != WEIR_OK) {
      check_refusal(conn, response.error);
    } else if (conn->subscriber == NULL) {
      watch_refusal(host, &conn->request, response.verdict);
    } else {
      begin_watch(conn, response.verdict);
    }
    respond(conn, &response);
  }
  pull(conn);
}

/* --- Notices --------------------------------------------------------------*/

static void decided(struct conn *conn, const weir_notice *notice) {
  const char key[2] = {'k', (char)('a' + conn->ask.key)};
  weir_response response;

  if (!conn->pending) {
    trace_fail(9, "c%u is decided twice", conn->number);
  }
  conn->pending = false;
  response.size = sizeof response;
  if (weir_http_respond(http_options(), notice->error, notice->verdict, key, 2,
                        notice->retry, &response) != WEIR_OK ||
      response.status == 0) {
    trace_fail(12, "c%u: decided, and no response", conn->number);
  }
  if (response.stream != 0) {
    begin_watch(conn, notice->verdict);
  } else {
    if (notice->error != WEIR_OK) {
      check_refusal(conn, notice->error);
    } else {
      watch_refusal(conn->host, &conn->request, notice->verdict);
    }
    weir_subscriber_release(conn->subscriber);
    conn->subscriber = NULL;
  }
  respond(conn, &response);
}

void serve_notice(struct host *host, const weir_notice *notice) {
  struct conn *conn = notice->user;
  struct chance *chance = &host->chance;

  if (conn->host != host || conn->subscriber != notice->subscriber ||
      conn->doomed || conn->left) {
    trace_fail(9, "c%u: notice %u for one that has gone", conn->number,
               notice->kind);
  }
  trace_say("  notice %u for c%u, error %d", notice->kind, conn->number,
            notice->error);
  if (notice->kind == WEIR_NOTICE_DECIDED) {
    decided(conn, notice);
  } else if (notice->kind == WEIR_NOTICE_ABORT) {
    if (notice->error != WEIR_ESTALLED && notice->error != WEIR_ERESIDENT &&
        !(notice->error == WEIR_ENOMEM && HAS(MEMORY))) {
      trace_fail(12, "c%u is aborted: %d", conn->number, notice->error);
    }
    conn->aborted = true;
    break_off(conn, false);
    let_go(conn);
    return;
  } else if (notice->kind != WEIR_NOTICE_READABLE &&
             notice->kind != WEIR_NOTICE_CLOSING) {
    trace_fail(9, "c%u: notice %u", conn->number, notice->kind);
  }
  conn->drained = false;
  conn->starved = false;
  if (chance_permille(chance, 700)) {
    pull(conn);
  } else {
    plan_pull(conn, chance_below(chance, 20));
  }
  if (TROUBLE(chance, REENTER, 100)) {
    struct conn *sibling = serve_any(host, chance);

    if (chance_permille(chance, 500)) {
      producer_meddle(host, chance);
    } else if (sibling != NULL) {
      serve_meddle(sibling, chance);
    }
  }
}

void serve_check(struct host *host) {
  struct conn *conn;

  if (host_is_scarce(host) ||
      (host->port != NULL && store_is_asked(host->port))) {
    return;
  }
  for (conn = host->conns; conn != NULL; conn = conn->other) {
    if (conn->drained && conn->watching && !conn->left && !conn->starved) {
      watch_idle(&conn->watch);
    }
  }
}

struct conn *serve_any(struct host *host, struct chance *chance) {
  struct conn *conn = host->conns;
  uint64_t n = 0;

  for (; conn != NULL; conn = conn->other) {
    n += 1;
  }
  n = chance_below(chance, n);
  for (conn = host->conns; conn != NULL && n != 0; conn = conn->other) {
    n -= 1;
  }
  return conn == NULL || conn->subscriber == NULL || conn->doomed ? NULL : conn;
}

void serve_meddle(struct conn *conn, struct chance *chance) {
  const uint64_t what = chance_below(chance, 4);
  int rv;

  trace_say("  c%u is meddled with: %u", conn->number, (unsigned)what);
  if (what == 0) {
    plan_pull(conn, 0);
  } else if (what == 1 && HAS(EXPIRE)) {
    rv = weir_subscriber_close(conn->subscriber, NULL, 0, 0);
    if (rv == WEIR_OK) {
      conn->watch.may_close = true;
    } else if (rv != WEIR_EGONE && rv != WEIR_EAGAIN && rv != WEIR_ERESIDENT &&
               rv != WEIR_ENOMEM) {
      trace_fail(12, "c%u: close says %d", conn->number, rv);
    }
  } else if (what == 2 && conn->drained) {
    /* A pull for which there was no notice finds nothing. */
    size_t n;
    weir_bytes run;

    rv = weir_subscriber_peek(conn->subscriber, &run, 1, &n);
    if (rv == WEIR_OK) {
      /* Something has come up, and its notice is under way. */
      conn->drained = false;
      plan_pull(conn, 0);
    } else if (rv == WEIR_EDONE || rv == WEIR_EGONE) {
      take_end(conn, rv);
    }
  } else {
    break_off(conn, false);
    let_go(conn);
  }
}

/* --- Beginning and end ----------------------------------------------------*/

void serve_host_died(struct host *host) {
  struct conn *conn;

  while (host->conns != NULL) {
    conn = host->conns;
    conn->subscriber = NULL;
    conn->writing = false;
    conn->doomed = false;
    let_go(conn);
    agenda_plan(&world.agenda, delay(conn), fall, conn, 0);
  }
}

void serve_host_shut(struct host *host) {
  struct conn *conn;

  while (host->conns != NULL) {
    conn = host->conns;
    conn->writing = false;
    conn->doomed = false;
    let_go(conn);
    agenda_plan(&world.agenda, delay(conn), fall, conn, 0);
  }
}

struct conn *serve_connect(struct client *client, unsigned place,
                           const struct ask *ask) {
  struct conn *conn = grow(sizeof *conn);
  struct chance *chance = &conn->chance;

  conn->next = all;
  all = conn;
  conn->number = ++count;
  chance_init(chance, world.plan.seed, "conn", conn->number);
  conn->client = client;
  conn->place = place;
  conn->ask = *ask;
  conn->room = HAS(PARTIAL) || HAS(STALL)
                   ? 64 + (size_t)chance_size(chance, 65536)
                   : 65536;
  kit_bytes_add(&conn->out, NULL, 0);
  kit_bytes_add(&conn->shown, NULL, 0);
  kit_bytes_add(&conn->buf, NULL, 0);
  agenda_plan(&world.agenda, delay(conn), accept_conn, conn, 0);
  if (TROUBLE(chance, RESET, 400)) {
    agenda_plan(&world.agenda, chance_size(chance, 60000), cut, conn, 0);
  }
  if (TROUBLE(chance, SILENT, 100)) {
    agenda_plan(&world.agenda, chance_size(chance, 60000), vanish, conn, 0);
  }
  if (TROUBLE(chance, STALL, 300)) {
    agenda_plan(&world.agenda, chance_size(chance, 20000), stall, conn, 1);
  }
  return conn;
}

void serve_hang_up(struct conn *conn) {
  conn->client = NULL;
  if (!conn->broken) {
    conn->broken = true;
    agenda_plan(&world.agenda, delay(conn), hear_of_it, conn, 0);
  }
}

void serve_free(void) {
  struct conn *conn;

  while (all != NULL) {
    conn = all;
    all = conn->next;
    if (conn->watching) {
      watch_free(&conn->watch);
    }
    kit_bytes_free(&conn->out);
    kit_bytes_free(&conn->shown);
    kit_bytes_free(&conn->buf);
    free(conn);
  }
}
