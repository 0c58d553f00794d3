/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The timing wheel: what fires, when, in which order; against a model that
 * looks at every timer each time. */

#include "../kit.h"

#include <string.h>

#include "timer.h"

#define NEVER ((uint64_t)WEIR_NEVER)
#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows)[0])

static void check_wheel(const struct weir__wheel *wheel) {
  const char *wrong = weir__wheel_check(wheel);

  if (wrong != NULL) {
    ck_abort_msg("wheel: %s", wrong);
  }
}

/* With as much of a budget as it takes. */
static struct weir__timer *expire(struct weir__wheel *wheel, uint64_t now) {
  unsigned budget = 1000000;
  struct weir__timer *timer = weir__wheel_expire(wheel, now, &budget);

  ck_assert_uint_gt(budget, 0);
  check_wheel(wheel);
  return timer;
}

/* The kinds that expire at now, as a text. */
static void expect_kinds(struct weir__wheel *wheel, uint64_t now,
                         const char *kinds) {
  struct weir__timer *timer;
  char got[64];
  size_t len = 0;

  for (timer = expire(wheel, now); timer != NULL; timer = expire(wheel, now)) {
    ck_assert_uint_lt(len, sizeof got - 1);
    ck_assert(!weir__timer_running(timer));
    got[len++] = (char)weir__timer_kind(timer);
  }
  got[len] = '\0';
  ck_assert_str_eq(got, kinds);
}

static void init(struct weir__wheel *wheel, uint64_t now,
                 struct weir__timer *timers, const char *kinds) {
  size_t i;

  weir__wheel_init(wheel, now);
  for (i = 0; kinds[i] != '\0'; ++i) {
    weir__timer_init(&timers[i], (unsigned char)kinds[i]);
  }
  check_wheel(wheel);
}

/* --- Golden cases --------------------------------------------------------- */

START_TEST(nothing_runs_at_first) {
  struct weir__wheel wheel;
  struct weir__timer timer;

  init(&wheel, 1000, &timer, "a");
  ck_assert(!weir__timer_running(&timer));
  ck_assert_uint_eq(weir__timer_kind(&timer), 'a');
  ck_assert_uint_eq(wheel.count, 0);
  ck_assert_uint_eq(weir__wheel_next(&wheel), NEVER);
  ck_assert_ptr_null(expire(&wheel, NEVER - 1));
  ck_assert_uint_eq(weir__wheel_next(&wheel), NEVER);
  weir__timer_stop(&wheel, &timer);
  ck_assert_uint_eq(wheel.count, 0);
}
END_TEST

/* Not a millisecond early, not one late, on every level and at their edges. */
START_TEST(fires_at_its_time) {
  static const uint64_t spans[] = {0,
                                   1,
                                   2,
                                   63,
                                   64,
                                   65,
                                   255,
                                   256,
                                   257,
                                   1000,
                                   12000,
                                   16383,
                                   16384,
                                   16385,
                                   35000,
                                   55000,
                                   86400000,
                                   1u << 20,
                                   (1u << 20) - 1,
                                   1u << 26,
                                   UINT64_C(1) << 32,
                                   (UINT64_C(1) << 32) + 1,
                                   UINT64_C(1) << 38,
                                   UINT64_C(1) << 44,
                                   UINT64_C(1) << 50,
                                   UINT64_C(1) << 56,
                                   (UINT64_C(1) << 62) - 1,
                                   UINT64_C(1) << 62};
  static const uint64_t starts[] = {
      0, 1, 255, 256, 16383, 1000000, (UINT64_C(1) << 38) - 1};
  struct weir__wheel wheel;
  struct weir__timer timer;
  const uint64_t start = starts[_i];
  size_t i;

  for (i = 0; i < sizeof spans / sizeof spans[0]; ++i) {
    const uint64_t deadline = start + spans[i];

    init(&wheel, start, &timer, "a");
    weir__timer_start(&wheel, &timer, deadline);
    ck_assert(weir__timer_running(&timer));
    ck_assert_uint_eq(wheel.count, 1);
    check_wheel(&wheel);
    ck_assert_uint_le(weir__wheel_next(&wheel), deadline);
    if (spans[i] != 0) {
      ck_assert_ptr_null(expire(&wheel, deadline - 1));
      ck_assert(weir__timer_running(&timer));
      ck_assert_uint_eq(weir__wheel_next(&wheel), deadline);
    }
    ck_assert_ptr_eq(expire(&wheel, deadline), &timer);
    ck_assert(!weir__timer_running(&timer));
    ck_assert_uint_eq(wheel.count, 0);
    ck_assert_ptr_null(expire(&wheel, deadline));
    ck_assert_uint_eq(weir__wheel_next(&wheel), NEVER);
  }
}
END_TEST

