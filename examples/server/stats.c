/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "stats.h"

#include "reply.h"

#include <string.h>

#define AT(field) offsetof(weir_hub_info, field)

/* weir's counters, with what Prometheus is told about them. */
static const struct {
  const char *name;
  size_t offset;
  bool gauge;
  const char *help;
} counters[] = {
    {"streams", AT(streams), true, "Streams, ended ones that linger included"},
    {"subscribers", AT(subscribers), true, "Clients that read"},
    {"pending", AT(pending), true, "Opens and attaches that wait for storage"},
    {"resident_bytes", AT(resident), true, "Bytes of pages in memory"},
    {"log_calls", AT(calls), true, "Storage calls under way"},
    {"opens_total", AT(opens), false, "Generations begun or taken over"},
    {"ends_total", AT(ends), false, "Generations ended"},
    {"attaches_total", AT(attaches), false, "Clients attached"},
    {"detaches_total", AT(detaches), false, "Clients gone"},
    {"events_total", AT(events), false, "Events published"},
    {"signals_total", AT(signals), false, "Signals sent"},
    {"signals_dropped_total", AT(dropped), false,
     "Signals that a reader was too slow for"},
    {"sent_bytes_total", AT(bytes), false, "Bytes sent to clients"},
    {"delivered_events_total", AT(delivered), false, "Events sent to clients"},
    {"heartbeats_total", AT(heartbeats), false, "Heartbeats sent"},
    {"gaps_total", AT(gaps), false, "Losses that clients were told of"},
    {"trimmed_events_total", AT(trimmed), false, "Events dropped by limits"},
    {"stalled_total", AT(stalled), false, "Clients cut off: no progress"},
    {"evicted_total", AT(evicted), false, "Clients cut off: memory"},
    {"replaced_total", AT(replaced), false, "Clients displaced by another"},
    {"refused_total", AT(refused), false, "Attaches refused"},
    {"log_appends_total", AT(appends), false, "Appends to storage"},
    {"log_reads_total", AT(reads), false, "Reads from storage"},
    {"log_errors_total", AT(log_errors), false, "Storage calls that failed"},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static uint64_t value_of(const weir_hub_info *info, size_t offset) {
  uint64_t value;

  memcpy(&value, (const char *)info + offset, sizeof value);
  return value;
}

static void get_info(struct conn *conn, weir_hub_info *info) {
  info->size = sizeof *info;
  (void)weir_hub_get_info(conn->pool->server->hub, info);
}

void stats_json(struct conn *conn) {
  const struct server *server = conn->pool->server;
  struct text body = {NULL, 0, 0, false};
  weir_hub_info info;
  const char *name;
  size_t i;
  int verdict;

  get_info(conn, &info);
  text_put(&body, "{\"connections\":");
  text_number(&body, conn->pool->count);
  text_put(&body, ",\"requests\":");
  text_number(&body, server->requests);
  text_put(&body, ",\"uptime_ms\":");
  text_number(&body, conn->pool->now - server->started);
  for (i = 0; i < COUNT_OF(counters); ++i) {
    text_put(&body, ",\"");
    text_put(&body, counters[i].name);
    text_put(&body, "\":");
    text_number(&body, value_of(&info, counters[i].offset));
  }
  text_put(&body, ",\"verdicts\":{");
  for (verdict = WEIR_VERDICT_FRESH; verdict <= WEIR_VERDICT_UNKNOWN;
       ++verdict) {
    name = weir_verdict_name(verdict);
    text_put(&body, verdict == WEIR_VERDICT_FRESH ? "" : ",");
    text_json(&body, name, strlen(name));
    text_put(&body, ":");
    text_number(&body, info.verdicts[verdict]);
  }
  text_put(&body, "}}\n");
  reply_json(conn, 200, &body);
  text_free(&body);
}

static void put_metric(struct text *body, const char *name, bool gauge,
                       const char *help, uint64_t value) {
  text_put(body, "# HELP weir_");
  text_put(body, name);
  text_put(body, " ");
  text_put(body, help);
  text_put(body, ".\n# TYPE weir_");
  text_put(body, name);
  text_put(body, gauge ? " gauge\nweir_" : " counter\nweir_");
  text_put(body, name);
  text_put(body, " ");
  text_number(body, value);
  text_put(body, "\n");
}

void stats_metrics(struct conn *conn) {
  const struct server *server = conn->pool->server;
  struct text body = {NULL, 0, 0, false};
  weir_hub_info info;
  size_t i;
  int verdict;

  get_info(conn, &info);
  put_metric(&body, "connections", true, "Connections", conn->pool->count);
  put_metric(&body, "requests_total", false, "Requests", server->requests);
  for (i = 0; i < COUNT_OF(counters); ++i) {
    put_metric(&body, counters[i].name, counters[i].gauge, counters[i].help,
               value_of(&info, counters[i].offset));
  }
  text_put(&body,
           "# HELP weir_verdicts_total What became of cursors.\n"
           "# TYPE weir_verdicts_total counter\n");
  for (verdict = WEIR_VERDICT_FRESH; verdict <= WEIR_VERDICT_UNKNOWN;
       ++verdict) {
    text_put(&body, "weir_verdicts_total{verdict=\"");
    text_put(&body, weir_verdict_name(verdict));
    text_put(&body, "\"} ");
    text_number(&body, info.verdicts[verdict]);
    text_put(&body, "\n");
  }
  if (body.failed) {
    reply_weir_error(conn, WEIR_ENOMEM, NULL);
  } else {
    reply_content(conn, "text/plain; version=0.0.4; charset=utf-8", NULL,
                  body.data, body.len);
  }
  text_free(&body);
}

void stats_health(struct conn *conn) {
  struct text body = {NULL, 0, 0, false};

  if (conn->pool->server->draining) {
    reply_error(conn, 503, "draining", "this server is going away", NULL);
    return;
  }
  text_put(&body, "{\"status\":\"ok\"}\n");
  reply_json(conn, 200, &body);
  text_free(&body);
}
