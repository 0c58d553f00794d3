/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log beside bare loops that write, sync and read the same bytes. It
 * is called below the streams of a hub, but for the replay. */

#include "measure.h"
#include "world.h"

#include "core.h"
#include "log.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_sqlite3
#include <sqlite3.h>
#endif

#define EVENT 256
#define STREAMS_MOST 1000
#define BATCH_MOST 512

/* What the bare loops write for an event: a record's bytes. */
#define RECORD (EVENT + 64)
#define BLOCK ((size_t)256 * 1024)

/* Where they begin to: as records do, behind a head. Groups of so many events
 * would be whole pages by chance. */
#define HEAD 64

/* Bytes that a log which is synced has had before: its segments are as large as
 * they get by then. */
#define WARM ((size_t)64 * 1024 * 1024)

static char directory[64]; /* of one turn */
static unsigned char block[BLOCK];

static void begin_directory(void) {
  (void)strcpy(directory, "/tmp/weir-bench-XXXXXX");
  if (mkdtemp(directory) == NULL) {
    die("mkdtemp");
  }
}

static void end_directory(void) {
  char command[96];

  (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
  (void)!system(command);
}

static int open_file(const char *name, int flags) {
  char path[96];
  int fd;

  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  fd = open(path, flags, 0600);
  if (fd < 0) {
    die(path);
  }
  return fd;
}

static void write_all(int fd, size_t len) {
  if (write(fd, block, len) != (ssize_t)len) {
    die("write");
  }
}

/* --- A log, and a hub that gives tickets -----------------------------------*/

struct log {
  weir_log_file *file;
  weir_hub *hub;
  struct weir__handle *handles[STREAMS_MOST];
  struct weir__call *place;
  size_t stream_count;
  uint64_t seq[2]; /* of all streams of a set */
  uint64_t live;
};

static void *count_alloc(void *user, size_t size) {
  struct log *log = user;

  log->live += size;
  return malloc(size);
}

static void count_free(void *user, void *memory, size_t size) {
  struct log *log = user;

  log->live -= size;
  free(memory);
}

static void opened(void *owner, int result, const weir_answer *answer,
                   struct weir__handle *handle) {
  struct weir__handle **place = owner;

  (void)answer;
  if (result != WEIR_LOG_YES) {
    die("open");
  }
  *place = handle;
}

static void appended(void *owner, int result, const weir_answer *answer,
                     struct weir__handle *handle) {
  (void)owner;
  (void)answer;
  (void)handle;
  if (result != WEIR_LOG_YES) {
    die("append");
  }
}

/* ns of CPU in what a host would have another thread do. */
static double elsewhere;

static void sync_log(struct log *log) {
  double before;

  while (weir_log_file_begin(log->file) == WEIR_OK) {
    before = cpu_ns();
    weir_log_file_run(log->file);
    elsewhere += cpu_ns() - before;
    if (weir_log_file_end(log->file) != WEIR_OK) {
      die("sync");
    }
  }
}

static void open_log(struct log *log, int sync) {
  weir_allocator allocator = {sizeof allocator, log, count_alloc, count_free};
  weir_log_file_options options;

  memset(log, 0, sizeof *log);
  weir_log_file_options_init(&options, sizeof options);
  options.path = directory;
  options.sync = sync;
  options.allocator = &allocator;
  if (weir_log_file_open(&options, &log->file) != WEIR_OK) {
    die("log");
  }
}

static void begin_log(struct log *log, int sync, size_t streams) {
  weir_hub_options options;
  weir_log_request request;
  weir_log table;
  char key[32];
  size_t i;

  open_log(log, sync);
  weir_log_init(&table, sizeof table);
  (void)weir_log_file_get_log(log->file, &table);
  weir_hub_options_init(&options, sizeof options);
  options.log = &table;
  if (weir_hub_new(&options, &log->hub) != WEIR_OK) {
    die("hub");
  }
  log->stream_count = streams;
  for (i = 0; i < streams; ++i) {
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.mode = WEIR_LOG_CREATE;
    request.key = key;
    request.key_len = (size_t)snprintf(key, sizeof key, "stream-%zu", i);
    request.epoch = i + 1;
    weir__log_open(weir__log_prepare((struct weir__core *)(void *)log->hub),
                   &request, opened, &log->handles[i], &log->place);
  }
  sync_log(log);
}

static void end_log(struct log *log) {
  size_t i;

  for (i = 0; i < log->stream_count; ++i) {
    weir__handle_release(log->handles[i]);
  }
  weir_hub_free(log->hub);
  (void)weir_log_file_close(log->file);
}

/* The next `count` events of a stream, in one call. */
static void append(struct log *log, size_t stream, uint64_t first,
                   size_t count) {
  static weir_record records[BATCH_MOST];
  static struct weir__call *places[STREAMS_MOST];
  size_t i;

  for (i = 0; i < count; ++i) {
    memset(&records[i], 0, sizeof records[i]);
    records[i].size = sizeof records[i];
    records[i].epoch = stream + 1;
    records[i].seq = first + i;
    records[i].frame = block + i * EVENT;
    records[i].frame_len = EVENT;
  }
  if (weir__log_append(log->handles[stream], records, count, NULL, 0, appended,
                       NULL, &places[stream]) != WEIR_OK) {
    die("append");
  }
}

/* --- Appending, not synced -------------------------------------------------*/

#define APPENDS ((size_t)64 * 1024)

struct appending {
  size_t streams;
  size_t batch; /* of one call */
};

static double run_append(void *user) {
  const struct appending *work = user;
  const size_t rounds = APPENDS / (work->streams * work->batch);
  struct log log;
  double before;
  double used;
  size_t i;
  size_t j;

  begin_directory();
  begin_log(&log, WEIR_SYNC_NEVER, work->streams);
  elsewhere = 0;
  before = cpu_ns();
  for (i = 0; i < rounds; ++i) {
    for (j = 0; j < work->streams; ++j) {
      append(&log, j, i * work->batch + 1, work->batch);
    }
    sync_log(&log);
  }
  used = cpu_ns() - before;
  end_log(&log);
  end_directory();
  return (used - elsewhere) / (double)APPENDS;
}

static double run_write(void *user) {
  const struct appending *work = user;
  double before;
  double used;
  size_t i;
  int fd;

  begin_directory();
  fd = open_file("file", O_WRONLY | O_CREAT);
  before = cpu_ns();
  for (i = 0; i < APPENDS / work->batch; ++i) {
    write_all(fd, work->batch * RECORD);
  }
  used = cpu_ns() - before;
  (void)close(fd);
  end_directory();
  return used / (double)APPENDS;
}

static void measure_append(const char *name, size_t streams, size_t batch,
                           double bar) {
  struct appending work = {streams, batch};
  const struct entry entries[] = {{"weir", run_append, &work},
                                  {"write", run_write, &work}};
  const struct row row = {
      name, "ns/event", bar == 0 ? NOBODY : LIMIT, bar, true, 0, entries, 2};

  row_print(&row);
  figure_print("... and what another thread has to do", "ns/event",
               elsewhere / (double)APPENDS, NOBODY, 0);
}

/* --- Appending, synced always ----------------------------------------------*/

#define GROUPS 400

struct group {
  size_t streams;
  size_t batch;
  bool paired;    /* a second thread waits for the syncs */
  uint64_t syncs; /* of the last turn */
};

/* A host's second thread, which runs the rounds. */
struct runner {
  struct log *log;
  pthread_t thread;
  sem_t wanted;
  sem_t done;
  bool is_over;
  bool is_running;
};

static void *run_rounds(void *user) {
  struct runner *runner = user;

  for (;;) {
    while (sem_wait(&runner->wanted) != 0) {
    }
    if (runner->is_over) {
      return NULL;
    }
    weir_log_file_run(runner->log->file);
    (void)sem_post(&runner->done);
  }
}

static void end_round(struct runner *runner) {
  if (!runner->is_running) {
    return;
  }
  while (sem_wait(&runner->done) != 0) {
  }
  if (weir_log_file_end(runner->log->file) != WEIR_OK) {
    die("sync");
  }
  runner->is_running = false;
}

/* What was appended since the last round began goes into another. */
static void turn_round(struct runner *runner) {
  end_round(runner);
  if (weir_log_file_begin(runner->log->file) == WEIR_OK) {
    runner->is_running = true;
    (void)sem_post(&runner->wanted);
  }
}

static void begin_runner(struct runner *runner, struct log *log) {
  memset(runner, 0, sizeof *runner);
  runner->log = log;
  if (sem_init(&runner->wanted, 0, 0) != 0 ||
      sem_init(&runner->done, 0, 0) != 0 ||
      pthread_create(&runner->thread, NULL, run_rounds, runner) != 0) {
    die("thread");
  }
}

static void end_runner(struct runner *runner) {
  runner->is_over = true;
  (void)sem_post(&runner->wanted);
  (void)pthread_join(runner->thread, NULL);
  (void)sem_destroy(&runner->wanted);
  (void)sem_destroy(&runner->done);
}

/* Each of the streams has at most one append under way, so there are two sets
 * of them, whose turn it is by turns. */
static void append_group(struct log *log, size_t set, size_t batch) {
  const size_t streams = log->stream_count / 2;
  size_t i;

  for (i = 0; i < streams; ++i) {
    append(log, set * streams + i, log->seq[set] + 1, batch);
  }
  log->seq[set] += batch;
}

static double run_always(void *user) {
  struct group *work = user;
  const size_t events = work->streams * work->batch * GROUPS;
  weir_log_file_info info;
  struct runner runner;
  struct log log;
  double before;
  double used;
  size_t i;

  begin_directory();
  begin_log(&log, WEIR_SYNC_ALWAYS, work->streams * 2);
  begin_runner(&runner, &log);
  for (i = 0; i < WARM; i += work->streams * BATCH_MOST * RECORD) {
    append_group(&log, 0, BATCH_MOST);
    sync_log(&log);
  }
  info.size = sizeof info;
  (void)weir_log_file_get_info(log.file, &info);
  work->syncs = info.syncs;
  before = wall_ns();
  for (i = 0; i < GROUPS; ++i) {
    append_group(&log, i % 2, work->batch);
    if (work->paired) {
      turn_round(&runner);
    } else {
      sync_log(&log);
    }
  }
  end_round(&runner);
  used = wall_ns() - before;
  (void)weir_log_file_get_info(log.file, &info);
  work->syncs = info.syncs - work->syncs;
  end_runner(&runner);
  end_log(&log);
  end_directory();
  return used / (double)events / 1000;
}

static double commit_groups(const struct group *work, bool made) {
  const size_t events = work->streams * work->batch;
  double before;
  double used;
  size_t i;
  int fd;

  begin_directory();
  fd = open_file("file", O_WRONLY | O_CREAT);
  for (i = 0; made && i < events * RECORD * GROUPS / BLOCK + 1; ++i) {
    write_all(fd, BLOCK);
  }
  if (fsync(fd) != 0 || lseek(fd, HEAD, SEEK_SET) != HEAD) {
    die("fsync");
  }
  before = wall_ns();
  for (i = 0; i < GROUPS; ++i) {
    write_all(fd, events * RECORD);
    if (fdatasync(fd) != 0) {
      die("fdatasync");
    }
  }
  used = wall_ns() - before;
  (void)close(fd);
  end_directory();
  return used / (double)(events * GROUPS) / 1000;
}

static double run_commits(void *user) {
  return commit_groups(user, false);
}

/* Into a file that has been written before, which does not count. */
static double run_made(void *user) {
  return commit_groups(user, true);
}

#ifdef HAVE_sqlite3

/* A transaction for each event. */
#define TRANSACTIONS 200

static void execute(sqlite3 *db, const char *text) {
  if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
    die(text);
  }
}