/* A host that always sleeps as long as the wheel says gets there, in few
 * steps, and never too late. */
START_TEST(next_leads_to_the_deadline) {
  struct weir__wheel wheel;
  struct weir__timer timer;
  uint64_t deadline;
  unsigned bit;

  for (bit = 0; bit < 62; ++bit) {
    uint64_t now = 12345;
    unsigned steps = 0;

    init(&wheel, now, &timer, "a");
    deadline = now + (UINT64_C(1) << bit) + bit;
    weir__timer_start(&wheel, &timer, deadline);
    do {
      ck_assert_uint_ge(weir__wheel_next(&wheel), now);
      now = weir__wheel_next(&wheel);
      ck_assert_uint_le(now, deadline);
      steps += 1;
    } while (expire(&wheel, now) == NULL);
    ck_assert_uint_eq(now, deadline);
    ck_assert_uint_le(steps, WEIR__LEVELS + 1);
  }
}
END_TEST

START_TEST(stopped_does_not_fire) {
  struct weir__wheel wheel;
  struct weir__timer timers[3];

  init(&wheel, 0, timers, "abc");
  weir__timer_start(&wheel, &timers[0], 10);
  weir__timer_start(&wheel, &timers[1], 10);
  weir__timer_start(&wheel, &timers[2], 70000);
  weir__timer_stop(&wheel, &timers[0]);
  check_wheel(&wheel);
  ck_assert(!weir__timer_running(&timers[0]));
  ck_assert_uint_eq(weir__timer_kind(&timers[0]), 'a');
  weir__timer_stop(&wheel, &timers[0]); /* again */
  weir__timer_stop(&wheel, &timers[2]);
  check_wheel(&wheel);
  ck_assert_uint_eq(wheel.count, 1);
  expect_kinds(&wheel, 80000, "b");
}
END_TEST

START_TEST(never_is_a_stop) {
  struct weir__wheel wheel;
  struct weir__timer timer;

  init(&wheel, 0, &timer, "a");
  weir__timer_start(&wheel, &timer, NEVER);
  ck_assert(!weir__timer_running(&timer));
  weir__timer_start(&wheel, &timer, 10);
  weir__timer_start(&wheel, &timer, NEVER);
  ck_assert(!weir__timer_running(&timer));
  weir__timer_start(&wheel, &timer, 10);
  weir__timer_start(&wheel, &timer, UINT64_MAX);
  ck_assert(!weir__timer_running(&timer));
  ck_assert_uint_eq(wheel.count, 0);
  ck_assert_uint_eq(weir__wheel_next(&wheel), NEVER);
  expect_kinds(&wheel, NEVER - 1, "");
}
END_TEST

/* The last moment there is, and the sums that lead to it. */
START_TEST(times_near_never) {
  struct weir__wheel wheel;
  struct weir__timer timers[3];

  init(&wheel, NEVER - 1000, timers, "abc");
  weir__timer_start(&wheel, &timers[0], weir__later(NEVER - 1000, 999));
  weir__timer_start(&wheel, &timers[1], weir__later(NEVER - 1000, 1000));
  weir__timer_start(&wheel, &timers[2], weir__later(NEVER - 1000, UINT64_MAX));
  ck_assert_uint_eq(wheel.count, 1);
  expect_kinds(&wheel, NEVER - 2, "");
  expect_kinds(&wheel, NEVER - 1, "a");
  /* And from the first. */
  init(&wheel, 0, timers, "abc");
  weir__timer_start(&wheel, &timers[0], NEVER - 1);
  weir__timer_start(&wheel, &timers[1], NEVER - 2);
  weir__timer_start(&wheel, &timers[2], 1);
  expect_kinds(&wheel, NEVER - 3, "c");
  expect_kinds(&wheel, NEVER - 2, "b");
  expect_kinds(&wheel, NEVER - 1, "a");
}
END_TEST

