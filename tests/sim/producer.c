/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "producer.h"

#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "host.h"
#include "world.h"

#define BATCH 8
#define OLD 3 /* handles that are kept when they are of no use any more */

/* A stream handle, and what its owner knows. */
struct handle {
  struct handle *next; /* all there ever were */
  unsigned producer;
  unsigned key;
  struct host *host;
  weir_stream *stream; /* NULL: released, or dead */
  struct generation *generation;
  bool opening;
  bool fenced; /* so it was told, since it ended */
  bool ended;  /* so it was told */
  bool ended_well;
  size_t ended_epochs; /* how many there were then */
};

struct producer {
  unsigned number;
  struct chance chance;
  unsigned key;
  struct handle *handle;
  struct handle *old[OLD];
};

static struct handle *all;

static void act(void *who, uint64_t what);

static bool is_one_of(int rv, const int *allowed, size_t n) {
  size_t i;

  for (i = 0; i < n; ++i) {
    if (rv == allowed[i]) {
      return true;
    }
  }
  return false;
}

/* What may be said of a generation, if it is said rightly. */
static bool is_plausible(const struct handle *handle, int rv) {
  static const int memory[] = {WEIR_ENOMEM, WEIR_ERESIDENT, WEIR_EPENDING};
  static const int storage[] = {WEIR_ELOG,     WEIR_EIO,     WEIR_EFULL,
                                WEIR_EUNKNOWN, WEIR_EFENCED, WEIR_EENDED,
                                WEIR_EHOST - 1};
  const struct generation *generation = handle->generation;

  if (rv == WEIR_EENDED || rv == WEIR_EGONE) {
    return generation == NULL || generation->ended != 0 || generation->broken ||
           generation->ending || HAS(EXPIRE) || generation->gone || HAS(LOG);
  }
  if (rv == WEIR_ENOMEM) {
    return host_is_scarce(handle->host);
  }
  if (is_one_of(rv, memory, 3)) {
    return HAS(LIMITS);
  }
  if (rv == WEIR_EAGAIN || rv == WEIR_EDRAINING) {
    return HAS(LOG) || handle->host->draining;
  }
  return HAS(LOG) && is_one_of(rv, storage, 7);
}

static void check_error(const struct handle *handle, const char *call, int rv) {
  if (rv != WEIR_OK && !is_plausible(handle, rv)) {
    trace_fail(12, "%s on %s says %d", call, model_name(handle->generation),
               rv);
  }
}

static void get_info(const struct handle *handle, weir_stream_info *info) {
  info->size = sizeof *info;
  if (weir_stream_get_info(handle->stream, info) != WEIR_OK) {
    trace_fail(12, "no info of %s", model_name(handle->generation));
  }
}

/* Without storage, what was published is a fact, and limits hold. */
void producer_limit(struct generation *generation) {
  const uint64_t most = world.plan.history_events;

  if (most != 0 && generation->last > most) {
    model_trim(generation, generation->last - most);
  }
}

/* --- Acts -----------------------------------------------------------------*/

static void forget_handle(struct handle *handle) {
  weir_stream_release(handle->stream);
  handle->stream = NULL;
}

/* Compare what a failed call left with what there was. */
static void check_unchanged(const struct handle *handle, const char *call,
                            int rv, const weir_stream_info *before) {
  weir_stream_info after;
  bool moved;

  if (rv != WEIR_ENOMEM && rv != WEIR_ERESIDENT && rv != WEIR_EPENDING) {
    return;
  }
  get_info(handle, &after);
  /* What was under way may have come to storage meanwhile, or been refused. */
  if (after.status != before->status && handle->generation->broken) {
    return;
  }
  /* And that another server has ended it, or taken it over. */
  if (HAS(NODES) &&
      (handle->generation->shared
           ? handle->generation->ended != 0
           : !model_is_writer(handle->generation, host_port(handle->host)))) {
    return;
  }
  /* What others have published may have come in. */
  moved = handle->generation->shared
              ? after.last < before->last || after.pending > before->pending
              : after.last + after.pending != before->last + before->pending;
  if (after.status != before->status || moved ||
      after.events != before->events || after.ended != before->ended ||
      after.signals != before->signals) {
    trace_fail(12, "%s on %s failed with %d, and left something", call,
               model_name(handle->generation), rv);
  }
}

