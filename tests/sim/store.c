/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "host.h"
#include "world.h"

#define READ_MOST 80 /* records in an answer */

enum { OPEN, APPEND, READ, TRIM };

static const char *const kinds[] = {"open", "append", "read", "trim"};

struct port {
  struct host *host;
  bool dead;
  size_t handles; /* that are open */
  size_t waiting; /* calls that have not been answered, or not often enough */
  size_t never;   /* calls that never will be */
  uint64_t never_until; /* by the hub's clock: then all are overdue */
  struct port *next;
};

/* What an open was answered with. Kept until the world ends, so that one that
 * is closed twice is seen. */
struct handle {
  struct handle *next;
  struct port *port;
  struct generation *generation;
  bool closed;
};

/* How an answer is spoilt: all of it can be seen to be wrong. */
enum {
  SOUND,
  ZERO,      /* the result is 0 */
  POSITIVE,  /* or a number that means nothing */
  NO_STATE,  /* there are no epochs */
  BAD_END,   /* the end is beyond the last */
  BAD_TRIM,  /* more is trimmed than there was */
  SWAPPED,   /* records in disorder */
  HOLE,      /* a record is missing */
  REPEATED,  /* a record comes twice */
  BAD_EPOCH, /* of a record */
  CUT,       /* a frame is not whole, or text is not UTF-8 */
  SPOILS
};

struct call {
  struct call *next;
  struct port *port;
  weir_hub *hub;
  uint64_t ticket;
  int kind;
  struct handle *handle;
  struct generation *generation;
  uint64_t at;       /* of the hub's clock, when it was made */
  uint64_t deadline; /* ms */
  bool done;
  int refusal; /* it is not to be done */
  int lie;     /* it is done, and this is said */
  int spoil;
  unsigned answers; /* to be given */
  unsigned given;
  int result;
  /* open */
  int mode;
  unsigned key;
  bool shared;
  uint64_t name;
  uint64_t epoch;
  char *meta;
  size_t meta_len;
  struct handle *made;
  /* append */
  struct fact **facts; /* as the hub has them: not yet in the model */
  size_t count;
  uint64_t first;
  /* read, trim */
  uint64_t after;
  uint64_t upto;
  size_t max_bytes;
  /* The state when it was done. */
  weir_epoch epochs[MODEL_EPOCHS];
  size_t epoch_count;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
};

static struct {
  struct chance chance;
  bool begun;
  struct port *ports;
  struct handle *handles;
  struct call *calls;
} store;

static void *make(size_t size) {
  void *made = calloc(1, size);

  if (made == NULL) {
    abort();
  }
  return made;
}

static char *copy(const void *bytes, size_t len) {
  char *made = make(len + 1);

  if (len != 0) {
    memcpy(made, bytes, len);
  }
  return made;
}

static void free_call(struct call *call) {
  struct call **at = &store.calls;
  size_t i;

  while (*at != call) {
    at = &(*at)->next;
  }
  *at = call->next;
  for (i = 0; i < call->count; ++i) {
    if (call->facts[i] != NULL) {
      free(call->facts[i]->type);
      free(call->facts[i]->data);
      free(call->facts[i]->frame);
      free(call->facts[i]);
    }
  }
  free(call->facts);
  free(call->meta);
  free(call);
}

static struct generation *newest(unsigned key) {
  struct generation *generation = world.model.newest[key];

  while (generation != NULL && generation->gone) {
    generation = generation->older;
  }
  return generation;
}

/* --- Doing what is asked for ----------------------------------------------*/

static int do_open(struct call *call) {
  struct generation *generation = newest(call->key);
  const uint64_t name = generation == NULL ? 0 : generation->epochs[0].epoch;

  if (call->mode == WEIR_LOG_CREATE) {
    if (name != call->name) {
      return WEIR_EEXISTS;
    }
    generation = model_begin(&world.model, call->key, call->epoch);
    generation->shared = call->shared;
    generation->writers[0] = call->port;
    generation->meta = copy(call->meta, call->meta_len);
    generation->meta_len = call->meta_len;
    trace_say("    storage begins %s", model_name(generation));
  } else if (call->mode == WEIR_LOG_TAKE) {
    generation = model_find(&world.model, call->key, call->name);
    if (generation == NULL || generation->gone) {
      return WEIR_ENOENT;
    }
    if (generation->ended == 0) {
      model_take(generation, call->epoch);
      generation->writers[generation->epoch_count - 1] = call->port;
      trace_say("    storage gives %s to host %u from %llu on",
                model_name(generation), call->port->host->number,
                (unsigned long long)generation->last + 1);
    }
  } else if (generation == NULL) {
    return WEIR_ENOENT;
  }
  call->generation = generation;
  return WEIR_LOG_YES;
}

