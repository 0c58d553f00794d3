/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "frame_plain.h"

#include "scan.h"
#include "util.h"

void weir__frame_begin(struct weir__out *out, const void *id, size_t id_len,
                       const void *prefix, size_t prefix_len, const void *type,
                       size_t type_len, uint32_t retry) {
  if (id_len != 0) {
    weir__put_text(out, "id: ");
    weir__put(out, id, id_len);
    weir__put_text(out, "\n");
  }
  if (prefix_len != 0 ||
      (type_len != 0 && !weir__frame_is_default(type, type_len))) {
    weir__put_text(out, "event: ");
    weir__put(out, prefix, prefix_len);
    weir__put(out, type, type_len);
    weir__put_text(out, "\n");
  }
  if (retry != 0) {
    weir__put_text(out, "retry: ");
    weir__put_number(out, retry);
    weir__put_text(out, "\n");
  }
  weir__put_text(out, "data: ");
  out->lines = 1;
}

void weir__frame_end(struct weir__out *out) {
  weir__put_text(out, "\n\n");
}

/* What is asked of the text in a frame, unless bytes are let through. */
static bool is_text(const weir_frame *frame, const void *id, size_t id_len) {
  return weir__is_text(id, id_len) &&
         weir__is_text(frame->type, frame->type_len) &&
         weir__is_text(frame->data, frame->data_len);
}

static int encode(const weir_frame *frame, const void *id, size_t id_len,
                  void *dst, size_t cap, size_t *len) {
  struct weir__out out;

  if (((frame->flags & ~WEIR_FRAME_BYTES) | frame->reserved0 |
       frame->reserved[0] | frame->reserved[1]) != 0 ||
      frame->retry > WEIR_RETRY_MAX || !weir__is_field(id, id_len) ||
      !weir__is_field(frame->type, frame->type_len)) {
    return WEIR_EINVAL;
  }
  if ((frame->flags & WEIR_FRAME_BYTES) == 0 && !is_text(frame, id, id_len)) {
    return WEIR_EUTF8;
  }
  weir__out_init(&out, dst, cap);
  weir__frame_begin(&out, id, id_len, NULL, 0, frame->type, frame->type_len,
                    frame->retry);
  weir__put_lines(&out, frame->data, frame->data_len);
  weir__frame_end(&out);
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  if (out.overflow) {
    return WEIR_EOVERFLOW;
  }
  if (out.lines >
          (frame->max_lines != 0 ? frame->max_lines : WEIR_FRAME_LINES_MAX) ||
      (frame->max_bytes != 0 && out.len > frame->max_bytes)) {
    return WEIR_ETOOBIG;
  }
  return weir__out_end(&out, len);
}

int weir__frame_plain(const weir_frame *callers, const void *id, size_t id_len,
                      void *dst, size_t cap, size_t *len) {
  weir_frame frame = {0};
  int rv = weir__load(&frame, sizeof frame, callers);

  return rv == WEIR_OK ? encode(&frame, id, id_len, dst, cap, len) : rv;
}
