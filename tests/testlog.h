/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_TESTLOG_H
#define WEIR_TESTLOG_H

/* A log in memory that keeps the contract of weir/log.h until it is told to
 * break it. It answers at once, or when the test says so, in any order; it
 * serves any number of hubs, and outlives them as a disk outlives a process. */

#include <stdbool.h>

#include <weir/weir.h>

/* The kinds of calls. */
enum {
  TESTLOG_OPEN,
  TESTLOG_APPEND,
  TESTLOG_READ,
  TESTLOG_TRIM,
  TESTLOG_KINDS
};

/* What goes wrong with a call: see testlog_fail. */
enum {
  TESTLOG_REFUSE = 1, /* nothing is done; the answer's result is `value` */
  TESTLOG_RETURN,     /* nothing is done; the function returns `value` */
  TESTLOG_CONFUSE     /* it is done, and the result is `value` all the same */
};

/* testlog.defect: what a log can get wrong for good, one at a time. */
enum {
  TESTLOG_SOUND,
  TESTLOG_FINDS_ANYTHING,      /* LOOKUP of an unknown key finds something */
  TESTLOG_IGNORES_CASE,        /* of keys */
  TESTLOG_CUTS_KEYS,           /* at 200 bytes */
  TESTLOG_CREATES_ALWAYS,      /* without comparing */
  TESTLOG_FINDS_OLDEST,        /* of several generations */
  TESTLOG_ENDS_HIDDEN,         /* no append to a hidden generation */
  TESTLOG_CUTS_META,           /* at a zero byte */
  TESTLOG_TAKES_ENDED,         /* adds an epoch to what has ended */
  TESTLOG_DOES_NOT_TAKE,       /* answers yes, and adds none */
  TESTLOG_TAKES_NEWEST,        /* if there is no such generation */
  TESTLOG_TAKES_NOTHING,       /* the same, but says WEIR_EEXISTS */
  TESTLOG_FORGETS_EPOCHS,      /* all but the newest */
  TESTLOG_FORGETS_LASTS,       /* of earlier epochs */
  TESTLOG_DOES_NOT_FENCE,      /* older epochs */
  TESTLOG_FENCES_BY_FIRST,     /* looks at the first record of a batch alone */
  TESTLOG_FENCES_LATE,         /* stores what comes before a fenced record */
  TESTLOG_LEAVES_ROWS,         /* the same, but does not say so */
  TESTLOG_GOES_ON,             /* after an end */
  TESTLOG_REVERSES,            /* a batch */
  TESTLOG_CUTS_DATA,           /* at 4095 bytes */
  TESTLOG_CUTS_STRINGS,        /* data and frames at a zero byte */
  TESTLOG_FORGETS_FLAGS,       /* of events */
  TESTLOG_FORGETS_JSON,        /* that the data is */
  TESTLOG_READS_INCLUSIVELY,   /* `after` */
  TESTLOG_READS_EXCLUSIVELY,   /* `upto` */
  TESTLOG_READS_BEYOND,        /* `upto` */
  TESTLOG_READS_WITHOUT_BOUND, /* max_bytes */
  TESTLOG_READS_NOTHING,       /* if the first does not fit */
  TESTLOG_FORGETS_TRIMS,       /* in states */
  TESTLOG_TRIMS_BACK,          /* with a smaller number */
  TESTLOG_TRIMS_LAST,          /* forgets the last number with the event */
  TESTLOG_SAYS_NO_STATE,       /* in answers to reads */
  TESTLOG_ANSWERS_TWICE,
  TESTLOG_ANSWERS_NO_TRIM,
  TESTLOG_RETURNS_ZERO,    /* from appends */
  TESTLOG_CLOSES_ALL,      /* handles of a generation */
  TESTLOG_FORGETS_SHARED,  /* that it numbers the events */
  TESTLOG_COUNTS_FROM_ONE, /* `first` */
  TESTLOG_LEAVES_HOLES,    /* between the numbers of a batch */
  TESTLOG_DEFECTS
};

#define TESTLOG_EPOCHS 64

struct testlog_event {
  uint64_t epoch;
  uint64_t seq;
  uint32_t flags;
  char *type;
  size_t type_len;
  char *data;
  size_t data_len;
  char *frame; /* NULL: to be encoded by whoever reads it */
  size_t frame_len;
};

/* A generation in storage. */
struct testlog_stream {
  struct testlog_stream *older; /* of any key */
  char *key;
  size_t key_len;
  bool shared;
  bool gone;
  bool rows; /* TESTLOG_LEAVES_ROWS */
  char *meta;
  size_t meta_len;
  weir_epoch epochs[TESTLOG_EPOCHS];
  size_t epoch_count;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  bool failed;
  uint64_t lost_after; /* events lost_after+1 to lost_to are declared lost */
  uint64_t lost_to;
  struct testlog_event *events; /* by number */
  size_t count;
  size_t cap;
};

struct testlog;

/* Changes an answer before it is given. The epochs and records are copies, so
 * that they can be changed too. */
typedef void testlog_bend(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records);