/* What came is what was said, word for word. */
static void check_content(const struct generation *generation,
                          const struct fact *fact) {
  struct content content;

  if (fact->number == 0) {
    if ((fact->flags & WEIR_RECORD_END) == 0) {
      trace_fail(5, "%s: an event that nobody said: \"%.40s\"",
                 model_name(generation), fact->data);
    }
    return;
  }
  content_make(&content, world.plan.seed, fact->number, world.plan.event_bytes);
  if (fact->type_len != strlen(content.type) ||
      memcmp(fact->type, content.type, fact->type_len) != 0 ||
      fact->data_len != content.data.len ||
      memcmp(fact->data, content.data.data, fact->data_len) != 0) {
    trace_fail(5, "%s: #%u is not what was said", model_name(generation),
               fact->number);
  }
  content_free(&content);
}

static int do_append(struct call *call) {
  struct generation *generation = call->generation;
  struct fact *fact;
  struct fact *added;
  size_t i;

  if (generation->ended != 0) {
    return WEIR_EENDED;
  }
  for (i = 0; i < call->count; ++i) {
    if (call->facts[i]->epoch != model_epoch(generation)) {
      return WEIR_EFENCED;
    }
  }
  call->first = generation->last + 1;
  for (i = 0; i < call->count; ++i) {
    fact = call->facts[i];
    if (fact->seq != (generation->shared ? 0 : generation->last + 1)) {
      trace_fail(3, "%s: event %llu is appended after %llu",
                 model_name(generation), (unsigned long long)fact->seq,
                 (unsigned long long)generation->last);
    }
    check_content(generation, fact);
    added = model_add(&world.model, generation, fact->epoch, fact->number,
                      fact->flags);
    added->type = fact->type;
    added->type_len = fact->type_len;
    added->data = fact->data;
    added->data_len = fact->data_len;
    added->frame = fact->frame;
    added->frame_len = fact->frame_len;
    added->waits = call->port;
    free(fact);
    call->facts[i] = NULL;
  }
  if (generation->shared) {
    host_hint(call->port->host, generation);
  }
  return WEIR_LOG_YES;
}

static void take_state(struct call *call) {
  const struct generation *generation = call->generation;

  memcpy(call->epochs, generation->epochs,
         generation->epoch_count * sizeof call->epochs[0]);
  call->epoch_count = generation->epoch_count;
  call->trimmed = generation->trimmed;
  call->last = generation->last;
  call->ended = generation->ended;
}

static void perform(struct call *call) {
  call->done = true;
  if (call->refusal != 0) {
    call->result = call->refusal;
    return;
  }
  call->result = call->kind == OPEN       ? do_open(call)
                 : call->generation->gone ? WEIR_ENOENT
                 : call->kind == APPEND   ? do_append(call)
                                          : WEIR_LOG_YES;
  if (call->kind == TRIM && call->result == WEIR_LOG_YES) {
    model_trim(call->generation, call->after);
    trace_say("    storage trims %s to %llu", model_name(call->generation),
              (unsigned long long)call->generation->trimmed);
  }
  if (call->generation != NULL) {
    take_state(call);
  }
}

/* --- Answers --------------------------------------------------------------*/

static size_t gather(const struct call *call, weir_record *records,
                     uint64_t *lost) {
  const struct generation *generation = call->generation;
  const uint64_t upto =
      call->upto < generation->last ? call->upto : generation->last;
  const struct fact *fact;
  uint64_t seq =
      call->after > generation->trimmed ? call->after : generation->trimmed;
  size_t bytes = 0;
  size_t count = 0;
  bool typed;

  for (seq += 1; seq <= upto; ++seq) {
    fact = model_at(generation, seq);
    if (fact->lost) {
      *lost = seq;
      continue;
    }
    bytes += fact->frame_len + fact->type_len + fact->data_len;
    if (count != 0 && (bytes > call->max_bytes || count == READ_MOST)) {
      return count;
    }
    typed = fact->frame == NULL || !world.plan.encoded;
    memset(&records[count], 0, sizeof records[count]);
    records[count].size = sizeof records[count];
    records[count].epoch = fact->epoch;
    records[count].seq = fact->seq;
    records[count].flags = fact->flags;
    if (typed) {
      records[count].type = fact->type;
      records[count].type_len = fact->type_len;
      records[count].data = fact->data;
      records[count].data_len = fact->data_len;
    } else {
      records[count].frame = fact->frame;
      records[count].frame_len = fact->frame_len;
    }
    count += 1;
  }
  return count;
}

