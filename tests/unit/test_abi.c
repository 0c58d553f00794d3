/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The structs that callers share with the library: where everything stands, and
 * that older and newer callers get along with it. An older one's struct ends at
 * its old size, at a page that faults; a newer one's is longer, and what is not
 * known of it has to be zero. */

#include "../kit.h"

#include <stdlib.h>
#include <string.h>

/* --- Where everything stands ---------------------------------------------- */

#if UINTPTR_MAX == UINT64_MAX

#define ROW(type, field, offset, size)                    \
  {                                                       \
#type, #field, offsetof(type, field), offset,         \
        sizeof(((type *)NULL)->field), size, sizeof(type) \
  }

/* Numbers are part of the ABI: rows are added at the end of a struct, in place
 * of reserved fields, and never changed. */
static const struct {
  const char *type;
  const char *field;
  size_t offset;
  size_t offset_pinned;
  size_t size;
  size_t size_pinned;
  size_t whole;
} rows[] = {
    ROW(weir_allocator, size, 0, 8),
    ROW(weir_allocator, user, 8, 8),
    ROW(weir_allocator, alloc, 16, 8),
    ROW(weir_allocator, free, 24, 8),
    ROW(weir_cursor, epoch, 0, 8),
    ROW(weir_cursor, seq, 8, 8),
    ROW(weir_request, size, 0, 8),
    ROW(weir_request, header, 8, 8),
    ROW(weir_request, header_len, 16, 8),
    ROW(weir_request, query, 24, 8),
    ROW(weir_request, query_len, 32, 8),
    ROW(weir_request, path, 40, 8),
    ROW(weir_request, path_len, 48, 8),
    ROW(weir_request, reserved, 56, 16),
    ROW(weir_epoch, epoch, 0, 8),
    ROW(weir_epoch, last, 8, 8),
    ROW(weir_state, size, 0, 8),
    ROW(weir_state, epochs, 8, 8),
    ROW(weir_state, epoch_count, 16, 8),
    ROW(weir_state, trimmed, 24, 8),
    ROW(weir_state, last, 32, 8),
    ROW(weir_state, ended, 40, 8),
    ROW(weir_state, reserved, 48, 16),
    ROW(weir_resolution, size, 0, 8),
    ROW(weir_resolution, verdict, 8, 4),
    ROW(weir_resolution, gap, 12, 4),
    ROW(weir_resolution, position, 16, 16),
    ROW(weir_resolution, first, 32, 8),
    ROW(weir_resolution, last, 40, 8),
    ROW(weir_resolution, reserved, 48, 16),
    ROW(weir_frame, size, 0, 8),
    ROW(weir_frame, type, 8, 8),
    ROW(weir_frame, type_len, 16, 8),
    ROW(weir_frame, data, 24, 8),
    ROW(weir_frame, data_len, 32, 8),
    ROW(weir_frame, retry, 40, 4),
    ROW(weir_frame, flags, 44, 4),
    ROW(weir_frame, max_bytes, 48, 8),
    ROW(weir_frame, max_lines, 56, 4),
    ROW(weir_frame, reserved0, 60, 4),
    ROW(weir_frame, reserved, 64, 16),
    ROW(weir_event, size, 0, 8),
    ROW(weir_event, type, 8, 8),
    ROW(weir_event, type_len, 16, 8),
    ROW(weir_event, data, 24, 8),
    ROW(weir_event, data_len, 32, 8),
    ROW(weir_event, tag, 40, 8),
    ROW(weir_event, flags, 48, 4),
    ROW(weir_event, reserved0, 52, 4),
    ROW(weir_event, reserved, 56, 16),
    ROW(weir_stream_info, size, 0, 8),
    ROW(weir_stream_info, status, 8, 4),
    ROW(weir_stream_info, joined, 12, 4),
    ROW(weir_stream_info, failed, 16, 4),
    ROW(weir_stream_info, subscribers, 20, 4),
    ROW(weir_stream_info, generation, 24, 8),
    ROW(weir_stream_info, epoch, 32, 8),
    ROW(weir_stream_info, trimmed, 40, 8),
    ROW(weir_stream_info, last, 48, 8),
    ROW(weir_stream_info, ended, 56, 8),
    ROW(weir_stream_info, pending, 64, 8),
    ROW(weir_stream_info, resident, 72, 8),
    ROW(weir_stream_info, events, 80, 8),
    ROW(weir_stream_info, signals, 88, 8),
    ROW(weir_stream_info, dropped, 96, 8),
    ROW(weir_stream_info, label, 104, 8),
    ROW(weir_stream_info, error, 112, 4),
    ROW(weir_stream_info, reserved0, 116, 4),
    ROW(weir_stream_info, reserved, 120, 16),
    ROW(weir_bytes, base, 0, 8),
    ROW(weir_bytes, len, 8, 8),
    ROW(weir_subscriber_info, size, 0, 8),
    ROW(weir_subscriber_info, verdict, 8, 4),
    ROW(weir_subscriber_info, error, 12, 4),
    ROW(weir_subscriber_info, position, 16, 16),
    ROW(weir_subscriber_info, generation, 32, 8),
    ROW(weir_subscriber_info, bytes, 40, 8),
    ROW(weir_subscriber_info, events, 48, 8),
    ROW(weir_subscriber_info, dropped, 56, 8),
    ROW(weir_subscriber_info, shown, 64, 8),
    ROW(weir_subscriber_info, attached, 72, 4),
    ROW(weir_subscriber_info, reserved0, 76, 4),
    ROW(weir_subscriber_info, reserved, 80, 32),
    ROW(weir_log_request, size, 0, 8),
    ROW(weir_log_request, mode, 8, 4),
    ROW(weir_log_request, shared, 12, 4),
    ROW(weir_log_request, key, 16, 8),
    ROW(weir_log_request, key_len, 24, 8),
    ROW(weir_log_request, generation, 32, 8),
    ROW(weir_log_request, epoch, 40, 8),
    ROW(weir_log_request, meta, 48, 8),
    ROW(weir_log_request, meta_len, 56, 8),
    ROW(weir_log_request, reserved, 64, 16),
    ROW(weir_record, size, 0, 8),
    ROW(weir_record, epoch, 8, 8),
    ROW(weir_record, seq, 16, 8),
    ROW(weir_record, type, 24, 8),
    ROW(weir_record, type_len, 32, 8),
    ROW(weir_record, data, 40, 8),
    ROW(weir_record, data_len, 48, 8),
    ROW(weir_record, frame, 56, 8),
    ROW(weir_record, frame_len, 64, 8),
    ROW(weir_record, flags, 72, 4),
    ROW(weir_record, reserved0, 76, 4),
    ROW(weir_record, reserved, 80, 16),
    ROW(weir_answer, size, 0, 8),
    ROW(weir_answer, result, 8, 4),
    ROW(weir_answer, shared, 12, 4),
    ROW(weir_answer, epochs, 16, 8),
    ROW(weir_answer, epoch_count, 24, 8),
    ROW(weir_answer, trimmed, 32, 8),
    ROW(weir_answer, last, 40, 8),
    ROW(weir_answer, ended, 48, 8),
    ROW(weir_answer, handle, 56, 8),
    ROW(weir_answer, meta, 64, 8),
    ROW(weir_answer, meta_len, 72, 8),
    ROW(weir_answer, first, 80, 8),
    ROW(weir_answer, records, 88, 8),
    ROW(weir_answer, record_count, 96, 8),
    ROW(weir_answer, lost_through, 104, 8),
    ROW(weir_answer, failed, 112, 4),
    ROW(weir_answer, reserved0, 116, 4),
    ROW(weir_answer, reserved, 120, 16),
    ROW(weir_log, size, 0, 8),
    ROW(weir_log, user, 8, 8),
    ROW(weir_log, flags, 16, 4),
    ROW(weir_log, deadline, 20, 4),
    ROW(weir_log, open, 24, 8),
    ROW(weir_log, append, 32, 8),
    ROW(weir_log, read, 40, 8),
    ROW(weir_log, trim, 48, 8),
    ROW(weir_log, close, 56, 8),
    ROW(weir_log, reserved, 64, 32),
    ROW(weir_notice, size, 0, 8),
    ROW(weir_notice, kind, 8, 4),
    ROW(weir_notice, error, 12, 4),
    ROW(weir_notice, user, 16, 8),
    ROW(weir_notice, subscriber, 24, 8),
    ROW(weir_notice, stream, 32, 8),
    ROW(weir_notice, tag, 40, 8),
    ROW(weir_notice, seq, 48, 8),
    ROW(weir_notice, verdict, 56, 4),
    ROW(weir_notice, timer, 60, 4),
    ROW(weir_notice, retry, 64, 4),
    ROW(weir_notice, reserved0, 68, 4),
    ROW(weir_notice, reserved, 72, 8),
    ROW(weir_trace, size, 0, 8),
    ROW(weir_trace, kind, 8, 4),
    ROW(weir_trace, error, 12, 4),
    ROW(weir_trace, key, 16, 8),
    ROW(weir_trace, key_len, 24, 8),
    ROW(weir_trace, generation, 32, 8),
    ROW(weir_trace, text, 40, 8),
    ROW(weir_trace, text_len, 48, 8),
    ROW(weir_trace, epoch, 56, 8),
    ROW(weir_trace, seq, 64, 8),
    ROW(weir_trace, bytes, 72, 8),
    ROW(weir_trace, verdict, 80, 4),
    ROW(weir_trace, reserved0, 84, 4),
    ROW(weir_trace, user, 88, 8),
    ROW(weir_trace, reserved, 96, 16),
    ROW(weir_hub_options, size, 0, 8),
    ROW(weir_hub_options, allocator, 8, 8),
    ROW(weir_hub_options, clock, 16, 8),
    ROW(weir_hub_options, clock_user, 24, 8),
    ROW(weir_hub_options, entropy, 32, 8),
    ROW(weir_hub_options, entropy_user, 40, 8),
    ROW(weir_hub_options, log, 48, 8),
    ROW(weir_hub_options, notify, 56, 8),
    ROW(weir_hub_options, notify_user, 64, 8),
    ROW(weir_hub_options, wake, 72, 8),
    ROW(weir_hub_options, wake_user, 80, 8),
    ROW(weir_hub_options, trace, 88, 8),
    ROW(weir_hub_options, trace_user, 96, 8),
    ROW(weir_hub_options, prefix, 104, 8),
    ROW(weir_hub_options, prefix_len, 112, 8),
    ROW(weir_hub_options, cursor_format, 120, 4),
    ROW(weir_hub_options, flags, 124, 4),
    ROW(weir_hub_options, max_streams, 128, 8),
    ROW(weir_hub_options, max_subscribers, 136, 8),
    ROW(weir_hub_options, max_stream_subscribers, 144, 8),
    ROW(weir_hub_options, max_client_subscribers, 152, 8),
    ROW(weir_hub_options, max_event_bytes, 160, 8),
    ROW(weir_hub_options, max_event_lines, 168, 8),
    ROW(weir_hub_options, max_pending, 176, 8),
    ROW(weir_hub_options, max_resident, 184, 8),
    ROW(weir_hub_options, history_bytes, 192, 8),
    ROW(weir_hub_options, history_events, 200, 8),
    ROW(weir_hub_options, history_age, 208, 8),
    ROW(weir_hub_options, signal_ring, 216, 4),
    ROW(weir_hub_options, recheck, 220, 4),
    ROW(weir_hub_options, reserved, 224, 64),
    ROW(weir_open_options, size, 0, 8),
    ROW(weir_open_options, key, 8, 8),
    ROW(weir_open_options, key_len, 16, 8),
    ROW(weir_open_options, user, 24, 8),
    ROW(weir_open_options, on_duplicate, 32, 4),
    ROW(weir_open_options, flags, 36, 4),
    ROW(weir_open_options, prefix, 40, 8),
    ROW(weir_open_options, prefix_len, 48, 8),
    ROW(weir_open_options, members, 56, 8),
    ROW(weir_open_options, members_len, 64, 8),
    ROW(weir_open_options, first_event, 72, 8),
    ROW(weir_open_options, idle, 80, 8),
    ROW(weir_open_options, lifetime, 88, 8),
    ROW(weir_open_options, abandoned, 96, 8),
    ROW(weir_open_options, linger, 104, 8),
    ROW(weir_open_options, on_first_event, 112, 4),
    ROW(weir_open_options, on_idle, 116, 4),
    ROW(weir_open_options, on_lifetime, 120, 4),
    ROW(weir_open_options, on_abandoned, 124, 4),
    ROW(weir_open_options, label, 128, 8),
    ROW(weir_open_options, reserved, 136, 56),
    ROW(weir_attach_options, size, 0, 8),
    ROW(weir_attach_options, key, 8, 8),
    ROW(weir_attach_options, key_len, 16, 8),
    ROW(weir_attach_options, user, 24, 8),
    ROW(weir_attach_options, request, 32, 8),
    ROW(weir_attach_options, start, 40, 4),
    ROW(weir_attach_options, flags, 44, 4),
    ROW(weir_attach_options, client, 48, 8),
    ROW(weir_attach_options, client_len, 56, 8),
    ROW(weir_attach_options, on_duplicate, 64, 4),
    ROW(weir_attach_options, reserved0, 68, 4),
    ROW(weir_attach_options, heartbeat, 72, 4),
    ROW(weir_attach_options, heartbeat_jitter, 76, 4),
    ROW(weir_attach_options, stall, 80, 4),
    ROW(weir_attach_options, retry, 84, 4),
    ROW(weir_attach_options, retry_jitter, 88, 4),
    ROW(weir_attach_options, retry_replaced, 92, 4),
    ROW(weir_attach_options, lifetime, 96, 8),
    ROW(weir_attach_options, lifetime_jitter, 104, 8),
    ROW(weir_attach_options, reserved, 112, 64),
    ROW(weir_hub_info, size, 0, 8),
    ROW(weir_hub_info, streams, 8, 8),
    ROW(weir_hub_info, subscribers, 16, 8),
    ROW(weir_hub_info, pending, 24, 8),
    ROW(weir_hub_info, resident, 32, 8),
    ROW(weir_hub_info, calls, 40, 8),
    ROW(weir_hub_info, opens, 48, 8),
    ROW(weir_hub_info, ends, 56, 8),
    ROW(weir_hub_info, attaches, 64, 8),
    ROW(weir_hub_info, detaches, 72, 8),
    ROW(weir_hub_info, events, 80, 8),
    ROW(weir_hub_info, signals, 88, 8),
    ROW(weir_hub_info, dropped, 96, 8),
    ROW(weir_hub_info, bytes, 104, 8),
    ROW(weir_hub_info, delivered, 112, 8),
    ROW(weir_hub_info, heartbeats, 120, 8),
    ROW(weir_hub_info, gaps, 128, 8),
    ROW(weir_hub_info, trimmed, 136, 8),
    ROW(weir_hub_info, stalled, 144, 8),
    ROW(weir_hub_info, evicted, 152, 8),
    ROW(weir_hub_info, replaced, 160, 8),
    ROW(weir_hub_info, refused, 168, 8),
    ROW(weir_hub_info, appends, 176, 8),
    ROW(weir_hub_info, reads, 184, 8),
    ROW(weir_hub_info, log_errors, 192, 8),
    ROW(weir_hub_info, stale, 200, 8),
    ROW(weir_hub_info, verdicts, 208, 80),
    ROW(weir_hub_info, reserved, 288, 64),
    ROW(weir_field, name, 0, 8),
    ROW(weir_field, name_len, 8, 8),
    ROW(weir_field, value, 16, 8),
    ROW(weir_field, value_len, 24, 8),
    ROW(weir_http_options, size, 0, 8),
    ROW(weir_http_options, origin, 8, 8),
    ROW(weir_http_options, origin_len, 16, 8),
    ROW(weir_http_options, fields, 24, 8),
    ROW(weir_http_options, field_count, 32, 8),
    ROW(weir_http_options, unknown_status, 40, 4),
    ROW(weir_http_options, flags, 44, 4),
    ROW(weir_http_options, prefix, 48, 8),
    ROW(weir_http_options, prefix_len, 56, 8),
    ROW(weir_http_options, reserved, 64, 32),
    ROW(weir_response, size, 0, 8),
    ROW(weir_response, status, 8, 4),
    ROW(weir_response, stream, 12, 4),
    ROW(weir_response, verdict, 16, 4),
    ROW(weir_response, error, 20, 4),
    ROW(weir_response, retry, 24, 4),
    ROW(weir_response, reserved0, 28, 4),
    ROW(weir_response, key, 32, 8),
    ROW(weir_response, key_len, 40, 8),
    ROW(weir_response, options, 48, 8),
    ROW(weir_response, reserved, 56, 16),
};