START_TEST(order_is_that_of_deadlines) {
  static const uint64_t deadlines[] = {70000, 10, 300, 11, 299, 20000, 12};
  struct weir__wheel wheel;
  struct weir__timer timers[7];
  int i;

  init(&wheel, 0, timers, "gadbefc");
  for (i = 0; i < COUNT(deadlines); ++i) {
    weir__timer_start(&wheel, &timers[i], deadlines[i]);
  }
  /* 10 a, 11 b, 12 c, 299 e, 300 d, 20000 f, 70000 g: in one late tick. */
  expect_kinds(&wheel, 100000, "abcedfg");
}
END_TEST

/* Equal deadlines fire as they were armed, on each level. */
START_TEST(equal_deadlines_are_first_in_first_out) {
  static const uint64_t deadlines[] = {0, 1, 255, 256, 300, 20000, 5000000};
  struct weir__wheel wheel;
  struct weir__timer timers[4];

  init(&wheel, 0, timers, "abcd");
  weir__timer_start(&wheel, &timers[2], deadlines[_i]);
  weir__timer_start(&wheel, &timers[0], deadlines[_i]);
  weir__timer_start(&wheel, &timers[3], deadlines[_i]);
  weir__timer_start(&wheel, &timers[1], deadlines[_i]);
  expect_kinds(&wheel, deadlines[_i], "cadb");
}
END_TEST

/* Armed again for the same time, a timer goes behind those of that time. */
START_TEST(rearmed_for_the_same_time_goes_last) {
  static const uint64_t deadlines[] = {0, 1, 255, 256, 300, 20000, 5000000};
  struct weir__wheel wheel;
  struct weir__timer timers[3];

  init(&wheel, 0, timers, "abc");
  weir__timer_start(&wheel, &timers[0], deadlines[_i]);
  weir__timer_start(&wheel, &timers[1], deadlines[_i]);
  weir__timer_start(&wheel, &timers[2], deadlines[_i]);
  weir__timer_start(&wheel, &timers[0], deadlines[_i]);
  weir__timer_start(&wheel, &timers[1], deadlines[_i]);
  check_wheel(&wheel);
  expect_kinds(&wheel, deadlines[_i], "cab");
  /* Also by way of a later time, which is only noted down. */
  weir__timer_start(&wheel, &timers[0], deadlines[_i] + 50);
  weir__timer_start(&wheel, &timers[1], deadlines[_i] + 50);
  weir__timer_start(&wheel, &timers[0], deadlines[_i] + 70);
  weir__timer_start(&wheel, &timers[0], deadlines[_i] + 50);
  check_wheel(&wheel);
  expect_kinds(&wheel, deadlines[_i] + 49, "");
  expect_kinds(&wheel, deadlines[_i] + 50, "ba");
}
END_TEST

/* A timer that was moved lazily comes late to its slot, yet fires in the order
 * of arming. */
START_TEST(lazily_rearmed_keeps_its_turn) {
  struct weir__wheel wheel;
  struct weir__timer timers[4];

  init(&wheel, 0, timers, "abcd");
  weir__timer_start(&wheel, &timers[0], 10);
  weir__timer_start(&wheel, &timers[3], 20);
  weir__timer_start(&wheel, &timers[0], 30); /* a store */
  weir__timer_start(&wheel, &timers[1], 30);
  weir__timer_start(&wheel, &timers[3], 30);
  weir__timer_start(&wheel, &timers[2], 30);
  check_wheel(&wheel);
  expect_kinds(&wheel, 29, "");
  expect_kinds(&wheel, 30, "abdc");
  /* In one jump past both times. */
  init(&wheel, 0, timers, "abcd");
  weir__timer_start(&wheel, &timers[0], 10);
  weir__timer_start(&wheel, &timers[0], 3000);
  weir__timer_start(&wheel, &timers[1], 3000);
  weir__timer_start(&wheel, &timers[2], 2999);
  expect_kinds(&wheel, 1000000, "cab");
}
END_TEST