/* Make nonsense of an answer; of a read with too few records, of its state. */
static void spoil(struct call *call, weir_answer *answer,
                  weir_record *records) {
  const size_t n = answer->record_count;
  /* A hole in what is declared to be lost is no lie that shows. */
  const bool dull =
      n < 2 || (call->spoil <= HOLE && answer->lost_through >= records[0].seq);
  const int how = call->spoil >= SWAPPED && dull ? (int)NO_STATE : call->spoil;
  weir_record other;

  trace_say("    (an answer that is spoilt: %d)", how);
  world.tally.wrongs += 1;
  switch (how) {
    case ZERO:
    case POSITIVE:
      answer->result = how == ZERO ? 0 : 7;
      break;
    case NO_STATE:
      answer->epochs = NULL;
      answer->epoch_count = 0;
      break;
    case BAD_END:
      answer->ended = answer->last + 1;
      break;
    case BAD_TRIM:
      answer->trimmed = answer->last + 1;
      break;
    case SWAPPED:
      other = records[0];
      records[0] = records[1];
      records[1] = other;
      break;
    case HOLE:
      memmove(&records[0], &records[1], (n - 1) * sizeof records[0]);
      answer->record_count = n - 1;
      break;
    case REPEATED:
      records[1] = records[0];
      break;
    case BAD_EPOCH:
      records[n - 1].epoch ^= 0x10;
      break;
    default:
      if (records[0].frame != NULL) {
        records[0].frame_len -= 1;
      } else {
        records[0].data = "\xff\xfe";
        records[0].data_len = 2;
      }
      break;
  }
}

/* What an answer says is known to this process from now on. */
static void release_facts(const struct call *call) {
  struct generation *generation = call->generation;
  struct fact *fact;
  uint64_t seq;

  while (generation->settled < generation->last &&
         generation->facts[generation->settled]->waits == NULL) {
    generation->settled += 1;
  }
  for (seq = generation->settled + 1; seq <= call->last; ++seq) {
    fact = model_at(generation, seq);
    if (fact != NULL && fact->waits == call->port) {
      fact->waits = NULL;
    }
  }
}

static void give_handle(struct call *call) {
  struct handle *handle = make(sizeof *handle);

  handle->next = store.handles;
  handle->port = call->port;
  handle->generation = call->generation;
  store.handles = handle;
  call->port->handles += 1;
  call->made = handle;
}

/* Is the answer due to be believed? 1: yes; 0: no; -1: who knows. */
static int is_awaited(const struct call *call) {
  if (call->given != 0) {
    return 0;
  }
  /* A hub may have forgotten what newer generations hide, also when it asks
   * whether that is so, what nobody wants to read any more, and what it has
   * trimmed and then nobody used. */
  return call->kind != READ && call->kind != TRIM &&
                 (call->kind != OPEN || call->mode != WEIR_LOG_LOOKUP) &&
                 /* which one it was to take over, a refusal does not say */
                 (call->kind != OPEN || call->mode != WEIR_LOG_TAKE ||
                  call->generation != NULL) &&
                 host_clock(call->port->host) - call->at < call->deadline &&
                 call->hub == host_hub(call->port->host) &&
                 (call->generation == NULL ||
                  call->generation == newest(call->generation->key))
             ? 1
             : -1;
}

