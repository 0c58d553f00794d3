/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Storage that lies: a log of one stream whose answers are bent by bytes before
 * they are given, or given twice, or never. Whatever it says, a client is given
 * only what has been an event of some answer or was stored, under that number,
 * and nothing is skipped in silence. Where numbers have holes, that is
 * storage's word: then nothing is skipped if its answers are not bent. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

#define CALLS_MOST 300
#define WAITING 16
#define READERS 3
#define EPOCHS 8
#define EVENTS 64
#define NUMBERS 4096

/* Events in an answer where numbers have holes: it takes several to have all.
 */
#define FEW 3

enum { OPEN, APPEND, READ, TRIM };

/* A call that has not been answered. */
struct wait {
  uint64_t ticket;
  int kind;          /* -1: none */
  weir_cursor first; /* append: what is to be stored */
  size_t count;
  weir_epoch epochs[EPOCHS]; /* of its answer, which points here */
  weir_record records[EVENTS];
  char data[EVENTS][16];
  char frames[EVENTS][96];
  unsigned char meta[64];
  weir_answer answer;
};

struct world {
  struct kit kit;
  struct fuzz_input input;
  weir_log log;
  /* What is stored; without an epoch, nothing is. */
  weir_epoch epochs[EPOCHS];
  size_t epoch_count;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  bool has[NUMBERS]; /* an event of this number */
  size_t count;
  bool is_sparse;
  bool is_honest; /* no answer is bent, and there is one generation */
  unsigned char meta[64];
  size_t meta_len;
  size_t handles; /* that are open */
  /* What an answer has said, or has been stored: by number and epoch. What
   * storage has made up has a number for data, which is its own unless that has
   * been bent. */
  struct known {
    uint64_t epoch;
    uint64_t seq;
    uint64_t data;
  } known[4096];
  size_t known_count;
  weir_stream *stream;
  bool is_free; /* the hub: it is answered once */
  struct fuzz_reader readers[READERS];
};

static struct wait waiting[WAITING];

static void know(struct world *world, uint64_t epoch, uint64_t seq,
                 uint64_t data) {
  const struct known known = {epoch, seq, data};

  if (world->known_count < sizeof world->known / sizeof world->known[0]) {
    world->known[world->known_count++] = known;
  }
}

/* An event that a client was given. */
static void check_event(void *user, const struct kit_event *event,
                        const weir_cursor *cursor) {
  const struct world *world = user;
  const bool is_number = event->data[0] >= '0' && event->data[0] <= '9';
  const uint64_t data = is_number ? strtoull(event->data, NULL, 10) : 0;
  size_t i = 0;

  while (i < world->known_count &&
         (world->known[i].epoch != cursor->epoch ||
          world->known[i].seq != cursor->seq ||
          (is_number && world->known[i].data != data))) {
    i += 1;
  }
  kit_need(i < world->known_count);
}

/* --- Honest answers --------------------------------------------------------*/

static uint64_t epoch_of(const struct world *world, uint64_t seq) {
  size_t i = 0;

  while (i + 1 < world->epoch_count && world->epochs[i].last < seq) {
    i += 1;
  }
  return world->epochs[i].epoch;
}

static void fill_state(const struct world *world, struct wait *wait) {
  memcpy(wait->epochs, world->epochs, sizeof wait->epochs);
  memcpy(wait->meta, world->meta, sizeof wait->meta);
  wait->answer.epochs = wait->epochs;
  wait->answer.epoch_count = world->epoch_count;
  wait->answer.trimmed = world->trimmed;
  wait->answer.last = world->last;
  wait->answer.ended = world->ended;
}

/* Half of what storage keeps it gives back as frames. */
static void fill_record(const struct world *world, struct wait *wait, size_t i,
                        uint64_t seq) {
  weir_record *record = &wait->records[i];
  weir_frame frame;
  const weir_cursor cursor = {epoch_of(world, seq), seq};
  char id[WEIR_CURSOR_MAX];
  size_t id_len;
  const bool is_end = seq == world->ended;

  weir_record_init(record, sizeof *record);
  record->epoch = cursor.epoch;
  record->seq = seq;
  record->flags = is_end ? WEIR_RECORD_END : 0;
  record->type = is_end ? "weir.done" : "x";
  record->type_len = is_end ? 9 : 1;
  record->data = wait->data[i];
  record->data_len = (size_t)snprintf(wait->data[i], sizeof wait->data[i],
                                      "%llu", (unsigned long long)seq);
  if (seq % 2 == 0) {
    ck_assert_int_eq(
        weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, id, sizeof id, &id_len),
        WEIR_OK);
    weir_frame_init(&frame, sizeof frame);
    frame.type = record->type;
    frame.type_len = record->type_len;
    frame.data = record->data;
    frame.data_len = record->data_len;
    ck_assert_int_eq(
        weir_frame_encode_event(&frame, id, id_len, wait->frames[i],
                                sizeof wait->frames[i], &record->frame_len),
        WEIR_OK);
    record->frame = wait->frames[i];
  }
}