static double run_sqlite(void *user) {
  sqlite3_stmt *insert = NULL;
  sqlite3 *db = NULL;
  char path[96];
  double before;
  double used;
  int i;

  (void)user;
  begin_directory();
  (void)snprintf(path, sizeof path, "%s/db", directory);
  if (sqlite3_open(path, &db) != SQLITE_OK) {
    die(path);
  }
  execute(db, "PRAGMA journal_mode=WAL");
  execute(db, "PRAGMA synchronous=FULL");
  execute(db,
          "CREATE TABLE events(stream INTEGER, seq INTEGER, frame BLOB, "
          "PRIMARY KEY(stream, seq)) WITHOUT ROWID");
  (void)sqlite3_prepare_v2(db, "INSERT INTO events VALUES(1, ?, ?)", -1,
                           &insert, NULL);
  before = wall_ns();
  for (i = 0; i < TRANSACTIONS; ++i) {
    (void)sqlite3_bind_int(insert, 1, i);
    (void)sqlite3_bind_blob(insert, 2, block, EVENT, SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) {
      die("insert");
    }
    (void)sqlite3_reset(insert);
  }
  used = wall_ns() - before;
  (void)sqlite3_finalize(insert);
  (void)sqlite3_close(db);
  end_directory();
  return used / TRANSACTIONS / 1000;
}

