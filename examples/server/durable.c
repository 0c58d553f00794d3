/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The log's rounds: this thread begins one and wakes the other, which runs it
 * and writes a byte into a pipe; that wakes this thread's loop, which ends it.
 * Only what weir_log_file_run does happens over there.
 */
struct durable {
  weir_log_file *file;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wanted;
  bool has_thread;
  bool round; /* is to be run */
  bool quit;
  int pipe[2]; /* from the thread */
};

static void report(void *user, const char *text) {
  (void)user;
  fprintf(stderr, "server: log: %s\n", text);
}

bool durable_open(struct server *server) {
  struct options *options = &server->options;
  struct durable *durable;
  weir_log log;
  int rv;

  if (options->log.path == NULL) {
    return true;
  }
  durable = calloc(1, sizeof *durable);
  if (durable == NULL) {
    fprintf(stderr, "server: out of memory\n");
    return false;
  }
  options->log.report = report;
  rv = weir_log_file_open(&options->log, &durable->file);
  if (rv != WEIR_OK) {
    fprintf(stderr, "server: --log %s: %s\n", options->log.path,
            weir_strerror(rv));
    free(durable);
    return false;
  }
  log.size = sizeof log;
  (void)weir_log_file_get_log(durable->file, &log);
  server->log = log;
  options->hub.log = &server->log;
  server->durable = durable;
  return true;
}

static void *run_rounds(void *user) {
  struct durable *durable = user;
  const char byte = 0;

  (void)pthread_mutex_lock(&durable->mutex);
  while (!durable->quit) {
    if (!durable->round) {
      (void)pthread_cond_wait(&durable->wanted, &durable->mutex);
      continue;
    }
    durable->round = false;
    (void)pthread_mutex_unlock(&durable->mutex);
    weir_log_file_run(durable->file);
    while (write(durable->pipe[1], &byte, 1) < 0 && errno == EINTR) {
    }
    (void)pthread_mutex_lock(&durable->mutex);
  }
  (void)pthread_mutex_unlock(&durable->mutex);
  return NULL;
}

/* A stream that nobody will go on with. */
struct interrupted {
  struct interrupted *next;
  size_t key_len;
  char key[];
};

/* Find those whose producer was in the process that is gone. */
static bool find_interrupted(const struct durable *durable,
                             struct interrupted **first) {
  struct interrupted *interrupted;
  weir_log_file_stream found;
  uint64_t label;
  uint64_t at = 0;

  found.size = sizeof found;
  while (weir_log_file_next_stream(durable->file, &at, &found) == WEIR_OK) {
    if (found.newest == 0 || found.ended != 0 ||
        weir_meta_get_label(found.meta, found.meta_len, &label) != WEIR_OK ||
        label != LABEL_DEMO) {
      continue;
    }
    interrupted = malloc(sizeof *interrupted + found.key_len);
    if (interrupted == NULL) {
      return false;
    }
    memcpy(interrupted->key, found.key, found.key_len);
    interrupted->key_len = found.key_len;
    interrupted->next = *first;
    *first = interrupted;
  }
  return true;
}

/* Its readers are told, so that they do not wait for ever. */
static void fail_interrupted(struct server *server,
                             const struct interrupted *interrupted) {
  static const char message[] = "The server was restarted.";
  weir_open_options options = server->options.open;
  weir_stream *stream;
  int rv;

  options.key = interrupted->key;
  options.key_len = interrupted->key_len;
  options.flags |= WEIR_OPEN_EXISTING;
  rv = weir_hub_open(server->hub, &options, &stream);
  if (rv == WEIR_OK) {
    /* What was asked of a stream is done, also when its handle is given up. */
    rv = weir_stream_fail(stream, "interrupted", 11, message,
                          sizeof message - 1, 0, NULL);
    weir_stream_release(stream);
  }
  if (rv != WEIR_OK) {
    fprintf(stderr, "server: stream %.*s: %s\n", (int)interrupted->key_len,
            interrupted->key, weir_strerror(rv));
  }
}

static bool end_interrupted(struct server *server) {
  struct interrupted *first = NULL;
  struct interrupted *next;
  const bool good = find_interrupted(server->durable, &first);

  for (; first != NULL; first = next) {
    next = first->next;
    fail_interrupted(server, first);
    free(first);
  }
  return good;
}

bool durable_start(struct server *server) {
  struct durable *durable = server->durable;

  if (durable == NULL) {
    return true;
  }
  if (pipe(durable->pipe) != 0 ||
      fcntl(durable->pipe[0], F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(durable->pipe[1], F_SETFD, FD_CLOEXEC) != 0 ||
      !loop_add(server->pool.loop, durable->pipe[0], LOOP_READ, durable) ||
      pthread_mutex_init(&durable->mutex, NULL) != 0 ||
      pthread_cond_init(&durable->wanted, NULL) != 0 ||
      pthread_create(&durable->thread, NULL, run_rounds, durable) != 0) {
    fprintf(stderr, "server: %s\n", strerror(errno));
    return false;
  }
  durable->has_thread = true;
  return end_interrupted(server);
}

int durable_timeout(const struct server *server) {
  return server->durable == NULL
             ? -1
             : weir_log_file_get_timeout(server->durable->file);
}

void durable_turn(struct server *server) {
  struct durable *durable = server->durable;

  if (durable == NULL || weir_log_file_get_timeout(durable->file) != 0 ||
      weir_log_file_begin(durable->file) != WEIR_OK) {
    return;
  }
  (void)pthread_mutex_lock(&durable->mutex);
  durable->round = true;
  (void)pthread_cond_signal(&durable->wanted);
  (void)pthread_mutex_unlock(&durable->mutex);
}

void *durable_user(struct server *server) {
  return server->durable;
}

void durable_answer(struct server *server) {
  char byte;

  if (read(server->durable->pipe[0], &byte, 1) == 1) {
    (void)weir_log_file_end(server->durable->file);
  }
}

/* Let the thread come to its end. */
static void join(struct durable *durable) {
  if (durable->has_thread) {
    (void)pthread_mutex_lock(&durable->mutex);
    durable->quit = true;
    (void)pthread_cond_signal(&durable->wanted);
    (void)pthread_mutex_unlock(&durable->mutex);
    (void)pthread_join(durable->thread, NULL);
    durable->has_thread = false;
  }
}

void durable_close(struct server *server) {
  struct durable *durable = server->durable;

  if (durable == NULL) {
    return;
  }
  join(durable);
  /* A round that the thread did not come to, or whose end was not seen. */
  weir_log_file_run(durable->file);
  (void)weir_log_file_end(durable->file);
  if (weir_log_file_close(durable->file) != WEIR_OK) {
    fprintf(stderr, "server: the log was not closed cleanly\n");
  }
  free(durable);
  server->durable = NULL;
}