#define ROWS (sizeof rows / sizeof rows[0])

START_TEST(offsets_and_sizes_are_pinned) {
  size_t i;

  for (i = 0; i < ROWS; ++i) {
    ck_assert_msg(rows[i].offset == rows[i].offset_pinned &&
                      rows[i].size == rows[i].size_pinned,
                  "%s.%s is at %zu, %zu bytes", rows[i].type, rows[i].field,
                  rows[i].offset, rows[i].size);
  }
}
END_TEST

/* Padding would be invisible to the size, and so to whom it is from. */
START_TEST(structs_have_no_holes) {
  size_t end;
  size_t i;

  for (i = 0; i < ROWS; ++i) {
    end = rows[i].offset + rows[i].size;
    if (i + 1 < ROWS && strcmp(rows[i + 1].type, rows[i].type) == 0) {
      ck_assert_msg(rows[i + 1].offset == end, "a hole in front of %s.%s",
                    rows[i + 1].type, rows[i + 1].field);
    } else {
      ck_assert_msg(rows[i].whole == end, "a hole behind %s.%s", rows[i].type,
                    rows[i].field);
    }
  }
}
END_TEST

#else

START_TEST(offsets_and_sizes_are_pinned) {
}
END_TEST

START_TEST(structs_have_no_holes) {
}
END_TEST

