/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "page.h"

#include "reply.h"

#include <string.h>

struct file {
  const char *path;
  const unsigned char *data;
  size_t len;
};

/* Made from the folder page/: const struct file files[]. */
#include "page_files.h"

#define FILES (sizeof files / sizeof files[0])

/* The index of a file; their number if there is none. */
static size_t find(struct slice path) {
  size_t i;

  if (slice_is(path, "/")) {
    path.data = "/index.html";
    path.len = strlen(path.data);
  }
  for (i = 0; i < FILES && !slice_is(path, files[i].path); ++i) {
  }
  return i;
}

static const char *type_of(const char *path) {
  static const struct {
    const char *ending;
    const char *type;
  } types[] = {{".html", "text/html; charset=utf-8"},
               {".css", "text/css; charset=utf-8"},
               {".js", "text/javascript; charset=utf-8"},
               {".svg", "image/svg+xml"}};
  const char *dot = strrchr(path, '.');
  size_t i;

  for (i = 0; dot != NULL && i < sizeof types / sizeof types[0]; ++i) {
    if (strcmp(dot, types[i].ending) == 0) {
      return types[i].type;
    }
  }
  return "application/octet-stream";
}

bool page_has(struct slice path) {
  return find(path) < FILES;
}

void page_serve(struct conn *conn, struct slice path) {
  const struct file *file = &files[find(path)]; /* page_has it */

  reply_content(conn, type_of(file->path),
                "Content-Security-Policy: default-src 'self'; "
                "img-src 'self' data:; frame-ancestors 'none'\r\n",
                file->data, file->len);
}
