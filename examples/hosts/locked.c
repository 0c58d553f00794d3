/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "locked.h"

#include <time.h>

static uint64_t clock_now(void) {
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* When the hub wants to be run. */
static uint64_t next_turn(struct locked *locked) {
  const int ms = weir_hub_get_timeout(locked->hub);

  return ms < 0 ? WEIR_NEVER : clock_now() + (uint64_t)ms;
}

static void sleep_until(struct locked *locked, uint64_t when) {
  struct timespec time;

  locked->until = when;
  if (when == (uint64_t)WEIR_NEVER) {
    (void)pthread_cond_wait(&locked->nearer, &locked->mutex);
  } else {
    time.tv_sec = (time_t)(when / 1000);
    time.tv_nsec = (long)(when % 1000) * 1000000;
    (void)pthread_cond_timedwait(&locked->nearer, &locked->mutex, &time);
  }
  locked->until = 0; /* it is awake */
}

static void *run(void *arg) {
  struct locked *locked = arg;
  uint64_t when;

  (void)pthread_mutex_lock(&locked->mutex);
  while (!locked->stopping) {
    (void)weir_hub_run(locked->hub);
    when = next_turn(locked);
    if (when > clock_now()) {
      sleep_until(locked, when);
    }
  }
  (void)pthread_mutex_unlock(&locked->mutex);
  return NULL;
}

bool locked_start(struct locked *locked, weir_hub *hub) {
  pthread_condattr_t attributes;

  locked->hub = hub;
  locked->until = 0;
  locked->stopping = false;
  return pthread_condattr_init(&attributes) == 0 &&
         pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(&locked->nearer, &attributes) == 0 &&
         pthread_condattr_destroy(&attributes) == 0 &&
         pthread_mutex_init(&locked->mutex, NULL) == 0 &&
         pthread_create(&locked->thread, NULL, run, locked) == 0;
}

void locked_enter(struct locked *locked) {
  (void)pthread_mutex_lock(&locked->mutex);
}

static void tell_if_nearer(struct locked *locked) {
  if (next_turn(locked) < locked->until) {
    (void)pthread_cond_signal(&locked->nearer);
  }
}

void locked_leave(struct locked *locked) {
  tell_if_nearer(locked);
  (void)pthread_mutex_unlock(&locked->mutex);
}

void locked_wait(struct locked *locked, pthread_cond_t *condition) {
  tell_if_nearer(locked);
  (void)pthread_cond_wait(condition, &locked->mutex);
}

void locked_drain(struct locked *locked) {
  locked_enter(locked);
  (void)weir_hub_drain(locked->hub, 0, 0);
  while (weir_hub_get_timeout(locked->hub) == 0) {
    (void)weir_hub_run(locked->hub);
  }
  locked_leave(locked);
}

void locked_stop(struct locked *locked) {
  (void)pthread_mutex_lock(&locked->mutex);
  locked->stopping = true;
  (void)pthread_cond_signal(&locked->nearer);
  (void)pthread_mutex_unlock(&locked->mutex);
  (void)pthread_join(locked->thread, NULL);
}