static void publish(struct handle *handle, struct chance *chance) {
  const size_t n = (size_t)chance_size(chance, BATCH);
  struct generation *generation = handle->generation;
  struct content contents[BATCH];
  uint32_t numbers[BATCH];
  weir_event events[BATCH];
  weir_stream_info before;
  struct saying *saying;
  uint64_t last = 0;
  size_t i;
  int rv;

  for (i = 0; i < n; ++i) {
    numbers[i] =
        model_say(&world.model, generation, SAYING_ASKED, handle->producer);
    world.model.sayings[numbers[i]].handle = handle;
    content_make(&contents[i], world.plan.seed, numbers[i],
                 world.plan.event_bytes);
    weir_event_init(&events[i], sizeof events[i]);
    events[i].type = contents[i].type;
    events[i].type_len = strlen(contents[i].type);
    events[i].data = contents[i].data.data;
    events[i].data_len = contents[i].data.len;
    events[i].flags = contents[i].flags;
    events[i].tag = numbers[i];
  }
  get_info(handle, &before);
  rv = weir_stream_publish(handle->stream, events, n, &last);
  trace_say("producer %u says #%u to #%u in %s: %d", handle->producer,
            numbers[0], numbers[n - 1], model_name(generation), rv);
  check_error(handle, "publish", rv);
  check_unchanged(handle, "publish", rv, &before);
  for (i = 0; i < n; ++i) {
    saying = &world.model.sayings[numbers[i]];
    saying->told = rv != WEIR_OK;
    if (saying->state == SAYING_ASKED) {
      saying->state = rv == WEIR_OK ? SAYING_TAKEN : SAYING_REFUSED;
    }
    if (rv == WEIR_OK && !HAS(LOG)) {
      (void)model_add(&world.model, generation, model_epoch(generation),
                      numbers[i], 0);
    }
    content_free(&contents[i]);
  }
  if (rv == WEIR_OK) {
    world.tally.events += n;
    if (!HAS(LOG)) {
      generation->acked = generation->last;
      producer_limit(generation);
    }
    if (generation->shared ? last != 0
                           : !HAS(LOG) && last != generation->last) {
      trace_fail(3, "%s: published up to %llu", model_name(generation),
                 (unsigned long long)last);
    }
  }
}

static void signal_all(struct handle *handle) {
  const uint32_t number = model_say(&world.model, handle->generation,
                                    SAYING_SIGNAL, handle->producer);
  struct content content;
  weir_stream_info info;
  weir_event event;
  int rv;

  content_make(&content, world.plan.seed, number, world.plan.event_bytes);
  weir_event_init(&event, sizeof event);
  event.type = content.type;
  event.type_len = strlen(content.type);
  event.data = content.data.data;
  event.data_len = content.data.len;
  event.flags = content.flags;
  get_info(handle, &info);
  world.model.sayings[number].stamp = info.last;
  rv = weir_stream_signal(handle->stream, &event, NULL);
  trace_say("producer %u signals #%u in %s: %d", handle->producer, number,
            model_name(handle->generation), rv);
  check_error(handle, "signal", rv);
  check_unchanged(handle, "signal", rv, &info);
  world.tally.signals += rv == WEIR_OK;
  content_free(&content);
}

/* End, fail or cancel. */
static void stop(struct handle *handle, struct chance *chance) {
  struct generation *generation = handle->generation;
  const bool was_ending = generation->ending;
  const uint64_t how = chance_below(chance, HAS(CANCEL) ? 3 : 2);
  weir_stream_info before;
  int rv;

  get_info(handle, &before);
  generation->ending = true;
  world.model.cancels[handle->key] += how == 2;
  rv = how == 0 ? weir_stream_end(handle->stream, "enough", 6, 0, NULL)
       : how == 1
           ? weir_stream_fail(handle->stream, "code", 4, "text", 4, 0, NULL)
           : weir_stream_cancel(handle->stream, NULL, 0);
  trace_say("producer %u stops %s (%u): %d", handle->producer,
            model_name(generation), (unsigned)how, rv);
  check_error(handle, "end", rv);
  check_unchanged(handle, "end", rv, &before);
  if (rv == WEIR_OK && !HAS(LOG)) {
    (void)host_learn_end(generation);
  } else if (rv == WEIR_ENOMEM || rv == WEIR_ERESIDENT) {
    generation->ending = was_ending;
  }
}

static void trim(struct handle *handle, struct chance *chance) {
  weir_stream_info info;
  uint64_t through;
  int rv;

  get_info(handle, &info);
  through = chance_below(chance, info.last + 1);
  rv = weir_stream_trim(handle->stream, through);
  trace_say("producer %u trims %s to %llu: %d", handle->producer,
            model_name(handle->generation), (unsigned long long)through, rv);
  check_error(handle, "trim", rv);
  if (rv == WEIR_OK && !HAS(LOG)) {
    model_trim(handle->generation, through);
    handle->generation->to_trim = through;
  }
}