#endif

static void measure_always(size_t streams, size_t batch) {
  struct group work = {streams, batch, false, 0};
  struct group paired = {streams, batch, true, 0};
  const struct entry entries[] = {
      {"weir", run_always, &work},
      {"group commits", run_commits, &work},
      {"weir, on two threads", run_always, &paired},
      {"into a file that is there", run_made, &work},
#ifdef HAVE_sqlite3
      {"SQLite", run_sqlite, &work},
#endif
  };
  char name[64];
  const struct row row = {
      name, "us wall", LIMIT,   1 / 0.9,
      true, 0,         entries, sizeof entries / sizeof entries[0]};

  (void)snprintf(name, sizeof name, "append, synced every %zu events",
                 streams * batch);
  row_print(&row);
  (void)snprintf(name, sizeof name, "fdatasyncs for %d such groups", GROUPS);
  figure_print(name, "calls", (double)work.syncs, FIGURE, 1.1 * GROUPS);
}

/* --- Replay ----------------------------------------------------------------*/

#define REPLAYED ((size_t)200000)

/* A stream of so many events that is in the log, and the log is not open. */
static void write_stream(size_t streams, size_t events, bool killed) {
  struct log log;
  pid_t pid = -1;
  size_t i;
  size_t j;

  if (killed) {
    pid = fork();
    if (pid > 0) {
      (void)waitpid(pid, NULL, 0);
      return;
    }
  }
  begin_log(&log, WEIR_SYNC_NEVER, streams);
  for (i = 0; i < events / streams; i += BATCH_MOST) {
    for (j = 0; j < streams; ++j) {
      append(&log, j, i + 1,
             events / streams - i < BATCH_MOST ? events / streams - i
                                               : BATCH_MOST);
    }
    sync_log(&log);
  }
  if (pid == 0) {
    _exit(0);
  }
  end_log(&log);
}

