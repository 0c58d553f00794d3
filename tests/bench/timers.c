/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Timers, as a server with so many connections has them. Weir's are driven,
 * too: what putting off the work of a rearm saves is paid within the row. The
 * clocks of libevent and libuv cannot be told what time it is, so that theirs
 * are only armed and cancelled; none of them fires. */

#include "measure.h"
#include "timer.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_libevent
#include <event2/event.h>
#endif
#ifdef HAVE_libuv
#include <uv.h>
#endif

/* A heartbeat, as weir's are: 12 s, less up to a tenth. */
#define BEAT 12000
#define JITTER 1200

/* Rearms of each timer in what is a second for the wheel, and how often it is
 * driven in it. */
#define DRIVES 10

/* The longest delay of the mixed row. */
#define DELAY_MOST 60000

struct work {
  size_t count;
  size_t ops;
  struct weir__wheel *wheel;
  struct weir__timer *timers;
  uint64_t now;
#ifdef HAVE_libevent
  struct event_base *base;
  struct event **events;
#endif
#ifdef HAVE_libuv
  uv_loop_t loop;
  uv_timer_t *uv;
#endif
  uint64_t seed;
};

static uint64_t beat(struct work *work) {
  return BEAT - draw_below(&work->seed, JITTER);
}

static double run_store(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    work->timers[draw_below(&work->seed, work->count)].deadline =
        work->now + beat(work);
  }
  keep(work->timers);
  return (cpu_ns() - before) / (double)work->ops;
}

static void drive(struct work *work) {
  struct weir__timer *timer;
  unsigned budget;

  do {
    budget = 1000;
    timer = weir__wheel_expire(work->wheel, work->now, &budget);
  } while (timer != NULL || budget == 0);
}

static double run_rearm(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  const size_t step = work->count / DRIVES;
  struct weir__timer *timer;
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    timer = &work->timers[draw_below(&work->seed, work->count)];
    weir__timer_start(work->wheel, timer, work->now + beat(work));
    if (i % step == step - 1) {
      work->now += 1000 / DRIVES;
      drive(work);
    }
  }
  return (cpu_ns() - before) / (double)work->ops;
}

/* One that runs is cancelled or put elsewhere, one that does not is started; in
 * a minute of the wheel's there are four of that for each timer. */
static double run_mixed(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  const uint64_t begin = work->now;
  const double speed = DELAY_MOST / (4 * (double)work->count);
  struct weir__timer *timer;
  uint64_t now;
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    timer = &work->timers[draw_below(&work->seed, work->count)];
    if (weir__timer_running(timer) && (draw(&work->seed) >> 63) != 0) {
      weir__timer_stop(work->wheel, timer);
    } else {
      weir__timer_start(work->wheel, timer,
                        work->now + draw_below(&work->seed, DELAY_MOST));
    }
    now = begin + (uint64_t)((double)i * speed);
    if (now != work->now) {
      work->now = now;
      drive(work);
    }
  }
  return (cpu_ns() - before) / (double)work->ops;
}

#ifdef HAVE_libevent

static void ignore_event(evutil_socket_t fd, short what, void *user) {
  (void)fd;
  (void)what;
  (void)user;
}

static struct timeval after(uint64_t ms) {
  struct timeval time;

  time.tv_sec = (time_t)(ms / 1000);
  time.tv_usec = (suseconds_t)(ms % 1000 * 1000);
  return time;
}

static double rearm_event(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  struct timeval time;
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    time = after(BEAT * 100 + beat(work));
    (void)event_add(work->events[draw_below(&work->seed, work->count)], &time);
  }
  return (cpu_ns() - before) / (double)work->ops;
}

static double mixed_event(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  struct timeval time;
  struct event *event;
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    event = work->events[draw_below(&work->seed, work->count)];
    if (event_pending(event, EV_TIMEOUT, NULL) &&
        (draw(&work->seed) >> 63) != 0) {
      (void)event_del(event);
    } else {
      time = after(BEAT * 100 + draw_below(&work->seed, DELAY_MOST));
      (void)event_add(event, &time);
    }
  }
  return (cpu_ns() - before) / (double)work->ops;
}

static void begin_event(struct work *work) {
  struct timeval time;
  size_t i;

  work->base = must(event_base_new());
  work->events = must(calloc(work->count, sizeof(struct event *)));
  for (i = 0; i < work->count; ++i) {
    work->events[i] = must(evtimer_new(work->base, ignore_event, NULL));
    time = after(BEAT * 100 + beat(work));
    (void)event_add(work->events[i], &time);
  }
}