/* Moving a deadline to a later time is a store: the link stays where it is. */
START_TEST(moving_later_is_a_store) {
  struct weir__wheel wheel;
  struct weir__timer timers[1000];
  struct weir__link before[1000];
  int i;

  weir__wheel_init(&wheel, 0);
  for (i = 0; i < 1000; ++i) {
    weir__timer_init(&timers[i], 1);
    weir__timer_start(&wheel, &timers[i], 12000 + (uint64_t)i);
  }
  for (i = 0; i < 1000; ++i) {
    before[i] = timers[i].link;
    weir__timer_start(&wheel, &timers[i], 12001 + (uint64_t)i);
    ck_assert(timers[i].link.next == before[i].next);
    ck_assert(timers[i].link.prev == before[i].prev);
  }
  check_wheel(&wheel);
}
END_TEST

START_TEST(rearmed_earlier_fires_earlier) {
  struct weir__wheel wheel;
  struct weir__timer timers[2];

  init(&wheel, 0, timers, "ab");
  weir__timer_start(&wheel, &timers[0], 100000);
  weir__timer_start(&wheel, &timers[1], 500);
  weir__timer_start(&wheel, &timers[0], 400);
  check_wheel(&wheel);
  ck_assert_uint_le(weir__wheel_next(&wheel), 400);
  expect_kinds(&wheel, 399, "");
  expect_kinds(&wheel, 400, "a");
  expect_kinds(&wheel, 500, "b");
  /* Moved later, then earlier than it first was. */
  weir__timer_start(&wheel, &timers[0], 1000);
  weir__timer_start(&wheel, &timers[0], 9000);
  weir__timer_start(&wheel, &timers[0], 600);
  ck_assert_uint_eq(wheel.count, 1);
  expect_kinds(&wheel, 599, "");
  expect_kinds(&wheel, 600, "a");
}
END_TEST

/* What is late already fires next, before what is due now. */
START_TEST(a_time_that_has_passed_fires_next) {
  struct weir__wheel wheel;
  struct weir__timer timers[4];

  init(&wheel, 0, timers, "abcd");
  expect_kinds(&wheel, 1000, "");
  weir__timer_start(&wheel, &timers[0], 1001);
  weir__timer_start(&wheel, &timers[1], 1000);
  weir__timer_start(&wheel, &timers[2], 999);
  weir__timer_start(&wheel, &timers[3], 0);
  check_wheel(&wheel);
  ck_assert_uint_le(weir__wheel_next(&wheel), 1000);
  expect_kinds(&wheel, 1000, "cdb");
  expect_kinds(&wheel, 1001, "a");
}
END_TEST

/* A clock that steps back has stood still. */
START_TEST(time_does_not_go_back) {
  struct weir__wheel wheel;
  struct weir__timer timers[2];

  init(&wheel, 0, timers, "ab");
  weir__timer_start(&wheel, &timers[0], 2000);
  weir__timer_start(&wheel, &timers[1], 5000);
  expect_kinds(&wheel, 1999, "");
  expect_kinds(&wheel, 10, "");
  expect_kinds(&wheel, 0, "");
  expect_kinds(&wheel, 2000, "a");
  weir__timer_start(&wheel, &timers[0], 5000);
  expect_kinds(&wheel, 100, "");
  expect_kinds(&wheel, 5000, "ba");
}
END_TEST

/* From between two that are due, anything may be done to the others. */
START_TEST(between_expiries_all_is_allowed) {
  struct weir__wheel wheel;
  struct weir__timer timers[5];

  init(&wheel, 0, timers, "abcde");
  weir__timer_start(&wheel, &timers[0], 10);
  weir__timer_start(&wheel, &timers[1], 10);
  weir__timer_start(&wheel, &timers[2], 10);
  weir__timer_start(&wheel, &timers[3], 10);
  ck_assert_ptr_eq(expire(&wheel, 50), &timers[0]);
  weir__timer_start(&wheel, &timers[0], 10); /* itself, due at once */
  weir__timer_stop(&wheel, &timers[1]);      /* the next one */
  weir__timer_start(&wheel, &timers[2], 60); /* later: not now */
  weir__timer_start(&wheel, &timers[4], 5);  /* late already */
  check_wheel(&wheel);
  expect_kinds(&wheel, 50, "dea");
  expect_kinds(&wheel, 59, "");
  expect_kinds(&wheel, 60, "c");
}
END_TEST

