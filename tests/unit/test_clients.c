/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Who may attach: what is asked for, client keys and their policies, limits. */

#include "../bench.h"

#include <stdio.h>
#include <string.h>

static struct kit kit;
static weir_stream *stream;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
}

static void teardown(void) {
  weir_stream_release(stream);
  kit_end(&kit);
}

/* Once more, with options changed. */
static void again(void) {
  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
}

static weir_hub_info hub_info(void) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  return info;
}

static int attach_as(const char *name, const char *client, int32_t policy,
                     weir_subscriber **subscriber) {
  weir_attach_options options = kit_attach_options("a", name);
  int verdict;

  options.client = client;
  options.client_len = strlen(client);
  options.on_duplicate = policy;
  options.heartbeat = 0;
  options.stall = 0;
  *subscriber = NULL;
  return weir_hub_attach(kit.hub, &options, subscriber, &verdict);
}

static weir_subscriber *attach(const char *name, const char *client,
                               int32_t policy) {
  weir_subscriber *subscriber;

  ck_assert_int_eq(attach_as(name, client, policy, &subscriber), WEIR_OK);
  return subscriber;
}

/* --- What is asked for ---------------------------------------------------- */

static void spoil(weir_attach_options *options, int row) {
  static const char name[256];
  weir_request *request = (weir_request *)(uintptr_t)options->request;

  switch (row) {
    case 0:
      options->size = sizeof options->size;
      break;
    case 1:
      options->start = 2;
      break;
    case 2:
      options->start = -1;
      break;
    case 3:
      options->flags = 0x80;
      break;
    case 4:
      options->on_duplicate = 3;
      break;
    case 5:
      options->on_duplicate = -1;
      break;
    case 6:
      options->client = name;
      options->client_len = 256;
      break;
    case 7:
      options->retry = 499;
      break;
    case 8:
      options->retry = WEIR_RETRY_MAX;
      break;
    case 9:
      options->retry = WEIR_RETRY_MAX + 1;
      options->retry_jitter = 0;
      break;
    case 10:
      options->retry_replaced = 499;
      break;
    case 11:
      options->retry_replaced = WEIR_RETRY_MAX;
      break;
    case 12:
      options->heartbeat = 1000;
      options->heartbeat_jitter = 1000;
      break;
    case 13:
      options->lifetime = 1000;
      options->lifetime_jitter = 1000;
      break;
    case 14:
      options->lifetime = UINT64_MAX;
      options->lifetime_jitter = UINT64_C(1) << 32;
      break;
    case 15:
      request->reserved[1] = 1;
      break;
    case 16:
      options->retry = 0;
      break;
    default:
      request->size = sizeof request->size;
      break;
  }
}

START_TEST(attaches_that_cannot_be_are_refused) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_request request;
  int verdict = 77;

  weir_request_init(&request, sizeof request);
  options.request = &request;
  spoil(&options, _i);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_EINVAL);
  ck_assert_ptr_null(subscriber);
  ck_assert_int_eq(verdict, 77);
  ck_assert_uint_eq(hub_info().refused, 0);
}
END_TEST

START_TEST(attaches_have_defaults) {
  weir_attach_options options;

  weir_attach_options_init(&options, sizeof options);
  ck_assert_uint_eq(options.heartbeat, 12000);
  ck_assert_uint_eq(options.heartbeat_jitter, 1200);
  ck_assert_uint_eq(options.stall, 30000);
  ck_assert_uint_eq(options.retry, 1000);
  ck_assert_uint_eq(options.retry_jitter, 500);
  ck_assert_uint_eq(options.retry_replaced, 60000);
  ck_assert_uint_eq(options.lifetime, 0);
  ck_assert_int_eq(options.on_duplicate, WEIR_CLIENT_REPLACE);
  ck_assert_int_eq(options.start, WEIR_FROM_START);
}
END_TEST

/* R18, K1, F13: in the first frame, a whole number of ms, drawn. */
START_TEST(r18_clients_are_told_when_to_come_back) {
  static const struct {
    uint32_t retry;
    uint32_t jitter;
  } rows[] = {{1000, 500}, {500, 0}, {WEIR_RETRY_MAX, 0}, {600, 60000}};
  weir_attach_options options = kit_attach_options("a", NULL);
  struct kit_client client;
  weir_subscriber *subscriber;
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  int i;

  options.retry = rows[_i].retry;
  options.retry_jitter = rows[_i].jitter;
  for (i = 0; i < 100; ++i) {
    subscriber = kit_attach_with(&kit, &options);
    kit_client_init(&client, "");
    ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
    least = client.retry < least ? client.retry : least;
    most = client.retry > most ? client.retry : most;
    kit_client_free(&client);
    weir_subscriber_release(subscriber);
  }
  ck_assert_uint_ge(least, rows[_i].retry);
  ck_assert_uint_le(most, rows[_i].retry + rows[_i].jitter);
  ck_assert_uint_ge(most - least, rows[_i].jitter * 9 / 10);
}
END_TEST

