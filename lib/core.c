/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "core.h"

#include "platform.h"

int weir__core_new(const weir_hub_options *options, size_t size,
                   const struct weir__floors *floors,
                   struct weir__core **core) {
  const weir_allocator *allocator = options->allocator;
  struct weir__core *made = weir__alloc(allocator, size);

  if (made == NULL) {
    return WEIR_ENOMEM;
  }
  memset(made, 0, size);
  made->options = *options;
  made->allocator = *allocator;
  if (made->options.clock == NULL) {
    made->options.clock = weir__platform_clock;
  }
  if (made->options.entropy == NULL) {
    made->options.entropy = weir__platform_entropy;
  }
  weir__copy(made->prefix, options->prefix, options->prefix_len);
  made->options.prefix = made->prefix;
  made->options.allocator = NULL;
  made->options.log = NULL;
  made->floors = floors;
  made->refs = 1;
  if (made->options.entropy(made->options.entropy_user, &made->chance,
                            sizeof made->chance) != 1 ||
      weir__secret_draw(&made->secret, made->options.entropy,
                        made->options.entropy_user) != WEIR_OK) {
    weir__free(allocator, made, size);
    return WEIR_EENTROPY;
  }
  made->now = made->options.clock(made->options.clock_user);
  weir__wheel_init(&made->wheel, made->now);
  weir__link_init(&made->mark);
  weir__link_init(&made->ready);
  weir__link_init(&made->work);
  weir__link_init(&made->holding);
  weir__link_init(&made->pages);
  weir__link_init(&made->generations);
  weir__map_init(&made->calls, &made->allocator, &made->secret);
  weir__link_init(&made->doomed);
  made->info.size = sizeof made->info;
  *core = made;
  return WEIR_OK;
}

void weir__core_release(struct weir__core *core) {
  core->refs -= 1;
  if (core->refs == 0) {
    core->floors->free(core);
  }
}

void weir__core_tick(struct weir__core *core) {
  uint64_t now = core->options.clock(core->options.clock_user);

  if (now > core->now) {
    core->now = now < (uint64_t)WEIR_NEVER ? now : (uint64_t)WEIR_NEVER - 1;
  }
}

uint32_t weir__core_draw(struct weir__core *core, uint32_t bound) {
  const uint64_t drawn = weir__draw(&core->chance) >> 32;

  return (uint32_t)(drawn * ((uint64_t)bound + 1) >> 32);
}

int weir__core_epoch(struct weir__core *core, uint64_t *epoch) {
  uint64_t bits = 0;

  if (core->options.entropy(core->options.entropy_user, &bits, sizeof bits) !=
      1) {
    return WEIR_EENTROPY;
  }
  *epoch = bits != 0 ? bits : 1;
  return WEIR_OK;
}

void weir__core_wake(struct weir__core *core) {
  if (!core->woken && !core->running && core->options.wake != NULL) {
    core->woken = true;
    core->options.wake(core->options.wake_user);
  }
}

void weir__core_ready(struct weir__core *core, struct weir__source *source) {
  weir__link_remove(&source->link);
  weir__link_append(&core->ready, &source->link);
  weir__core_wake(core);
}

void weir__core_ready_all(struct weir__core *core, struct weir__link *ring) {
  if (!weir__link_alone(ring)) {
    weir__link_splice(&core->ready, ring);
    weir__core_wake(core);
  }
}

void weir__core_work(struct weir__core *core, struct weir__work *work) {
  if (weir__link_alone(&work->link)) {
    weir__link_append(&core->work, &work->link);
    weir__core_wake(core);
  }
}

void weir__core_start_work(struct weir__core *core) {
  struct weir__link work;

  /* What comes up meanwhile waits for the next time, so that storage which
   * answers at once and asks for more cannot hold the host up. */
  weir__link_init(&work);
  weir__link_splice(&work, &core->work);
  while (!weir__link_alone(&work)) {
    struct weir__work *one = weir__owner(work.next, struct weir__work, link);

    weir__link_remove(&one->link);
    one->start(one);
  }
}

void weir__core_doom(struct weir__core *core, struct weir__source *source) {
  weir__link_remove(&source->link);
  if (core->inside != 0) {
    weir__link_append(&core->doomed, &source->link);
  } else {
    core->floors->destroy(source);
  }
}

void weir__core_destroy_doomed(struct weir__core *core) {
  while (!weir__link_alone(&core->doomed)) {
    struct weir__source *source =
        weir__owner(core->doomed.next, struct weir__source, link);

    weir__link_remove(&source->link);
    core->floors->destroy(source);
  }
}

void weir__core_trace(struct weir__core *core, weir_trace *trace) {
  if (core->options.trace != NULL) {
    trace->size = sizeof *trace;
    core->inside += 1;
    core->options.trace(core->options.trace_user, trace);
    core->inside -= 1;
  }
}