#endif

/* --- Structs that are filled for the caller ------------------------------- */

static struct kit kit;
static weir_stream *stream;
static weir_subscriber *subscriber;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  kit_publish(stream, "x", "y");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
}

static void teardown(void) {
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  kit_end(&kit);
}

static int get_hub_info(void *info) {
  return weir_hub_get_info(kit.hub, info);
}

static int get_stream_info(void *info) {
  return weir_stream_get_info(stream, info);
}

static int get_subscriber_info(void *info) {
  return weir_subscriber_get_info(subscriber, info);
}

static int get_notice(void *notice) {
  int rv;

  /* There is one, again and again. */
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  kit_publish(stream, "x", "y");
  rv = weir_hub_next(kit.hub, notice);
  (void)kit_count(&kit, 0);
  return rv;
}

static int get_resolution(void *resolution) {
  const weir_epoch epoch = {7, 9};
  weir_state state;

  memset(&state, 0, sizeof state);
  state.size = sizeof state;
  state.epochs = &epoch;
  state.epoch_count = 1;
  state.last = 9;
  return weir_cursor_resolve(&state, NULL, WEIR_EABSENT, NULL, WEIR_FROM_HEAD,
                             resolution);
}

static int get_response(void *response) {
  return weir_http_respond(NULL, WEIR_OK, WEIR_VERDICT_FRESH, "a", 1, 77,
                           response);
}

