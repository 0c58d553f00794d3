/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Invariant 11: from a notice the host may call anything. One world in which
 * every kind of notice comes up, and in it one action at the first notice of
 * one kind: each with each, in a callback and between two calls of
 * weir_hub_next, without a log and with one. And inside the trace callback and
 * storage's functions it may let go of anything: at each call of them. */

#include "../bench.h"

#include <string.h>

static struct bench bench;
static struct kit *const kit = &bench.a;

enum { STREAMS = 8, SUBSCRIBERS = 8 };

/* What a host holds. Released handles are NULL. */
static struct {
  weir_stream *streams[STREAMS];
  weir_subscriber *subscribers[SUBSCRIBERS];
  int32_t kind; /* at the first notice of this kind */
  int action;   /* this happens */
  size_t nth;   /* or inside this call of the host's */
  size_t calls;
  bool happened;
  bool freed;
  size_t notices;
} world;

enum { P, Q, OTHER }; /* producers: two of stream a, one of b */
enum {
  S,
  T,
  U,
  V
}; /* subscribers of a: one that reads, one that is closed,
      one that stalls; one of b */

static void hold_stream(weir_stream *stream) {
  int i = 0;

  while (world.streams[i] != NULL) {
    ck_assert_int_lt(++i, STREAMS);
  }
  world.streams[i] = stream;
}

static void hold_subscriber(weir_subscriber *subscriber) {
  int i = 0;

  while (world.subscribers[i] != NULL) {
    ck_assert_int_lt(++i, SUBSCRIBERS);
  }
  world.subscribers[i] = subscriber;
}

static void release_stream(weir_stream *stream) {
  int i;

  for (i = 0; i < STREAMS; ++i) {
    if (stream != NULL && world.streams[i] == stream) {
      world.streams[i] = NULL;
    }
  }
  weir_stream_release(stream);
}

static void release_subscriber(weir_subscriber *subscriber) {
  int i;

  for (i = 0; i < SUBSCRIBERS; ++i) {
    if (subscriber != NULL && world.subscribers[i] == subscriber) {
      world.subscribers[i] = NULL;
    }
  }
  weir_subscriber_release(subscriber);
}

static bool is_held(const weir_notice *notice) {
  int i;

  for (i = 0; i < STREAMS; ++i) {
    if (notice->stream != NULL && world.streams[i] == notice->stream) {
      return true;
    }
  }
  for (i = 0; i < SUBSCRIBERS; ++i) {
    if (notice->subscriber != NULL &&
        world.subscribers[i] == notice->subscriber) {
      return true;
    }
  }
  return false;
}

static void open_stream(const char *key, int32_t policy) {
  weir_open_options options = kit_open_options(key, NULL);
  weir_stream *stream = NULL;

  options.on_duplicate = policy;
  options.first_event = 500;
  options.idle = 1000;
  options.lifetime = 2500;
  options.abandoned = 700;
  options.linger = 4000;
  if (weir_hub_open(kit->hub, &options, &stream) == WEIR_OK) {
    hold_stream(stream);
  }
}

static void attach_for(const char *key, const char *client, uint64_t ms) {
  weir_attach_options options = kit_attach_options(key, NULL);
  weir_subscriber *subscriber = NULL;
  int verdict;

  options.client = client;
  options.client_len = strlen(client);
  options.stall = 3000;
  options.heartbeat = 300;
  options.lifetime = ms;
  if (weir_hub_attach(kit->hub, &options, &subscriber, &verdict) == WEIR_OK &&
      subscriber != NULL) {
    hold_subscriber(subscriber);
  }
}

static void attach(const char *key, const char *client) {
  attach_for(key, client, 0);
}

static void publish(weir_stream *stream) {
  weir_event event = kit_make_event("x", "y");

  event.tag = 7;
  if (stream != NULL) {
    (void)weir_stream_publish(stream, &event, 1, NULL);
    (void)weir_stream_signal(stream, &event, NULL);
  }
}

static void pull(weir_subscriber *subscriber) {
  if (subscriber != NULL) {
    (void)kit_skip(subscriber);
  }
}

/* --- Actions -------------------------------------------------------------- */

enum {
  RELEASE_SELF,
  DETACH_SELF,
  RELEASE_SIBLINGS,
  DETACH_SIBLINGS,
  PUBLISH,
  SIGNAL_ONE,
  PULL_ALL,
  CLOSE_ALL,
  END,
  FAIL,
  CANCEL,
  TRIM,
  REPLACE,
  OPEN,
  ATTACH,
  ATTACH_SAME_CLIENT,
  DRAIN,
  RUN,
  NEXT,
  JUMP,
  RELEASE_ALL,
  FREE_HUB,
  ACTIONS
};