static void give_answer(struct call *call) {
  struct generation *generation = call->generation;
  const int awaited = is_awaited(call);
  weir_record records[READ_MOST + 1];
  weir_answer answer;
  int rv;

  weir_answer_init(&answer, sizeof answer);
  answer.result =
      call->lie != 0 && call->result == WEIR_LOG_YES ? call->lie : call->result;
  if (generation != NULL && call->refusal == 0) {
    answer.shared = generation->shared;
    answer.epochs = call->epochs;
    answer.epoch_count = call->epoch_count;
    answer.trimmed = call->trimmed;
    answer.last = call->last;
    answer.ended = call->ended;
    answer.meta = generation->meta;
    answer.meta_len = generation->meta_len;
    answer.first = generation->shared ? call->first : 0;
    if (call->kind == READ && call->result == WEIR_LOG_YES) {
      /* The state is that of the answer, as of the records. */
      take_state(call);
      answer.trimmed = call->trimmed;
      answer.last = call->last;
      answer.ended = call->ended;
      answer.epoch_count = call->epoch_count;
      answer.records = records;
      answer.record_count = gather(call, records, &answer.lost_through);
    }
    if (call->spoil != SOUND && call->result == WEIR_LOG_YES) {
      spoil(call, &answer, records);
    }
    if (call->kind == OPEN && answer.result == WEIR_LOG_YES) {
      if (call->made == NULL) {
        give_handle(call);
      }
      answer.handle = call->made;
    }
    /* Where records alone are spoilt, those before that are believed. */
    if (answer.result == WEIR_LOG_YES &&
        (call->spoil == SOUND ||
         (call->kind == READ && call->spoil >= SWAPPED &&
          answer.epoch_count != 0))) {
      release_facts(call);
    }
  }
  if (call->kind == APPEND &&
      (answer.result != WEIR_LOG_YES || call->spoil != SOUND)) {
    generation->broken = true;
  }
  trace_say("  storage answers host %u: %s %llx of %s: %d (to %llu)",
            call->port->host->number, kinds[call->kind],
            (unsigned long long)call->ticket & 0xffff, model_name(generation),
            answer.result, (unsigned long long)answer.last);
  call->given += 1;
  rv = weir_log_answer(call->hub, call->ticket, &answer);
  if ((awaited == 1 && rv != WEIR_OK) || (awaited == 0 && rv != WEIR_ESTALE) ||
      (rv != WEIR_OK && rv != WEIR_ESTALE)) {
    trace_fail(9, "%s %s: answer number %u is taken with %d", kinds[call->kind],
               model_name(generation), call->given, rv);
  }
  if (rv == WEIR_OK && call->kind == OPEN && answer.result == WEIR_LOG_YES &&
      call->spoil == SOUND) {
    generation->told = true;
  }
  if (rv == WEIR_OK && call->kind == APPEND && answer.result == WEIR_LOG_YES &&
      call->spoil == SOUND && call->last > generation->acked) {
    generation->acked =
        call->last < generation->last ? call->last : generation->last;
  }
}

/* Storage has come to a call. */
static void arrive(void *who, uint64_t what) {
  struct call *call = who;

  (void)what;
  if (!call->done) {
    perform(call);
  }
  call->port->waiting -= call->answers <= 1;
  /* A hub that has been freed is there for first answers alone. */
  if (!call->port->dead && call->answers != 0 &&
      (call->given == 0 || host_hub(call->port->host) != NULL)) {
    give_answer(call);
    host_touch(call->port->host);
  }
  call->answers -= call->answers != 0;
  if (call->port->dead || call->answers == 0) {
    free_call(call);
  } else {
    agenda_plan(&world.agenda, chance_below(&store.chance, 15000), arrive, call,
                0);
  }
}