/* A frame that is to stay as it was until its append is answered. */
struct testlog_lent {
  const void *frame;
  char *copy;
  size_t len;
};

/* A call that has not been answered. */
struct testlog_call {
  struct testlog_call *next;
  weir_hub *hub;
  uint64_t ticket;
  int kind;
  int mode; /* open: WEIR_LOG_... */
  struct testlog_stream *stream;
  bool done;  /* what it asks for has been done */
  int result; /* then */
  int what;   /* what is wrong with it: TESTLOG_..., 0 for nothing */
  int value;
  testlog_bend *bend;
  /* open */
  char *key;
  size_t key_len;
  bool shared;
  char *meta;
  size_t meta_len;
  uint64_t generation;
  uint64_t epoch;
  /* append */
  struct testlog_event *events;
  size_t count;
  struct testlog_lent *lent;
  size_t lent_count;
  uint64_t first;
  /* read, trim */
  uint64_t after;
  uint64_t upto;
  size_t max_bytes;
  /* The state when it was done. */
  weir_epoch epochs[TESTLOG_EPOCHS];
  size_t epoch_count;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  bool failed;
};

struct testlog_plan {
  int kind;
  size_t nth; /* of calls[kind] */
  int what;
  int value;
  testlog_bend *bend;
};

struct testlog {
  weir_log log; /* what hubs are made with; flags and deadline may be set */
  /* Modes. */
  bool later;    /* answers wait for testlog_deliver */
  bool slow;     /* with later: and so does what is to be done */
  bool current;  /* with later: an answer has the state of when it is given,
                    not of when the call was done */
  bool encoded;  /* reads give back frames, where there are any */
  int defect;    /* TESTLOG_... */
  uint64_t step; /* between the numbers that storage gives; 1 */
  size_t most;   /* records in an answer; 0 is any number */
  /* Called inside each storage function. */
  void (*inside)(void *user, int kind);
  void *inside_user;
  /* What has happened. */
  size_t calls[TESTLOG_KINDS];
  size_t modes[4]; /* opens, by WEIR_LOG_... */
  size_t handles;  /* that are open */
  size_t closes;
  size_t batch;   /* records of the last append */
  uint64_t after; /* of the last read */
  uint64_t upto;
  size_t delivered; /* records in answers */
  int answered;     /* what weir_log_answer said last */
  /* Inside. */
  struct testlog_stream *newest;
  struct testlog_call *waiting; /* oldest first */
  struct testlog_handle *open;
  struct testlog_plan plans[16];
  size_t plan_count;
  weir_hub *again_hub; /* the last answer, for testlog_repeat */
  uint64_t again_ticket;
  weir_answer again;
};

void testlog_init(struct testlog *log);

/* Free it, and see that every handle was closed and every call answered. */
void testlog_end(struct testlog *log);

/* Let the nth call of a kind from now on, from 1, go wrong: at most 16 plans.
 */
void testlog_fail(struct testlog *log, int kind, size_t nth, int what,
                  int value);

/* Let the answer to the nth such call from now on be changed. */
void testlog_plan_bend(struct testlog *log, int kind, size_t nth,
                       testlog_bend *bend);

/* Calls that wait for their answer. */
size_t testlog_waiting(const struct testlog *log);

/* Answer one of them: the oldest is number 0. */
void testlog_deliver(struct testlog *log, size_t n);

/* Answer all that wait now, the oldest first. */
void testlog_deliver_all(struct testlog *log);

/* Give the last answer again. Returns what weir_log_answer says. */
int testlog_repeat(struct testlog *log);

/* The newest generation of a key; NULL if there is none. */
struct testlog_stream *testlog_find(const struct testlog *log, const char *key);

/* Event number seq of a generation; NULL if it is not there. */
const struct testlog_event *testlog_event(const struct testlog_stream *stream,
                                          uint64_t seq);

/* What storage goes through without being asked. */

/* A crash: of the newest generation, what follows `last` is lost, and nobody
 * knows that it ever was. */
void testlog_crash(struct testlog *log, const char *key, uint64_t last);

/* Events from+1 to `to` are lost; answers say so. */
void testlog_lose(struct testlog *log, const char *key, uint64_t after,
                  uint64_t to);

/* An event is missing, and nobody says so. */
void testlog_drop(struct testlog *log, const char *key, uint64_t seq);

/* Retention: events up to `through` are gone. */
void testlog_retain(struct testlog *log, const char *key, uint64_t through);

/* Retention: nothing is left of the newest generation of a key. Calls on it are
 * answered with WEIR_ENOENT from then on. */
void testlog_forget(struct testlog *log, const char *key);

/* Another process appends, as the newest epoch. */
void testlog_write(struct testlog *log, const char *key, const char *type,
                   const char *data);

/* Another process takes the generation over. Returns its epoch. */
uint64_t testlog_take(struct testlog *log, const char *key);

/* Go back behind the last take-over, as a replica does that had not got it when
 * it became the primary. */
void testlog_untake(struct testlog *log, const char *key);

#endif /* WEIR_TESTLOG_H */
