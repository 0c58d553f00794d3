/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "chance.h"
#include "model.h"

const char *plan_feature(unsigned bit) {
  static const char *const names[] = {
#define PLAN_NAME(name, text) text,
      PLAN_FEATURES(PLAN_NAME)
#undef PLAN_NAME
  };

  return bit < PLAN_BITS ? names[bit] : NULL;
}

void plan_draw(struct plan *plan, uint64_t seed) {
  static const char *const prefixes[] = {"weir.", "", "w-"};
  struct chance chance;
  unsigned bit;
  unsigned often;

  memset(plan, 0, sizeof *plan);
  chance_init(&chance, seed, "plan", 0);
  plan->seed = seed;
  plan->steps = 20000;
  /* Few troubles, half of them, or nearly all. */
  often = 250 * (unsigned)chance_between(&chance, 1, 3);
  for (bit = 0; bit < PLAN_BITS; ++bit) {
    if (chance_permille(&chance, bit == PLAN_BIT_LOG ? 750 : often)) {
      plan->features |= (uint32_t)1 << bit;
    }
  }
  plan->clients = 4 * (unsigned)chance_size(&chance, 100);
  plan->keys = (unsigned)chance_size(&chance, MODEL_KEYS);
  plan->producers =
      plan->keys + (unsigned)chance_below(&chance, plan->keys + 1);
  plan->prefix =
      prefixes[chance_permille(&chance, 600) ? 0 : chance_below(&chance, 3)];
  plan->pace = 20 + (unsigned)chance_size(&chance, 4000);
  plan->event_bytes = chance_permille(&chance, 300) ? 40000 : 400;
  plan->history_events =
      chance_permille(&chance, 500) ? chance_size(&chance, 200) : 0;
  plan->history_bytes =
      chance_permille(&chance, 500) ? 1 + chance_size(&chance, 60000) : 8 << 20;
  plan->encoded = chance_permille(&chance, 500);
}

void plan_describe(const struct plan *plan, char *text, size_t size) {
  unsigned bit;
  int n = snprintf(text, size, "%u clients, %u streams, %u producers;",
                   plan->clients, plan->keys, plan->producers);

  for (bit = 0; bit < PLAN_BITS && n >= 0 && (size_t)n < size; ++bit) {
    if ((plan->features >> bit & 1) != 0) {
      n += snprintf(text + n, size - (size_t)n, " %s", plan_feature(bit));
    }
  }
}