/* A call has come: draw what becomes of it. */
static int enter(struct call *call) {
  struct chance *chance = &store.chance;
  const bool later = TROUBLE(chance, LATER, 700);
  uint64_t delay = later ? chance_size(chance, 3000) : 0;
  static const int refusals[] = {WEIR_ELOG, WEIR_EIO, WEIR_EFULL, WEIR_EUNKNOWN,
                                 WEIR_EHOST - 1};

  world.tally.calls += 1;
  call->next = store.calls;
  store.calls = call;
  call->answers = 1;
  if (TROUBLE(chance, REFUSE, 30)) {
    world.tally.wrongs += 1;
    if (chance_permille(chance, 500)) {
      call->refusal = refusals[chance_below(chance, 5)];
    } else {
      call->lie = refusals[chance_below(chance, 5)];
    }
    if (chance_permille(chance, 200) && call->lie == 0) {
      /* Nothing is done, and nothing will come. */
      const int rv = chance_permille(chance, 500) ? call->refusal : 0;

      trace_say("    (%s is turned away: %d)", kinds[call->kind], rv);
      if (call->kind == APPEND) {
        call->generation->broken = true;
      }
      free_call(call);
      return rv;
    }
  } else if (TROUBLE(chance, WRONG, 30)) {
    call->spoil = 1 + (int)chance_below(chance, SPOILS - 1);
  }
  if (TROUBLE(chance, TWICE, 100)) {
    call->answers = 2;
  }
  if (TROUBLE(chance, NEVER, 10)) {
    world.tally.wrongs += 1;
    delay = chance_permille(chance, 500) ? call->deadline * 2 : 3000;
    call->answers = delay == 3000 ? 0 : 1;
    if (call->answers == 0) {
      call->port->never += 1;
      call->port->never_until =
          host_clock(call->port->host) + call->deadline + 1000;
    }
    if (call->kind == APPEND) {
      call->generation->broken = true;
    }
  }
  if (call->answers == 0 || later || delay != 0) {
    if (call->spoil == SOUND && chance_permille(chance, 500)) {
      perform(call);
    }
    call->port->waiting += 1;
    agenda_plan(&world.agenda, delay, arrive, call, 0);
    return WEIR_LOG_YES;
  }
  perform(call);
  give_answer(call);
  call->answers -= 1;
  if (call->answers != 0 && chance_permille(chance, 500)) {
    give_answer(call);
    call->answers -= 1;
  }
  if (call->answers != 0) {
    call->port->waiting += 1;
    agenda_plan(&world.agenda, chance_below(chance, 3000), arrive, call, 0);
  } else {
    free_call(call);
  }
  return WEIR_LOG_YES;
}

/* --- The functions of the table ------------------------------------------ */

static struct call *begin(struct port *port, weir_hub *hub, uint64_t ticket,
                          int kind, void *handle) {
  struct call *call = make(sizeof *call);
  size_t i;

  if (port->dead) {
    trace_fail(9, "a dead process calls storage");
  }
  call->port = port;
  call->hub = hub;
  call->ticket = ticket;
  call->kind = kind;
  call->handle = handle;
  call->at = host_sampled(port->host);
  call->deadline = host_deadline(port->host);
  if (handle != NULL) {
    if (call->handle->closed || call->handle->port != port) {
      trace_fail(9, "%s with a handle that is closed", kinds[kind]);
    }
    call->generation = call->handle->generation;
  }
  i = (size_t)kind;
  trace_say("  host %u asks storage: %s %llx of %s", port->host->number,
            kinds[i], (unsigned long long)ticket & 0xffff,
            handle == NULL ? "a key" : model_name(call->generation));
  return call;
}

static int log_open(void *user, weir_hub *hub, uint64_t ticket,
                    const weir_log_request *request) {
  struct port *port = user;
  struct call *call = begin(port, hub, ticket, OPEN, NULL);

  call->key = (unsigned)(((const char *)request->key)[1] - 'a');
  call->mode = request->mode;
  call->shared = request->shared != 0;
  call->name = request->generation;
  call->epoch = request->epoch;
  call->meta = copy(request->meta, request->meta_len);
  call->meta_len = request->meta_len;
  trace_say("    (mode %d of k%c)", call->mode, (char)(0x61 + call->key));
  if (call->mode == WEIR_LOG_CREATE &&
      !host_is_opening(port->host, call->key)) {
    trace_fail(8, "a generation of k%c is begun, and nobody opened it",
               (char)(0x61 + call->key));
  }
  return enter(call);
}

static int log_append(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      const weir_record *records, size_t count) {
  struct call *call = begin(user, hub, ticket, APPEND, handle);
  struct fact *fact;
  size_t i;

  call->facts = make(count * sizeof call->facts[0]);
  call->count = count;
  for (i = 0; i < count; ++i) {
    fact = call->facts[i] = make(sizeof *fact);
    fact->epoch = records[i].epoch;
    fact->seq = records[i].seq;
    fact->flags = records[i].flags;
    fact->type = copy(records[i].type, records[i].type_len);
    fact->type_len = records[i].type_len;
    fact->data = copy(records[i].data, records[i].data_len);
    fact->data_len = records[i].data_len;
    if (records[i].frame != NULL) {
      fact->frame = copy(records[i].frame, records[i].frame_len);
      fact->frame_len = records[i].frame_len;
    }
    fact->number = (fact->flags & WEIR_RECORD_END) != 0
                       ? 0
                       : content_number(fact->data, fact->data_len);
  }
  return enter(call);
}

