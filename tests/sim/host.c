/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "producer.h"
#include "serve.h"
#include "store.h"
#include "world.h"

/* Where the clocks begin: a step back of any size is possible. */
#define EPOCH 1000000000

static struct host *all;
static unsigned count;

static void turn(void *who, uint64_t what);
static void trouble(void *who, uint64_t what);

/* --- What a hub is made of ------------------------------------------------*/

static uint64_t raw_clock(const struct host *host) {
  return (uint64_t)((int64_t)world.agenda.now + EPOCH + host->skew);
}

static uint64_t clock_of(void *user) {
  struct host *host = user;
  const uint64_t now = raw_clock(host);

  host->sampled = now > host->sampled ? now : host->sampled;
  return now;
}

static int entropy(void *user, void *dst, size_t len) {
  struct host *host = user;
  unsigned char *p = dst;

  for (; len != 0; --len) {
    *p++ = (unsigned char)chance_next(&host->chance);
  }
  return 1;
}

static void wake(void *user) {
  host_touch(user);
}

uint64_t host_clock(const struct host *host) {
  const uint64_t now = raw_clock(host);

  return now > host->sampled ? now : host->sampled;
}

uint64_t host_sampled(const struct host *host) {
  return host->sampled;
}

uint64_t host_deadline(const struct host *host) {
  return host->deadline;
}

const weir_hub *host_hub(const struct host *host) {
  return host->hub;
}

const void *host_port(const struct host *host) {
  return host->port;
}

bool host_is_opening(const struct host *host, unsigned key) {
  return host->opening[key] != 0;
}

bool host_is_scarce(const struct host *host) {
  return host->memory.scarce != 0 || world.agenda.now < host->scarce_until;
}

bool host_may_close(const struct host *host, const char *reason) {
  return strcmp(reason, "draining") == 0   ? host->draining
         : strcmp(reason, "replaced") == 0 ? HAS(DUPLICATE)
         : strcmp(reason, "expired") == 0  ? HAS(EXPIRE)
         : strcmp(reason, "unavailable") == 0
             ? HAS(REFUSE) || HAS(WRONG) || HAS(NEVER) || HAS(MEMORY) ||
                   HAS(LIMITS) || HAS(JUMP)
             : false;
}

/* --- Notices --------------------------------------------------------------*/

static void take_notice(struct host *host, const weir_notice *notice) {
  if (notice->subscriber != NULL) {
    serve_notice(host, notice);
  } else {
    producer_notice(host, notice);
  }
}

static void notify(void *user, const weir_notice *notice) {
  struct host *host = user;

  if (host->telling) {
    trace_fail(11, "a notice within a notice");
  }
  host->telling = true;
  if (chance_permille(&host->chance, 10) &&
      weir_hub_run(host->hub) != WEIR_EBUSY) {
    trace_fail(11, "a run within a notice");
  }
  take_notice(host, notice);
  host->telling = false;
}

/* What readers hold who are to go is not counted, up to the limit again. */
static void check_memory(const struct host *host) {
  weir_hub_info info;

  info.size = sizeof info;
  if (host->memory_most != 0 &&
      weir_hub_get_info(host->hub, &info) == WEIR_OK &&
      info.resident > 2 * host->memory_most) {
    trace_fail(12, "host %u has %llu bytes in memory", host->number,
               (unsigned long long)info.resident);
  }
}

static void tell(struct host *host) {
  weir_notice notice;
  int rv;

  if (!host->polling) {
    rv = weir_hub_run(host->hub);
  } else {
    notice.size = sizeof notice;
    while ((rv = weir_hub_next(host->hub, &notice)) == WEIR_OK) {
      take_notice(host, &notice);
    }
    rv = rv == WEIR_EAGAIN ? WEIR_OK : rv;
  }
  if (rv != WEIR_OK) {
    trace_fail(12, "a turn of host %u says %d", host->number, rv);
  }
  check_memory(host);
}

static void turn(void *who, uint64_t what) {
  struct host *host = who;
  unsigned n;
  int ms;

  if (what != host->turn || host->hub == NULL) {
    return;
  }
  for (n = 0; weir_hub_get_timeout(host->hub) == 0 || n == 0; ++n) {
    if (n == 2000) {
      trace_fail(11, "host %u does not come to rest", host->number);
    }
    tell(host);
  }
  serve_check(host);
  ms = weir_hub_get_timeout(host->hub);
  if (ms >= 0) {
    host->turn += 1;
    agenda_plan(&world.agenda, (uint64_t)ms + chance_below(&host->chance, 4),
                turn, host, host->turn);
  }
}