/* The bytes of all files, in blocks; how long that took. */
static double read_all(uint64_t *bytes) {
  char command[96];
  char path[512];
  double used = 0;
  double before;
  FILE *list;
  ssize_t n;
  int fd;

  (void)snprintf(command, sizeof command, "ls %s/*", directory);
  list = popen(command, "r");
  *bytes = 0;
  while (list != NULL && fgets(path, sizeof path, list) != NULL) {
    path[strcspn(path, "\n")] = '\0';
    fd = open(path, O_RDONLY);
    before = cpu_ns();
    while ((n = read(fd, block, BLOCK)) > 0) {
      *bytes += (uint64_t)n;
    }
    used += cpu_ns() - before;
    (void)close(fd);
  }
  if (list != NULL) {
    (void)pclose(list);
  }
  return used;
}

/* One subscriber reads it all; the hub has only just been made. */
static double run_replay(void *user) {
  weir_attach_options attach;
  weir_hub_options options;
  struct world world;
  struct log log;
  weir_log table;
  double before;
  int verdict;

  (void)user;
  open_log(&log, WEIR_SYNC_NEVER);
  weir_log_init(&table, sizeof table);
  (void)weir_log_file_get_log(log.file, &table);
  weir_hub_options_init(&options, sizeof options);
  options.log = &table;
  world_begin(&world, &options, 0, 1);
  weir_attach_options_init(&attach, sizeof attach);
  attach.key = "stream-0";
  attach.key_len = 8;
  before = cpu_ns();
  if (weir_hub_attach(world.hub, &attach, &world.subscribers[0], &verdict) !=
      WEIR_OK) {
    die("attach");
  }
  world.subscriber_count = 1;
  world_run(&world);
  before = cpu_ns() - before;
  if (world.sent < REPLAYED * EVENT) {
    die("not all of it");
  }
  world_end(&world);
  (void)weir_log_file_close(log.file);
  return before / (double)(REPLAYED * EVENT) * 1024;
}