#define START(name)                      \
  static int start_##name(void *s) {     \
    weir_##name##_init(s, *(size_t *)s); \
    return WEIR_OK;                      \
  }
START(allocator)
START(state)
START(record)
START(request)
START(frame)
START(event)
START(log)
START(answer)
START(hub_options)
START(open_options)
START(attach_options)
START(http_options)

static const struct {
  int (*get)(void *s);
  size_t size;
  bool start; /* an init function, which returns nothing */
} outs[] = {
    {get_hub_info, sizeof(weir_hub_info), false},
    {get_stream_info, sizeof(weir_stream_info), false},
    {get_subscriber_info, sizeof(weir_subscriber_info), false},
    {get_notice, sizeof(weir_notice), false},
    {get_resolution, sizeof(weir_resolution), false},
    {get_response, sizeof(weir_response), false},
    {start_allocator, sizeof(weir_allocator), true},
    {start_state, sizeof(weir_state), true},
    {start_record, sizeof(weir_record), true},
    {start_request, sizeof(weir_request), true},
    {start_frame, sizeof(weir_frame), true},
    {start_event, sizeof(weir_event), true},
    {start_log, sizeof(weir_log), true},
    {start_answer, sizeof(weir_answer), true},
    {start_hub_options, sizeof(weir_hub_options), true},
    {start_open_options, sizeof(weir_open_options), true},
    {start_attach_options, sizeof(weir_attach_options), true},
    {start_http_options, sizeof(weir_http_options), true},
};
#define OUTS (int)(sizeof outs / sizeof outs[0])

