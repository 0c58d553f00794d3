/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "trace.h"

#include <stdarg.h>
#include <unistd.h>

#define LINE 200

static struct {
  const uint64_t *now;
  const uint64_t *step;
  uint64_t hash;
  FILE *print;
  struct trace_found *found;
} trace;

void trace_begin(const uint64_t *now, const uint64_t *step) {
  trace.now = now;
  trace.step = step;
  trace.hash = 0xcbf29ce484222325u;
}

void trace_print(FILE *to) {
  trace.print = to;
}

void trace_report_to(struct trace_found *found) {
  trace.found = found;
}

void trace_say(const char *format, ...) {
  char line[LINE];
  va_list arguments;
  const char *p;
  int n;

  n = snprintf(line, LINE, "%6llu %9.3fs  ", (unsigned long long)*trace.step,
               (double)*trace.now / 1000);
  va_start(arguments, format);
  (void)vsnprintf(line + n, (size_t)(LINE - n), format, arguments);
  va_end(arguments);
  /* FNV-1a */
  for (p = line; *p != '\0'; ++p) {
    trace.hash = (trace.hash ^ (unsigned char)*p) * 0x100000001b3u;
  }
  if (trace.print != NULL) {
    fprintf(trace.print, "%s\n", line);
    fflush(trace.print);
  }
}

uint64_t trace_hash(void) {
  return trace.hash;
}

void trace_fail(int invariant, const char *format, ...) {
  va_list arguments;

  trace.found->step = *trace.step;
  trace.found->invariant = invariant;
  va_start(arguments, format);
  (void)vsnprintf(trace.found->text, sizeof trace.found->text, format,
                  arguments);
  va_end(arguments);
  _exit(TRACE_FOUND);
}