/* The event that follows a number, if there is one. */
static uint64_t next_event(void *user, uint64_t at) {
  const struct world *world = user;
  uint64_t seq = at + 1;

  if (!world->is_honest) {
    return 0;
  }
  while (seq < NUMBERS && !world->has[seq]) {
    seq += 1;
  }
  return seq;
}

/* Store an event so far behind the last; false: there is no room. */
static bool store(struct world *world, uint64_t step) {
  if (world->count + 1 >= EVENTS || world->last + step >= NUMBERS) {
    return false;
  }
  world->count += 1;
  world->last += step;
  world->has[world->last] = true;
  world->epochs[world->epoch_count - 1].last = world->last;
  return true;
}

static void add_epoch(struct world *world, uint64_t epoch) {
  if (world->epoch_count == EPOCHS) {
    memmove(world->epochs, world->epochs + 1,
            (EPOCHS - 1) * sizeof world->epochs[0]);
    world->epoch_count -= 1;
  }
  world->epochs[world->epoch_count].epoch = epoch;
  world->epochs[world->epoch_count++].last = world->last;
}

/* --- Bent answers ----------------------------------------------------------*/

static void bend_number(struct fuzz_input *input, uint64_t *number) {
  const uint8_t how = fuzz_byte(input);

  *number = how < 8     ? *number + how
            : how < 16  ? *number - (how & 7u)
            : how < 128 ? how & 31u
                        : fuzz_extreme(input);
}

static void bend_record(struct fuzz_input *input, weir_record *record,
                        char *frame) {
  const uint8_t what = fuzz_byte(input);
  static const char *const extras[] = {"\n",   "data: 1\n\n", ":\n",
                                       "\r\n", "id: b-1\n",   "retry: 1\n"};
  const char *extra = extras[what % 6];

  switch (what >> 4) {
    case 0:
      bend_number(input, &record->epoch);
      break;
    case 1:
    case 2:
      bend_number(input, &record->seq);
      break;
    case 3:
      record->flags = fuzz_byte(input);
      break;
    case 4:
      record->size = fuzz_byte(input) & 1;
      break;
    case 5:
      record->type = "weir.reads\nid: 1";
      record->type_len = what & 15;
      break;
    case 6:
      record->reserved[what & 1] = 1;
      break;
    case 7:
      record->data = NULL;
      record->data_len = 0;
      record->frame = NULL;
      record->frame_len = what & 1;
      break;
    case 8:
      record->frame_len -= record->frame == NULL ? 0 : what & 3;
      break;
    default:
      if (record->frame != NULL && record->frame_len + strlen(extra) < 96) {
        const size_t at =
            (what & 8) != 0 ? record->frame_len : fuzz_byte(input) % 8;

        memmove(frame + at + strlen(extra), frame + at, record->frame_len - at);
        memcpy(frame + at, extra, strlen(extra));
        record->frame_len += strlen(extra);
      }
      break;
  }
}

/* Change a byte of the stream's settings; not of the prefix or its length, the
 * third: by that, readers know what weir says. */
static void bend_meta(struct fuzz_input *input, struct wait *wait) {
  const size_t at = fuzz_byte(input) % sizeof wait->meta;
  const uint8_t by = fuzz_byte(input);
  const size_t prefix = wait->answer.meta_len - 5;

  if (wait->answer.meta_len == 0) {
    return;
  }
  if (at != 2 && (at < prefix || at >= prefix + 5)) {
    wait->meta[at] ^= by;
  }
  wait->answer.meta_len -= fuzz_byte(input) & 1;
}

