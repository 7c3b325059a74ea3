/* A server that lets connections, threads, children, timers and descriptors come and go, as its clients
 * ask by single bytes: each is answered by itself when it is done. Rebuilt by soak.sh. */
#define _GNU_SOURCE
#include "threaded.h"

enum { THREADS = 8, CHILDREN = 4 };
static int threads[THREADS], children[CHILDREN], next_thread, next_child, set;
static volatile int handled;

static void failed(int result, int line) {
  char text[100];
  int n = snprintf(text, sizeof text, "%s in line %d, where nothing may fail\n", x_result(result), line);
  x_write(2, text, n);
  _Exit(9);
}
#define must(result) ({ int r_ = (result); if (r_ < 0) failed(r_, __LINE__); })
static void handles(int signal) { handled += signal != 0; }
/* Handlers may run meanwhile. */
static void answer(int fd, char with) {
  int wrote;
  while ((wrote = x_write(fd, &with, 1)) == -EINTR) {}
  /* Who asked may be gone. */
  if (wrote != 1 && wrote != -EPIPE && wrote != -ECONNRESET) must(wrote);
}
static void join(int i) {
  int joined = 0;
  if (threads[i]) while ((joined = x_join(threads[i])) == -EINTR) {}
  must(joined);
  threads[i] = 0;
}
static void wait_for(int i) {
  x_status s;
  int waited = children[i];
  if (children[i]) while ((waited = x_wait_for(children[i], 0, &s)) == -EINTR) {}
  must(waited);
  children[i] = 0;
}

static void thread_answers(int fd) {
  x_sleep_ms(1);
  answer(fd, 't');
  x_close(fd);
}
static void thread_for(int fd) {
  int i = next_thread++ % THREADS, own = x_dup(fd);
  must(own);
  join(i);
  threads[i] = x_thread(thread_answers, own);
  must(threads[i]);
}
static void child_for(int fd, int becomes) {
  int i = next_child++ % CHILDREN;
  wait_for(i);
  if (becomes) {
    char *argv[] = {"program", "child", 0}, *env[] = {"A=1", 0};
    children[i] = x_spawn("./program", argv, env, 0, 0, 0, 0);
    must(children[i]);
    answer(fd, 'x');
    return;
  }
  children[i] = x_fork();
  must(children[i]);
  if (!children[i]) answer(fd, 'f'), _Exit(3);
}
static void descriptors(void) {
  int pair[2], ends[2];
  must(x_pipe(ends)), must(x_pair(X_STREAM, pair));
  int counter = x_eventfd(1, 0, 0), inner = x_epoll(), copy = x_dup(ends[0]);
  must(counter), must(inner), must(copy);
  must(x_ctl(inner, X_ADD, counter, X_IN, 1)), must(x_ctl(inner, X_ADD, copy, X_IN, 2));
  must(x_ctl(set, X_ADD, inner, X_IN, 1 << 20));
  char bytes[10];
  must(x_write(ends[1], "abc", 3)), must(x_read(copy, bytes, 3));
  x_close(inner), x_close(counter), x_close(copy);
  x_close(ends[0]), x_close(ends[1]), x_close(pair[0]), x_close(pair[1]);
  int datagrams = x_socket(X_DGRAM), file = x_open("./file", X_READ | X_WRITE | X_CREATE);
  must(datagrams), must(file), must(x_bind(datagrams, x_ip(0))), must(x_write(file, "text", 4));
  x_close(datagrams), x_close(file);
}
/* Whether the connection goes on. */
static int serve(int fd) {
  char bytes[64];
  int n = x_read(fd, bytes, sizeof bytes);
  if (n == -EAGAIN || n == -EINTR) return 1;
  for (int i = 0; i < n; i++) switch (bytes[i]) {
    case 't': thread_for(fd); break;
    case 'f': child_for(fd, 0); break;
    case 'x': child_for(fd, 1); break;
    case 'k': must(x_kill(x_pid(), 10)); answer(fd, 'k'); break;
    case 'a': must(x_timer_ms(1, 0)); answer(fd, 'a'); break;
    case 'd': descriptors(); answer(fd, 'd'); break;
    case 'w': /* Until all is as at first. */
      for (int j = 0; j < THREADS; j++) join(j);
      for (int j = 0; j < CHILDREN; j++) wait_for(j);
      answer(fd, 'w');
      break;
    case 'q': _Exit(0);
    default: answer(fd, bytes[i]);
    }
  return n > 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "child")) return 5;
  x_no_broken_pipes();
  x_on(10, handles), x_on(14, handles);
  int at = x_socket(X_STREAM);
  must(x_bind(at, x_ip(0))), must(x_listen(at, 128));
  set = x_epoll();
  must(x_ctl(set, X_ADD, at, X_IN, at));
  char line[40];
  snprintf(line, sizeof line, "port %d\n", x_port(at));
  x_line(line);
  for (;;) {
    static x_event events[64];
    int n = x_wait(set, events, 64, -1);
    if (n == -EINTR) continue;
    must(n);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data;
      if (fd != at) {
        /* Threads and children may still have it. */
        if (!serve(fd)) x_ctl(set, X_DEL, fd, 0, 0), x_close(fd);
        continue;
      }
      int connection = x_accept(at, 1);
      if (connection == -EINTR || connection == -EAGAIN) continue;
      must(connection);
      must(x_no_delay(connection));
      must(x_ctl(set, X_ADD, connection, X_IN, connection));
    }
  }
}
