/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/frame.h>

#include <string.h>

#include "frame_plain.h"
#include "frame_wide.h"
#include "scan.h"
#include "util.h"

void weir_frame_init(weir_frame *frame, size_t size) {
  weir__start(frame, size);
}

int weir_frame_encode_event(const weir_frame *frame, const void *id,
                            size_t id_len, void *dst, size_t cap, size_t *len) {
  size_t size = 0;

  if (frame != NULL) {
    memcpy(&size, frame, sizeof size);
  }
  return size == sizeof *frame && weir__frame_is_wide()
             ? weir__frame_wide(frame, id, id_len, dst, cap, len)
             : weir__frame_plain(frame, id, id_len, dst, cap, len);
}

int weir_frame_encode_signal(const weir_frame *frame, void *dst, size_t cap,
                             size_t *len) {
  return weir_frame_encode_event(frame, NULL, 0, dst, cap, len);
}

int weir_frame_encode_comment(const void *text, size_t text_len, void *dst,
                              size_t cap, size_t *len) {
  struct weir__out out;

  if (!weir__is_field(text, text_len)) {
    return WEIR_EINVAL;
  }
  if (!weir__is_text(text, text_len)) {
    return WEIR_EUTF8;
  }
  weir__out_init(&out, dst, cap);
  weir__put_text(&out, ":");
  weir__put(&out, text, text_len);
  weir__put_text(&out, "\n");
  return weir__out_end(&out, len);
}