/* Room for any of them, and more. */
#define ROOM 512

/* Every size from none to far beyond. */
START_TEST(what_is_filled_is_as_much_as_there_is_room_for) {
  const size_t known = outs[_i].size;
  unsigned char whole[ROOM];
  unsigned char *callers;
  size_t size;
  size_t i;
  int rv;

  memset(whole, 0x55, sizeof whole);
  memcpy(whole, &known, sizeof known);
  ck_assert_int_eq(outs[_i].get(whole), WEIR_OK);
  for (size = sizeof size; size <= known + 64; size += 8) {
    callers = kit_fence(size);
    memset(callers, 0x55, size);
    memcpy(callers, &size, sizeof size);
    rv = outs[_i].get(callers);
    ck_assert_uint_eq(*(size_t *)(void *)callers, size);
    if (size == sizeof size) {
      ck_assert(outs[_i].start || rv == WEIR_EINVAL);
      continue;
    }
    ck_assert_int_eq(rv, WEIR_OK);
    for (i = sizeof size; i < size; ++i) {
      ck_assert_msg(callers[i] == (i < known ? whole[i] : 0), "byte %zu of %zu",
                    i, size);
    }
  }
}
END_TEST

/* --- Structs that the caller fills ---------------------------------------- */

static void fill_hub_options(void *s) {
  weir_hub_options_init(s, sizeof(weir_hub_options));
}

