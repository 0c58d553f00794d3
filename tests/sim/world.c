/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "world.h"

#include "client.h"
#include "host.h"
#include "producer.h"
#include "serve.h"
#include "store.h"

/* ms that the world goes on for when all trouble is over: longer than anybody
 * waits for anything. */
#define REST 200000

struct world world;

static void begin(const struct plan *plan) {
  unsigned i;

  world.plan = *plan;
  trace_begin(&world.agenda.now, &world.step);
  world.host_count = HAS(LOG) && HAS(NODES) ? WORLD_HOSTS : 1;
  for (i = 0; i < world.host_count; ++i) {
    (void)host_begin(i);
  }
  producer_begin_all();
  client_begin_all();
}

static void heal(void) {
  unsigned i;

  trace_say("all is well from here on");
  world.healed = true;
  for (i = 0; i < world.host_count; ++i) {
    if (world.hosts[i] != NULL) {
      host_heal(world.hosts[i]);
    }
  }
}

static void end(void) {
  unsigned i;

  for (i = 0; i < world.host_count; ++i) {
    if (world.hosts[i] != NULL && world.hosts[i]->hub != NULL) {
      host_shut(world.hosts[i]);
    }
  }
  world.tally.steps = world.step;
  world.tally.ms = world.agenda.now;
  world.tally.hash = trace_hash();
  client_free_all();
  producer_free_all();
  serve_free();
  store_free();
  host_free_all();
  model_free(&world.model);
  agenda_free(&world.agenda);
}

void world_run(const struct plan *plan) {
  uint64_t until;

  begin(plan);
  while (world.step < plan->steps && agenda_step(&world.agenda)) {
    world.step += 1;
  }
  heal();
  until = world.agenda.now + REST;
  while (agenda_next(&world.agenda) <= until) {
    (void)agenda_step(&world.agenda);
    world.step += 1;
  }
  client_check_all();
  producer_check_all();
  end();
}