static void for_all_subscribers(void (*what)(weir_subscriber *subscriber)) {
  int i;

  for (i = 0; i < SUBSCRIBERS; ++i) {
    if (world.subscribers[i] != NULL) {
      what(world.subscribers[i]);
    }
  }
}

static void close_one(weir_subscriber *subscriber) {
  (void)weir_subscriber_close(subscriber, NULL, 0, 0);
}

static void signal_one(weir_subscriber *subscriber) {
  const weir_event event = kit_make_event("x", "y");

  (void)weir_subscriber_signal(subscriber, &event);
}

static void release_all(void) {
  int i;

  for (i = 0; i < STREAMS; ++i) {
    release_stream(world.streams[i]);
  }
  for_all_subscribers(release_subscriber);
}

/* What concerns the handle that the notice is about, or those beside it. */
static void act_on_handles(const weir_notice *notice) {
  int i;

  switch (world.action) {
    case RELEASE_SELF:
      release_stream(notice->stream);
      release_subscriber(notice->subscriber);
      break;
    case DETACH_SELF:
      weir_subscriber_detach(notice->subscriber);
      break;
    case RELEASE_SIBLINGS:
      for (i = 0; i < STREAMS; ++i) {
        if (world.streams[i] != notice->stream) {
          release_stream(world.streams[i]);
        }
      }
      for (i = 0; i < SUBSCRIBERS; ++i) {
        if (world.subscribers[i] != notice->subscriber) {
          release_subscriber(world.subscribers[i]);
        }
      }
      break;
    case DETACH_SIBLINGS:
      for (i = 0; i < SUBSCRIBERS; ++i) {
        if (world.subscribers[i] != notice->subscriber) {
          weir_subscriber_detach(world.subscribers[i]);
        }
      }
      break;
    default:
      release_all();
      break;
  }
}

static void act_on_streams(void) {
  int i;

  for (i = 0; i < STREAMS; ++i) {
    if (world.streams[i] == NULL) {
      continue;
    }
    switch (world.action) {
      case PUBLISH:
        publish(world.streams[i]);
        break;
      case END:
        (void)weir_stream_end(world.streams[i], "e", 1, 9, NULL);
        break;
      case FAIL:
        (void)weir_stream_fail(world.streams[i], "f", 1, "", 0, 9, NULL);
        break;
      case CANCEL:
        (void)weir_stream_cancel(world.streams[i], NULL, 0);
        break;
      default:
        (void)weir_stream_trim(world.streams[i], 1);
        break;
    }
  }
}

static void act_on_hub(void) {
  weir_notice notice;

  switch (world.action) {
    case REPLACE:
      open_stream("a", WEIR_DUPLICATE_REPLACE);
      break;
    case OPEN:
      open_stream("a", WEIR_DUPLICATE_JOIN);
      open_stream("new", WEIR_DUPLICATE_JOIN);
      break;
    case ATTACH:
      attach("a", "");
      attach("unknown", "");
      break;
    case ATTACH_SAME_CLIENT:
      attach("a", "s");
      attach("a", "t");
      break;
    case DRAIN:
      ck_assert_int_eq(weir_hub_drain(kit->hub, 100, 0), WEIR_OK);
      break;
    case RUN:
      if (kit->options.notify != NULL) {
        ck_assert_int_eq(weir_hub_run(kit->hub), WEIR_EBUSY);
      }
      break;
    case NEXT:
      do {
        notice.size = sizeof notice;
        ck_assert_int_ne(weir_hub_next(kit->hub, &notice), WEIR_EBUSY);
      } while (weir_hub_next(kit->hub, &notice) == WEIR_OK);
      break;
    case JUMP:
      kit->now += 10000;
      break;
    default:
      weir_hub_free(kit->hub);
      world.freed = true;
      if (kit->options.notify != NULL) {
        /* It is still there, and has nothing more to say. */
        notice.size = sizeof notice;
        ck_assert_int_eq(weir_hub_next(kit->hub, &notice), WEIR_EGONE);
      }
      break;
  }
}

static void act(const weir_notice *notice) {
  switch (world.action) {
    case RELEASE_SELF:
    case DETACH_SELF:
    case RELEASE_SIBLINGS:
    case DETACH_SIBLINGS:
    case RELEASE_ALL:
      act_on_handles(notice);
      break;
    case PUBLISH:
    case END:
    case FAIL:
    case CANCEL:
    case TRIM:
      act_on_streams();
      break;
    case SIGNAL_ONE:
      for_all_subscribers(signal_one);
      break;
    case PULL_ALL:
      for_all_subscribers(pull);
      break;
    case CLOSE_ALL:
      for_all_subscribers(close_one);
      break;
    default:
      act_on_hub();
      break;
  }
}

