/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* weirlog: what is in the directory of a file log, for people. It is written
 * from weir_log_file(5) alone, only reads, and takes no lock: a server may be
 * using the directory. */

#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/cursor.h>

static const char usage[] =
    "usage: weirlog list DIR\n"
    "       weirlog dump DIR KEY [--text]\n"
    "       weirlog verify DIR\n\n"
    "list    says what streams there are\n"
    "dump    writes the events of a stream as clients get them, or (--text)\n"
    "        one a line, and says on standard error what is missing\n"
    "verify  looks at everything and says what is damaged\n\n"
    "Exit status: 0; 1 if something is damaged or lost, or there is no such\n"
    "stream; 2 if nothing can be said.\n";

/* --- Words -----------------------------------------------------------------*/

/* Text that may be anything, on a line of a terminal. */
static void put_text(FILE *file, const unsigned char *text, size_t len) {
  size_t i;

  for (i = 0; i < len; ++i) {
    if (text[i] == '\n') {
      fputs("\\n", file);
    } else if (text[i] == '\\') {
      fputs("\\\\", file);
    } else if (text[i] < 0x20 || text[i] == 0x7f) {
      fprintf(file, "\\x%02x", text[i]);
    } else {
      putc(text[i], file);
    }
  }
}

/* A generation as clients are told of it: the text of its first epoch. */
static void put_generation(FILE *file, const struct stream *stream, int width) {
  const weir_cursor cursor = {stream->generation, 0};
  char text[WEIR_CURSOR_MAX];
  size_t len = 2;

  (void)weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text, sizeof text, &len);
  fprintf(file, "%-*.*s", width, (int)len - 2, text);
}

static void put_time(uint64_t time) {
  const time_t seconds = (time_t)(time / 1000);
  const struct tm *parts = gmtime(&seconds);
  char text[64] = "?";

  if (parts != NULL) {
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", parts);
  }
  printf("%s.%03dZ", text, (int)(time % 1000));
}

static void put_stream(FILE *file, const struct stream *stream) {
  fprintf(file, "stream ");
  put_text(file, stream->key, stream->key_len);
  if (stream->is_hidden) {
    fprintf(file, " (");
    put_generation(file, stream, 0);
    fprintf(file, ", hidden)");
  }
}

static void put_range(FILE *file, const struct stream *stream, uint64_t first,
                      uint64_t last, const char *one, const char *many) {
  put_stream(file, stream);
  if (first == last) {
    fprintf(file, ": event %" PRIu64 " %s\n", first, one);
  } else {
    fprintf(file, ": events %" PRIu64 " to %" PRIu64 " %s\n", first, last,
            many);
  }
}

/* Those that are not there, of which the last may never have been. */
static uint64_t put_lost(FILE *file, const struct stream *stream,
                         uint64_t first, uint64_t last) {
  const bool is_guess = stream->is_suspected && last == stream->last;
  const uint64_t known = is_guess ? last - 1 : last;

  if (first <= known) {
    put_range(file, stream, first, known, "is lost", "are lost");
  }
  if (is_guess) {
    put_range(file, stream, last, last,
              "may have been there; clients are told that it is lost", "");
  }
  return last - first + 1;
}

/* --- What there is ---------------------------------------------------------*/

/* Go through the events of a stream: how many are lost, which is said. */
static uint64_t visit(struct log *log, const struct stream *stream,
                      FILE *losses,
                      void (*event)(const struct record *record,
                                    const unsigned char *frame)) {
  const unsigned char *frame;
  struct record record;
  uint64_t next = stream->trimmed + 1;
  uint64_t lost = 0;
  uint64_t gone = 0; /* with a segment, since this began */
  size_t i;

  for (i = 0; i < stream->count; ++i) {
    if (stream->places[i].number <= stream->trimmed) {
      continue;
    }
    frame = log_read(log, stream, &stream->places[i], &record);
    if (frame == NULL && !log->segments[stream->places[i].segment].is_gone) {
      continue;
    }
    if (frame == NULL) {
      gone = stream->places[i].number;
      continue;
    }
    if (next <= gone) {
      put_range(losses, stream, next, gone, "is gone by now",
                "are gone by now");
      next = gone + 1;
    }
    if (next < record.number) {
      lost += put_lost(losses, stream, next, record.number - 1);
    }
    next = record.number + 1;
    if (event != NULL) {
      event(&record, frame);
    }
  }
  next = next <= gone ? gone + 1 : next;
  if (next <= stream->last) {
    lost += put_lost(losses, stream, next, stream->last);
  }
  return lost;
}

static const char *status_of(struct log *log, const struct stream *stream) {
  struct record record;

  if (stream->ended == 0) {
    return "open";
  }
  return stream->count != 0 &&
                 log_read(log, stream, &stream->places[stream->count - 1],
                          &record) != NULL &&
                 (record.flags & FLAG_FAILED) != 0
             ? "failed"
             : "ended";
}

