/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What the headers call safe on several threads: hubs, which share nothing, and
 * the round of a file log, which another thread runs. make check-threads has it
 * watched by ThreadSanitizer. */
#include "../kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define STRING(line) #line
#define STRING_OF(line) STRING(line)

/* check is of one thread: the others say what failed. */
#define need(condition)                                   \
  do {                                                    \
    if (!(condition)) {                                   \
      return "line " STRING_OF(__LINE__) ": " #condition; \
    }                                                     \
  } while (0)

enum { WORLDS = 4, EVENTS = 400, READERS = 8, BATCH = 5 };

/* Where a round is: with its log's hub, or on the way to and from the other
 * thread. */
enum { NO_ROUND, WANTED, HAS_RUN, QUIT };

struct reader {
  weir_subscriber *subscriber;
  bool done;
  char text[1 << 16];
  size_t len;
};

/* All that one thread has. */
struct world {
  pthread_t thread;
  const char *failure;
  char path[KIT_DIRECTORY];
  weir_log_file *file; /* NULL: no log */
  weir_hub *hub;
  weir_stream *stream;
  struct reader readers[READERS];
  size_t attached;
  unsigned published;
  pthread_t runner; /* of the log's rounds */
  pthread_mutex_t mutex;
  pthread_cond_t wanted;
  int round; /* guarded by mutex */
};

static struct world worlds[WORLDS];

static int get_round(struct world *world) {
  int round;

  (void)pthread_mutex_lock(&world->mutex);
  round = world->round;
  (void)pthread_mutex_unlock(&world->mutex);
  return round;
}

static void set_round(struct world *world, int round) {
  (void)pthread_mutex_lock(&world->mutex);
  world->round = round;
  (void)pthread_cond_signal(&world->wanted);
  (void)pthread_mutex_unlock(&world->mutex);
}

static void *run_rounds(void *user) {
  struct world *world = user;
  int round = NO_ROUND;

  while (round != QUIT) {
    if (round == WANTED) {
      weir_log_file_run(world->file);
      set_round(world, HAS_RUN);
    }
    (void)pthread_mutex_lock(&world->mutex);
    while (world->round != WANTED && world->round != QUIT) {
      (void)pthread_cond_wait(&world->wanted, &world->mutex);
    }
    round = world->round;
    (void)pthread_mutex_unlock(&world->mutex);
  }
  return NULL;
}

/* All that may be done while a round is run, and its begin and end. */
static const char *tend_log(struct world *world) {
  weir_log_file_stream stream = {0};
  weir_log_file_info info;
  const int round = get_round(world);
  uint64_t at = 0;
  int rv;

  stream.size = sizeof stream;
  info.size = sizeof info;
  need(weir_log_file_get_info(world->file, &info) == WEIR_OK);
  need(info.failures == 0);
  need(weir_log_file_next_stream(world->file, &at, &stream) == WEIR_OK);
  need(weir_log_file_get_timeout(world->file) >= -1);
  if (round == HAS_RUN) {
    need(weir_log_file_end(world->file) == WEIR_OK);
    set_round(world, NO_ROUND);
  } else if (round == NO_ROUND) {
    rv = weir_log_file_begin(world->file);
    need(rv == WEIR_OK || rv == WEIR_EAGAIN);
    if (rv == WEIR_OK) {
      set_round(world, WANTED);
    }
  }
  return NULL;
}

static const char *publish(struct world *world) {
  weir_event events[BATCH];
  int rv = WEIR_OK;
  size_t i;

  for (i = 0; i < BATCH; ++i) {
    events[i] = kit_make_event("x", "a line\nand one more: \xc3\xa9");
  }
  if (world->published < EVENTS) {
    rv = weir_stream_publish(world->stream, events, BATCH, NULL);
    need(rv == WEIR_OK || rv == WEIR_EAGAIN);
    world->published += rv == WEIR_OK ? BATCH : 0;
    if (world->published == EVENTS) {
      need(weir_stream_end(world->stream, "ok", 2, 0, NULL) == WEIR_OK);
    }
  }
  return NULL;
}

static const char *attach(struct world *world) {
  weir_attach_options options = kit_attach_options("k", NULL);
  struct reader *reader = &world->readers[world->attached];
  int verdict;

  if (world->attached < READERS &&
      world->published >= world->attached * EVENTS / READERS) {
    need(weir_hub_attach(world->hub, &options, &reader->subscriber, &verdict) ==
         WEIR_OK);
    world->attached += 1;
  }
  return NULL;
}

static const char *read_on(struct reader *reader) {
  size_t len;
  const int rv =
      weir_subscriber_read(reader->subscriber, reader->text + reader->len,
                           sizeof reader->text - reader->len, &len);

  need(rv == WEIR_OK || rv == WEIR_EAGAIN || rv == WEIR_EDONE);
  reader->len += rv == WEIR_OK ? len : 0;
  reader->done = rv == WEIR_EDONE;
  return NULL;
}

