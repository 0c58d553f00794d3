/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "signals.h"

static size_t size_of(uint32_t cap) {
  return sizeof(struct weir__signals) + cap * sizeof(struct weir__page *);
}

struct weir__signals *weir__signals_new(struct weir__core *core, uint32_t cap) {
  struct weir__signals *signals = weir__core_alloc(core, size_of(cap));

  if (signals != NULL) {
    signals->next = 1;
    signals->count = 0;
    signals->cap = cap;
  }
  return signals;
}

void weir__signals_free(struct weir__core *core,
                        struct weir__signals *signals) {
  if (signals != NULL) {
    weir__signals_clear(signals);
    weir__core_free(core, signals, size_of(signals->cap));
  }
}

static void drop_first(struct weir__signals *signals) {
  weir__page_release(weir__signals_at(signals, weir__signals_first(signals)));
  signals->count -= 1;
}

void weir__signals_add(struct weir__signals *signals, struct weir__page *page) {
  if (signals->count == signals->cap) {
    drop_first(signals);
  }
  signals->ring[signals->next % signals->cap] = page;
  signals->next += 1;
  signals->count += 1;
}

void weir__signals_clear(struct weir__signals *signals) {
  while (signals->count != 0) {
    drop_first(signals);
  }
}
