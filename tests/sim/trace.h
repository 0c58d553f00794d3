/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

/* What has happened, for people: one line each. All lines are hashed, so that
 * two runs can be seen to be the same. There is one world in a process, and one
 * trace. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define TRACE_FORMAT(n) __attribute__((format(printf, n, n + 1)))
#else
#define TRACE_FORMAT(n)
#endif

/* Time stands in front of each line. */
void trace_begin(const uint64_t *now, const uint64_t *step);

/* Print every line as it comes. */
void trace_print(FILE *to);

void trace_say(const char *format, ...) TRACE_FORMAT(1);

uint64_t trace_hash(void);

/* An invariant of the design does not hold (0: something else that may never
 * be): say so, and end the process. */
_Noreturn void trace_fail(int invariant, const char *format, ...)
    TRACE_FORMAT(2);

/* How a process ends that has found something. */
#define TRACE_FOUND 3

/* What was found: shared with whoever started the process. */
struct trace_found {
  uint64_t step;
  int invariant;
  char text[400];
};

/* Where it is put. */
void trace_report_to(struct trace_found *found);

#endif /* SIM_TRACE_H */