static const char *turn(struct world *world, bool *done) {
  const char *failure = publish(world);
  size_t i;

  if (failure == NULL) {
    failure = attach(world);
  }
  if (failure == NULL && world->file != NULL) {
    failure = tend_log(world);
  }
  need(weir_hub_run(world->hub) == WEIR_OK);
  *done = world->attached == READERS;
  for (i = 0; i < world->attached && failure == NULL; ++i) {
    if (!world->readers[i].done) {
      *done = false;
      failure = read_on(&world->readers[i]);
    }
  }
  return failure;
}

static const char *begin(struct world *world, const weir_hub_options *options) {
  weir_open_options opening = kit_open_options("k", NULL);

  need(weir_hub_new(options, &world->hub) == WEIR_OK);
  need(weir_hub_open(world->hub, &opening, &world->stream) == WEIR_OK);
  return NULL;
}

static const char *begin_log(struct world *world, weir_log *log) {
  weir_log_file_options options;

  weir_log_file_options_init(&options, sizeof options);
  options.path = world->path;
  need(weir_log_file_open(&options, &world->file) == WEIR_OK);
  weir_log_init(log, sizeof *log);
  need(weir_log_file_get_log(world->file, log) == WEIR_OK);
  need(pthread_create(&world->runner, NULL, run_rounds, world) == 0);
  return NULL;
}

static const char *end(struct world *world) {
  size_t i;

  for (i = 0; i < READERS; ++i) {
    weir_subscriber_release(world->readers[i].subscriber);
  }
  weir_stream_release(world->stream);
  weir_hub_free(world->hub);
  if (world->file != NULL) {
    while (get_round(world) == WANTED) {
      (void)sched_yield();
    }
    if (get_round(world) == HAS_RUN) {
      need(weir_log_file_end(world->file) == WEIR_OK);
    }
    set_round(world, QUIT);
    need(pthread_join(world->runner, NULL) == 0);
    need(weir_log_file_close(world->file) == WEIR_OK);
  }
  return NULL;
}

static const char *live(struct world *world) {
  const char *failure = NULL;
  weir_hub_options options;
  bool done = false;
  weir_log log;

  weir_hub_options_init(&options, sizeof options);
  if (world->path[0] != '\0') {
    failure = begin_log(world, &log);
    options.log = &log;
  }
  if (failure == NULL) {
    failure = begin(world, &options);
  }
  while (failure == NULL && !done) {
    failure = turn(world, &done);
    (void)sched_yield();
  }
  return failure == NULL ? end(world) : failure;
}

static void *run_world(void *user) {
  struct world *world = user;

  world->failure = live(world);
  return NULL;
}

static void expect_everything(const struct reader *reader) {
  struct kit_client client;
  size_t i;

  kit_client_init(&client, "");
  kit_client_feed(&client, reader->text, reader->len);
  ck_assert_uint_eq(client.count, EVENTS + 2);
  ck_assert_str_eq(client.events[0].type, "weir.ready");
  for (i = 1; i <= EVENTS; ++i) {
    ck_assert_str_eq(client.events[i].type, "x");
    ck_assert_str_eq(client.events[i].data, "a line\nand one more: \xc3\xa9");
  }
  ck_assert_str_eq(client.events[EVENTS + 1].type, "weir.done");
  kit_client_free(&client);
}

static void run_worlds(void) {
  size_t i;
  size_t n;

  for (i = 0; i < WORLDS; ++i) {
    ck_assert_int_eq(pthread_mutex_init(&worlds[i].mutex, NULL), 0);
    ck_assert_int_eq(pthread_cond_init(&worlds[i].wanted, NULL), 0);
    ck_assert_int_eq(
        pthread_create(&worlds[i].thread, NULL, run_world, &worlds[i]), 0);
  }
  for (i = 0; i < WORLDS; ++i) {
    ck_assert_int_eq(pthread_join(worlds[i].thread, NULL), 0);
  }
  for (i = 0; i < WORLDS; ++i) {
    ck_assert_msg(worlds[i].failure == NULL, "%s", worlds[i].failure);
    for (n = 0; n < READERS; ++n) {
      expect_everything(&worlds[i].readers[n]);
    }
  }
}

/* Also where no test has a process of its own. */
static void setup(void) {
  memset(worlds, 0, sizeof worlds);
}

START_TEST(hubs_share_nothing) {
  run_worlds();
}
END_TEST

START_TEST(rounds_of_file_logs_are_run_on_other_threads) {
  size_t i;

  for (i = 0; i < WORLDS; ++i) {
    kit_directory(worlds[i].path);
  }
  run_worlds();
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("threads");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_test(tcase, hubs_share_nothing);
  tcase_add_test(tcase, rounds_of_file_logs_are_run_on_other_threads);
  return kit_main("threads", &tcase, 1);
}