/* A timer that starts itself anew for now must not fire for ever in one tick
 * of a host that has a budget. */
START_TEST(budget_is_kept) {
  struct weir__wheel wheel;
  struct weir__timer timer;
  unsigned budget = 5;
  unsigned fired = 0;

  init(&wheel, 0, &timer, "a");
  weir__timer_start(&wheel, &timer, 10);
  while (weir__wheel_expire(&wheel, 10, &budget) != NULL) {
    fired += 1;
    weir__timer_start(&wheel, &timer, 10);
    check_wheel(&wheel);
  }
  ck_assert_uint_eq(fired, 5);
  ck_assert_uint_eq(budget, 0);
  ck_assert_ptr_null(weir__wheel_expire(&wheel, 10, &budget));
  ck_assert_uint_le(weir__wheel_next(&wheel), 10);
}
END_TEST

/* By one at a time, a slot of a level above is spread, and what is due comes
 * in order all the same. */
START_TEST(budget_of_one) {
  struct weir__wheel wheel;
  struct weir__timer timers[6];
  char got[8] = "";
  unsigned rounds;
  int i;

  init(&wheel, 0, timers, "abcdef");
  for (i = 0; i < 6; ++i) {
    weir__timer_start(&wheel, &timers[5 - i], 20000 + (uint64_t)(5 - i) / 2);
  }
  for (rounds = 0; wheel.count != 0; ++rounds) {
    unsigned budget = 1;
    struct weir__timer *timer = weir__wheel_expire(&wheel, 30000, &budget);

    check_wheel(&wheel);
    ck_assert_uint_eq(budget, 0);
    ck_assert_uint_lt(rounds, 100);
    if (timer != NULL) {
      got[strlen(got)] = (char)weir__timer_kind(timer);
    }
    ck_assert(wheel.count == 0 || weir__wheel_next(&wheel) <= 20003);
  }
  ck_assert_str_eq(got, "badcfe");
}
END_TEST

/* Kinds are bytes, and survive everything. */
START_TEST(kinds_survive) {
  struct weir__wheel wheel;
  struct weir__timer timer;

  weir__wheel_init(&wheel, 0);
  weir__timer_init(&timer, (unsigned)_i);
  weir__timer_start(&wheel, &timer, 5);
  weir__timer_start(&wheel, &timer, 9);
  weir__timer_stop(&wheel, &timer);
  weir__timer_start(&wheel, &timer, 400);
  ck_assert_ptr_eq(expire(&wheel, 500), &timer);
  ck_assert_uint_eq(weir__timer_kind(&timer), (unsigned)_i);
}
END_TEST

/* --- The checker ---------------------------------------------------------- */

/* It finds what is wrong: a test that relies on it must know. */
START_TEST(checker_finds_what_is_wrong) {
  struct weir__wheel wheel;
  struct weir__timer timers[3];
  struct weir__link *head;

  init(&wheel, 1000, timers, "abc");
  weir__timer_start(&wheel, &timers[0], 1010);
  weir__timer_start(&wheel, &timers[1], 1010);
  weir__timer_start(&wheel, &timers[2], 90000);
  check_wheel(&wheel);
  wheel.count += 1;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  wheel.count -= 1;
  wheel.used0[0] ^= 1;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  wheel.used0[0] ^= 1;
  wheel.used[3] ^= 1;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  wheel.used[3] ^= 1;
  timers[0].deadline = 1009; /* earlier than where it lies */
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  timers[0].deadline = 1010;
  timers[2].slot = 1010; /* not of this slot */
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  timers[2].slot = 90000;
  timers[1].link.prev = &timers[1].link;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  timers[1].link.prev = &timers[0].link;
  head = timers[0].link.prev;
  timers[0].link.prev = &timers[2].link;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  timers[0].link.prev = head;
  timers[2].slot = UINT64_C(1) << 40; /* far beyond */
  timers[2].deadline = UINT64_C(1) << 40;
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  timers[2].slot = 90000;
  timers[2].deadline = 90000;
  check_wheel(&wheel);
  wheel.now = 1012; /* in the same turn */
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
  wheel.now = 95000; /* past what has not fired */
  ck_assert_ptr_nonnull(weir__wheel_check(&wheel));
}
END_TEST

