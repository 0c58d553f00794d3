/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/hub.h>

#include "answers.h"
#include "attaching.h"
#include "expiry.h"
#include "hub.h"
#include "opening.h"
#include "scan.h"
#include "stalled.h"
#include "subscriber.h"

#include <limits.h>

/* Timers touched in one call: as many as take well under a millisecond. What is
 * left over makes weir_hub_get_timeout 0. */
#define TIMERS_AT_ONCE 512

/* Notices that one call hands out beyond those of which each source had one. */
#define MORE_AT_ONCE 4096

/* Calls of weir_hub_next after which time passes even if there are notices. */
#define NOTICES_PER_TURN 64

struct weir_hub {
  struct weir__core core; /* first: lower floors have only this */
  struct weir__registry registry;
};

static struct weir_hub *hub_of(struct weir__core *core) {
  return weir__owner(core, struct weir_hub, core);
}

void weir_hub_options_init(weir_hub_options *options, size_t size) {
  static const weir_hub_options defaults = {
      .prefix = "weir.",
      .prefix_len = 5,
      .max_streams = 1000000,
      .max_subscribers = 1000000,
      .max_client_subscribers = 6,
      .max_event_bytes = (uint64_t)1024 * 1024,
      .max_event_lines = WEIR_FRAME_LINES_MAX,
      .max_pending = 4096,
      .max_resident = (uint64_t)256 * 1024 * 1024,
      .history_bytes = (uint64_t)8 * 1024 * 1024,
      .signal_ring = 64,
      .recheck = 12000,
  };

  weir__start_as(options, size, &defaults, sizeof defaults);
}

void weir_attach_options_init(weir_attach_options *options, size_t size) {
  static const weir_attach_options defaults = {
      .heartbeat = 12000,
      .heartbeat_jitter = 1200,
      .stall = 30000,
      .retry = 1000,
      .retry_jitter = 500,
      .retry_replaced = 60000,
  };

  weir__start_as(options, size, &defaults, sizeof defaults);
}

static bool floor_take(struct weir__source *source, weir_notice *notice,
                       bool *more) {
  return source->reader
             ? weir__subscriber_take(
                   weir__owner(source, struct weir_subscriber, source), notice,
                   more)
             : weir__producer_take(
                   weir__owner(source, struct weir_stream, source), notice,
                   more);
}

/* Decide what can be decided now that more is known. */
static void floor_settle(struct weir__generation *generation) {
  struct weir__registry *registry = &hub_of(generation->core)->registry;

  weir__generation_hold(generation);
  /* Opens first: what one of them begins is there for who attaches. */
  weir__opening_settle(registry, generation);
  weir__attaching_settle(registry, generation);
  weir__tend_ask_again(generation);
  if (generation->registered) {
    if (generation->phase == WEIR__VOID ||
        (generation->gone && !weir__tend_owes_before(generation))) {
      weir__registry_forget(registry, generation);
    } else {
      weir__generation_reconsider(generation);
    }
  }
  weir__generation_release(generation);
}

static void floor_forget(struct weir__generation *generation) {
  weir__registry_forget(&hub_of(generation->core)->registry, generation);
}

static void floor_left(struct weir_subscriber *reader) {
  weir__clients_left(&hub_of(reader->core)->registry.clients, reader);
}

static void floor_free(struct weir__core *core) {
  const weir_allocator allocator = core->allocator;

  weir__map_free(&core->calls);
  weir__free(&allocator, hub_of(core), sizeof(struct weir_hub));
}

static void floor_destroy(struct weir__source *source) {
  if (source->reader) {
    weir__subscriber_destroy(
        weir__owner(source, struct weir_subscriber, source));
  } else {
    weir__producer_destroy(weir__owner(source, struct weir_stream, source));
  }
}

static const struct weir__floors floors = {
    .take = floor_take,
    .evict = weir__history_evict,
    .changed = weir__answers_changed,
    .failed = weir__answers_failed,
    .owner = &weir__answers,
    .work = weir__tend_work,
    .settle = floor_settle,
    .forget = floor_forget,
    .rewind = weir__reader_rewind,
    .deny = weir__reader_deny,
    .left = floor_left,
    .relieve = weir__stalled_relieve,
    .free = floor_free,
    .destroy = floor_destroy,
};

/* Read a caller's log; *log is zeros if there is none. */
static int load_log(const weir_log *callers, weir_log *log) {
  weir_log_init(log, sizeof *log);
  if (callers == NULL) {
    return WEIR_OK;
  }
  if (weir__load(log, sizeof *log, callers) != WEIR_OK || log->open == NULL ||
      log->append == NULL || log->read == NULL || log->trim == NULL ||
      log->close == NULL ||
      (log->flags & ~(WEIR_LOG_SPARSE | WEIR_LOG_CHECKED | WEIR_LOG_SOLE)) !=
          0 ||
      !weir__is_zero(log->reserved, sizeof log->reserved)) {
    return WEIR_EINVAL;
  }
  return WEIR_OK;
}