/* The open is decided. */
static void begin(struct handle *handle) {
  struct generation *newest = world.model.newest[handle->key];
  weir_stream_info info;

  get_info(handle, &info);
  if (!HAS(LOG) && info.joined == 0) {
    if (newest != NULL && !newest->gone && newest->ended == 0) {
      (void)host_learn_end(newest);
    }
    handle->generation =
        model_begin(&world.model, handle->key, info.generation);
  }
  handle->generation = model_find(&world.model, handle->key, info.generation);
  if (handle->generation == NULL) {
    trace_fail(8, "producer %u has a generation of k%c that nobody began",
               handle->producer, (char)('a' + handle->key));
  }
  handle->generation->envelope = HAS(ENVELOPE) && handle->key % 2 == 1;
  trace_say("producer %u %s %s", handle->producer,
            info.joined != 0 ? "joins" : "begins",
            model_name(handle->generation));
}

static void set_watchdogs(struct chance *chance, weir_open_options *options) {
  if (!HAS(EXPIRE) || chance_permille(chance, 500)) {
    return;
  }
  options->first_event = 1000 + chance_size(chance, 100000);
  options->idle = 1000 + chance_size(chance, 100000);
  options->lifetime = 1000 + chance_size(chance, 1000000);
  options->abandoned = 1000 + chance_size(chance, 100000);
  options->on_first_event = (int32_t)chance_below(chance, 3);
  options->on_idle = (int32_t)chance_below(chance, 3);
  options->on_lifetime = (int32_t)chance_below(chance, 3);
  options->on_abandoned = (int32_t)chance_below(chance, 3);
  if (chance_permille(chance, 300)) {
    options->linger = chance_size(chance, 60000);
  }
}

static void open_stream(struct producer *producer, struct chance *chance,
                        struct host *host) {
  struct generation *newest = world.model.newest[producer->key];
  const bool replace = TROUBLE(chance, REPLACE, 300);
  const char key[2] = {'k', (char)('a' + producer->key)};
  struct handle *handle;
  weir_open_options options;
  int rv;

  handle = calloc(1, sizeof *handle);
  if (handle == NULL) {
    abort();
  }
  handle->next = all;
  all = handle;
  handle->producer = producer->number;
  handle->key = producer->key;
  handle->host = host;
  weir_open_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = 2;
  options.user = handle;
  options.on_duplicate = replace                        ? WEIR_DUPLICATE_REPLACE
                         : chance_permille(chance, 200) ? WEIR_DUPLICATE_REJECT
                                                        : WEIR_DUPLICATE_JOIN;
  options.flags =
      (HAS(SHARED) && HAS(LOG) && producer->key % 3 == 1
           ? (uint32_t)WEIR_OPEN_SHARED
           : 0) |
      (HAS(ENVELOPE) && producer->key % 2 == 1 ? (uint32_t)WEIR_OPEN_ENVELOPE
                                               : 0) |
      (chance_permille(chance, 100) ? (uint32_t)WEIR_OPEN_UNENDED : 0);
  set_watchdogs(chance, &options);
  world.model.cancels[producer->key] += replace;
  if (replace && newest != NULL) {
    newest->ending = true;
  }
  host->opening[producer->key] += 1;
  rv = weir_hub_open(host->hub, &options, &handle->stream);
  trace_say("producer %u opens k%c on host %u%s: %d", producer->number, key[1],
            host->number, replace ? " in place of another" : "", rv);
  if (rv != WEIR_OK) {
    host->opening[producer->key] -= 1;
    if (rv != WEIR_EEXISTS && rv != WEIR_EENDED && rv != WEIR_ESTREAMS &&
        !is_plausible(handle, rv)) {
      trace_fail(12, "open says %d", rv);
    }
    return;
  }
  producer->handle = handle;
  {
    weir_stream_info info;

    get_info(handle, &info);
    handle->opening = info.status == WEIR_STREAM_OPENING;
  }
  if (!handle->opening) {
    host->opening[producer->key] -= 1;
    begin(handle);
  }
}

/* Put a handle aside, or let it go. */
static void retire(struct producer *producer, struct chance *chance) {
  struct handle **old = &producer->old[chance_below(chance, OLD)];

  if (*old != NULL && (*old)->stream != NULL) {
    forget_handle(*old);
    host_touch((*old)->host);
  }
  *old = producer->handle;
  producer->handle = NULL;
  if (chance_permille(chance, 300)) {
    forget_handle(*old);
  }
}

