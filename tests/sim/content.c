/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "content.h"

#include <stdio.h>
#include <string.h>

#include "chance.h"

static void add(struct kit_bytes *bytes, const char *text) {
  kit_bytes_add(bytes, text, strlen(text));
}

/* Pieces that have broken encoders, and plain ones. */
static const char *const pieces[] = {"word ",
                                     "\n",
                                     "\r\n",
                                     "\r",
                                     "\n\n",
                                     "data: x",
                                     "\nid: 7\n",
                                     "\nevent: y\n",
                                     ":",
                                     "\n:\n",
                                     " ",
                                     "  \n ",
                                     "\xc3\xa9",
                                     "\xf0\x9f\x90\x9f",
                                     "{\"a\":1}",
                                     "0123456789abcdef",
                                     "retry: 1\n",
                                     "\xef\xbb\xbf",
                                     "lorem ipsum dolor sit amet "};

void content_make(struct content *content, uint64_t seed, uint32_t number,
                  size_t most) {
  static const char *const types[] = {"", "x", "delta", "message", "readyish"};
  struct chance chance;
  char begin[32];
  size_t size;
  const char *p;

  memset(content, 0, sizeof *content);
  chance_init(&chance, seed, "content", number);
  content->type = types[chance_below(&chance, sizeof types / sizeof types[0])];
  size = (size_t)chance_size(&chance, most);
  snprintf(begin, sizeof begin, "#%u ", (unsigned)number);
  if (chance_permille(&chance, 200)) {
    content->flags = WEIR_EVENT_JSON;
    add(&content->data, "{\"t\":\"");
    add(&content->data, begin);
    while (content->data.len < size) {
      add(&content->data, "ab\\n\xc3\xa9 ");
    }
    add(&content->data, "\",\r\n\"b\":[1,2]}");
  } else {
    add(&content->data, begin);
    while (content->data.len < size) {
      add(&content->data,
          pieces[chance_below(&chance, sizeof pieces / sizeof pieces[0])]);
    }
  }
  kit_bytes_add(&content->plain, NULL, 0);
  for (p = content->data.data; *p != '\0'; ++p) {
    if (*p != '\r') {
      kit_bytes_add(&content->plain, p, 1);
    } else if (p[1] != '\n') {
      kit_bytes_add(&content->plain, "\n", 1);
    }
  }
}

void content_free(struct content *content) {
  kit_bytes_free(&content->data);
  kit_bytes_free(&content->plain);
}

uint32_t content_number(const char *data, size_t len) {
  const char *p = len == 0 ? NULL : memchr(data, '#', len);
  uint32_t number = 0;

  if (p == NULL) {
    return 0;
  }
  for (++p; p < data + len && *p >= '0' && *p <= '9'; ++p) {
    number = number * 10 + (uint32_t)(*p - '0');
  }
  return number;
}