static void bend(struct world *world, struct wait *wait) {
  struct fuzz_input *input = &world->input;
  weir_answer *answer = &wait->answer;
  static const int32_t results[] = {0,
                                    2,
                                    WEIR_EUNKNOWN,
                                    WEIR_EENDED,
                                    WEIR_EFENCED,
                                    WEIR_ENOENT,
                                    WEIR_EEXISTS,
                                    INT32_MIN,
                                    WEIR_LOG_YES,
                                    WEIR_EHOST};
  size_t i;
  uint64_t count;

  switch (fuzz_byte(input) % 14) {
    case 0:
      answer->result = results[fuzz_byte(input) % 10];
      break;
    case 1:
      bend_number(input, &answer->trimmed);
      break;
    case 2:
      bend_number(input, &answer->last);
      break;
    case 3:
      bend_number(input, &answer->ended);
      break;
    case 4:
      answer->epoch_count = fuzz_byte(input) % (EPOCHS + 1);
      break;
    case 5:
      answer->epochs = NULL;
      break;
    case 6:
    case 7:
      i = fuzz_byte(input);
      bend_number(input, (i & 8) != 0 ? &wait->epochs[i % EPOCHS].epoch
                                      : &wait->epochs[i % EPOCHS].last);
      break;
    case 8:
      bend_number(input, &answer->lost_through);
      break;
    case 9:
      count = answer->record_count;
      bend_number(input, &count);
      answer->record_count = count <= answer->record_count ? (size_t)count : 0;
      break;
    case 10:
      answer->shared = fuzz_byte(input) & 3;
      answer->first = fuzz_extreme(input);
      break;
    case 11:
      bend_meta(input, wait);
      break;
    default:
      if (answer->record_count != 0) {
        i = fuzz_byte(input) % answer->record_count;
        bend_record(input, &wait->records[i], wait->frames[i]);
      }
      break;
  }
}

/* Give the answer, which may be the second. */
static void answer(struct world *world, struct wait *wait) {
  const uint8_t how = fuzz_byte(&world->input);
  int bends = how < 128 || world->is_honest ? 0 : how & 3;
  size_t i;

  if (wait->kind < 0) {
    return;
  }
  for (; bends > 0; --bends) {
    bend(world, wait);
  }
  for (i = 0; i < wait->answer.record_count; ++i) {
    know(world, wait->records[i].epoch, wait->records[i].seq,
         strtoull(wait->data[i], NULL, 10));
  }
  for (i = 0; i < wait->count && wait->answer.result == WEIR_LOG_YES; ++i) {
    know(world, wait->first.epoch, wait->first.seq + i, wait->first.seq + i);
  }
  if (wait->kind == OPEN && wait->answer.result == WEIR_LOG_YES) {
    wait->answer.handle = world;
    world->handles += 1;
  }
  if (weir_log_answer(world->kit.hub, wait->ticket, &wait->answer) ==
          WEIR_EINVAL &&
      wait->answer.handle != NULL) {
    /* That was no yes. */
    world->handles -= 1;
  }
  if ((how & 0x70) == 0x70 && !world->is_free) {
    (void)weir_log_answer(world->kit.hub, wait->ticket, &wait->answer);
  }
  wait->kind = -1;
}

/* --- The functions of the table --------------------------------------------*/

/* A place for a call; NULL: there is none. */
static struct wait *place(int kind, uint64_t ticket) {
  struct wait *wait = waiting;

  while (wait->kind >= 0) {
    if (++wait == waiting + WAITING) {
      return NULL;
    }
  }
  wait->kind = kind;
  wait->ticket = ticket;
  wait->count = 0;
  weir_answer_init(&wait->answer, sizeof wait->answer);
  wait->answer.result = WEIR_LOG_YES;
  return wait;
}

/* The call has been done: answer it now or later, or say no. */
static int leave(struct world *world, struct wait *wait) {
  const uint8_t how = fuzz_byte(&world->input);

  if (how < 160) {
    answer(world, wait);
  } else if (how >= 250) {
    wait->kind = -1;
    return how == 250 ? 0 : how == 251 ? 2 : WEIR_EIO;
  }
  return WEIR_LOG_YES;
}

