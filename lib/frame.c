/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/frame.h>

#include "frame.h"
#include "scan.h"
#include "util.h"

void weir_frame_init(weir_frame *frame, size_t size) {
  (void)weir__start(frame, size);
}

void weir__frame_begin(struct weir__out *out, const void *id, size_t id_len,
                       const void *prefix, size_t prefix_len, const void *type,
                       size_t type_len, uint32_t retry) {
  if (id_len != 0) {
    weir__put(out, "id: ", 4);
    weir__put(out, id, id_len);
    weir__put(out, "\n", 1);
  }
  if (prefix_len != 0 ||
      (type_len != 0 && !weir__same(type, type_len, "message", 7))) {
    weir__put(out, "event: ", 7);
    weir__put(out, prefix, prefix_len);
    weir__put(out, type, type_len);
    weir__put(out, "\n", 1);
  }
  if (retry != 0) {
    weir__put(out, "retry: ", 7);
    weir__put_number(out, retry);
    weir__put(out, "\n", 1);
  }
  weir__put(out, "data: ", 6);
  out->lines = 1;
}

void weir__frame_end(struct weir__out *out) {
  weir__put(out, "\n\n", 2);
}

static int check(const weir_frame *frame, const void *id, size_t id_len) {
  if ((frame->flags & ~WEIR_FRAME_BYTES) != 0 ||
      frame->retry > WEIR_RETRY_MAX || !weir__is_field(id, id_len) ||
      !weir__is_field(frame->type, frame->type_len)) {
    return WEIR_EINVAL;
  }
  if ((frame->flags & WEIR_FRAME_BYTES) == 0 &&
      (!weir__is_text(id, id_len) ||
       !weir__is_text(frame->type, frame->type_len) ||
       !weir__is_text(frame->data, frame->data_len))) {
    return WEIR_EUTF8;
  }
  return WEIR_OK;
}

/* The one encoder, for frames with an id and without. */
static int encode(const weir_frame *callers, const void *id, size_t id_len,
                  void *dst, size_t cap, size_t *len) {
  struct weir__out out;
  weir_frame frame;
  size_t length;
  int rv;

  weir_frame_init(&frame, sizeof frame);
  rv = weir__load(&frame, sizeof frame, callers);
  if (rv == WEIR_OK) {
    rv = check(&frame, id, id_len);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  weir__out_init(&out, dst, cap);
  weir__frame_begin(&out, id, id_len, NULL, 0, frame.type, frame.type_len,
                    frame.retry);
  weir__put_lines(&out, frame.data, frame.data_len);
  weir__frame_end(&out);
  rv = weir__out_end(&out, &length);
  if (rv == WEIR_EOVERFLOW) {
    return rv;
  }
  if (out.lines > (frame.max_lines != 0 ? frame.max_lines : WEIR_FRAME_LINES) ||
      (frame.max_bytes != 0 && length > frame.max_bytes)) {
    return WEIR_ETOOBIG;
  }
  *len = length;
  return rv;
}

int weir_frame_event(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  return encode(frame, id, id_len, dst, cap, len);
}

int weir_frame_signal(const weir_frame *frame, void *dst, size_t cap,
                      size_t *len) {
  return encode(frame, NULL, 0, dst, cap, len);
}

int weir_frame_comment(const void *text, size_t text_len, void *dst, size_t cap,
                       size_t *len) {
  struct weir__out out;

  if (!weir__is_field(text, text_len)) {
    return WEIR_EINVAL;
  }
  weir__out_init(&out, dst, cap);
  weir__put(&out, ":", 1);
  weir__put(&out, text, text_len);
  weir__put(&out, "\n", 1);
  return weir__out_end(&out, len);
}