static void end_event(struct work *work) {
  size_t i;

  for (i = 0; i < work->count; ++i) {
    event_free(work->events[i]);
  }
  free(work->events);
  event_base_free(work->base);
}

#else
#define begin_event(work) ((void)(work))
#define end_event(work) ((void)(work))
#endif

#ifdef HAVE_libuv

static void ignore_uv(uv_timer_t *timer) {
  (void)timer;
}

static double rearm_uv(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    (void)uv_timer_start(&work->uv[draw_below(&work->seed, work->count)],
                         ignore_uv, BEAT * 100 + beat(work), 0);
  }
  return (cpu_ns() - before) / (double)work->ops;
}

static double mixed_uv(void *user) {
  struct work *work = user;
  const double before = cpu_ns();
  uv_timer_t *timer;
  size_t i;

  for (i = 0; i < work->ops; ++i) {
    timer = &work->uv[draw_below(&work->seed, work->count)];
    if (uv_is_active((uv_handle_t *)timer) && (draw(&work->seed) >> 63) != 0) {
      (void)uv_timer_stop(timer);
    } else {
      (void)uv_timer_start(timer, ignore_uv,
                           BEAT * 100 + draw_below(&work->seed, DELAY_MOST), 0);
    }
  }
  return (cpu_ns() - before) / (double)work->ops;
}

static void begin_uv(struct work *work) {
  size_t i;

  (void)uv_loop_init(&work->loop);
  work->uv = must(calloc(work->count, sizeof *work->uv));
  for (i = 0; i < work->count; ++i) {
    (void)uv_timer_init(&work->loop, &work->uv[i]);
    (void)uv_timer_start(&work->uv[i], ignore_uv, BEAT * 100 + beat(work), 0);
  }
}

static void end_uv(struct work *work) {
  size_t i;

  for (i = 0; i < work->count; ++i) {
    uv_close((uv_handle_t *)&work->uv[i], NULL);
  }
  (void)uv_run(&work->loop, UV_RUN_DEFAULT);
  (void)uv_loop_close(&work->loop);
  free(work->uv);
}

#else
#define begin_uv(work) ((void)(work))
#define end_uv(work) ((void)(work))
#endif

static void begin(struct work *work) {
  size_t i;

  work->seed = 1;
  work->ops = work->count < 100000 ? 1000000 : work->count * 2;
  work->wheel = must(malloc(sizeof *work->wheel));
  work->timers = must(calloc(work->count, sizeof *work->timers));
  work->now = 1000000;
  weir__wheel_init(work->wheel, work->now);
  for (i = 0; i < work->count; ++i) {
    weir__timer_init(&work->timers[i], 0);
    weir__timer_start(work->wheel, &work->timers[i], work->now + beat(work));
  }
  begin_event(work);
  begin_uv(work);
}

static void end(struct work *work) {
  end_event(work);
  end_uv(work);
  free(work->timers);
  free(work->wheel);
}

static void measure_timers(size_t count, const char *text) {
  struct work work = {0};
  const struct entry rearm[] = {
      {"weir", run_rearm, &work},
      {"store", run_store, &work},
#ifdef HAVE_libevent
      {"libevent", rearm_event, &work},
#endif
#ifdef HAVE_libuv
      {"libuv", rearm_uv, &work},
#endif
  };
  const struct entry mixed[] = {
      {"weir", run_mixed, &work},
#ifdef HAVE_libevent
      {"libevent", mixed_event, &work},
#endif
#ifdef HAVE_libuv
      {"libuv", mixed_uv, &work},
#endif
  };
  struct row row = {0};
  char name[64];

  work.count = count;
  row.name = name;
  row.unit = "ns/op";
  row.against = PEERS;
  row.bar = 1;

  begin(&work);
  (void)snprintf(name, sizeof name, "rearm, %s", text);
  row.has_limit = true;
  row.entries = rearm;
  row.count = sizeof rearm / sizeof rearm[0];
  row_print(&row);
  end(&work);

  begin(&work);
  (void)snprintf(name, sizeof name, "add, cancel and advance, %s", text);
  row.has_limit = false;
  row.entries = mixed;
  row.count = sizeof mixed / sizeof mixed[0];
  row_print(&row);
  end(&work);
}

void bench_timers(void) {
  group_print("timers");
  measure_timers(1000, "1 k");
  measure_timers(100000, "100 k");
  measure_timers(1000000, "1 M");
  figure_print("a timer", "bytes", sizeof(struct weir__timer), FIGURE, 40);
}