/* --- The world ------------------------------------------------------------ */

static void on_notice(void *user, const weir_notice *notice) {
  const weir_notice copy = *notice;

  (void)user;
  /* Nobody hears of what was let go, and nobody hears anything any more. */
  ck_assert(is_held(notice));
  ck_assert(!world.freed);
  world.notices += 1;
  ck_assert_uint_lt(world.notices, 10000);
  if (notice->kind == world.kind && !world.happened) {
    world.happened = true;
    act(&copy);
  }
}

/* Take what there is, and time. */
static void pass(uint64_t ms) {
  weir_notice notice;
  int i;

  kit->now += ms;
  for (i = 0; i < 4 && !world.freed; ++i) {
    testlog_deliver_all(&bench.log);
    ck_assert_int_eq(weir_hub_run(kit->hub), WEIR_OK);
    notice.size = sizeof notice;
    while (kit->options.notify == NULL && !world.freed &&
           weir_hub_next(kit->hub, &notice) == WEIR_OK) {
      on_notice(NULL, &notice);
    }
  }
  if (world.freed) {
    kit->hub = NULL;
  }
}

/* One step, unless the hub has gone. */
#define STEP(what)          \
  do {                      \
    if (kit->hub != NULL) { \
      what;                 \
      pass(100);            \
    }                       \
  } while (0)

/* Everything that there is a notice for. */
static void live(void) {
  STEP(open_stream("a", WEIR_DUPLICATE_JOIN));
  STEP(open_stream("a", WEIR_DUPLICATE_JOIN));
  STEP(attach("a", "s"));
  STEP(attach("a", "t"));
  STEP(attach("a", "u"));
  STEP(open_stream("b", WEIR_DUPLICATE_JOIN));
  STEP(attach("b", ""));
  STEP(attach("elsewhere", ""));
  STEP(publish(world.streams[P]));
  STEP(pull(world.subscribers[S]));
  STEP(pull(world.subscribers[T]));
  STEP(pull(world.subscribers[V]));
  STEP(release_subscriber(world.subscribers[V])); /* b is abandoned */
  STEP(if (world.subscribers[T] != NULL) {
    (void)weir_subscriber_close(world.subscribers[T], NULL, 0, 0);
  });
  STEP(pass(1500)); /* idle, abandoned */
  STEP(pull(world.subscribers[S]));
  STEP(pass(1500)); /* lifetime, stall */
  STEP(publish(world.streams[Q]));
  STEP(if (world.streams[P] != NULL) {
    (void)weir_stream_cancel(world.streams[P], NULL, 0);
  });
  STEP(pull(world.subscribers[S]));
  STEP(pass(6000)); /* and forgotten */
}

/* --- Inside the trace callback and storage -------------------------------- */

enum { LET_GO_OF_ALL, LET_GO_OF_READERS, LET_GO_OF_WRITERS, LEAVE, SEND, WAYS };

static void release_writers(void) {
  int i;

  for (i = 0; i < STREAMS; ++i) {
    release_stream(world.streams[i]);
  }
}

/* What was shown has been sent. */
static void send(weir_subscriber *subscriber) {
  weir_subscriber_info info = {.size = sizeof info};

  (void)weir_subscriber_get_info(subscriber, &info);
  (void)weir_subscriber_consume(subscriber, (size_t)info.shown);
}

static void inside(void) {
  world.calls += 1;
  if (world.calls != world.nth) {
    return;
  }
  world.happened = true;
  switch (world.action) {
    case LET_GO_OF_ALL:
      release_all();
      break;
    case LET_GO_OF_READERS:
      for_all_subscribers(release_subscriber);
      break;
    case LET_GO_OF_WRITERS:
      release_writers();
      break;
    case LEAVE:
      for_all_subscribers(weir_subscriber_detach);
      break;
    default:
      for_all_subscribers(send);
      break;
  }
}

static void in_trace(void *user, const weir_trace *trace) {
  (void)user;
  (void)trace;
  inside();
}

static void in_storage(void *user, int kind) {
  (void)user;
  (void)kind;
  inside();
}

/* More than a reader may leave unsent, where there is little memory. */
static void publish_much(const char *key) {
  static char data[3000];
  weir_event event = {.size = sizeof event, .data = data};
  weir_bytes bytes[2];
  size_t count;
  int i;
  int j;

  memset(data, 'x', sizeof data);
  event.data_len = sizeof data;
  open_stream(key, WEIR_DUPLICATE_JOIN);
  attach(key, "");
  for (i = 0; i < 8; ++i) {
    for (j = 0; j < STREAMS; ++j) {
      if (world.streams[j] != NULL) {
        (void)weir_stream_publish(world.streams[j], &event, 1, NULL);
      }
    }
    for (j = 0; j < SUBSCRIBERS; ++j) {
      (void)weir_subscriber_peek(world.subscribers[j], bytes, 2, &count);
    }
    pass(10);
  }
}

