/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A clock for everybody who connects: `curl -N http://127.0.0.1:8081`, or the
 * port that it is given. Cut the line, come back with the last id that you saw,
 * and no second is missing. It takes one request at a time and believes that it
 * comes at once and in one piece, so that one client that says nothing holds up
 * all; examples/server does not. */

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <weir/weir.h>

/* There is something to send. weir tells when; the sockets are ours. */
static void notify(void *user, const weir_notice *notice) {
  int fd = (int)(intptr_t)notice->user;
  char bytes[4096];
  size_t len;
  int rv = WEIR_EGONE;

  (void)user;
  while (notice->kind != WEIR_NOTICE_ABORT &&
         (rv = weir_subscriber_read(notice->subscriber, bytes, sizeof bytes,
                                    &len)) == WEIR_OK &&
         send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len) {
  }
  if (rv != WEIR_EAGAIN) {
    weir_subscriber_release(notice->subscriber);
    close(fd);
  }
}

/* A request in, its cursor judged, a response out. */
static void answer(weir_hub *hub, int fd) {
  char bytes[4096] = "";
  const char *line;
  weir_request request;
  weir_attach_options options;
  weir_subscriber *client;
  weir_response response = {.size = sizeof response};
  size_t len = 0;

  (void)!read(fd, bytes, sizeof bytes - 1);
  weir_request_init(&request, sizeof request);
  for (line = bytes; (line = strstr(line, "\r\n")) != NULL;) {
    line += 2;
    if (strncasecmp(line, "Last-Event-ID:", 14) == 0) {
      line += 14 + strspn(line + 14, " ");
      request.header = line;
      request.header_len = strcspn(line, "\r\n");
    }
  }
  weir_attach_options_init(&options, sizeof options);
  options.key = "clock";
  options.key_len = 5;
  options.request = &request;
  options.user = (void *)(intptr_t)fd;
  if (weir_http_attach(hub, &options, NULL, &client, &response) != WEIR_OK ||
      weir_http_write_head(&response, bytes, sizeof bytes, &len) != WEIR_OK ||
      send(fd, bytes, len, MSG_NOSIGNAL) < 0 || client == NULL) {
    close(fd);
  }
}

int main(int argc, char **argv) {
  const uint16_t port =
      (uint16_t)strtoul(argc > 1 ? argv[1] : "8081", NULL, 10);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct pollfd door = {.fd = socket(AF_INET, SOCK_STREAM, 0),
                        .events = POLLIN};
  weir_hub_options hub_options;
  weir_open_options options;
  weir_stream *clock;
  weir_event tick;
  weir_hub *hub;
  time_t now = 0;

  weir_hub_options_init(&hub_options, sizeof hub_options);
  hub_options.notify = notify;
  weir_open_options_init(&options, sizeof options);
  options.key = "clock";
  options.key_len = 5;
  weir_event_init(&tick, sizeof tick);
  if (weir_hub_new(&hub_options, &hub) != WEIR_OK ||
      weir_hub_open(hub, &options, &clock) != WEIR_OK ||
      bind(door.fd, (struct sockaddr *)&here, sizeof here) != 0 ||
      listen(door.fd, 16) != 0) {
    return 1;
  }
  for (;;) {
    if (time(NULL) != now) {
      now = time(NULL);
      tick.data = ctime(&now);
      tick.data_len = 24;
      (void)weir_stream_publish(clock, &tick, 1, NULL);
    }
    (void)weir_hub_run(hub);
    if (poll(&door, 1, 100) == 1) {
      answer(hub, accept(door.fd, NULL, NULL));
    }
  }
}
