/* A reactor as asynchronous programs have it: one set for everything, timers as the time until the
 * next, a counter of events to be woken by, edges. Serves echo over TCP and UDP; each line of a
 * connection is answered after 5 ms. Ends after the number of lines that is given. */
#include "wasix.h"

enum { WAKER, LISTENER, DATAGRAMS, FIRST };
typedef struct { int fd, len; char line[256]; } task;
typedef struct { int64_t at_ns; int task; } timer;
static task tasks[256];
static timer timers[1024];
static int timer_count;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static void after(int64_t ns, int which) {
  if (timer_count < 1024) timers[timer_count++] = (timer){now_ns() + ns, which};
}
static int64_t until_next(void) {
  int64_t first = INT64_MAX, now = now_ns();
  for (int i = 0; i < timer_count; i++) if (timers[i].at_ns < first) first = timers[i].at_ns;
  return first == INT64_MAX ? -1 : first > now ? first - now : 0;
}

int main(int argc, char **argv) {
  int lines = argc > 1 ? atoi(argv[1]) : 1;
  int ep = x_epoll(), waker = x_eventfd(0, 0, 1);
  int listener = x_socket(X_STREAM), datagrams = x_socket(X_DGRAM);
  int e = x_bind(listener, x_ip(0));
  if (!e) e = x_listen(listener, 64);
  if (!e) e = x_bind(datagrams, x_ip(x_port(listener)));
  if (e) return printf("listen %d\n", e), 1;
  x_nonblock(listener), x_nonblock(datagrams);
  x_ctl(ep, X_ADD, waker, X_IN | X_ET, WAKER);
  x_ctl(ep, X_ADD, listener, X_IN | X_ET, LISTENER);
  x_ctl(ep, X_ADD, datagrams, X_IN | X_ET, DATAGRAMS);
  printf("port %d\n", x_port(listener));
  fflush(stdout);
  int woken = 0;
  while (lines > 0) {
    static x_event events[1024];
    int n = x_wait(ep, events, 1024, until_next());
    if (n < 0) return printf("wait %d\n", n), 2;
    for (int i = 0; i < n; i++) {
      uint64_t token = events[i].data, value;
      if (token == WAKER) {
        woken += x_read(waker, &value, 8) == 8;
      } else if (token == LISTENER) {
        int fd;
        while ((fd = x_accept(listener, 1)) >= 0) {
          int slot = 0;
          while (slot < 256 && tasks[slot].fd) slot++;
          if (slot == 256) { x_close(fd); continue; }
          tasks[slot] = (task){fd, 0, {0}};
          x_ctl(ep, X_ADD, fd, X_IN | X_RDHUP | X_ET, FIRST + slot);
        }
      } else if (token == DATAGRAMS) {
        char message[2048];
        x_addr from;
        int got;
        while ((got = x_recv_from(datagrams, message, sizeof message, &from)) >= 0)
          x_send_to(datagrams, message, got, from);
      } else {
        task *t = &tasks[token - FIRST];
        int got = 1;
        while (t->fd && t->len < 256 && (got = x_read(t->fd, t->line + t->len, 256 - t->len)) > 0) {
          t->len += got;
          if (t->line[t->len - 1] == '\n') after(5000000, token - FIRST);
        }
        if (t->fd && got != -EAGAIN) { x_close(t->fd); t->fd = 0; }
      }
    }
    int64_t now = now_ns();
    for (int i = 0; i < timer_count;) {
      if (timers[i].at_ns > now) { i++; continue; }
      task *t = &tasks[timers[i].task];
      timers[i] = timers[--timer_count];
      if (!t->fd) continue;
      x_write(t->fd, t->line, t->len);
      t->len = 0;
      lines--;
      /* Wakes itself, as another thread would. */
      uint64_t one = 1;
      x_write(waker, &one, 8);
    }
  }
  printf("woken %s\n", woken ? "yes" : "no");
  return 0;
}