static double run_read(void *user) {
  uint64_t bytes;
  const double used = read_all(&bytes);

  (void)user;
  return used / (double)(REPLAYED * EVENT) * 1024;
}

static void measure_replay(void) {
  const struct entry entries[] = {{"weir", run_replay, NULL},
                                  {"read", run_read, NULL}};
  const struct row row = {
      "replay what is not in memory", "ns/KiB", LIMIT, 2, true, 0, entries, 2};

  begin_directory();
  write_stream(1, REPLAYED, false);
  row_print(&row);
  end_directory();
}

/* --- Opening ---------------------------------------------------------------*/

static uint64_t live_after_open;

static double run_open(void *user) {
  struct log log;
  double before = cpu_ns();

  (void)user;
  open_log(&log, WEIR_SYNC_NEVER);
  before = cpu_ns() - before;
  live_after_open = log.live;
  (void)weir_log_file_close(log.file);
  return before / 1e6;
}

/* Opening mends what it finds, so that each turn has a copy of its own. */
static double run_recover(void *user) {
  char command[256];
  char original[sizeof directory];
  double used;

  (void)strcpy(original, directory);
  begin_directory();
  (void)snprintf(command, sizeof command, "cp %s/* %s", original, directory);
  (void)!system(command);
  used = run_open(user);
  end_directory();
  (void)strcpy(directory, original);
  return used;
}

static double run_read_once(void *user) {
  uint64_t bytes;

  (void)user;
  return read_all(&bytes) / 1e6;
}

static void measure_open(size_t streams, size_t events, bool killed) {
  const struct entry entries[] = {
      {"weir", killed ? run_recover : run_open, NULL},
      {"read", run_read_once, NULL}};
  char name[64];
  const struct row row = {name,    "ms", killed ? LIMIT : NOBODY, 2, true, 0,
                          entries, 2};

  begin_directory();
  write_stream(streams, events, killed);
  (void)snprintf(name, sizeof name, "open, %zu events, %s", events,
                 killed ? "killed" : "closed");
  row_print(&row);
  if (!killed) {
    (void)snprintf(name, sizeof name, "memory then, %zu streams", streams);
    figure_print(name, "bytes", (double)live_after_open, NOBODY, 0);
  }
  end_directory();
}

void bench_file(void) {
  memset(block, 'x', sizeof block);
  group_print("file log, not synced");
  measure_append("append 64 events at once", 1, 64, 2);
  measure_append("append 8 at once, 64 streams in turn", 64, 8, 0);
  measure_append("append one by one", 1, 1, 0);
  group_print("file log, synced before it is told");
  measure_always(64, 1);
  measure_always(64, 8);
  group_print("file log, reading");
  measure_replay();
  measure_open(1, 10000, false);
  measure_open(1, 1000000, false);
  measure_open(1000, 1000000, false);
  measure_open(1, 1000000, true);
  measure_open(1000, 1000000, true);
}
