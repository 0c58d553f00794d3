/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "trace.h"

static void clear(struct wire_frame *frame) {
  frame->comment = false;
  frame->has_id = false;
  frame->has_type = false;
  frame->has_retry = false;
  frame->retry = 0;
  frame->id.len = 0;
  frame->type.len = 0;
  frame->data.len = 0;
  frame->lines = 0;
  frame->hash = 0xcbf29ce484222325u;
  frame->len = 0;
  kit_bytes_add(&frame->id, NULL, 0);
  kit_bytes_add(&frame->type, NULL, 0);
  kit_bytes_add(&frame->data, NULL, 0);
}

void wire_init(struct wire *wire, wire_take *take, void *user) {
  memset(wire, 0, sizeof *wire);
  wire->take = take;
  wire->user = user;
  clear(&wire->frame);
}

void wire_free(struct wire *wire) {
  kit_bytes_free(&wire->frame.id);
  kit_bytes_free(&wire->frame.type);
  kit_bytes_free(&wire->frame.data);
  kit_bytes_free(&wire->line);
}

bool wire_is_whole(const struct wire *wire) {
  return wire->frame.len == 0;
}

bool wire_is(const struct kit_bytes *bytes, const char *text) {
  return bytes->len == strlen(text) &&
         memcmp(bytes->data, text, bytes->len) == 0;
}

static bool begins(const struct kit_bytes *line, const char *name) {
  return line->len >= strlen(name) &&
         memcmp(line->data, name, strlen(name)) == 0;
}

static void break_frame(const struct wire *wire, const char *why) {
  trace_fail(6, "%s: line \"%.60s\" of a frame of %zu bytes", why,
             wire->line.data, wire->frame.len);
}

static void take_line(struct wire *wire) {
  struct wire_frame *frame = &wire->frame;
  const struct kit_bytes *line = &wire->line;
  const bool begun =
      frame->has_id || frame->has_type || frame->has_retry || frame->lines != 0;

  if (line->len == 0 || line->data[0] == ':') {
    frame->comment = line->len != 0;
    if (frame->comment == begun || (!frame->comment && frame->lines == 0)) {
      break_frame(wire, begun ? "a comment within a frame" : "an empty frame");
    }
    wire->take(wire->user, frame);
    clear(frame);
  } else if (begins(line, "id: ") && !begun) {
    frame->has_id = true;
    kit_bytes_add(&frame->id, line->data + 4, line->len - 4);
    if (line->len == 4) {
      trace_fail(1, "an id line without an id");
    }
  } else if (begins(line, "event: ") && line->len > 7 && !frame->has_type &&
             !frame->has_retry && frame->lines == 0) {
    frame->has_type = true;
    kit_bytes_add(&frame->type, line->data + 7, line->len - 7);
  } else if (begins(line, "retry: ") && line->len > 7 && !frame->has_retry &&
             frame->lines == 0) {
    frame->has_retry = true;
    frame->retry = strtoull(line->data + 7, NULL, 10);
  } else if (begins(line, "data: ")) {
    kit_bytes_add(&frame->data, "\n", frame->lines != 0);
    kit_bytes_add(&frame->data, line->data + 6, line->len - 6);
    frame->lines += 1;
  } else {
    break_frame(wire, "not a line that may stand here");
  }
}

void wire_feed(struct wire *wire, const void *bytes, size_t len) {
  const char *p = bytes;
  const char *end = p + len;
  const char *stop;
  const char *q;

  for (; p < end; p = stop) {
    stop = memchr(p, '\n', (size_t)(end - p));
    stop = stop == NULL ? end : stop + 1;
    for (q = p; q < stop; ++q) {
      wire->frame.hash =
          (wire->frame.hash ^ (unsigned char)*q) * 0x100000001b3u;
      if (*q == '\r' || *q == '\0') {
        break_frame(wire, "a byte that no line has");
      }
    }
    wire->frame.len += (size_t)(stop - p);
    kit_bytes_add(&wire->line, p,
                  (size_t)(stop - p) - (stop[-1] == '\n' ? 1 : 0));
    if (stop[-1] == '\n') {
      take_line(wire);
      wire->line.len = 0;
      kit_bytes_add(&wire->line, NULL, 0);
    }
  }
}