void host_touch(struct host *host) {
  if (host->hub != NULL) {
    host->turn += 1;
    agenda_plan(&world.agenda, 0, turn, host, host->turn);
  } else if (!host->dead && store_owes(host->port) == 0 &&
             host->memory.live != 0) {
    trace_fail(12, "host %u has gone, and %zu bytes are left", host->number,
               host->memory.live);
  }
}

static void hint(void *who, uint64_t what) {
  struct host *host = who;
  const char key[2] = {'k', (char)('a' + what % MODEL_KEYS)};

  if (host->hub != NULL) {
    (void)weir_hub_hint(host->hub, key, 2, what / MODEL_KEYS);
    host_touch(host);
  }
}

void host_hint(struct host *host, const struct generation *generation) {
  unsigned i;

  for (i = 0; i < world.host_count; ++i) {
    if (world.hosts[i] != NULL &&
        (world.hosts[i] != host || chance_permille(&host->chance, 100)) &&
        chance_permille(&host->chance, 800)) {
      agenda_plan(
          &world.agenda, chance_size(&host->chance, 500), hint, world.hosts[i],
          (generation->last + chance_below(&host->chance, 2)) * MODEL_KEYS +
              generation->key);
    }
  }
}

struct fact *host_learn_end(struct generation *generation) {
  struct fact *fact = model_add(&world.model, generation,
                                model_epoch(generation), 0, WEIR_RECORD_END);

  generation->acked = generation->last;
  producer_limit(generation);
  trace_say("    %s has ended with %llu", model_name(generation),
            (unsigned long long)generation->last);
  return fact;
}

/* --- Birth and death ------------------------------------------------------*/

static void set_limits(struct host *host, weir_hub_options *options) {
  struct chance *chance = &host->chance;

  options->history_events = world.plan.history_events;
  options->history_bytes = world.plan.history_bytes;
  if (!HAS(LOG)) {
    /* The model knows what a number of events is, and no more. */
    options->history_bytes = 0;
  }
  options->signal_ring = (uint32_t)chance_size(chance, 64);
  if (HAS(LIMITS)) {
    options->max_streams = 1 + chance_size(chance, world.plan.keys * 4);
    options->max_subscribers = 1 + chance_size(chance, world.plan.clients * 2);
    options->max_stream_subscribers =
        1 + chance_size(chance, world.plan.clients);
    options->max_client_subscribers = chance_size(chance, 3);
    options->max_pending = 8 + chance_size(chance, 100);
    if (HAS(LOG)) {
      options->max_resident = 20000 + chance_size(chance, 8000000);
      host->memory_most = options->max_resident + options->max_resident / 16;
    }
  }
}

struct host *host_begin(unsigned place) {
  struct host *host = calloc(1, sizeof *host);
  weir_hub_options options;
  weir_log log;
  int rv;

  if (host == NULL) {
    abort();
  }
  host->next = all;
  all = host;
  host->number = ++count;
  host->place = place;
  chance_init(&host->chance, world.plan.seed, "host", host->number);
  memory_init(&host->memory, world.plan.seed, host->number);
  host->deadline = chance_between(&host->chance, 4000, 10000);
  host->polling = chance_permille(&host->chance, 300);
  weir_hub_options_init(&options, sizeof options);
  options.allocator = &host->memory.allocator;
  options.clock = clock_of;
  options.clock_user = host;
  options.entropy = entropy;
  options.entropy_user = host;
  options.notify = notify;
  options.notify_user = host;
  options.wake = wake;
  options.wake_user = host;
  options.prefix = world.plan.prefix;
  options.prefix_len = strlen(world.plan.prefix);
  set_limits(host, &options);
  if (HAS(LOG)) {
    host->port = store_open(host, &log);
    options.log = &log;
  }
  rv = weir_hub_new(&options, &host->hub);
  if (rv != WEIR_OK) {
    trace_fail(12, "there is no hub: %d", rv);
  }
  host->up = true;
  world.hosts[place] = host;
  trace_say("host %u starts%s", host->number,
            host->polling ? ", and polls" : "");
  agenda_plan(&world.agenda, chance_size(&host->chance, 10000), trouble, host,
              0);
  return host;
}

static void restart(void *who, uint64_t what) {
  (void)who;
  if (world.hosts[what] == NULL) {
    (void)host_begin((unsigned)what);
  }
}