static int use_hub_options(const void *s) {
  weir_hub *hub = NULL;
  const int rv = weir_hub_new(s, &hub);

  weir_hub_free(hub);
  return rv;
}

static void fill_allocator(void *s) {
  memcpy(s, &kit.memory.allocator, sizeof kit.memory.allocator);
}

static int use_allocator(const void *s) {
  weir_hub_options options = kit.options;

  options.allocator = s;
  return use_hub_options(&options);
}

static int log_open(void *user, weir_hub *hub, uint64_t ticket,
                    const weir_log_request *request) {
  (void)user;
  (void)hub;
  (void)ticket;
  (void)request;
  return WEIR_ELOG;
}

static int log_append(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      const weir_record *records, size_t count) {
  (void)user;
  (void)hub;
  (void)ticket;
  (void)handle;
  (void)records;
  (void)count;
  return WEIR_ELOG;
}

static int log_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t after, uint64_t upto, size_t max_bytes) {
  (void)user;
  (void)hub;
  (void)ticket;
  (void)handle;
  (void)after;
  (void)upto;
  (void)max_bytes;
  return WEIR_ELOG;
}

static int log_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t through) {
  (void)user;
  (void)hub;
  (void)ticket;
  (void)handle;
  (void)through;
  return WEIR_ELOG;
}

static void log_close(void *user, void *handle) {
  (void)user;
  (void)handle;
}

static void fill_log(void *s) {
  weir_log *log = s;

  weir_log_init(log, sizeof *log);
  log->open = log_open;
  log->append = log_append;
  log->read = log_read;
  log->trim = log_trim;
  log->close = log_close;
}

static int use_log(const void *s) {
  weir_hub_options options = kit.options;

  options.log = s;
  return use_hub_options(&options);
}

static void fill_open_options(void *s) {
  const weir_open_options options = kit_open_options("a", NULL);

  memcpy(s, &options, sizeof options);
}

static int use_open_options(const void *s) {
  weir_stream *opened = NULL;
  const int rv = weir_hub_open(kit.hub, s, &opened);

  weir_stream_release(opened);
  return rv;
}

static void fill_attach_options(void *s) {
  const weir_attach_options options = kit_attach_options("a", NULL);

  memcpy(s, &options, sizeof options);
}

static int use_attach_options(const void *s) {
  weir_subscriber *attached = NULL;
  int verdict;
  const int rv = weir_hub_attach(kit.hub, s, &attached, &verdict);

  weir_subscriber_release(attached);
  return rv;
}

static int use_attach_options_http(const void *s) {
  weir_subscriber *attached = NULL;
  weir_response response;
  int rv;

  response.size = sizeof response;
  rv = weir_http_attach(kit.hub, s, NULL, &attached, &response);
  weir_subscriber_release(attached);
  return rv;
}

static void fill_request(void *s) {
  weir_request *request = s;

  weir_request_init(request, sizeof *request);
  request->header = "b-1";
  request->header_len = 3;
}

static int use_request(const void *s) {
  char text[WEIR_CURSOR_MAX];
  size_t len;

  return weir_cursor_pick(s, text, sizeof text, &len);
}

static int use_request_attach(const void *s) {
  weir_attach_options options = kit_attach_options("a", NULL);

  options.request = s;
  return use_attach_options(&options);
}

static void fill_event(void *s) {
  const weir_event event = kit_make_event("x", "y");

  memcpy(s, &event, sizeof event);
}

static int use_event(const void *s) {
  return weir_stream_publish(stream, s, 1, NULL);
}

static int use_signal(const void *s) {
  return weir_stream_signal(stream, s, NULL);
}

static int use_own_signal(const void *s) {
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  return weir_subscriber_signal(subscriber, s);
}

static void fill_frame(void *s) {
  weir_frame *frame = s;

  weir_frame_init(frame, sizeof *frame);
  frame->type = "x";
  frame->type_len = 1;
}

static int use_frame(const void *s) {
  char dst[64];
  size_t len;
  const int rv = weir_frame_encode_event(s, "1", 1, dst, sizeof dst, &len);

  return rv != WEIR_OK ? rv
                       : weir_frame_encode_signal(s, dst, sizeof dst, &len);
}

static void fill_state(void *s) {
  static const weir_epoch epoch = {7, 0};
  weir_state *state = s;

  memset(state, 0, sizeof *state);
  state->size = sizeof *state;
  state->epochs = &epoch;
  state->epoch_count = 1;
}