/* --- Against a model ------------------------------------------------------ */

/* The model keeps what was asked for, in a table, and looks at all of it. */
enum { TIMERS = 60 };

struct entry {
  bool running;
  bool passed;       /* the deadline had passed when it was armed */
  uint64_t deadline; /* as asked for */
  uint64_t order;    /* of arming */
  uint64_t stood;    /* where the wheel stood when it was armed */
};

struct model {
  struct weir__wheel wheel;
  struct weir__timer timers[TIMERS];
  struct entry entries[TIMERS];
  uint64_t now; /* of the host */
  uint64_t order;
  uint64_t chance;
};

static uint64_t draw(struct model *model, uint64_t bound) {
  model->chance =
      model->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (model->chance >> 33) % bound;
}

/* A span: mostly short, often round, sometimes vast. */
static uint64_t draw_span(struct model *model) {
  switch (draw(model, 8)) {
    case 0:
      return 0;
    case 1:
      return draw(model, 4);
    case 2:
      return 100 * draw(model, 5);
    case 3:
      return draw(model, 600);
    case 4:
      return 12000;
    case 5:
      return draw(model, 100000);
    case 6:
      return draw(model, 1u << 30);
    default:
      return (UINT64_C(1) << draw(model, 63)) - draw(model, 2);
  }
}

static void arm(struct model *model, size_t i, uint64_t deadline) {
  struct entry *entry = &model->entries[i];

  weir__timer_start(&model->wheel, &model->timers[i], deadline);
  entry->running = deadline < NEVER;
  entry->passed = deadline < model->wheel.now;
  entry->deadline = deadline;
  entry->order = ++model->order;
  entry->stood = model->wheel.now;
}

/* Whether a has to fire before b. */
static bool before(const struct entry *a, const struct entry *b) {
  if (a->passed && b->passed) {
    return a->order < b->order;
  }
  if (a->passed) {
    /* At once; but what is due at the same moment may have come first. */
    return b->deadline > a->stood;
  }
  if (b->passed) {
    return false;
  }
  return a->deadline != b->deadline ? a->deadline < b->deadline
                                    : a->order < b->order;
}

static void check_fired(struct model *model, size_t i, uint64_t now) {
  struct entry *entry = &model->entries[i];
  size_t n;

  ck_assert_msg(entry->running, "one fired that does not run");
  ck_assert_msg(entry->deadline <= now, "fired early");
  for (n = 0; n < TIMERS; ++n) {
    if (n != i && model->entries[n].running &&
        before(&model->entries[n], entry)) {
      ck_abort_msg(
          "timer %zu (%llu, armed as %llu) fired before %zu (%llu, "
          "armed as %llu)",
          i, (unsigned long long)entry->deadline,
          (unsigned long long)entry->order, n,
          (unsigned long long)model->entries[n].deadline,
          (unsigned long long)model->entries[n].order);
    }
  }
  entry->running = false;
}

/* Nothing that runs is due, as of now. */
static void check_none_due(const struct model *model, uint64_t now) {
  size_t i;

  for (i = 0; i < TIMERS; ++i) {
    if (model->entries[i].running && model->entries[i].deadline <= now) {
      ck_abort_msg("timer %zu is due and did not fire", i);
    }
  }
}

/* Count, who runs, and when to come next. */
static void check_model(const struct model *model) {
  uint64_t next = NEVER;
  uint64_t count = 0;
  size_t i;

  check_wheel(&model->wheel);
  for (i = 0; i < TIMERS; ++i) {
    const struct entry *entry = &model->entries[i];

    if (entry->running != weir__timer_running(&model->timers[i])) {
      ck_abort_msg("timer %zu %s", i,
                   entry->running ? "has stopped" : "runs on");
    }
    if (entry->running) {
      count += 1;
      next = entry->deadline < next ? entry->deadline : next;
    }
  }
  if (model->wheel.count != count) {
    ck_abort_msg("the count");
  }
  /* Never too late; for those that have passed, at once. */
  if (weir__wheel_next(&model->wheel) >
      (next < model->wheel.now ? model->wheel.now : next)) {
    ck_abort_msg("would sleep too long");
  }
  if (count == 0 && weir__wheel_next(&model->wheel) != NEVER) {
    ck_abort_msg("would wake for nothing");
  }
}