static void plan_restart(struct host *host) {
  world.hosts[host->place] = NULL;
  agenda_plan(&world.agenda, chance_size(&host->chance, 20000), restart, NULL,
              host->place);
}

/* Without storage nothing survives a process. */
static void forget_generations(void) {
  struct generation *generation;
  unsigned key;

  for (key = 0; !HAS(LOG) && key < world.plan.keys; ++key) {
    for (generation = world.model.newest[key]; generation != NULL;
         generation = generation->older) {
      generation->gone = true;
    }
  }
}

static void die(struct host *host) {
  trace_say("host %u dies", host->number);
  world.tally.deaths += 1;
  world.tally.scarce += host->memory.failures;
  host->up = false;
  host->dead = true;
  host->hub = NULL;
  serve_host_died(host);
  producer_host_died(host);
  if (host->port != NULL) {
    store_leave(host->port);
    if (world.host_count == 1 && TROUBLE(&host->chance, CRASH, 500)) {
      store_crash();
    }
  }
  memory_drop(&host->memory);
  forget_generations();
  plan_restart(host);
}

void host_heal(struct host *host) {
  const uint64_t now = raw_clock(host);

  host->memory.scarce = 0;
  /* A clock that has been set back stands still, to a hub, until it is where it
   * was: for longer than the world goes on, perhaps. */
  if (now < host->sampled) {
    host->skew += (int64_t)(host->sampled - now);
  }
  host_touch(host);
}

void host_shut(struct host *host) {
  weir_hub *hub = host->hub;

  trace_say("host %u is shut down", host->number);
  world.tally.scarce += host->memory.failures;
  host->up = false;
  host->memory.scarce = 0;
  serve_host_shut(host);
  producer_host_shut(host);
  host->hub = NULL;
  weir_hub_free(hub);
  if (host->port == NULL || store_owes(host->port) == 0) {
    if (host->port != NULL) {
      store_expect_closed(host->port);
    }
    if (host->memory.live != 0) {
      trace_fail(12, "host %u has gone, and %zu bytes are left", host->number,
                 host->memory.live);
    }
  }
  forget_generations();
  plan_restart(host);
}

static void finish(void *who, uint64_t what) {
  struct host *host = who;

  (void)what;
  if (host->hub != NULL) {
    host_shut(host);
  }
}

static void drain(struct host *host) {
  const uint64_t over = chance_size(&host->chance, 5000);

  trace_say("host %u drains", host->number);
  host->draining = true;
  if (weir_hub_drain(host->hub, over, 0) != WEIR_OK) {
    trace_fail(12, "host %u does not drain", host->number);
  }
  host_touch(host);
  agenda_plan(&world.agenda, over + chance_size(&host->chance, 5000), finish,
              host, 0);
}

static void relieve(void *who, uint64_t what) {
  struct host *host = who;

  (void)what;
  host->memory.scarce = 0;
  host->scarce_until = world.agenda.now + 5000;
}

static void trouble(void *who, uint64_t what) {
  struct host *host = who;
  struct chance *chance = &host->chance;

  (void)what;
  if (host->hub == NULL || world.healed) {
    return;
  }
  if (TROUBLE(chance, JUMP, 200)) {
    const int64_t by = (int64_t)chance_size(chance, 200000) -
                       (int64_t)chance_size(chance, 200000);

    trace_say("the clock of host %u jumps by %lld ms", host->number,
              (long long)by);
    host->skew += by;
    host_touch(host);
  }
  if (TROUBLE(chance, MEMORY, 200)) {
    host->memory.scarce = chance_permille(chance, 300)
                              ? 1000
                              : (unsigned)chance_size(chance, 500);
    trace_say("host %u is short of memory: %u of 1000 fail", host->number,
              host->memory.scarce);
    agenda_plan(&world.agenda, chance_size(chance, 3000), relieve, host, 0);
  }
  if (HAS(LOG)) {
    store_decay();
  }
  if (TROUBLE(chance, DIE, 100)) {
    die(host);
    return;
  }
  if (!host->draining && TROUBLE(chance, DRAIN, 80)) {
    drain(host);
  }
  agenda_plan(&world.agenda, chance_size(chance, 10000), trouble, host, 0);
}

void host_free_all(void) {
  struct host *host;

  while (all != NULL) {
    host = all;
    all = host->next;
    memory_drop(&host->memory);
    free(host);
  }
}