static bool are_sound(const weir_hub_options *options,
                      const weir_allocator *allocator) {
  return (allocator->alloc == NULL) == (allocator->free == NULL) &&
         options->prefix_len <= WEIR_PREFIX_MAX &&
         weir__is_field(options->prefix, options->prefix_len) &&
         weir__is_text(options->prefix, options->prefix_len) &&
         (options->cursor_format == WEIR_CURSOR_EPOCH ||
          options->cursor_format == WEIR_CURSOR_DECIMAL) &&
         (options->flags & ~WEIR_HUB_BYTES) == 0 &&
         options->max_event_lines != 0 &&
         options->max_event_lines <= WEIR_FRAME_LINES_MAX &&
         options->signal_ring != 0 && options->signal_ring <= 65536 &&
         weir__is_zero(options->reserved, sizeof options->reserved);
}

int weir_hub_new(const weir_hub_options *callers, weir_hub **hub) {
  weir_hub_options options;
  weir_allocator allocator;
  struct weir__core *core;
  weir_log log;
  int rv;

  weir_hub_options_init(&options, sizeof options);
  if (callers != NULL &&
      weir__load(&options, sizeof options, callers) != WEIR_OK) {
    return WEIR_EINVAL;
  }
  memset(&allocator, 0, sizeof allocator);
  allocator.size = sizeof allocator;
  if (options.allocator != NULL &&
      weir__load(&allocator, sizeof allocator, options.allocator) != WEIR_OK) {
    return WEIR_EINVAL;
  }
  if (load_log(options.log, &log) != WEIR_OK ||
      !are_sound(&options, &allocator)) {
    return WEIR_EINVAL;
  }
  options.allocator = &allocator;
  rv = weir__core_new(&options, sizeof(struct weir_hub), &floors, &core);
  if (rv != WEIR_OK) {
    return rv;
  }
  core->log = log;
  weir__registry_init(&hub_of(core)->registry, core);
  *hub = hub_of(core);
  return WEIR_OK;
}

void weir_hub_free(weir_hub *hub) {
  struct weir__core *core;

  if (hub == NULL || hub->core.gone) {
    return;
  }
  core = &hub->core;
  if (core->running || core->inside != 0) {
    core->dying = true;
    return;
  }
  /* The host is here, and need not be told of what there is to do. */
  core->woken = true;
  weir__registry_free(&hub->registry);
  /* Storage may answer a call when a handle is closed, and the host let go of
   * something, which lets go of another. */
  do {
    weir__core_start_work(core);
    weir__core_destroy_doomed(core);
  } while (!weir__link_alone(&core->work));
  core->gone = true;
  weir__settings_release(core, core->settings);
  core->settings = NULL;
  weir__core_release(core);
}

/* Let the timers fire whose time has come. */
static void fire(struct weir__core *core) {
  unsigned budget = TIMERS_AT_ONCE;
  struct weir__timer *timer =
      weir__wheel_expire(&core->wheel, core->now, &budget);

  while (timer != NULL) {
    switch (weir__timer_kind(timer)) {
      case WEIR__TIMER_CALL:
        weir__call_expired(timer);
        break;
      case WEIR__TIMER_STREAM:
        weir__expire(timer);
        break;
      case WEIR__TIMER_READER:
        weir__subscriber_expired(timer);
        break;
      default:
        weir__clients_expired(timer);
        break;
    }
    timer = weir__wheel_expire(&core->wheel, core->now, &budget);
  }
}

/* Everything that is due but notices. */
static void turn(weir_hub *hub) {
  struct weir__core *core = &hub->core;

  core->promised = 0;
  weir__core_tick(core);
  weir__core_destroy_doomed(core);
  fire(core);
  weir__core_start_work(core);
  weir__registry_drain_more(&hub->registry);
}

/* Take a source off the queue, with its next notice: false if it has none after
 * all. It goes back to where `again` says, if it has another. */
static bool take_notice(struct weir__link *link, struct weir__link *again,
                        weir_notice *notice) {
  bool more;

  memset(notice, 0, sizeof *notice);
  notice->size = sizeof *notice;
  weir__link_remove(link);
  if (!floor_take(weir__owner(link, struct weir__source, link), notice,
                  &more)) {
    return false;
  }
  if (more) {
    weir__link_append(again, link);
  }
  return true;
}

/* Hand out what is in the queue now, and what more its sources have to say, as
 * long as that does not go on and on. */
static void dispatch(struct weir__core *core) {
  unsigned more = MORE_AT_ONCE;
  weir_notice notice;

  weir__link_append(&core->ready, &core->mark);
  while (core->ready.next != &core->mark && !core->dying) {
    more -= more != 0;
    if (take_notice(core->ready.next, more != 0 ? &core->mark : &core->ready,
                    &notice)) {
      core->options.notify(core->options.notify_user, &notice);
    }
  }
  weir__link_remove(&core->mark);
}