static void end_first(void) {
  if (world.streams[P] != NULL) {
    (void)weir_stream_end(world.streams[P], "e", 1, 9, NULL);
  }
}

/* Everything in which the host is called while something is half done, as far
 * as it does not come up in live(). */
static void live_on(void) {
  STEP(release_all());
  STEP(open_stream("c", WEIR_DUPLICATE_JOIN));
  STEP(attach_for("c", "w", 200));
  STEP(pull(world.subscribers[S]));
  STEP(pass(200)); /* its lifetime is over */
  STEP(pass(4000));
  STEP(release_all());
  STEP(open_stream("d", WEIR_DUPLICATE_JOIN));
  STEP(end_first());
  STEP(release_writers());
  /* The next is replaced while storage is asked for it. */
  STEP(open_stream("d", WEIR_DUPLICATE_JOIN);
       open_stream("d", WEIR_DUPLICATE_REPLACE));
  STEP(release_all());
  STEP(publish_much("f"));
  STEP(pass(6000));
}

static void begin(bool callback, int log) {
  weir_stream *elsewhere;

  bench_init(&bench);
  memset(&world, 0, sizeof world);
  kit->options.log = log == 0 ? NULL : &bench.log.log;
  kit->options.notify = callback ? on_notice : NULL;
  kit->options.trace = in_trace;
  kit->options.max_resident = 20000;
  kit_hub(kit);
  if (log != 0) {
    /* A stream that another hub writes. */
    bench.log.later = false;
    kit_hub(&bench.b);
    elsewhere = kit_open(&bench.b, "elsewhere");
    kit_publish(elsewhere, "x", "y");
    weir_stream_release(elsewhere);
    bench.log.later = log == 2;
    bench.log.inside = in_storage;
  }
}

static void finish(void) {
  release_all();
  bench.log.inside = NULL;
  bench.log.later = false;
  bench_end(&bench);
}

static const int32_t kinds[] = {
    WEIR_NOTICE_READABLE,  WEIR_NOTICE_CLOSING, WEIR_NOTICE_ABORT,
    WEIR_NOTICE_STORED,    WEIR_NOTICE_EXPIRED, WEIR_NOTICE_ABANDONED,
    WEIR_NOTICE_CANCELLED, WEIR_NOTICE_ENDED,   WEIR_NOTICE_DECIDED,
    WEIR_NOTICE_OPENED,
};
#define KINDS (int)(sizeof kinds / sizeof kinds[0])

/* The loop's number is kind, log and way of telling. */
START_TEST(anything_may_be_called_from_a_notice) {
  const int kind = _i % KINDS;
  const int log = _i / KINDS % 3;
  const bool callback = _i / KINDS / 3 != 0;
  int action;

  for (action = 0; action < ACTIONS; ++action) {
    begin(callback, log);
    world.kind = kinds[kind];
    world.action = action;
    live();
    /* The notices of opens and attaches that wait need a log that does. */
    ck_assert_msg(world.happened == (kind < 8 || log == 2),
                  "no notice of kind %u", kinds[kind]);
    finish();
  }
}
END_TEST

/* The loop's number is the way of letting go, log and way of telling. */
START_TEST(anything_may_be_let_go_of_inside) {
  const int log = _i / WAYS % 3;
  const bool callback = _i / WAYS / 3 != 0;
  size_t nth = 0;

  do {
    begin(callback, log);
    world.action = _i % WAYS;
    world.nth = ++nth;
    live();
    live_on();
    finish();
  } while (world.happened);
  ck_assert_uint_gt(nth, 20);
}
END_TEST

/* The same host, left alone: what the others differ from. */
START_TEST(a_world_without_accidents) {
  begin(_i != 0, 0);
  live();
  ck_assert_uint_gt(world.notices, 20);
  finish();
}
END_TEST

static TCase *reentry(void) {
  TCase *tcase = tcase_create("reentry");

  tcase_add_loop_test(tcase, a_world_without_accidents, 0, 2);
  tcase_add_loop_test(tcase, anything_may_be_called_from_a_notice, 0,
                      KINDS * 3 * 2);
  tcase_add_loop_test(tcase, anything_may_be_let_go_of_inside, 0, WAYS * 3 * 2);
  return tcase;
}

KIT_MAIN("reentry", reentry())