static int log_open(void *user, weir_hub *hub, uint64_t ticket,
                    const weir_log_request *request) {
  struct world *world = user;
  struct wait *wait = place(OPEN, ticket);
  const bool is_there = world->epoch_count != 0;

  (void)hub;
  if (wait == NULL) {
    return WEIR_EIO;
  }
  if (request->mode == WEIR_LOG_CREATE) {
    if ((is_there ? world->epochs[0].epoch : 0) != request->generation) {
      wait->answer.result = WEIR_EEXISTS;
    } else {
      kit_need(request->meta_len <= sizeof world->meta);
      memcpy(world->meta, request->meta, request->meta_len);
      world->meta_len = request->meta_len;
      world->is_honest = world->is_honest && !is_there;
      world->epoch_count = 0;
      world->last = world->trimmed = world->ended = 0;
      world->count = 0;
      memset(world->has, 0, sizeof world->has);
      add_epoch(world, request->epoch);
    }
  } else if (!is_there || (request->mode == WEIR_LOG_TAKE &&
                           request->generation != world->epochs[0].epoch)) {
    wait->answer.result = WEIR_ENOENT;
  } else if (request->mode == WEIR_LOG_TAKE && world->ended == 0 &&
             world->epoch_count < EPOCHS) {
    add_epoch(world, request->epoch);
  }
  fill_state(world, wait);
  wait->answer.meta = wait->meta;
  wait->answer.meta_len = world->meta_len;
  return leave(world, wait);
}

static int log_append(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      const weir_record *records, size_t count) {
  struct world *world = user;
  struct wait *wait = place(APPEND, ticket);
  size_t i;

  (void)hub;
  kit_need(handle == world && count != 0);
  if (wait == NULL) {
    return WEIR_EIO;
  }
  for (i = 1; i < count; ++i) {
    kit_need(records[i].frame == NULL ||
             records[i].seq == records[i - 1].seq + 1);
  }
  /* Its numbers may be beside what is stored here, if this has lied. */
  wait->first.epoch = records[0].epoch;
  wait->first.seq = records[0].seq;
  wait->count = count;
  if (world->epoch_count == 0 || world->ended != 0) {
    wait->answer.result = WEIR_EENDED;
  } else if (records[0].epoch != world->epochs[world->epoch_count - 1].epoch) {
    wait->answer.result = WEIR_EFENCED;
  } else if (world->count + count < EVENTS && world->last + count < NUMBERS) {
    for (i = 0; i < count; ++i) {
      (void)store(world, 1);
    }
    if ((records[count - 1].flags & WEIR_RECORD_END) != 0) {
      world->ended = world->last;
    }
  } else {
    wait->answer.result = WEIR_EFULL;
  }
  fill_state(world, wait);
  return leave(world, wait);
}

static int log_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t after, uint64_t upto, size_t max_bytes) {
  struct world *world = user;
  struct wait *wait = place(READ, ticket);
  uint64_t seq;

  (void)hub;
  kit_need(handle == world && after < upto && max_bytes != 0);
  if (wait == NULL) {
    return WEIR_EIO;
  }
  fill_state(world, wait);
  wait->answer.records = wait->records;
  seq = after > world->trimmed ? after : world->trimmed;
  for (seq += 1; seq <= upto && seq <= world->last &&
                 (!world->is_sparse || wait->answer.record_count < FEW);
       ++seq) {
    if (world->has[seq]) {
      fill_record(world, wait, wait->answer.record_count++, seq);
    }
  }
  return leave(world, wait);
}

static int log_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t through) {
  struct world *world = user;
  struct wait *wait = place(TRIM, ticket);

  (void)hub;
  kit_need(handle == world);
  if (wait == NULL) {
    return WEIR_EIO;
  }
  if (through > world->trimmed && through <= world->last) {
    world->trimmed = through;
  }
  fill_state(world, wait);
  return leave(world, wait);
}

static void log_close(void *user, void *handle) {
  struct world *world = user;

  kit_need(handle == world && world->handles != 0);
  world->handles -= 1;
}

/* --- The hub ---------------------------------------------------------------*/

static void attach(struct world *world, struct fuzz_reader *reader) {
  weir_attach_options options = kit_attach_options("k", "");
  weir_subscriber *subscriber = NULL;
  weir_request request;
  int verdict;

  fuzz_reader_end(reader);
  weir_request_init(&request, sizeof request);
  request.header = reader->client.last_id;
  request.header_len = strlen(reader->client.last_id);
  options.request = &request;
  if (weir_hub_attach(world->kit.hub, &options, &subscriber, &verdict) ==
          WEIR_OK &&
      subscriber != NULL) {
    fuzz_reader_begin(reader, subscriber);
  }
}

static void publish(struct world *world, size_t count) {
  weir_event events[3];
  size_t i;

  for (i = 0; i < count; ++i) {
    events[i] = kit_make_event("x", "published");
  }
  (void)weir_stream_publish(world->stream, events, count, NULL);
}