/* R08, R30: where the cursor stands, and what becomes of it. */
static const struct {
  const char *header;
  const char *query;
  const char *path;
  int verdict;
} places[] = {
    {"", "", "", WEIR_VERDICT_FRESH},
    {"=2", "", "", WEIR_VERDICT_RESUMED},
    {"=0", "", "", WEIR_VERDICT_RESUMED},
    {"=3", "", "", WEIR_VERDICT_AHEAD},
    {"", "lastEventId==2", "", WEIR_VERDICT_RESUMED},
    {"", "", "=2", WEIR_VERDICT_RESUMED},
    {"=2", "lastEventId=abc", "abc", WEIR_VERDICT_RESUMED},
    {"abc", "lastEventId==2", "=2", WEIR_VERDICT_MALFORMED},
    {"", "lastEventId=", "=2", WEIR_VERDICT_RESUMED},
    {"b-1", "", "", WEIR_VERDICT_FOREIGN},
    {"abc", "", "", WEIR_VERDICT_MALFORMED},
    {"-1", "", "", WEIR_VERDICT_MALFORMED},
    {"99999999999999999999", "", "", WEIR_VERDICT_MALFORMED},
    {"=2 ", "", "", WEIR_VERDICT_MALFORMED},
    {"\xd9\xa6", "", "", WEIR_VERDICT_MALFORMED},
};

/* A text in which `=` at its start, or behind another, is the stream's epoch.
 */
static size_t expand(const char *text, char *dst) {
  const char *epoch = kit_cursor(stream, 0);
  const size_t epoch_len = strlen(epoch) - 2;
  const char *mark = strstr(text, "==");
  size_t n = 0;

  if (mark != NULL) {
    n = (size_t)(mark + 1 - text);
    memcpy(dst, text, n);
    text += n;
  }
  if (*text == '=' && (mark != NULL || n == 0)) {
    memcpy(dst + n, epoch, epoch_len);
    n += epoch_len;
    dst[n++] = '-';
    text += 1;
  }
  memcpy(dst + n, text, strlen(text));
  return n + strlen(text);
}

START_TEST(r08_a_cursor_has_three_places) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_request request;
  char header[256];
  char query[256];
  char path[256];
  int verdict = 77;
  int strict;

  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  weir_request_init(&request, sizeof request);
  request.header = header;
  request.header_len = expand(places[_i].header, header);
  request.query = query;
  request.query_len = expand(places[_i].query, query);
  request.path = path;
  request.path_len = expand(places[_i].path, path);
  options.request = &request;
  for (strict = 0; strict < 2; ++strict) {
    options.flags = strict != 0 ? WEIR_ATTACH_STRICT : 0;
    if (strict != 0 && places[_i].verdict == WEIR_VERDICT_MALFORMED) {
      subscriber = NULL;
      ck_assert_int_eq(
          weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
          WEIR_EMALFORMED);
      ck_assert_ptr_null(subscriber);
      continue;
    }
    ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                     WEIR_OK);
    ck_assert_int_eq(verdict, places[_i].verdict);
    weir_subscriber_release(subscriber);
  }
}
END_TEST

/* a browser that reconnects repeats its first URL; the header is newer.
 */
START_TEST(race12_the_first_url_does_not_turn_time_back) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber;
  weir_request request;
  char query[64];

  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  snprintf(query, sizeof query, "lastEventId=%s", kit_cursor(stream, 0));
  weir_request_init(&request, sizeof request);
  request.query = query;
  request.query_len = strlen(query);
  request.header = kit_cursor(stream, 1);
  request.header_len = strlen(kit_cursor(stream, 1));
  options.request = &request;
  subscriber = kit_attach_with(&kit, &options);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@1 resumed; x@2 2");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(r08_ten_kilobytes_are_no_cursor) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_request request;
  char text[10240];
  int verdict;

  memset(text, 'b', sizeof text);
  weir_request_init(&request, sizeof request);
  request.header = text;
  request.header_len = sizeof text;
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_MALFORMED);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "gap@0 malformed null 1-0; ready@0 malformed");
  weir_subscriber_release(subscriber);
}
END_TEST

