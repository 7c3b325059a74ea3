/* An HTTP server on epoll (level or edge) or poll: net_server MODE [PORT]
 * Answers each request with a small page; keeps connections; ends at `GET /end`. */
#include "wasix.h"

static const char ANSWER[] =
  "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nHello, world\n";

/* Bytes of a request that came in pieces; requests here have no body. */
typedef struct { uint32_t seen; } connection;
static connection connections[20000];
static int is_ending;

/* Answers each whole request in `at`; how many bytes of the blank line were seen is kept. */
static int answer(int fd, const char *at, int len) {
  uint32_t seen = connections[fd].seen, count = 0;
  for (int i = 0; i < len; i++) {
    if (at[i] == "\r\n\r\n"[seen]) seen++; else seen = at[i] == '\r';
    if (seen == 4) { seen = 0; count++; }
  }
  connections[fd].seen = seen;
  if (len >= 8 && !memcmp(at, "GET /end", 8)) is_ending = 1;
  while (count--) {
    if (x_write(fd, ANSWER, sizeof ANSWER - 1) != sizeof ANSWER - 1) return 0;
  }
  return 1;
}

/* Reads what is there: once, or with edges until there is no more. 0 when it is over. */
static int serve(int fd, int until_empty) {
  static char buffer[4096];
  do {
    int got = x_read(fd, buffer, sizeof buffer);
    if (got == -EAGAIN) return 1;
    if (got <= 0 || !answer(fd, buffer, got)) return 0;
  } while (until_empty);
  return 1;
}

static int take(int listener) {
  int fd = x_accept(listener, 1);
  if (fd < 0) return fd;
  if (fd >= (int)(sizeof connections / sizeof *connections)) { x_close(fd); return -EMFILE; }
  connections[fd].seen = 0;
  x_no_delay(fd);
  return fd;
}

static int run_epoll(int listener, uint32_t edge) {
  static x_event events[1024];
  int ep = x_epoll();
  if (ep < 0 || x_ctl(ep, X_ADD, listener, X_IN, (uint64_t)listener)) return 3;
  while (!is_ending) {
    int n = x_wait(ep, events, 1024, -1);
    if (n < 0) return printf("wait %d\n", n), 4;
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data;
      if (fd == listener) {
        while ((fd = take(listener)) >= 0) x_ctl(ep, X_ADD, fd, X_IN | edge, (uint64_t)fd);
      } else if (!serve(fd, edge != 0)) {
        x_close(fd);
      }
    }
  }
  return 0;
}

static int run_poll(int listener) {
  static x_poll_entry list[20000];
  uint32_t n = 1;
  list[0] = (x_poll_entry){listener, X_IN, 0};
  while (!is_ending) {
    int ready = x_poll(list, n, -1);
    if (ready < 0) return printf("poll %d\n", ready), 4;
    uint32_t had = n;
    for (uint32_t i = 1; i < had && ready; i++) {
      if (!list[i].has) continue;
      if (!serve(list[i].fd, 0)) { x_close(list[i].fd); list[i].fd = -1; }
    }
    for (uint32_t i = 1; i < n;) {
      if (list[i].fd < 0) list[i] = list[--n]; else i++;
    }
    if (list[0].has) {
      int fd;
      while (n < 20000 && (fd = take(listener)) >= 0) list[n++] = (x_poll_entry){fd, X_IN, 0};
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "level";
  int listener = x_socket(X_STREAM);
  if (listener < 0) return printf("socket %d\n", listener), 1;
  x_reuse(listener);
  int e = x_bind(listener, x_ip(argc > 2 ? atoi(argv[2]) : 0));
  if (!e) e = x_listen(listener, 4096);
  if (!e) e = x_nonblock(listener);
  if (e) return printf("listen %d\n", e), 2;
  printf("port %d\n", x_port(listener));
  fflush(stdout);
  if (!strcmp(mode, "poll")) return run_poll(listener);
  return run_epoll(listener, strcmp(mode, "edge") ? 0 : X_ET);
}
