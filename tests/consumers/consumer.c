/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Somebody else's program: it prints what a client is sent of one event, and
 * fails if it is not built and run with the same version of weir. */

#include <stdio.h>
#include <string.h>

#include <weir/weir.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const char version[] = TEXT(WEIR_VERSION_MAJOR) "." TEXT(
    WEIR_VERSION_MINOR) "." TEXT(WEIR_VERSION_PATCH);

static int check(int rv) {
  if (rv < 0) {
    fprintf(stderr, "%s\n", weir_strerror(rv));
  }
  return rv == WEIR_OK;
}

static int serve(weir_hub *hub) {
  weir_open_options open;
  weir_attach_options attach;
  weir_event event;
  weir_stream *stream = NULL;
  weir_subscriber *subscriber = NULL;
  char sent[1024];
  size_t len;
  int verdict;
  int ok;

  weir_open_options_init(&open, sizeof open);
  open.key = "greeting";
  open.key_len = strlen(open.key);
  weir_event_init(&event, sizeof event);
  event.data = "hello";
  event.data_len = strlen(event.data);
  weir_attach_options_init(&attach, sizeof attach);
  attach.key = open.key;
  attach.key_len = open.key_len;

  ok = check(weir_hub_open(hub, &open, &stream)) &&
       check(weir_stream_publish(stream, &event, 1, NULL)) &&
       check(weir_hub_attach(hub, &attach, &subscriber, &verdict));
  while (ok &&
         weir_subscriber_read(subscriber, sent, sizeof sent, &len) == WEIR_OK) {
    fwrite(sent, 1, len, stdout);
  }
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  return ok;
}

int main(void) {
  weir_hub *hub;
  int ok;

  if (strcmp(weir_version(), version) != 0) {
    fprintf(stderr, "built with weir %s, runs with %s\n", version,
            weir_version());
    return 1;
  }
  if (!check(weir_hub_new(NULL, &hub))) {
    return 1;
  }
  ok = serve(hub);
  weir_hub_free(hub);
  return ok ? 0 : 1;
}