/* R60, F01, F03: each verdict, and what is sent. */
START_TEST(f01_each_verdict_says_so) {
  static const struct {
    int seq; /* of this stream; -1: none, -2: of another, -3: no cursor */
    int verdict;
    const char *frames;
  } rows[] = {
      {-1, WEIR_VERDICT_FRESH, "ready@2 fresh; x@3 3; x@4 4; x@5 5"},
      {5, WEIR_VERDICT_RESUMED, "ready@5 resumed"},
      {4, WEIR_VERDICT_RESUMED, "ready@4 resumed; x@5 5"},
      {2, WEIR_VERDICT_RESUMED, "ready@2 resumed; x@3 3; x@4 4; x@5 5"},
      {1, WEIR_VERDICT_EVICTED,
       "gap@2 evicted 1 3-5; ready@2 evicted; x@3 3; x@4 4; x@5 5"},
      {0, WEIR_VERDICT_EVICTED,
       "gap@2 evicted 0 3-5; ready@2 evicted; x@3 3; x@4 4; x@5 5"},
      {6, WEIR_VERDICT_AHEAD,
       "gap@2 ahead 6 3-5; ready@2 ahead; x@3 3; x@4 4; x@5 5"},
      {-2, WEIR_VERDICT_FOREIGN,
       "gap@2 foreign 4 3-5; ready@2 foreign; x@3 3; x@4 4; x@5 5"},
      {-3, WEIR_VERDICT_MALFORMED,
       "gap@2 malformed x 3-5; ready@2 malformed; x@3 3; x@4 4; x@5 5"},
  };
  const char *cursor = rows[_i].seq == -1   ? NULL
                       : rows[_i].seq == -2 ? "b-4"
                                            : "x";
  weir_subscriber *subscriber;
  char data[2] = "1";
  int verdict;

  for (; *data <= '5'; ++*data) {
    kit_publish(stream, "x", data);
  }
  ck_assert_int_eq(weir_stream_trim(stream, 2), WEIR_OK);
  if (rows[_i].seq >= 0) {
    cursor = kit_cursor(stream, (uint64_t)rows[_i].seq);
  }
  subscriber = kit_attach(&kit, "a", cursor, &verdict);
  ck_assert_int_eq(verdict, rows[_i].verdict);
  kit_expect_frames(subscriber, WEIR_EAGAIN, rows[_i].frames);
  ck_assert_uint_eq(hub_info().verdicts[verdict], 1);
  ck_assert_uint_eq(hub_info().gaps, verdict >= WEIR_VERDICT_EVICTED);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_client_can_begin_at_the_head) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber;

  options.start = WEIR_FROM_HEAD;
  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  subscriber = kit_attach_with(&kit, &options);
  kit_publish(stream, "x", "3");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@2 fresh; x@3 3");
  weir_subscriber_release(subscriber);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  subscriber = kit_attach_with(&kit, &options);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@3 fresh; done@4 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(numbers_alone_are_cursors_of_the_decimal_format) {
  weir_subscriber *subscriber;
  int verdict;

  kit.options.cursor_format = WEIR_CURSOR_DECIMAL;
  again();
  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  subscriber = kit_attach(&kit, "a", "1", &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  kit_expect(subscriber, WEIR_EAGAIN,
             "id: 1\nevent: weir.ready\nretry: ~\ndata: {\"stream\":\"a\","
             "\"generation\":\"~\",\"verdict\":\"resumed\"}\n\n"
             "id: 2\nevent: x\ndata: 2\n\n");
  weir_subscriber_release(subscriber);
}
END_TEST

/* --- Client keys ---------------------------------------------------------- */

/* F06: the loser is told why, and not to come back soon. */
START_TEST(f06_the_newer_connection_of_a_client_replaces_the_older) {
  struct kit_client client;
  weir_subscriber *first = attach("1", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber *second;

  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, first), WEIR_EAGAIN);
  second = attach("2", "c", WEIR_CLIENT_REPLACE);
  kit_expect_notices(&kit, "2 readable; 1 closing");
  kit_publish(stream, "x", "y");
  ck_assert_int_eq(kit_client_read(&client, first), WEIR_EDONE);
  ck_assert_uint_eq(client.count, 2);
  ck_assert_str_eq(client.events[1].type, "weir.closing");
  ck_assert_ptr_nonnull(
      strstr(client.events[1].data, "\"reason\":\"replaced\""));
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 0));
  ck_assert(client.retry >= 60000 && client.retry <= 66000);
  kit_expect_frames(second, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  ck_assert_uint_eq(hub_info().replaced, 1);
  ck_assert_uint_eq(hub_info().subscribers, 1);
  kit_client_free(&client);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* For ten minutes after that both are allowed: no war. */
START_TEST(f06_there_is_no_replacement_war) {
  weir_subscriber *subscribers[9];
  uint64_t live;
  int i;

  subscribers[0] = attach("0", "c", WEIR_CLIENT_REPLACE);
  subscribers[1] = attach("1", "c", WEIR_CLIENT_REPLACE);
  ck_assert_uint_eq(hub_info().replaced, 1);
  /* Whoever comes now stays beside the others, up to six. */
  for (i = 2; i < 7; ++i) {
    kit_pass(&kit, 1000);
    subscribers[i] = attach("n", "c", WEIR_CLIENT_REPLACE);
  }
  ck_assert_uint_eq(hub_info().subscribers, 6);
  ck_assert_uint_eq(hub_info().replaced, 1);
  ck_assert_int_eq(attach_as("n", "c", WEIR_CLIENT_REPLACE, &subscribers[7]),
                   WEIR_ECLIENT);
  kit_pass(&kit, 600000 - 5000 - 1);
  ck_assert_int_eq(attach_as("n", "c", WEIR_CLIENT_REPLACE, &subscribers[7]),
                   WEIR_ECLIENT);
  kit_pass(&kit, 1);
  subscribers[7] = attach("7", "c", WEIR_CLIENT_REPLACE);
  live = hub_info().subscribers;
  ck_assert_uint_eq(live, 1);
  ck_assert_uint_eq(hub_info().replaced, 7);
  for (i = 0; i < 8; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

/* Nor on a machine whose clock has just begun. */
START_TEST(f06_time_may_begin_at_zero) {
  weir_subscriber *subscribers[3];
  int i;

  kit.now = 0;
  again();
  for (i = 0; i < 3; ++i) {
    subscribers[i] = attach("n", "c", WEIR_CLIENT_REPLACE);
  }
  ck_assert_uint_eq(hub_info().subscribers, 2);
  ck_assert_uint_eq(hub_info().replaced, 1);
  kit_expect_frames(subscribers[0], WEIR_EDONE,
                    "ready@0 fresh; closing replaced");
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

/* What happened is remembered also while nobody of the client is there. */
START_TEST(f06_the_memory_outlives_the_connections) {
  weir_subscriber *subscribers[4];
  int i;

  subscribers[0] = attach("0", "c", WEIR_CLIENT_REPLACE);
  subscribers[1] = attach("1", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber_release(subscribers[0]);
  weir_subscriber_release(subscribers[1]);
  kit_pass(&kit, 500000);
  subscribers[2] = attach("2", "c", WEIR_CLIENT_REPLACE);
  subscribers[3] = attach("3", "c", WEIR_CLIENT_REPLACE);
  ck_assert_uint_eq(hub_info().subscribers, 2);
  ck_assert_uint_eq(hub_info().replaced, 1);
  for (i = 2; i < 4; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

/* Also if an attach of it comes to nothing meanwhile. */
START_TEST(f06_the_memory_outlives_an_attach_that_fails) {
  weir_subscriber *subscribers[4];
  size_t n;
  int rv = WEIR_ENOMEM;

  subscribers[0] = attach("0", "c", WEIR_CLIENT_REPLACE);
  subscribers[1] = attach("1", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber_release(subscribers[0]);
  weir_subscriber_release(subscribers[1]);
  for (n = 1; rv == WEIR_ENOMEM; ++n) {
    kit.memory.fail_at = kit.memory.calls + n;
    rv = attach_as("2", "c", WEIR_CLIENT_REPLACE, &subscribers[2]);
  }
  kit.memory.fail_at = 0;
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_uint_gt(n, 3);
  subscribers[3] = attach("3", "c", WEIR_CLIENT_REPLACE);
  ck_assert_uint_eq(hub_info().subscribers, 2);
  ck_assert_uint_eq(hub_info().replaced, 1);
  weir_subscriber_release(subscribers[2]);
  weir_subscriber_release(subscribers[3]);
}
END_TEST

/* One is forgotten in time, and the other stays. */
START_TEST(f06_each_client_has_ten_minutes_of_its_own) {
  weir_subscriber *subscribers[6];
  int i;

  for (i = 0; i < 2; ++i) {
    subscribers[0] = attach("0", i == 0 ? "c" : "d", WEIR_CLIENT_REPLACE);
    subscribers[1] = attach("1", i == 0 ? "c" : "d", WEIR_CLIENT_REPLACE);
    weir_subscriber_release(subscribers[0]);
    weir_subscriber_release(subscribers[1]);
    kit_pass(&kit, 300000);
  }
  kit_pass(&kit, 100000);
  ck_assert_uint_eq(hub_info().replaced, 2);
  for (i = 0; i < 4; ++i) {
    subscribers[i] = attach("n", i < 2 ? "c" : "d", WEIR_CLIENT_REPLACE);
  }
  ck_assert_uint_eq(hub_info().replaced, 3); /* c again, and not d */
  for (i = 0; i < 4; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

START_TEST(what_is_remembered_of_clients_goes_in_time) {
  weir_subscriber *subscriber;
  char client[16];
  size_t live;
  int i;

  /* Let tables grow to what they will be. */
  for (i = 0; i < 50; ++i) {
    snprintf(client, sizeof client, "%d", i);
    weir_subscriber_release(attach("", client, WEIR_CLIENT_REPLACE));
  }
  live = kit.memory.live;
  for (i = 0; i < 50; ++i) {
    snprintf(client, sizeof client, "%d", i);
    subscriber = attach("", client, WEIR_CLIENT_REPLACE);
    weir_subscriber_release(attach("", client, WEIR_CLIENT_REPLACE));
    weir_subscriber_release(subscriber);
    kit_pass(&kit, 1);
  }
  ck_assert_uint_gt(kit.memory.live, live);
  kit_pass(&kit, 600000 - 51);
  ck_assert_uint_gt(kit.memory.live, live);
  for (i = 0; i < 50 && weir_hub_get_timeout(kit.hub) >= 0; ++i) {
    kit_pass(&kit, (uint64_t)weir_hub_get_timeout(kit.hub));
  }
  for (i = 0; i < 300; ++i) {
    kit_pass(&kit, 1);
  }
  ck_assert_uint_le(kit.memory.live, live);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
}
END_TEST

/* Who came back and left again is remembered from then on. */
START_TEST(what_is_remembered_begins_anew) {
  weir_subscriber *subscribers[3];

  subscribers[0] = attach("", "c", WEIR_CLIENT_REPLACE);
  subscribers[1] = attach("", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber_release(subscribers[0]);
  weir_subscriber_release(subscribers[1]);
  kit_pass(&kit, 300000);
  subscribers[2] = attach("", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber_release(attach("", "c", WEIR_CLIENT_REPLACE));
  weir_subscriber_release(subscribers[2]);
  ck_assert_uint_eq(hub_info().replaced, 1);
  kit_pass(&kit, 300000);
  ck_assert_int_ge(weir_hub_get_timeout(kit.hub), 0);
  kit_pass(&kit, 599999);
  kit_pass(&kit, 600000);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
}
END_TEST

/* Who came back and stays is not forgotten, and nothing else is either. */
START_TEST(what_is_remembered_of_one_who_stays) {
  weir_subscriber *subscriber = attach("", "c", WEIR_CLIENT_REPLACE);

  weir_subscriber_release(attach("", "c", WEIR_CLIENT_REPLACE));
  weir_subscriber_release(subscriber);
  ck_assert_uint_eq(hub_info().replaced, 1);
  kit_pass(&kit, 300000);
  subscriber = attach("", "c", WEIR_CLIENT_REPLACE);
  kit_pass(&kit, 300000);
  ck_assert_uint_eq(hub_info().subscribers, 1);
  /* Its being replaced was ten minutes ago. */
  weir_subscriber_release(attach("", "c", WEIR_CLIENT_REPLACE));
  ck_assert_uint_eq(hub_info().replaced, 2);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_client_can_have_several_connections) {
  weir_subscriber *subscribers[8];
  int i;

  kit.options.max_client_subscribers = 3;
  again();
  for (i = 0; i < 4; ++i) {
    ck_assert_int_eq(attach_as("n", "c", WEIR_CLIENT_ALLOW, &subscribers[i]),
                     i < 3 ? WEIR_OK : WEIR_ECLIENT);
  }
  /* Others are others, also by an anonymous name. */
  for (i = 4; i < 8; ++i) {
    subscribers[i] = attach("n", i < 6 ? "d" : "", WEIR_CLIENT_ALLOW);
  }
  weir_subscriber_release(subscribers[1]);
  subscribers[1] = attach("n", "c", WEIR_CLIENT_ALLOW);
  ck_assert_uint_eq(hub_info().refused, 1);
  for (i = 0; i < 8; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

START_TEST(a_client_without_a_limit_has_none) {
  weir_subscriber *subscribers[100];
  int i;

  kit.options.max_client_subscribers = 0;
  again();
  for (i = 0; i < 100; ++i) {
    subscribers[i] = attach("n", "c", WEIR_CLIENT_ALLOW);
  }
  /* All of them can be replaced at once. */
  weir_subscriber_release(attach("n", "c", WEIR_CLIENT_REPLACE));
  ck_assert_uint_eq(hub_info().replaced, 100);
  ck_assert_uint_eq(hub_info().subscribers, 0);
  for (i = 0; i < 100; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

START_TEST(r49_a_second_connection_can_be_refused) {
  weir_subscriber *first = attach("1", "c", WEIR_CLIENT_REJECT);
  weir_subscriber *second;

  ck_assert_int_eq(attach_as("2", "c", WEIR_CLIENT_REJECT, &second),
                   WEIR_EEXISTS);
  ck_assert_ptr_null(second);
  kit_expect_frames(first, WEIR_EAGAIN, "ready@0 fresh");
  /* One that is on its way out does not count. */
  ck_assert_int_eq(weir_subscriber_close(first, NULL, 0, 0), WEIR_OK);
  second = attach("2", "c", WEIR_CLIENT_REJECT);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* two resumes with one cursor are two readers, whoever they are. */
START_TEST(race17_anonymous_clients_are_not_one) {
  weir_subscriber *first = attach("1", "", WEIR_CLIENT_REPLACE);
  weir_subscriber *second = attach("2", "", WEIR_CLIENT_REPLACE);

  kit_publish(stream, "x", "y");
  kit_expect_frames(first, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  kit_expect_frames(second, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* A client key belongs to its stream; no two keys run together. */
START_TEST(client_keys_of_other_streams_are_others) {
  weir_stream *ab = kit_open(&kit, "ab");
  weir_attach_options options = kit_attach_options("ab", "1");
  weir_subscriber *first;
  weir_subscriber *second;

  options.client = "c";
  options.client_len = 1;
  first = kit_attach_with(&kit, &options);
  second = attach("2", "bc", WEIR_CLIENT_REPLACE);
  ck_assert_uint_eq(hub_info().replaced, 0);
  ck_assert_uint_eq(hub_info().subscribers, 2);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  weir_stream_release(ab);
}
END_TEST

START_TEST(client_keys_are_bytes) {
  weir_attach_options options = kit_attach_options("a", "s");
  char client[255];
  weir_subscriber *first;
  weir_subscriber *second;

  memset(client, '\xff', sizeof client);
  client[3] = '\0';
  options.client = client;
  options.client_len = sizeof client;
  first = kit_attach_with(&kit, &options);
  options.client_len -= 1;
  second = kit_attach_with(&kit, &options);
  ck_assert_uint_eq(hub_info().replaced, 0);
  weir_subscriber_release(second);
  options.client_len += 1;
  second = kit_attach_with(&kit, &options);
  ck_assert_uint_eq(hub_info().replaced, 1);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* F06: the loser leaves late; that is nothing to the winner. */
START_TEST(f06_a_late_detach_does_not_hit_the_successor) {
  weir_subscriber *first = attach("1", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber *second = attach("2", "c", WEIR_CLIENT_REPLACE);
  weir_subscriber *third;

  weir_subscriber_detach(first);
  weir_subscriber_release(first);
  ck_assert_int_eq(attach_as("3", "c", WEIR_CLIENT_REJECT, &third),
                   WEIR_EEXISTS);
  kit_expect_frames(second, WEIR_EAGAIN, "ready@0 fresh");
  weir_subscriber_release(second);
}
END_TEST

/* gone before its first byte, or after its last was queued. */
START_TEST(race23_who_goes_at_once_leaves_nothing) {
  weir_subscriber *subscriber = attach("s", "c", WEIR_CLIENT_REJECT);

  if (_i == 1) {
    ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  } else if (_i == 2) {
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  }
  weir_subscriber_detach(subscriber);
  kit_expect_notices(&kit, _i == 1 ? "ended 1" : "");
  ck_assert_uint_eq(hub_info().subscribers, 0);
  weir_subscriber_release(subscriber);
  weir_subscriber_release(attach("s", "c", WEIR_CLIENT_REJECT));
}
END_TEST

/* --- Limits --------------------------------------------------------------- */

START_TEST(subscribers_have_a_limit) {
  weir_stream *other;
  weir_attach_options options = kit_attach_options("b", "s");
  weir_subscriber *subscribers[4];
  int verdict;
  int i;

  kit.options.max_subscribers = 3;
  again();
  other = kit_open(&kit, "b");
  subscribers[0] = kit_attach_with(&kit, &options);
  for (i = 1; i < 4; ++i) {
    ck_assert_int_eq(attach_as("n", "", WEIR_CLIENT_ALLOW, &subscribers[i]),
                     i < 3 ? WEIR_OK : WEIR_ESUBSCRIBERS);
  }
  ck_assert_int_eq(
      weir_hub_attach(kit.hub, &options, &subscribers[3], &verdict),
      WEIR_ESUBSCRIBERS);
  /* Those on their way out do not count. */
  ck_assert_int_eq(weir_subscriber_close(subscribers[0], NULL, 0, 0), WEIR_OK);
  subscribers[3] = attach("n", "", WEIR_CLIENT_ALLOW);
  ck_assert_uint_eq(hub_info().refused, 2);
  for (i = 0; i < 4; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_stream_release(other);
}
END_TEST

START_TEST(subscribers_of_a_stream_have_a_limit) {
  weir_attach_options options = kit_attach_options("b", "s");
  weir_stream *other;
  weir_subscriber *subscribers[5];
  int i;

  kit.options.max_stream_subscribers = 3;
  again();
  other = kit_open(&kit, "b");
  for (i = 0; i < 4; ++i) {
    ck_assert_int_eq(attach_as("n", "", WEIR_CLIENT_ALLOW, &subscribers[i]),
                     i < 3 ? WEIR_OK : WEIR_ECROWD);
  }
  subscribers[4] = kit_attach_with(&kit, &options);
  ck_assert_uint_eq(hub_info().refused, 1);
  weir_subscriber_detach(subscribers[1]);
  subscribers[3] = attach("n", "", WEIR_CLIENT_ALLOW);
  for (i = 0; i < 5; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_stream_release(other);
}
END_TEST

/* Who takes the place of his own older connection needs no other. */
START_TEST(at_the_limit_a_client_may_still_replace_itself) {
  weir_subscriber *subscribers[3];
  weir_subscriber *newer;
  int i;

  kit.options.max_stream_subscribers = 2;
  again();
  subscribers[0] = attach("0", "c", WEIR_CLIENT_REPLACE);
  subscribers[1] = attach("1", "d", WEIR_CLIENT_REPLACE);
  ck_assert_int_eq(attach_as("2", "e", WEIR_CLIENT_REPLACE, &subscribers[2]),
                   WEIR_ECROWD);
  ck_assert_int_eq(attach_as("n", "c", WEIR_CLIENT_REPLACE, &newer), WEIR_OK);
  ck_assert_uint_eq(hub_info().subscribers, 2);
  for (i = 0; i < 2; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_subscriber_release(newer);
}
END_TEST

static void count_traces(void *user, const weir_trace *trace) {
  unsigned *count = user;

  *count += trace->kind == WEIR_TRACE_ATTACH;
}

/* Whether storage has been looked at in between, at once or later. */
START_TEST(a_refusal_counts_once) {
  weir_open_options open = kit_open_options("a", NULL);
  weir_attach_options options = kit_attach_options("a", "s");
  static struct bench bench;
  weir_subscriber *first;
  weir_subscriber *second = NULL;
  weir_request request;
  weir_stream *shared;
  int verdict = WEIR_VERDICT_PENDING;
  int rv;

  bench_init(&bench);
  bench_hub(&bench);
  open.flags = WEIR_OPEN_SHARED;
  shared = kit_open_with(&bench.a, &open);
  options.client = "c";
  options.client_len = 1;
  options.on_duplicate = WEIR_CLIENT_REJECT;
  first = kit_attach_with(&bench.a, &options);
  bench_rest(&bench);
  /* A cursor that seems to be ahead: first storage is asked. */
  weir_request_init(&request, sizeof request);
  request.header = "b-77";
  request.header_len = 4;
  options.request = &request;
  bench.log.later = _i != 0;
  rv = weir_hub_attach(bench.a.hub, &options, &second, &verdict);
  ck_assert_int_eq(rv, _i != 0 ? WEIR_OK : WEIR_EEXISTS);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_hub_info(&bench.a).refused, 1);
  weir_subscriber_release(second);
  weir_subscriber_release(first);
  weir_stream_release(shared);
  bench.log.later = false;
  bench_end(&bench);
}
END_TEST

START_TEST(an_attach_that_fails_is_no_attach) {
  weir_subscriber *subscriber;
  unsigned count = 0;
  size_t n;
  int rv;

  kit.options.trace = count_traces;
  kit.options.trace_user = &count;
  again();
  for (n = 1, rv = WEIR_ENOMEM; rv == WEIR_ENOMEM; ++n) {
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(hub_info().attaches, 0);
    ck_assert_uint_eq(hub_info().verdicts[WEIR_VERDICT_FRESH], 0);
    kit.memory.fail_at = kit.memory.calls + n;
    rv = attach_as("s", "c", WEIR_CLIENT_REPLACE, &subscriber);
  }
  ck_assert_uint_gt(n, 3);
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_uint_eq(count, 1);
  ck_assert_uint_eq(hub_info().attaches, 1);
  ck_assert_uint_eq(hub_info().verdicts[WEIR_VERDICT_FRESH], 1);
  weir_subscriber_release(subscriber);
}
END_TEST

static TCase *claims(void) {
  TCase *tcase = tcase_create("claims");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, attaches_that_cannot_be_are_refused, 0, 18);
  tcase_add_test(tcase, attaches_have_defaults);
  tcase_add_loop_test(tcase, r18_clients_are_told_when_to_come_back, 0, 4);
  tcase_add_loop_test(tcase, r08_a_cursor_has_three_places, 0,
                      (int)(sizeof places / sizeof places[0]));
  tcase_add_test(tcase, r08_ten_kilobytes_are_no_cursor);
  tcase_add_test(tcase, race12_the_first_url_does_not_turn_time_back);
  tcase_add_loop_test(tcase, f01_each_verdict_says_so, 0, 9);
  tcase_add_test(tcase, a_client_can_begin_at_the_head);
  tcase_add_test(tcase, numbers_alone_are_cursors_of_the_decimal_format);
  return tcase;
}

static TCase *clients(void) {
  TCase *tcase = tcase_create("clients");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase,
                 f06_the_newer_connection_of_a_client_replaces_the_older);
  tcase_add_test(tcase, f06_there_is_no_replacement_war);
  tcase_add_test(tcase, f06_time_may_begin_at_zero);
  tcase_add_test(tcase, f06_the_memory_outlives_the_connections);
  tcase_add_test(tcase, f06_the_memory_outlives_an_attach_that_fails);
  tcase_add_test(tcase, f06_each_client_has_ten_minutes_of_its_own);
  tcase_add_test(tcase, what_is_remembered_of_clients_goes_in_time);
  tcase_add_test(tcase, what_is_remembered_begins_anew);
  tcase_add_test(tcase, what_is_remembered_of_one_who_stays);
  tcase_add_test(tcase, a_client_can_have_several_connections);
  tcase_add_test(tcase, a_client_without_a_limit_has_none);
  tcase_add_test(tcase, r49_a_second_connection_can_be_refused);
  tcase_add_test(tcase, race17_anonymous_clients_are_not_one);
  tcase_add_test(tcase, client_keys_of_other_streams_are_others);
  tcase_add_test(tcase, client_keys_are_bytes);
  tcase_add_test(tcase, f06_a_late_detach_does_not_hit_the_successor);
  tcase_add_loop_test(tcase, race23_who_goes_at_once_leaves_nothing, 0, 3);
  return tcase;
}

static TCase *limits(void) {
  TCase *tcase = tcase_create("limits");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, subscribers_have_a_limit);
  tcase_add_test(tcase, subscribers_of_a_stream_have_a_limit);
  tcase_add_test(tcase, an_attach_that_fails_is_no_attach);
  tcase_add_loop_test(tcase, a_refusal_counts_once, 0, 2);
  tcase_add_test(tcase, at_the_limit_a_client_may_still_replace_itself);
  return tcase;
}

KIT_MAIN("clients", claims(), clients(), limits())
