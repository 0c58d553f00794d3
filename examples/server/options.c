/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, SIZE, COUNT, COUNT32, TIME, TIME32, UTF8, SYNC };

/* Where an option goes, what it is, and what it says of itself. */
struct option {
  const char *name;
  enum kind kind;
  size_t offset;
  const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option table[] = {
    {"listen", TEXT, AT(listen), "ADDR:PORT; port 0 picks one"},
    {"cors", TEXT, AT(cors), "an origin that may read and publish, or *"},
    {"publish-token", TEXT, AT(publish_token),
     "what publishers send as `Authorization: Bearer`"},
    {"max-body", SIZE, AT(max_body), "largest body of a request"},
    {"request-timeout", TIME, AT(request_timeout),
     "for a head or a piece of a body; a body has 5m"},
    {"keep-alive", TIME, AT(idle_timeout), "until an idle connection closes"},
    {"drain", TIME, AT(drain), "how long SIGTERM may take"},
    {"log", TEXT, AT(log.path), "a directory; without one, memory is all"},
    {"sync", SYNC, 0, "to the disk: always, 1ms or more, or never"},
    {"keep-age", TIME, AT(log.keep_age), "how long the log keeps an event"},
    {"keep-ended", TIME, AT(log.keep_ended),
     "how long it keeps a stream after its end"},
    {"keep-bytes", SIZE, AT(log.keep_bytes), "how large it may be"},
    {"memory-bytes", SIZE, AT(hub.max_resident), "all streams in memory"},
    {"history-bytes", SIZE, AT(hub.history_bytes), "one stream in memory"},
    {"history-events", COUNT, AT(hub.history_events),
     "its events, without a log"},
    {"history-age", TIME, AT(hub.history_age),
     "the age of its oldest event, without a log"},
    {"max-streams", COUNT, AT(hub.max_streams), "streams"},
    {"max-subscribers", COUNT, AT(hub.max_subscribers), "readers"},
    {"max-stream-subscribers", COUNT, AT(hub.max_stream_subscribers),
     "readers of one stream"},
    {"max-client-subscribers", COUNT, AT(hub.max_client_subscribers),
     "readers with one client key"},
    {"max-event", SIZE, AT(hub.max_event_bytes), "data of one event"},
    {"max-event-lines", COUNT, AT(hub.max_event_lines),
     "lines of its data, 1 to 100000"},
    {"max-pending", COUNT, AT(hub.max_pending),
     "events of a stream that wait for the log"},
    {"signal-ring", COUNT32, AT(hub.signal_ring),
     "signals kept for slow readers, 1 to 65536"},
    {"utf8", UTF8, AT(hub.flags), "check the text of events, or pass it"},
    {"linger", TIME, AT(open.linger), "how long a stream stays after its end"},
    {"first-event", TIME, AT(open.first_event),
     "fail a stream without an event for so long"},
    {"idle", TIME, AT(open.idle), "fail it so long after its last event"},
    {"stream-lifetime", TIME, AT(open.lifetime),
     "end it so long after its open"},
    {"abandoned", TIME, AT(open.abandoned),
     "end it after so long without a reader"},
    {"heartbeat", TIME32, AT(attach.heartbeat), "after the last byte"},
    {"heartbeat-jitter", TIME32, AT(attach.heartbeat_jitter),
     "up to so much sooner; a tenth of it if not given"},
    {"stall", TIME32, AT(attach.stall),
     "cut off a reader that takes nothing so long"},
    {"retry", TIME32, AT(attach.retry),
     "when clients shall come back, 500ms to 1d"},
    {"retry-jitter", TIME32, AT(attach.retry_jitter),
     "up to so much later, at most 1d in all"},
    {"retry-replaced", TIME32, AT(attach.retry_replaced),
     "when one that is replaced shall, 500ms or more"},
    {"lifetime", TIME, AT(attach.lifetime),
     "ask a reader to reconnect after so long"},
    {"lifetime-jitter", TIME, AT(attach.lifetime_jitter),
     "up to so much sooner"},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* A number and its unit, of which the table has the factors. */
static bool parse_units(const char *text, const char *const *units,
                        const uint64_t *factors, size_t count,
                        uint64_t *value) {
  uint64_t number = 0;
  size_t i;

  if (*text < '0' || *text > '9') {
    return false;
  }
  for (; *text >= '0' && *text <= '9'; ++text) {
    if (number > (UINT64_MAX - 9) / 10) {
      return false;
    }
    number = number * 10 + (uint64_t)(*text - '0');
  }
  for (i = 0; i < count; ++i) {
    if (strcmp(text, units[i]) == 0) {
      if (number != 0 && factors[i] > UINT64_MAX / number) {
        return false;
      }
      *value = number * factors[i];
      return true;
    }
  }
  /* Nothing is nothing in any unit. */
  *value = 0;
  return number == 0 && *text == '\0';
}

static const char *const size_units[] = {"", "K", "M", "G"};
static const uint64_t size_factors[] = {1, 1024, 1048576, 1073741824};

static bool parse_size(const char *text, uint64_t *value) {
  return parse_units(text, size_units, size_factors, COUNT_OF(size_units),
                     value);
}

static const char *const time_units[] = {"ms", "s", "m", "h", "d"};
static const uint64_t time_factors[] = {1, 1000, 60000, 3600000, 86400000};

static bool parse_time(const char *text, uint64_t *value) {
  return parse_units(text, time_units, time_factors, COUNT_OF(time_units),
                     value);
}

static bool parse_count(const char *text, uint64_t *value) {
  static const char *const units[] = {""};
  static const uint64_t factors[] = {1};

  return parse_units(text, units, factors, COUNT_OF(units), value);
}

static bool parse_sync(weir_log_file_options *log, const char *text) {
  if (strcmp(text, "always") == 0) {
    log->sync = WEIR_SYNC_ALWAYS;
    return true;
  }
  if (strcmp(text, "never") == 0) {
    log->sync = WEIR_SYNC_NEVER;
    return true;
  }
  log->sync = WEIR_SYNC_INTERVAL;
  return parse_time(text, &log->sync_interval) && log->sync_interval != 0;
}

static bool set(struct options *options, const struct option *option,
                const char *text) {
  char *at = (char *)options + option->offset;
  uint64_t value = 0;
  uint32_t narrow;
  bool good = false;

  switch (option->kind) {
    case TEXT:
      memcpy(at, &text, sizeof text);
      return true;
    case UTF8:
      narrow = strcmp(text, "pass") == 0 ? WEIR_HUB_BYTES : 0;
      memcpy(at, &narrow, sizeof narrow);
      return narrow != 0 || strcmp(text, "check") == 0;
    case SYNC:
      return parse_sync(&options->log, text);
    case SIZE:
      good = parse_size(text, &value);
      break;
    case COUNT:
    case COUNT32:
      good = parse_count(text, &value);
      break;
    default:
      good = parse_time(text, &value);
      break;
  }
  if (option->kind == COUNT32 || option->kind == TIME32) {
    narrow = (uint32_t)value;
    memcpy(at, &narrow, sizeof narrow);
    return good && value <= UINT32_MAX;
  }
  memcpy(at, &value, sizeof value);
  return good;
}

static void set_defaults(struct options *options) {
  memset(options, 0, sizeof *options);
  options->listen = "127.0.0.1:8080";
  options->max_body = (uint64_t)16 * 1048576;
  options->drain = 5000;
  options->request_timeout = 10000;
  options->idle_timeout = 60000;
  weir_hub_options_init(&options->hub, sizeof options->hub);
  weir_open_options_init(&options->open, sizeof options->open);
  weir_attach_options_init(&options->attach, sizeof options->attach);
  options->attach.heartbeat_jitter = UINT32_MAX; /* not said */
  weir_log_file_options_init(&options->log, sizeof options->log);
  options->open.on_first_event = WEIR_ACTION_FAIL;
  options->open.on_idle = WEIR_ACTION_FAIL;
  options->open.on_lifetime = WEIR_ACTION_END;
  options->open.on_abandoned = WEIR_ACTION_END;
}

/* What follows from others if it is not given. */
static void set_rest(struct options *options) {
  if (options->attach.heartbeat_jitter == UINT32_MAX) {
    options->attach.heartbeat_jitter = options->attach.heartbeat / 10;
  }
}

/* A number in the largest of its units that leaves nothing over. */
static void put_units(uint64_t value, const char *const *units,
                      const uint64_t *factors, size_t count) {
  size_t i = count - 1;

  while (i > 0 && value % factors[i] != 0) {
    --i;
  }
  printf(" [%llu%s]", (unsigned long long)(value / factors[i]), units[i]);
}

/* What an option is if it is not given. */
static void put_default(const struct options *defaults,
                        const struct option *option) {
  const char *at = (const char *)defaults + option->offset;
  const char *text;
  uint64_t value;
  uint32_t narrow;

  if (option->kind == TEXT) {
    memcpy(&text, at, sizeof text);
    if (text != NULL) {
      printf(" [%s]", text);
    }
    return;
  }
  if (option->kind == UTF8 || option->kind == SYNC) {
    printf(option->kind == UTF8 ? " [check]" : " [always]");
    return;
  }
  if (option->kind == COUNT32 || option->kind == TIME32) {
    memcpy(&narrow, at, sizeof narrow);
    value = narrow;
  } else {
    memcpy(&value, at, sizeof value);
  }
  if (value == 0) {
    printf(" [off]");
  } else if (option->kind == SIZE) {
    put_units(value, size_units, size_factors, COUNT_OF(size_units));
  } else if (option->kind == COUNT || option->kind == COUNT32) {
    printf(" [%llu]", (unsigned long long)value);
  } else if (option->offset != AT(attach.heartbeat_jitter)) {
    put_units(value, time_units, time_factors, COUNT_OF(time_units));
  }
}

static void help(void) {
  struct options defaults;
  size_t i;

  set_defaults(&defaults);
  printf(
      "usage: server [--OPTION VALUE ...]\n\n"
      "A server of resumable Server-Sent Events. Durations are written\n"
      "500ms, 12s, 10m, 24h; sizes 4096, 64K, 8M; 0 is off, or no limit,\n"
      "where no least is given. Defaults are in brackets.\n\n");
  for (i = 0; i < COUNT_OF(table); ++i) {
    printf("  --%-23s %s", table[i].name, table[i].help);
    put_default(&defaults, &table[i]);
    printf("\n");
  }
  printf("  --%-23s %s\n  --%-23s %s\n", "help", "this", "version",
         "of the library");
}

/* The option of an argument `--name` or `--name=value`. */
static const struct option *find(const char *argument, const char **value) {
  size_t len;
  size_t i;

  for (i = 0; i < COUNT_OF(table); ++i) {
    len = strlen(table[i].name);
    if (strncmp(argument, "--", 2) == 0 &&
        strncmp(argument + 2, table[i].name, len) == 0 &&
        (argument[2 + len] == '\0' || argument[2 + len] == '=')) {
      *value = argument[2 + len] == '=' ? argument + 3 + len : NULL;
      return &table[i];
    }
  }
  return NULL;
}

int options_parse(struct options *options, int argc, char **argv) {
  const struct option *option;
  const char *value;
  int i;

  set_defaults(options);
  for (i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--help") == 0) {
      help();
      return 0;
    }
    if (strcmp(argv[i], "--version") == 0) {
      printf("weir %s\n", weir_version());
      return 0;
    }
    option = find(argv[i], &value);
    if (option != NULL && value == NULL && i + 1 < argc) {
      value = argv[++i];
    }
    if (option == NULL || value == NULL) {
      fprintf(stderr, "server: %s: %s; see --help\n", argv[i],
              option == NULL ? "no such option" : "a value is missing");
      return 2;
    }
    if (!set(options, option, value)) {
      fprintf(stderr, "server: --%s: cannot be \"%s\"; see --help\n",
              option->name, value);
      return 2;
    }
  }
  set_rest(options);
  return -1;
}

const char *options_blame(int argc, char **argv,
                          int (*try)(const struct options *options)) {
  const struct option *option;
  struct options options;
  struct options whole;
  const char *value;
  int i;

  set_defaults(&options);
  for (i = 1; i < argc; ++i) {
    option = find(argv[i], &value);
    if (option == NULL ||
        !set(&options, option, value != NULL ? value : argv[++i])) {
      return NULL;
    }
    whole = options;
    set_rest(&whole);
    if (try(&whole) != WEIR_OK) {
      return option->name;
    }
  }
  return NULL;
}