static int list(const char *path) {
  const struct stream *stream;
  char events[48];
  struct log log;
  size_t i;

  log_open(&log, path, false);
  printf("GENERATION     STATUS  EVENTS              KEY\n");
  for (i = 0; i < log.stream_count; ++i) {
    stream = log.streams[i];
    put_generation(stdout, stream, 13);
    (void)snprintf(events, sizeof events, "%" PRIu64 "-%" PRIu64,
                   stream->trimmed + 1, stream->last);
    printf("  %-6s  %-18s  ", status_of(&log, stream),
           stream->trimmed == stream->last ? "-" : events);
    put_text(stdout, stream->key, stream->key_len);
    printf("%s\n", stream->is_hidden ? "  (hidden by a newer one)" : "");
  }
  i = log.findings;
  log_close(&log);
  if (i != 0) {
    fprintf(stderr, "weirlog: %s is damaged; verify says more\n", path);
  }
  return i != 0;
}

static void write_frame(const struct record *record,
                        const unsigned char *frame) {
  (void)fwrite(frame, 1, record->size, stdout);
}

/* The value of a line `name: value`, if it is one. */
static const unsigned char *value_of(const unsigned char *line, size_t len,
                                     const char *name, size_t *value_len) {
  const size_t name_len = strlen(name);

  if (len < name_len + 2 || memcmp(line, name, name_len) != 0 ||
      line[name_len] != ':' || line[name_len + 1] != ' ') {
    return NULL;
  }
  *value_len = len - name_len - 2;
  return line + name_len + 2;
}

/* An event on one line: number, time, type, data. */
static void write_text(const struct record *record,
                       const unsigned char *frame) {
  const unsigned char *type = (const unsigned char *)"message";
  const unsigned char *const end = frame + record->size;
  const unsigned char *line;
  const unsigned char *next;
  const unsigned char *value;
  size_t type_len = 7;
  size_t value_len;
  bool is_first = true;
  int pass;

  printf("%" PRIu64 "  ", record->number);
  put_time(record->time);
  printf("  ");
  for (pass = 0; pass < 2; ++pass) {
    for (line = frame; line < end; line = next + 1) {
      next = memchr(line, '\n', (size_t)(end - line));
      next = next == NULL ? end : next;
      value = value_of(line, (size_t)(next - line),
                       pass == 0 ? "event" : "data", &value_len);
      if (value != NULL && pass == 0) {
        type = value;
        type_len = value_len;
      } else if (value != NULL) {
        printf("%s", is_first ? "" : "\\n");
        put_text(stdout, value, value_len);
        is_first = false;
      }
    }
    if (pass == 0) {
      put_text(stdout, type, type_len);
      printf("  ");
    }
  }
  printf("\n");
}

static int dump(const char *path, const char *key, bool as_text) {
  const struct stream *stream;
  struct log log;
  uint64_t lost;

  log_open(&log, path, false);
  stream = log_find(&log, key);
  if (stream == NULL) {
    fprintf(stderr, "weirlog: there is no stream %s\n", key);
    return 1;
  }
  if (stream->trimmed != 0) {
    put_range(stderr, stream, 1, stream->trimmed, "is gone", "are gone");
  }
  lost = visit(&log, stream, stderr, as_text ? write_text : write_frame);
  log_close(&log);
  return lost != 0;
}

static int verify(const char *path) {
  uint64_t events = 0;
  uint64_t lost = 0;
  size_t damage;
  struct log log;
  size_t i;

  log_open(&log, path, true);
  for (i = 0; i < log.stream_count; ++i) {
    lost += visit(&log, log.streams[i], stdout, NULL);
    events += log.streams[i]->last - log.streams[i]->trimmed;
  }
  damage = log.findings;
  printf("%zu segments, %zu streams, %" PRIu64 " events: ", log.segment_count,
         log.stream_count, events);
  if (damage == 0 && lost == 0) {
    printf("sound\n");
  } else {
    printf("damaged; %" PRIu64 " lost\n", lost);
  }
  log_close(&log);
  return damage != 0 || lost != 0;
}

int main(int argc, char **argv) {
  const char *what = argc < 2 ? "" : argv[1];
  const bool as_text = argc == 5 && strcmp(argv[4], "--text") == 0;
  int status;

  if (argc == 2 && strcmp(what, "--help") == 0) {
    fputs(usage, stdout);
    return 0;
  }
  if (argc == 3 && strcmp(what, "list") == 0) {
    status = list(argv[2]);
  } else if ((argc == 4 || as_text) && strcmp(what, "dump") == 0) {
    status = dump(argv[2], argv[3], as_text);
  } else if (argc == 3 && strcmp(what, "verify") == 0) {
    status = verify(argv[2]);
  } else {
    fputs(usage, stderr);
    return 2;
  }
  if (fflush(stdout) != 0 || ferror(stdout)) {
    give_up("standard output cannot be written");
  }
  return status;
}