static int use_state(const void *s) {
  weir_resolution resolution;

  resolution.size = sizeof resolution;
  return weir_cursor_resolve(s, NULL, WEIR_EABSENT, NULL, WEIR_FROM_HEAD,
                             &resolution);
}

static int use_previous(const void *s) {
  weir_resolution resolution;
  weir_state state;

  fill_state(&state);
  resolution.size = sizeof resolution;
  return weir_cursor_resolve(&state, s, WEIR_EABSENT, NULL, WEIR_FROM_HEAD,
                             &resolution);
}

static void fill_http_options(void *s) {
  weir_http_options_init(s, sizeof(weir_http_options));
}

static int use_http_options(const void *s) {
  weir_response response;

  response.size = sizeof response;
  return weir_http_respond(s, WEIR_OK, WEIR_VERDICT_FRESH, "a", 1, 0,
                           &response);
}

static void fill_response(void *s) {
  weir_response *response = s;

  response->size = sizeof *response;
  ck_assert_int_eq(weir_http_respond(NULL, WEIR_EDRAINING, WEIR_VERDICT_PENDING,
                                     NULL, 0, 0, response),
                   WEIR_OK);
}

static int use_response(const void *s) {
  weir_field field;
  char dst[1024];
  size_t len;
  int rv = weir_http_write_head(s, dst, sizeof dst, &len);

  if (rv == WEIR_OK) {
    rv = weir_http_write_body(s, dst, sizeof dst, &len);
  }
  return rv == WEIR_OK ? weir_http_get_field(s, 0, dst, sizeof dst, &field)
                       : rv;
}

static const struct {
  void (*fill)(void *s);
  int (*use)(const void *s);
  size_t size;
  size_t least; /* of what there has to be */
} ins[] = {
    {fill_hub_options, use_hub_options, sizeof(weir_hub_options), 16},
    {fill_allocator, use_allocator, sizeof(weir_allocator), 32},
    {fill_log, use_log, sizeof(weir_log), 64},
    {fill_open_options, use_open_options, sizeof(weir_open_options), 24},
    {fill_attach_options, use_attach_options, sizeof(weir_attach_options), 24},
    {fill_attach_options, use_attach_options_http, sizeof(weir_attach_options),
     24},
    {fill_request, use_request, sizeof(weir_request), 24},
    {fill_request, use_request_attach, sizeof(weir_request), 24},
    {fill_event, use_event, sizeof(weir_event), 24},
    {fill_event, use_signal, sizeof(weir_event), 24},
    {fill_event, use_own_signal, sizeof(weir_event), 24},
    {fill_frame, use_frame, sizeof(weir_frame), 24},
    {fill_state, use_state, sizeof(weir_state), 24},
    {fill_state, use_previous, sizeof(weir_state), 24},
    {fill_http_options, use_http_options, sizeof(weir_http_options), 16},
    {fill_response, use_response, sizeof(weir_response), 16},
};
#define INS (int)(sizeof ins / sizeof ins[0])

START_TEST(an_older_caller_has_less) {
  unsigned char whole[ROOM];
  size_t *callers;
  size_t size;
  int rv;

  ins[_i].fill(whole);
  for (size = sizeof size; size <= ins[_i].size; size += 8) {
    callers = kit_fenced(whole, size);
    *callers = size;
    rv = ins[_i].use(callers);
    if (size >= ins[_i].least) {
      ck_assert_msg(rv == WEIR_OK, "%d with %zu bytes", rv, size);
    } else {
      /* Not what it was meant to be, but nothing worse. */
      ck_assert(size != sizeof size || rv == WEIR_EINVAL);
    }
  }
  callers = kit_fenced(&size, sizeof size);
  *callers = 0;
  ck_assert_int_eq(ins[_i].use(callers), WEIR_EINVAL);
}
END_TEST

START_TEST(a_newer_caller_has_more) {
  const size_t known = ins[_i].size;
  unsigned char whole[ROOM];
  unsigned char *callers;
  size_t size;
  size_t i;

  memset(whole, 0, sizeof whole);
  ins[_i].fill(whole);
  for (size = known + 8; size <= known + 40; size += 8) {
    callers = kit_fenced(whole, size);
    memcpy(callers, &size, sizeof size);
    ck_assert_int_eq(ins[_i].use(callers), WEIR_OK);
    for (i = known; i < size; ++i) {
      callers[i] = 1;
      ck_assert_int_eq(ins[_i].use(callers), WEIR_EINVAL);
      callers[i] = 0;
    }
  }
}
END_TEST