/* One thing that can be done with a handle. */
static void use(struct handle *handle, struct chance *chance) {
  const uint64_t what = chance_below(chance, 100);

  if (handle->generation == NULL) {
    return;
  }
  if (what < 10 && HAS(SIGNAL)) {
    signal_all(handle);
  } else if (what < 14 && HAS(TRIM)) {
    trim(handle, chance);
  } else if (what < 16) {
    stop(handle, chance);
  } else {
    publish(handle, chance);
  }
  if (handle->host->hub != NULL) {
    host_touch(handle->host);
  }
}

static void step(struct producer *producer, struct chance *chance) {
  struct handle *handle = producer->handle;
  struct handle *old = producer->old[chance_below(chance, OLD)];
  struct host *host;

  if (old != NULL && old->stream != NULL && chance_permille(chance, 100)) {
    use(old, chance);
    return;
  }
  if (handle != NULL && handle->stream == NULL) {
    producer->handle = handle = NULL;
  }
  if (handle == NULL) {
    host = world.hosts[chance_below(chance, world.host_count)];
    if (host != NULL && host->hub != NULL) {
      open_stream(producer, chance, host);
      host_touch(host);
    }
  } else if (handle->opening) {
    return;
  } else if (handle->ended || chance_permille(chance, 10)) {
    retire(producer, chance);
  } else {
    use(handle, chance);
  }
}

static void act(void *who, uint64_t what) {
  struct producer *producer = who;

  (void)what;
  if (!world.healed) {
    step(producer, &producer->chance);
    agenda_plan(&world.agenda,
                chance_between(&producer->chance, 1, world.plan.pace), act,
                producer, 0);
  }
}

void producer_meddle(struct host *host, struct chance *chance) {
  struct producer *producer =
      &world.producers[chance_below(chance, world.plan.producers)];
  const struct handle *handle = producer->handle;

  if (host->hub != NULL &&
      (handle == NULL ? HAS(REPLACE) : handle->host == host)) {
    step(producer, chance);
  }
}

/* --- Notices --------------------------------------------------------------*/

static void opened(struct handle *handle, const weir_notice *notice) {
  if (!handle->opening) {
    trace_fail(9, "producer %u is opened twice", handle->producer);
  }
  handle->opening = false;
  handle->host->opening[handle->key] -= 1;
  if (notice->error == WEIR_OK) {
    begin(handle);
    return;
  }
  if (notice->error != WEIR_EEXISTS && notice->error != WEIR_ESTREAMS &&
      !is_plausible(handle, notice->error)) {
    trace_fail(12, "an open says %d", notice->error);
  }
  forget_handle(handle);
}

static void stored(const struct handle *handle, const weir_notice *notice) {
  struct generation *generation = handle->generation;
  struct saying *saying = &world.model.sayings[notice->tag];
  const struct fact *fact;

  if (notice->tag == 0 || notice->tag > world.model.said ||
      saying->generation != generation || saying->told) {
    trace_fail(9, "%s: stored, #%llu", model_name(generation),
               (unsigned long long)notice->tag);
  }
  saying->told = true;
  if (notice->error == WEIR_OK) {
    fact = model_at(generation, notice->seq);
    if (saying->state != SAYING_FACT || fact == NULL ||
        fact->number != notice->tag) {
      trace_fail(5, "%s: #%llu is not stored as %llu", model_name(generation),
                 (unsigned long long)notice->tag,
                 (unsigned long long)notice->seq);
    }
  } else if (!HAS(LOG)) {
    trace_fail(12, "%s: #%llu is not stored: %d", model_name(generation),
               (unsigned long long)notice->tag, notice->error);
  }
}

/* How many epochs there were when it ended for this server. It may have been
 * taken over before that is told: but not by this server. */
static size_t epochs_at_end(const struct handle *handle) {
  const struct generation *generation = handle->generation;
  const void *port = host_port(handle->host);
  size_t n = generation->epoch_count;

  while (n != 0 && generation->writers[n - 1] != port) {
    n -= 1;
  }
  return n != 0 ? n : generation->epoch_count;
}

/* Whether another server has taken a generation over since then. */
static bool was_elsewhere(const struct handle *handle) {
  const struct generation *generation = handle->generation;
  size_t i = handle->ended_epochs;

  while (i < generation->epoch_count &&
         generation->writers[i] == host_port(handle->host)) {
    i += 1;
  }
  return i < generation->epoch_count;
}