static void tick(struct model *model, uint64_t now, unsigned budget) {
  struct weir__timer *timer;

  model->now = now > model->now ? now : model->now;
  for (;;) {
    timer = weir__wheel_expire(&model->wheel, now, &budget);
    if (timer == NULL) {
      break;
    }
    check_fired(model, (size_t)(timer - model->timers), model->now);
    check_model(model);
    /* What an expiry brings about, sometimes. */
    if (draw(model, 4) == 0) {
      const size_t i = (size_t)draw(model, TIMERS);

      arm(model, i, weir__later(model->now, draw_span(model)));
      check_model(model);
    }
  }
  if (budget != 0 && now == model->now) {
    check_none_due(model, now);
  }
}

static void step(struct model *model) {
  const size_t i = (size_t)draw(model, TIMERS);
  struct entry *entry = &model->entries[i];

  switch (draw(model, 12)) {
    case 0:
    case 1:
    case 2:
      arm(model, i, weir__later(model->now, draw_span(model)));
      break;
    case 3: /* a little later or earlier than it was, or the same */
      if (entry->running) {
        arm(model, i, entry->deadline + draw(model, 2) * draw(model, 30));
      }
      break;
    case 4:
      if (entry->running && entry->deadline > 30) {
        arm(model, i, entry->deadline - draw(model, 30));
      }
      break;
    case 5: /* the same as another */
      arm(model, i, model->entries[draw(model, TIMERS)].deadline);
      break;
    case 6: /* has passed */
      arm(model, i, model->now - draw(model, 100) % (model->now + 1));
      break;
    case 7:
      weir__timer_stop(&model->wheel, &model->timers[i]);
      entry->running = false;
      break;
    case 8: /* in time */
      tick(model, weir__later(model->now, draw(model, 3)), UINT32_MAX);
      break;
    case 9: /* by the budget */
      tick(model, weir__later(model->now, draw(model, 300)),
           1 + (unsigned)draw(model, 3));
      break;
    case 10: /* as long as it says */
      if (weir__wheel_next(&model->wheel) < NEVER) {
        tick(model, weir__wheel_next(&model->wheel), UINT32_MAX);
      }
      break;
    default: /* late, or after a long sleep, or back */
      if (draw(model, 20) == 0) {
        tick(model, weir__later(model->now, draw_span(model)), UINT32_MAX);
      } else if (draw(model, 2) == 0) {
        tick(model, weir__later(model->now, draw(model, 2000)), UINT32_MAX);
      } else {
        tick(model, model->now - draw(model, 50) % (model->now + 1),
             UINT32_MAX);
      }
      break;
  }
  check_model(model);
}

static void init_model(struct model *model, uint64_t now, uint64_t seed) {
  size_t i;

  memset(model, 0, sizeof *model);
  model->chance = seed;
  model->now = now;
  weir__wheel_init(&model->wheel, now);
  for (i = 0; i < TIMERS; ++i) {
    weir__timer_init(&model->timers[i], (unsigned)i);
    model->entries[i].deadline = now;
  }
}

/* The case's number is the seed; what it is doing stands in the message. */
START_TEST(agrees_with_the_model) {
  static const uint64_t starts[] = {
      0, 1000000, 255, (UINT64_C(1) << 32) - 500, NEVER - 200000, NEVER - 300};
  static struct model model;
  int round;

  init_model(&model, starts[_i % COUNT(starts)], (uint64_t)_i + 1);
  for (round = 0; round < 10000; ++round) {
    step(&model);
    if (model.now >= NEVER - 1) {
      init_model(&model, starts[_i % COUNT(starts)], model.chance);
    }
  }
}
END_TEST