/* Somebody else does something to what is stored. */
static void intrude(struct world *world, uint8_t how) {
  if (world->epoch_count == 0 || world->ended != 0) {
    return;
  }
  if ((how & 3) == 0 && world->epoch_count < EPOCHS) {
    add_epoch(world, world->is_honest ? 2000 + (uint64_t)world->epoch_count
                                      : 1000 + (uint64_t)how);
  } else if ((how & 3) == 1 && world->trimmed < world->last) {
    world->trimmed += 1;
  } else {
    (void)store(world, world->is_sparse ? 1 + (uint64_t)(how >> 2) * 90 : 1);
  }
}

static void call(struct world *world) {
  const uint8_t what = fuzz_byte(&world->input);
  struct fuzz_reader *reader = &world->readers[(what >> 4) % READERS];
  weir_open_options options = kit_open_options("k", "");
  weir_notice notice;

  switch (what % 16) {
    case 0:
      weir_stream_release(world->stream);
      world->stream = NULL;
      options.on_duplicate = (what >> 4) % 3;
      options.flags = (what >> 4) > 12 ? WEIR_OPEN_LOOK : 0;
      (void)weir_hub_open(world->kit.hub, &options, &world->stream);
      break;
    case 1:
    case 2:
      publish(world, 1 + (what >> 4) % 3);
      break;
    case 3:
      (void)((what >> 4) < 8 ? weir_stream_end(world->stream, NULL, 0, 0, NULL)
                             : weir_stream_cancel(world->stream, NULL, 0));
      break;
    case 4:
      (void)weir_stream_trim(world->stream, what >> 4);
      break;
    case 5:
    case 6:
      attach(world, reader);
      break;
    case 7:
    case 8:
    case 9:
      while (reader->subscriber != NULL &&
             fuzz_reader_take(reader, 1 + (size_t)what, what >= 128) ==
                 WEIR_OK) {
      }
      break;
    case 10:
      intrude(world, what >> 4);
      break;
    case 11:
      (void)weir_hub_hint(world->kit.hub, "k", 1, world->last);
      break;
    case 12:
    case 13:
      answer(world, &waiting[what >> 4]);
      break;
    case 14:
      world->kit.now += (uint64_t)(what >> 4) * 2000;
      break;
    default:
      notice.size = sizeof notice;
      while (weir_hub_next(world->kit.hub, &notice) == WEIR_OK) {
      }
      break;
  }
}

/* Some are answered before the hub goes, the others after it; then nothing is
 * held any more. */
static void finish(struct world *world) {
  size_t i;

  weir_stream_release(world->stream);
  for (i = 0; i < READERS; ++i) {
    fuzz_reader_free(&world->readers[i]);
  }
  for (i = 0; i < WAITING / 2; ++i) {
    answer(world, &waiting[i]);
  }
  weir_hub_free(world->kit.hub);
  world->is_free = true;
  for (i = 0; i < WAITING; ++i) {
    answer(world, &waiting[i]);
  }
  ck_assert_uint_eq(world->handles, 0);
  ck_assert_uint_eq(world->kit.memory.live, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct world world;
  size_t i;
  int calls;
  uint8_t how;

  memset(&world, 0, sizeof world);
  world.input.p = data;
  world.input.left = size;
  how = fuzz_byte(&world.input);
  kit_init(&world.kit);
  weir_log_init(&world.log, sizeof world.log);
  world.log.user = &world;
  world.log.open = log_open;
  world.log.append = log_append;
  world.log.read = log_read;
  world.log.trim = log_trim;
  world.log.close = log_close;
  world.is_sparse = (how & 2) != 0;
  world.is_honest = (how & 4) != 0;
  world.log.flags = world.is_sparse ? WEIR_LOG_SPARSE : 0;
  world.kit.options.log = &world.log;
  world.kit.options.history_bytes = (how & 1) != 0 ? 1 : 1 << 20;
  kit_hub(&world.kit);
  for (i = 0; i < WAITING; ++i) {
    waiting[i].kind = -1;
  }
  for (i = 0; i < READERS; ++i) {
    fuzz_reader_init(&world.readers[i]);
    world.readers[i].check = check_event;
    world.readers[i].next = world.is_sparse ? next_event : NULL;
    world.readers[i].user = &world;
  }
  for (calls = 0; calls < CALLS_MOST && world.input.left != 0; ++calls) {
    call(&world);
  }
  finish(&world);
  return 0;
}