/* Whether a public function may go on: WEIR_OK, WEIR_EBUSY or WEIR_EGONE. */
static int enter(const weir_hub *hub) {
  return hub == NULL ? WEIR_EGONE : weir__core_enter(&hub->core);
}

int weir_hub_run(weir_hub *hub) {
  struct weir__core *core;
  int rv = enter(hub);

  if (rv != WEIR_OK || hub->core.running) {
    return rv != WEIR_OK ? rv : WEIR_EBUSY;
  }
  core = &hub->core;
  core->running = true;
  core->woken = false;
  turn(hub);
  if (core->options.notify != NULL) {
    dispatch(core);
  }
  core->running = false;
  if (core->dying) {
    weir_hub_free(hub);
  }
  return WEIR_OK;
}

int weir_hub_next(weir_hub *hub, weir_notice *callers) {
  struct weir__core *core;
  struct weir__link *link;
  weir_notice notice;
  int rv = enter(hub);

  if (rv != WEIR_OK) {
    return rv;
  }
  core = &hub->core;
  if (core->dying) {
    weir_hub_free(hub);
    return WEIR_EGONE;
  }
  if (callers == NULL || callers->size <= sizeof callers->size) {
    return WEIR_EINVAL;
  }
  /* Time passes when there is nothing else to do, and now and then. */
  core->taken += 1;
  if (!core->running &&
      (core->taken % NOTICES_PER_TURN == 0 || weir__link_alone(&core->ready))) {
    /* The host is here, and need not be told of what it is about to take. */
    core->woken = true;
    turn(hub);
  }
  do {
    link = core->ready.next == &core->mark ? core->mark.next : core->ready.next;
    if (link == &core->ready) {
      core->woken = false;
      return WEIR_EAGAIN;
    }
  } while (!take_notice(link, &core->ready, &notice));
  return weir__store(callers, &notice, sizeof notice);
}

int weir_hub_get_timeout(weir_hub *hub) {
  struct weir__core *core;
  uint64_t next;

  if (enter(hub) == WEIR_EGONE) {
    return -1;
  }
  core = &hub->core;
  weir__core_tick(core);
  core->promised = 0;
  if (!weir__link_alone(&core->ready) || !weir__link_alone(&core->work) ||
      weir__registry_is_draining(&hub->registry)) {
    return 0;
  }
  core->woken = false;
  next = weir__wheel_next(&core->wheel);
  core->promised = next;
  if (next == (uint64_t)WEIR_NEVER) {
    return -1;
  }
  return next <= core->now ? 0 : (int)weir__min(next - core->now, INT_MAX);
}

int weir_hub_open(weir_hub *hub, const weir_open_options *callers,
                  weir_stream **stream) {
  weir_open_options options;
  int rv = enter(hub);

  if (rv != WEIR_OK) {
    return rv;
  }
  weir_open_options_init(&options, sizeof options);
  rv = weir__load(&options, sizeof options, callers);
  if (rv != WEIR_OK) {
    return rv;
  }
  weir__core_tick(&hub->core);
  return weir__opening_open(&hub->registry, &options, stream);
}

int weir_hub_attach(weir_hub *hub, const weir_attach_options *callers,
                    weir_subscriber **subscriber, int *verdict) {
  weir_attach_options options;
  int rv = enter(hub);

  if (rv != WEIR_OK) {
    return rv;
  }
  weir_attach_options_init(&options, sizeof options);
  rv = weir__load(&options, sizeof options, callers);
  if (rv != WEIR_OK) {
    return rv;
  }
  weir__core_tick(&hub->core);
  return weir__attaching_attach(&hub->registry, &options, subscriber, verdict);
}

int weir_hub_hint(weir_hub *hub, const void *key, size_t key_len,
                  uint64_t last) {
  int rv = enter(hub);

  if (rv == WEIR_OK) {
    weir__core_tick(&hub->core);
    weir__registry_hint(&hub->registry, key, key_len, last);
  }
  return rv;
}

int weir_hub_drain(weir_hub *hub, uint64_t over, uint32_t retry) {
  int rv = enter(hub);

  if (rv == WEIR_OK && !weir__is_retry(retry)) {
    rv = WEIR_EINVAL;
  }
  if (rv == WEIR_OK) {
    hub->core.drain_retry = retry;
    weir__core_tick(&hub->core);
    hub->core.draining = true;
    weir__registry_drain(&hub->registry, over);
    weir__core_wake(&hub->core);
  }
  return rv;
}

int weir_hub_get_info(const weir_hub *hub, weir_hub_info *info) {
  weir_hub_info now;

  if (hub == NULL) {
    return WEIR_EGONE;
  }
  now = hub->core.info;
  now.streams = hub->registry.streams.count;
  return weir__store(info, &now, sizeof now);
}

uint32_t weir__hub_draw_retry(weir_hub *hub, int error,
                              const weir_attach_options *options) {
  struct weir__core *core = &hub->core;

  return weir__attaching_retry(
      core, error,
      options->retry + weir__core_draw(core, options->retry_jitter),
      options->retry_replaced);
}