/* Ten thousand connections with heartbeats, each put off by every event. */
START_TEST(heartbeats_of_many) {
  enum { MANY = 10000 };
  static struct weir__wheel wheel;
  static struct weir__timer timers[MANY];
  static uint64_t beats[MANY];
  uint64_t now = 0;
  size_t i;

  weir__wheel_init(&wheel, now);
  for (i = 0; i < MANY; ++i) {
    weir__timer_init(&timers[i], 1);
    weir__timer_start(&wheel, &timers[i], 12000);
  }
  /* Nobody beats while events come; the wheel still has to look at them. */
  for (; now < 60000; now += 1000) {
    unsigned budget = UINT32_MAX;

    ck_assert_ptr_null(weir__wheel_expire(&wheel, now, &budget));
    for (i = 0; i < MANY; ++i) {
      weir__timer_start(&wheel, &timers[i], now + 12000);
    }
    check_wheel(&wheel);
  }
  /* Silence: exactly one in 12 s each, in the order of the last event. */
  for (; now < 120000; now += 500) {
    unsigned budget = UINT32_MAX;
    struct weir__timer *timer;
    size_t expected = 0;

    while ((timer = weir__wheel_expire(&wheel, now, &budget)) != NULL) {
      ck_assert_ptr_eq(timer, &timers[expected]);
      expected += 1;
      beats[timer - timers] += 1;
      weir__timer_start(&wheel, timer, now + 12000);
    }
  }
  for (i = 0; i < MANY; ++i) {
    ck_assert_uint_eq(beats[i], 5);
  }
}
END_TEST

/* A watchdog: nothing a millisecond before, once at its time, never again. */
START_TEST(watchdog_fires_once) {
  struct weir__wheel wheel;
  struct weir__timer timers[3];

  init(&wheel, 1000000, timers, "abc");
  weir__timer_start(&wheel, &timers[0], 1035000);
  weir__timer_start(&wheel, &timers[1], 1055000);
  weir__timer_start(&wheel, &timers[2], 1012000);
  expect_kinds(&wheel, 1034999, "c");
  expect_kinds(&wheel, 1035000, "a");
  expect_kinds(&wheel, 1035000, "");
  expect_kinds(&wheel, 2000000, "b");
  ck_assert_uint_eq(wheel.count, 0);
}
END_TEST

/* After a suspended machine wakes up: all three, in order, once. */
START_TEST(race37_big_jump_fires_in_order_once) {
  struct weir__wheel wheel;
  struct weir__timer timers[3];

  init(&wheel, 0, timers, "abc");
  weir__timer_start(&wheel, &timers[0], 35000);
  weir__timer_start(&wheel, &timers[1], 55000);
  weir__timer_start(&wheel, &timers[2], 12000);
  expect_kinds(&wheel, UINT64_C(1) << 40, "cab");
  expect_kinds(&wheel, UINT64_C(1) << 41, "");
}
END_TEST

int main(void) {
  TCase *golden = tcase_create("golden");
  TCase *model = tcase_create("model");
  TCase *requirements = tcase_create("requirements");
  TCase *cases[3];

  tcase_add_test(golden, nothing_runs_at_first);
  tcase_add_loop_test(golden, fires_at_its_time, 0, 7);
  tcase_add_test(golden, next_leads_to_the_deadline);
  tcase_add_test(golden, stopped_does_not_fire);
  tcase_add_test(golden, never_is_a_stop);
  tcase_add_test(golden, times_near_never);
  tcase_add_test(golden, order_is_that_of_deadlines);
  tcase_add_loop_test(golden, equal_deadlines_are_first_in_first_out, 0, 7);
  tcase_add_loop_test(golden, rearmed_for_the_same_time_goes_last, 0, 7);
  tcase_add_test(golden, lazily_rearmed_keeps_its_turn);
  tcase_add_test(golden, moving_later_is_a_store);
  tcase_add_test(golden, rearmed_earlier_fires_earlier);
  tcase_add_test(golden, a_time_that_has_passed_fires_next);
  tcase_add_test(golden, time_does_not_go_back);
  tcase_add_test(golden, between_expiries_all_is_allowed);
  tcase_add_test(golden, budget_is_kept);
  tcase_add_test(golden, budget_of_one);
  tcase_add_loop_test(golden, kinds_survive, 0, 256);
  tcase_add_test(golden, checker_finds_what_is_wrong);
  tcase_add_loop_test(model, agrees_with_the_model, 0, 24);
  tcase_add_test(requirements, watchdog_fires_once);
  tcase_add_test(requirements, heartbeats_of_many);
  tcase_add_test(requirements, race37_big_jump_fires_in_order_once);
  cases[0] = golden;
  cases[1] = model;
  cases[2] = requirements;
  return kit_main("timer", cases, 3);
}