static int log_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t after, uint64_t upto, size_t max_bytes) {
  struct call *call = begin(user, hub, ticket, READ, handle);

  call->after = after;
  call->upto = upto;
  call->max_bytes = max_bytes;
  return enter(call);
}

static int log_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t through) {
  struct call *call = begin(user, hub, ticket, TRIM, handle);

  call->after = through;
  return enter(call);
}

static void log_close(void *user, void *handle) {
  struct port *port = user;
  struct handle *closed = handle;

  if (closed->closed || closed->port != port || port->dead) {
    trace_fail(9, "a handle of %s is closed twice",
               model_name(closed->generation));
  }
  closed->closed = true;
  port->handles -= 1;
}

struct port *store_open(struct host *host, weir_log *log) {
  struct port *port = make(sizeof *port);

  if (!store.begun) {
    store.begun = true;
    chance_init(&store.chance, world.plan.seed, "store", 0);
  }
  port->host = host;
  port->next = store.ports;
  store.ports = port;
  weir_log_init(log, sizeof *log);
  log->user = port;
  log->deadline = (uint32_t)host_deadline(host);
  log->open = log_open;
  log->append = log_append;
  log->read = log_read;
  log->trim = log_trim;
  log->close = log_close;
  return port;
}

void store_leave(struct port *port) {
  port->dead = true;
}

void store_expect_closed(const struct port *port) {
  if (port->handles != 0) {
    trace_fail(9, "the hub has gone, and %zu handles are not closed",
               port->handles);
  }
}

bool store_is_asked(const struct port *port) {
  return port->waiting != 0 || host_clock(port->host) < port->never_until;
}

size_t store_owes(const struct port *port) {
  return port->waiting + port->never;
}

void store_crash(void) {
  struct generation *generation;
  struct call *call;
  unsigned key;
  uint64_t last;

  for (call = store.calls; call != NULL; call = call->next) {
    if (!call->done) {
      call->refusal = WEIR_ELOG;
    }
  }
  for (key = 0; key < world.plan.keys; ++key) {
    generation = newest(key);
    if (generation == NULL || !chance_permille(&store.chance, 500) ||
        generation->last == generation->trimmed) {
      continue;
    }
    last = generation->last -
           chance_size(&store.chance, generation->last - generation->trimmed);
    trace_say("storage forgets %llu to %llu of %s",
              (unsigned long long)last + 1,
              (unsigned long long)generation->last, model_name(generation));
    model_crash(generation, last);
    if (generation->shared) {
      /* Nobody takes it over, so storage itself sees to it that no number is
       * given twice. */
      model_take(generation, chance_next(&store.chance) | 1);
    }
  }
}

void store_decay(void) {
  struct generation *generation =
      newest((unsigned)chance_below(&store.chance, world.plan.keys));
  uint64_t from;
  uint64_t n;

  if (generation == NULL || generation->acked <= generation->trimmed + 2) {
    return;
  }
  if (TROUBLE(&store.chance, LOST, 300)) {
    /* Not the end, whose loss nobody could make good. */
    from = chance_between(&store.chance, generation->trimmed + 1,
                          generation->acked - 1);
    trace_say("storage has lost something of %s from %llu on",
              model_name(generation), (unsigned long long)from);
    for (n = chance_size(&store.chance, 40);
         n != 0 && from < generation->acked &&
         (model_at(generation, from)->flags & WEIR_RECORD_END) == 0;
         --n) {
      model_at(generation, from++)->lost = true;
    }
  } else if (TROUBLE(&store.chance, TRIM, 300)) {
    model_trim(generation, chance_between(&store.chance, generation->trimmed,
                                          generation->acked - 1));
    trace_say("storage keeps of %s what follows %llu", model_name(generation),
              (unsigned long long)generation->trimmed);
  }
}

void store_free(void) {
  struct handle *handle;
  struct port *port;

  while (store.calls != NULL) {
    free_call(store.calls);
  }
  while (store.handles != NULL) {
    handle = store.handles;
    store.handles = handle->next;
    free(handle);
  }
  while (store.ports != NULL) {
    port = store.ports;
    store.ports = port->next;
    free(port);
  }
}