/* A reserved field that is not zero means something that this library does not
 * know. */
START_TEST(reserved_fields_are_zero) {
  static const struct {
    int in; /* number of the row above */
    size_t from;
    size_t upto;
  } fields[] = {
      {0, offsetof(weir_hub_options, reserved), sizeof(weir_hub_options)},
      {2, offsetof(weir_log, reserved), sizeof(weir_log)},
      {3, offsetof(weir_open_options, reserved), sizeof(weir_open_options)},
      {4, offsetof(weir_attach_options, reserved), sizeof(weir_attach_options)},
      {4, offsetof(weir_attach_options, reserved0),
       offsetof(weir_attach_options, heartbeat)},
      {8, offsetof(weir_event, reserved), sizeof(weir_event)},
      {8, offsetof(weir_event, reserved0), offsetof(weir_event, reserved)},
      {9, offsetof(weir_event, reserved), sizeof(weir_event)},
      {10, offsetof(weir_event, reserved), sizeof(weir_event)},
      {14, offsetof(weir_http_options, reserved), sizeof(weir_http_options)},
  };
  size_t whole[ROOM / sizeof(size_t)];
  unsigned char *bytes = (unsigned char *)whole;
  size_t i;

  ins[fields[_i].in].fill(whole);
  for (i = fields[_i].from; i < fields[_i].upto; ++i) {
    bytes[i] = 1;
    ck_assert_int_eq(ins[fields[_i].in].use(whole), WEIR_EINVAL);
    bytes[i] = 0;
  }
  ck_assert_int_eq(ins[fields[_i].in].use(whole), WEIR_OK);
}
END_TEST

START_TEST(an_array_has_the_callers_step) {
  const size_t steps[] = {48, sizeof(weir_event), sizeof(weir_event) + 40};
  const size_t step = steps[_i];
  unsigned char *events = kit_fence(3 * step);
  weir_event event;
  size_t i;

  memset(events, 0, 3 * step);
  for (i = 0; i < 3; ++i) {
    event = kit_make_event("x", i == 0 ? "a" : i == 1 ? "b" : "c");
    event.size = step;
    memcpy(events + i * step, &event,
           step < sizeof event ? step : sizeof event);
  }
  ck_assert_int_eq(
      weir_stream_publish(stream, (const weir_event *)(void *)events, 3, NULL),
      WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@0 fresh; x@1 y; x@2 a; x@3 b; x@4 c");
}
END_TEST

START_TEST(nothing_is_no_struct) {
  weir_subscriber *attached = NULL;
  weir_stream *opened = NULL;
  int verdict;

  ck_assert_int_eq(weir_hub_get_info(kit.hub, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_get_info(stream, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_get_info(subscriber, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_hub_open(kit.hub, NULL, &opened), WEIR_EINVAL);
  ck_assert_int_eq(weir_hub_attach(kit.hub, NULL, &attached, &verdict),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_signal(stream, NULL, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, NULL), WEIR_EINVAL);
  ck_assert_int_eq(
      weir_http_respond(NULL, WEIR_OK, WEIR_VERDICT_FRESH, "a", 1, 0, NULL),
      WEIR_EINVAL);
}
END_TEST

/* weir_bytes can be handed to writev as it is. */
START_TEST(bytes_are_laid_out_like_an_iovec) {
  ck_assert_uint_eq(offsetof(weir_bytes, base), 0);
  ck_assert_uint_eq(offsetof(weir_bytes, len), sizeof(void *));
  ck_assert_uint_eq(sizeof(weir_bytes), 2 * sizeof(void *));
}
END_TEST

static TCase *abi(void) {
  TCase *tcase = tcase_create("abi");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, offsets_and_sizes_are_pinned);
  tcase_add_test(tcase, structs_have_no_holes);
  tcase_add_loop_test(tcase, what_is_filled_is_as_much_as_there_is_room_for, 0,
                      OUTS);
  tcase_add_loop_test(tcase, an_older_caller_has_less, 0, INS);
  tcase_add_loop_test(tcase, a_newer_caller_has_more, 0, INS);
  tcase_add_loop_test(tcase, reserved_fields_are_zero, 0, 10);
  tcase_add_loop_test(tcase, an_array_has_the_callers_step, 0, 3);
  tcase_add_test(tcase, nothing_is_no_struct);
  tcase_add_test(tcase, bytes_are_laid_out_like_an_iovec);
  return tcase;
}

KIT_MAIN("abi", abi())
