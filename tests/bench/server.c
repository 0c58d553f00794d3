/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "server.h"

#include "bare.h"
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 128

static int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  struct sockaddr_in address;

  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd >= 0 &&
      connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
    (void)close(fd);
    return -1;
  }
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

static void send_all(int fd, const char *bytes, size_t len) {
  ssize_t n;

  while (len != 0) {
    n = send(fd, bytes, len, MSG_NOSIGNAL);
    if (n <= 0) {
      die("send");
    }
    bytes += n;
    len -= (size_t)n;
  }
}

int server_connect(const struct server *server, const char *last_id) {
  const int fd = connect_to(server->port);
  char request[512];

  if (fd >= 0) {
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: bench\r\n"
                   "Accept: text/event-stream\r\n%s%s%s\r\n",
                   server->path, last_id != NULL ? "Last-Event-ID: " : "",
                   last_id != NULL ? last_id : "",
                   last_id != NULL ? "\r\n" : "");
    send_all(fd, request, strlen(request));
  }
  return fd;
}

/* --- Publishing --- */

void server_put_event(char event[EVENT_BYTES]) {
  const int n =
      snprintf(event, EVENT_BYTES, "%020llu ", (unsigned long long)wall_ns());

  memset(event + n, 'x', EVENT_BYTES - (size_t)n);
  event[EVENT_BYTES - 1] = EVENT_MARK;
}

/* Read until so many responses have come, in which `OK` is. */
static int read_responses(int fd, size_t count) {
  static char buffer[65536];
  size_t have = 0;
  size_t seen = 0;
  const char *p;
  ssize_t n;

  while (seen < count) {
    n = recv(fd, buffer + have, sizeof buffer - 1 - have, 0);
    if (n <= 0) {
      return -1;
    }
    have += (size_t)n;
    buffer[have] = '\0';
    for (p = buffer; (p = strstr(p, "HTTP/1.1 2")) != NULL; p += 10) {
      seen += 1;
      have = 0;
    }
    if (have > sizeof buffer / 2) {
      return -1;
    }
  }
  return 0;
}

/* One request with a line for each event. */
static int publish_weir(struct server *server, size_t count) {
  static char request[1024 + EVENTS_AT_ONCE * (EVENT_BYTES + 1)];
  const size_t len = count * (EVENT_BYTES + 1) - 1;
  size_t at = (size_t)snprintf(
      request, sizeof request,
      "POST /streams/bench/events?type=delta%s HTTP/1.1\r\nHost: bench\r\n"
      "Content-Length: %zu\r\n\r\n",
      count > 1 ? "&split=lines" : "", len);
  size_t i;

  for (i = 0; i < count; ++i) {
    if (i != 0) {
      request[at++] = '\n';
    }
    server_put_event(request + at);
    at += EVENT_BYTES;
  }
  send_all(server->control, request, at);
  return read_responses(server->control, 1);
}

/* A request for each event, one behind the other. */
static int publish_nchan(struct server *server, size_t count) {
  static char request[EVENTS_AT_ONCE * (EVENT_BYTES + 256)];
  size_t at = 0;
  size_t i;

  for (i = 0; i < count; ++i) {
    at += (size_t)snprintf(request + at, 256,
                           "POST /publish HTTP/1.1\r\nHost: bench\r\n"
                           "Content-Length: %d\r\n\r\n",
                           EVENT_BYTES);
    server_put_event(request + at);
    at += EVENT_BYTES;
  }
  send_all(server->control, request, at);
  return read_responses(server->control, count);
}

static int publish_bare(struct server *server, size_t count) {
  unsigned char byte = (unsigned char)count;

  return write(server->control, &byte, 1) == 1 &&
                 read(server->control, &byte, 1) == 1
             ? 0
             : -1;
}

void server_publish(struct server *server, size_t count) {
  if (server->publish(server, count) != 0) {
    die("publish");
  }
}

/* The id of the first event that a client gets. */
static void read_id(struct server *server) {
  const int fd = server_connect(server, NULL);
  char buffer[16384];
  size_t have = 0;
  char *end;
  char *id;
  ssize_t n;

  do {
    n = recv(fd, buffer + have, sizeof buffer - 1 - have, 0);
    if (n <= 0) {
      die("no event");
    }
    have += (size_t)n;
    buffer[have] = '\0';
  } while ((end = strchr(buffer, EVENT_MARK)) == NULL);
  *end = '\0';
  id = buffer;
  for (end = buffer; (end = strstr(end, "\nid: ")) != NULL; end += 5) {
    id = end + 5;
  }
  (void)snprintf(server->last_id, sizeof server->last_id, "%.*s",
                 (int)strcspn(id, "\n"), id);
  (void)close(fd);
}

void server_fill(struct server *server) {
  if (server->publish == publish_bare) {
    (void)strcpy(server->last_id, "1");
    return;
  }
  server_publish(server, 1);
  read_id(server);
  server_publish(server, BEHIND);
}

double server_stat(struct server *server, const char *name) {
  char buffer[16384];
  char key[64];
  const char *found;
  size_t have = 0;
  ssize_t n;

  send_all(server->control, "GET /stats HTTP/1.1\r\nHost: bench\r\n\r\n", 38);
  do {
    n = recv(server->control, buffer + have, sizeof buffer - 1 - have, 0);
    if (n <= 0) {
      die("stats");
    }
    have += (size_t)n;
    buffer[have] = '\0';
  } while (strstr(buffer, "}\n") == NULL);
  (void)snprintf(key, sizeof key, "\"%s\":", name);
  found = strstr(buffer, key);
  return found == NULL ? -1 : strtod(found + strlen(key), NULL);
}

/* --- Starting and stopping --- */

