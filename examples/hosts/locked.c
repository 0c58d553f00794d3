/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "locked.h"

#include <time.h>

/* Between two looks whether all readers have gone, in ms. */
#define STEP 20

/* weir calls this under the lock, in whatever thread has it. */
static void wake(void *user) {
  struct locked *locked = user;

  (void)pthread_cond_signal(&locked->due);
}

/* Give the lock away for so long, or until `wake`. */
static void sleep_for(struct locked *locked, int ms) {
  struct timespec until;

  if (ms < 0) {
    (void)pthread_cond_wait(&locked->due, &locked->mutex);
  } else if (ms > 0) {
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_sec += 1;
      until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&locked->due, &locked->mutex, &until);
  }
}

static void *run(void *arg) {
  struct locked *locked = arg;

  locked_enter(locked);
  while (!locked->stopping) {
    (void)weir_hub_run(locked->hub);
    sleep_for(locked, weir_hub_get_timeout(locked->hub));
  }
  locked_leave(locked);
  return NULL;
}

/* weir's time is monotonic too. */
static bool make_condition(pthread_cond_t *condition) {
  pthread_condattr_t attributes;

  return pthread_condattr_init(&attributes) == 0 &&
         pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(condition, &attributes) == 0 &&
         pthread_condattr_destroy(&attributes) == 0;
}

bool locked_start(struct locked *locked, const weir_hub_options *options) {
  weir_hub_options mine = *options;

  mine.wake = wake;
  mine.wake_user = locked;
  locked->stopping = false;
  return make_condition(&locked->due) &&
         pthread_mutex_init(&locked->mutex, NULL) == 0 &&
         weir_hub_new(&mine, &locked->hub) == WEIR_OK &&
         pthread_create(&locked->thread, NULL, run, locked) == 0;
}

void locked_enter(struct locked *locked) {
  (void)pthread_mutex_lock(&locked->mutex);
}

void locked_leave(struct locked *locked) {
  (void)pthread_mutex_unlock(&locked->mutex);
}

void locked_drain(struct locked *locked, const size_t *readers, uint64_t most) {
  const struct timespec step = {0, STEP * 1000000L};

  locked_enter(locked);
  (void)weir_hub_drain(locked->hub, 0, 0);
  while (weir_hub_get_timeout(locked->hub) == 0) {
    (void)weir_hub_run(locked->hub);
  }
  for (; *readers != 0 && most != 0; most -= most < STEP ? most : STEP) {
    locked_leave(locked); /* nobody tells when one has gone: look again */
    (void)nanosleep(&step, NULL);
    locked_enter(locked);
  }
  locked_leave(locked);
}

void locked_stop(struct locked *locked) {
  locked_enter(locked);
  locked->stopping = true;
  (void)pthread_cond_signal(&locked->due);
  locked_leave(locked);
  (void)pthread_join(locked->thread, NULL);
  weir_hub_free(locked->hub);
}