static void ended(struct handle *handle, const weir_notice *notice) {
  struct generation *generation = handle->generation;

  /* What has failed here may live on elsewhere, and end there; or come back
   * from there, and fail again. A server can also fence itself, by a take-over
   * that storage carries out when nobody waits for it any more. */
  if (handle->ended_well || (handle->ended && notice->error != WEIR_OK &&
                             !handle->fenced && !was_elsewhere(handle))) {
    trace_fail(7, "%s has ended twice", model_name(generation));
  }
  handle->ended = true;
  handle->fenced = false;
  handle->ended_epochs = epochs_at_end(handle);
  handle->ended_well = notice->error == WEIR_OK;
  if (!HAS(LOG) && generation->ended == 0) {
    if (!HAS(EXPIRE) && !generation->ending) {
      trace_fail(7, "%s has ended by itself", model_name(generation));
    }
    (void)host_learn_end(generation);
  }
  if (notice->error == WEIR_OK && generation->ended == 0) {
    trace_fail(7, "%s has not ended", model_name(generation));
  }
}

void producer_notice(struct host *host, const weir_notice *notice) {
  struct handle *handle = notice->user;

  if (handle->host != host || handle->stream != notice->stream) {
    trace_fail(9, "notice %u for a producer that has gone", notice->kind);
  }
  trace_say("  notice %u for producer %u in %s, error %d", notice->kind,
            handle->producer, model_name(handle->generation), notice->error);
  switch (notice->kind) {
    case WEIR_NOTICE_OPENED:
      opened(handle, notice);
      break;
    case WEIR_NOTICE_STORED:
      stored(handle, notice);
      break;
    case WEIR_NOTICE_ENDED:
      ended(handle, notice);
      break;
    case WEIR_NOTICE_CANCELLED:
      handle->fenced = handle->fenced || notice->error == WEIR_EFENCED;
      /* Who is fenced has to stop too, and whose generation has failed
       * elsewhere and is hidden by the next. */
      if (world.model.cancels[handle->key] == 0 &&
          handle->generation == world.model.newest[handle->key] &&
          !(notice->error == WEIR_EFENCED &&
            handle->generation->epoch_count > 1)) {
        trace_fail(8, "%s is cancelled, and nobody asked for that",
                   model_name(handle->generation));
      }
      break;
    case WEIR_NOTICE_EXPIRED:
    case WEIR_NOTICE_ABANDONED:
      if (!HAS(EXPIRE)) {
        trace_fail(9, "%s: a watchdog that nobody set",
                   model_name(handle->generation));
      }
      break;
    default:
      trace_fail(9, "notice %u for a producer", notice->kind);
  }
  if (handle->stream != NULL && TROUBLE(&host->chance, REENTER, 100)) {
    producer_meddle(host, &host->chance);
  }
}

bool producer_holds(const struct generation *generation) {
  const struct handle *handle = all;

  while (handle != NULL &&
         (handle->stream == NULL || handle->generation != generation)) {
    handle = handle->next;
  }
  return handle != NULL;
}

/* --- Beginning and end ----------------------------------------------------*/

void producer_host_died(struct host *host) {
  struct handle *handle;

  for (handle = all; handle != NULL; handle = handle->next) {
    if (handle->host == host) {
      handle->stream = NULL;
    }
  }
}

void producer_host_shut(struct host *host) {
  struct handle *handle;

  for (handle = all; handle != NULL; handle = handle->next) {
    if (handle->host == host) {
      forget_handle(handle);
    }
  }
}

void producer_begin_all(void) {
  struct producer *producer;
  unsigned i;

  world.producers = calloc(world.plan.producers + 1, sizeof *world.producers);
  if (world.producers == NULL) {
    abort();
  }
  for (i = 0; i < world.plan.producers; ++i) {
    producer = &world.producers[i];
    producer->number = i + 1;
    producer->key = i % world.plan.keys;
    chance_init(&producer->chance, world.plan.seed, "producer",
                producer->number);
    agenda_plan(&world.agenda, chance_size(&producer->chance, 1000), act,
                producer, 0);
  }
}

void producer_check_all(void) {
  const struct handle *handle;
  const struct saying *saying;
  uint32_t number;

  for (handle = all; handle != NULL; handle = handle->next) {
    if (handle->stream == NULL) {
      continue;
    }
    if (handle->opening) {
      trace_fail(9, "producer %u still waits for its open", handle->producer);
    }
    for (number = 1; number <= world.model.said; ++number) {
      saying = &world.model.sayings[number];
      if (saying->generation == handle->generation && !saying->told &&
          saying->producer == handle->producer && saying->handle == handle &&
          saying->state != SAYING_SIGNAL && saying->state != SAYING_REFUSED) {
        trace_fail(5, "nobody has said whether #%u of %s is stored", number,
                   model_name(handle->generation));
      }
    }
  }
}

void producer_free_all(void) {
  struct handle *handle;

  while (all != NULL) {
    handle = all;
    all = handle->next;
    free(handle);
  }
  free(world.producers);
}