static int fork_server(struct server *server) {
  server->pid = fork();
  if (server->pid < 0) {
    die("fork");
  }
  if (server->pid == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  return server->pid == 0;
}

static void hush(void) {
  const int null = open("/dev/null", O_RDWR);

  (void)dup2(null, 0);
  (void)dup2(null, 1);
  (void)dup2(null, 2);
}

int server_start_weir(struct server *server, const char *log) {
  const char *program = getenv("WEIR_SERVER");
  char line[256];
  int out[2];
  ssize_t n;

  memset(server, 0, sizeof *server);
  if (program == NULL) {
    program = "build/examples/server";
  }
  if (access(program, X_OK) != 0 || pipe(out) != 0) {
    return -1;
  }
  if (fork_server(server)) {
    (void)dup2(out[1], 1);
    (void)close(out[0]);
    (void)close(out[1]);
    (void)execl(program, program, "--listen", "127.0.0.1:0", "--linger", "1h",
                "--heartbeat", "0", log != NULL ? "--log" : NULL, log, "--sync",
                "never", NULL);
    _exit(1);
  }
  (void)close(out[1]);
  n = read(out[0], line, sizeof line - 1);
  line[n > 0 ? n : 0] = '\0';
  (void)close(out[0]);
  if (strrchr(line, ':') == NULL) {
    die("server");
  }
  server->name = "weir";
  server->path = "/streams/bench";
  server->port = atoi(strrchr(line, ':') + 1);
  server->publish = publish_weir;
  server->control = connect_to(server->port);
  return 0;
}

int server_start_bare(struct server *server) {
  int pair[2];
  int listener;

  memset(server, 0, sizeof *server);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
    die("socketpair");
  }
  listener = bare_listen(&server->port);
  if (fork_server(server)) {
    (void)close(pair[0]);
    bare_run(listener, pair[1]);
  }
  (void)close(listener);
  (void)close(pair[1]);
  server->name = "bare loop";
  server->path = "/";
  server->publish = publish_bare;
  server->control = pair[0];
  return 0;
}

static const char nchan_module[] = "/usr/lib/nginx/modules/ngx_nchan_module.so";
static const char nginx[] = "/usr/sbin/nginx";

static void configure_nchan(const char *path, int port) {
  FILE *file = fopen(path, "w");

  if (file == NULL) {
    die(path);
  }
  fprintf(file,
          "load_module %s;\n"
          "daemon off; master_process off; pid nginx.pid;\n"
          "error_log /dev/null crit; worker_rlimit_nofile 20000;\n"
          "events { worker_connections 19000; }\n"
          "http { access_log off; keepalive_requests 1000000;\n"
          "client_body_temp_path body; proxy_temp_path proxy;\n"
          "fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;\n"
          "scgi_temp_path scgi; tcp_nodelay on;\n"
          "nchan_max_reserved_memory 256M;\n"
          "server { listen 127.0.0.1:%d backlog=4096;\n"
          "location = /publish { nchan_publisher; nchan_channel_id bench;\n"
          "nchan_message_buffer_length 200; nchan_message_timeout 1h; }\n"
          "location = /subscribe { nchan_subscriber eventsource;\n"
          "nchan_channel_id bench; nchan_subscriber_first_message oldest;\n"
          "} } }\n",
          nchan_module, port);
  (void)fclose(file);
}

int server_start_nchan(struct server *server) {
  char config[300];
  int tries;

  memset(server, 0, sizeof *server);
  if (access(nginx, X_OK) != 0 || access(nchan_module, R_OK) != 0) {
    return -1;
  }
  (void)close(bare_listen(&server->port));
  (void)strcpy(server->directory, "/tmp/weir-bench-XXXXXX");
  if (mkdtemp(server->directory) == NULL) {
    die("mkdtemp");
  }
  (void)snprintf(config, sizeof config, "%s/nginx.conf", server->directory);
  configure_nchan(config, server->port);
  if (fork_server(server)) {
    hush();
    (void)execl(nginx, nginx, "-p", server->directory, "-c", config, NULL);
    _exit(1);
  }
  server->name = "nchan";
  server->path = "/subscribe";
  server->publish = publish_nchan;
  server->control = -1;
  for (tries = 0; tries < 200 && server->control < 0; ++tries) {
    (void)usleep(20000);
    server->control = connect_to(server->port);
  }
  return server->control < 0 ? -1 : 0;
}

void server_stop(struct server *server) {
  char command[300];

  if (server->pid <= 0) {
    return;
  }
  (void)kill(server->pid, SIGKILL);
  (void)waitpid(server->pid, NULL, 0);
  (void)close(server->control);
  server->pid = 0;
  if (server->directory[0] != '\0') {
    (void)snprintf(command, sizeof command, "rm -rf '%s'", server->directory);
    (void)!system(command);
  }
}

/* --- What it uses --- */

double server_cpu(const struct server *server) {
  struct timespec used;
  clockid_t clock;

  if (clock_getcpuclockid(server->pid, &clock) != 0 ||
      clock_gettime(clock, &used) != 0) {
    die("the server has gone");
  }
  return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

double server_memory(const struct server *server) {
  char path[64];
  char line[256];
  double kilobytes = 0;
  FILE *file;

  (void)snprintf(path, sizeof path, "/proc/%d/status", (int)server->pid);
  file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "RssAnon:", 8) == 0) {
      kilobytes = strtod(line + 8, NULL);
    }
  }
  if (file != NULL) {
    (void)fclose(file);
  }
  return kilobytes * 1024;
}

void server_calm(const struct server *server) {
  double before;

  do {
    before = server_cpu(server);
    (void)usleep(50000);
  } while (server_cpu(server) - before > 1e6);
}
