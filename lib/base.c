/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/base.h>

#include "util.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* By -error, in the order of the enum. */
static const char *const messages[] = {
    "no error",
    "out of memory",
    "invalid argument",
    "buffer too small",
    "out of range",
    "nothing now",
    "nothing ever again",
    "not to be called from here",
    "gone",
    "no such stream",
    "exists already",
    "the stream has ended",
    "another writer has taken over",
    "malformed cursor",
    "no cursor",
    "draining",
    "storage failed",
    "storage did not say whether it stored",
    "late answer",
    "no random bits",
    "too many streams",
    "too many subscribers",
    "too many subscribers of this stream",
    "too many subscribers of this client",
    "event too big",
    "too many bytes in memory",
    "too many events wait for storage",
    "not UTF-8, or a NUL in it",
    "not JSON",
    "reserved event type",
    "no progress in writing",
    "the file system failed",
    "no room on the disk",
    "another process has the directory",
    "not a log of this library, or of a newer one",
    "not allowed",
};

const char *weir_strerror(int error) {
  const int count = (int)(sizeof messages / sizeof messages[0]);

  return error <= 0 && error > -count ? messages[-error] : "unknown error";
}

void weir_allocator_init(weir_allocator *allocator, size_t size) {
  weir__start(allocator, size);
}

const char *weir_version(void) {
  return TEXT(WEIR_VERSION_MAJOR) "." TEXT(WEIR_VERSION_MINOR) "." TEXT(
      WEIR_VERSION_PATCH);
}
