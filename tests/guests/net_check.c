/* What sockets, sets and their like do, step by step: the text must be the same as of the native
 * program. Each line is a call and what came of it. */
#include "wasix.h"

static const struct { int number; const char *name; } NAMES[] = {
  {EAGAIN, "EAGAIN"}, {EBADF, "EBADF"}, {ECONNREFUSED, "ECONNREFUSED"}, {ECONNRESET, "ECONNRESET"},
  {EEXIST, "EEXIST"}, {EINPROGRESS, "EINPROGRESS"}, {EINVAL, "EINVAL"}, {EISCONN, "EISCONN"},
  {ELOOP, "ELOOP"}, {ENOENT, "ENOENT"}, {ENOTCONN, "ENOTCONN"}, {ENOTSOCK, "ENOTSOCK"}, {EPERM, "EPERM"},
  {EPIPE, "EPIPE"}, {EADDRINUSE, "EADDRINUSE"}, {EDESTADDRREQ, "EDESTADDRREQ"}, {ETIMEDOUT, "ETIMEDOUT"},
  {EMSGSIZE, "EMSGSIZE"},
};
static const char *result(int value) {
  static char text[4][32];
  static int next;
  char *to = text[next++ & 3];
  for (unsigned i = 0; value < 0 && i < sizeof NAMES / sizeof *NAMES; i++)
    if (NAMES[i].number == -value) return NAMES[i].name;
  sprintf(to, value < 0 ? "error %d" : "%d", value);
  return to;
}
static void say(const char *what, int value) { printf("%s: %s\n", what, result(value)); fflush(stdout); }
static void said(const char *what, int value) { say(what, value < 0 ? value : 0); }

/* The events of one look at a set, in the order of their data. */
static void look(const char *what, int ep, int64_t timeout_ns) {
  static x_event events[64];
  int n = x_wait(ep, events, 64, timeout_ns);
  printf("%s: %s", what, result(n));
  for (uint64_t data = 0; data < 64; data++)
    for (int i = 0; i < n; i++)
      if (events[i].data == data) {
        uint32_t e = events[i].events;
        printf(" %d=%s%s%s%s%s", (int)data, e & X_IN ? "i" : "", e & X_OUT ? "o" : "", e & X_RDHUP ? "r" : "",
               e & X_ERR ? "e" : "", e & X_HUP ? "h" : "");
      }
  printf("\n");
  fflush(stdout);
}
static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}
static int listener(int *port) {
  int fd = x_socket(X_STREAM);
  x_bind(fd, x_ip(0));
  x_listen(fd, 8);
  *port = x_port(fd);
  return fd;
}
/* A connection: the two ends. */
static void connected(int *ends) {
  int port, at = listener(&port);
  ends[0] = x_socket(X_STREAM);
  x_connect(ends[0], x_ip(port));
  ends[1] = x_accept(at, 0);
  x_close(at);
}
static char buffer[70000];

static void levels_and_edges(void) {
  int ep = x_epoll(), ends[2];
  connected(ends);
  say("add", x_ctl(ep, X_ADD, ends[1], X_IN, 1));
  look("quiet", ep, 0);
  say("write", x_write(ends[0], "12345", 5));
  look("level", ep, 1000000000);
  say("read one of five", x_read(ends[1], buffer, 1));
  look("still level", ep, 0);
  say("to edge", x_ctl(ep, X_MOD, ends[1], X_IN | X_ET, 2));
  look("edge", ep, 0);
  look("edge again", ep, 0);
  x_write(ends[0], "6", 1);
  look("edge after more", ep, 1000000000);
  say("to once", x_ctl(ep, X_MOD, ends[1], X_IN | X_OUT | X_ONCE, 3));
  look("once", ep, 0);
  look("once again", ep, 0);
  say("once more", x_ctl(ep, X_MOD, ends[1], X_IN | X_OUT | X_ONCE, 3));
  look("once anew", ep, 0);
  say("add twice", x_ctl(ep, X_ADD, ends[1], X_IN, 1));
  say("delete", x_ctl(ep, X_DEL, ends[1], 0, 0));
  say("delete twice", x_ctl(ep, X_DEL, ends[1], 0, 0));
  say("change what is not there", x_ctl(ep, X_MOD, ends[1], X_IN, 0));
  say("a set in itself", x_ctl(ep, X_ADD, ep, X_IN, 0));
  say("no set", x_ctl(ends[0], X_ADD, ends[1], X_IN, 0));
  say("no descriptor", x_ctl(ep, X_ADD, 9999, X_IN, 0));
  x_close(ends[0]), x_close(ends[1]), x_close(ep);
}

static void ends_of_connections(void) {
  int ep = x_epoll(), ends[2];
  connected(ends);
  x_ctl(ep, X_ADD, ends[1], X_IN | X_RDHUP, 1);
  say("half closed", x_shutdown_write(ends[0]));
  look("rdhup", ep, 1000000000);
  say("end", x_read(ends[1], buffer, 10));
  x_close(ends[0]), x_close(ends[1]);
  look("closed ones are gone", ep, 0);
  connected(ends);
  x_linger(ends[0]);
  x_ctl(ep, X_ADD, ends[1], X_IN, 2);
  x_close(ends[0]);
  look("reset", ep, 1000000000);
  say("read after reset", x_read(ends[1], buffer, 10));
  say("then the end", x_read(ends[1], buffer, 10));
  say("write after that", x_write(ends[1], "x", 1));
  x_close(ends[1]), x_close(ep);
}

static void connecting(void) {
  int port, at = listener(&port), ep = x_epoll();
  int fd = x_socket(X_STREAM);
  x_nonblock(fd);
  say("connect without waiting", x_connect(fd, x_ip(port)));
  x_ctl(ep, X_ADD, fd, X_OUT, 1);
  look("connected", ep, 1000000000);
  say("no error", x_last_error(fd));
  said("accept", x_accept(at, 1));
  x_nonblock(at);
  say("nobody more", x_accept(at, 1));
  x_close(at), x_close(fd);
  fd = x_socket(X_STREAM);
  say("connect to a closed port", x_connect(fd, x_ip(port)));
  x_close(fd);
  fd = x_socket(X_STREAM);
  x_nonblock(fd);
  say("the same without waiting", x_connect(fd, x_ip(port)));
  x_ctl(ep, X_ADD, fd, X_OUT, 2);
  look("refused", ep, 1000000000);
  printf("error taken: %s\n", result(-x_last_error(fd)));
  say("no error left", x_last_error(fd));
  x_close(fd);
  fd = x_socket(X_STREAM);
  say("read of none", x_read(fd, buffer, 1));
  int other = listener(&port);
  say("a port that is taken", x_bind(fd, x_ip(port)));
  x_close(fd), x_close(other), x_close(ep);
}

static void two_sets(void) {
  int one = x_epoll(), two = x_epoll(), ends[2];
  connected(ends);
  x_ctl(one, X_ADD, ends[1], X_IN, 1);
  x_ctl(two, X_ADD, ends[1], X_IN, 2);
  x_write(ends[0], "ab", 2);
  look("first set", one, 1000000000);
  look("second set", two, 0);
  x_poll_entry entry = {ends[1], X_IN, 0};
  say("poll", x_poll(&entry, 1, 0));
  say("reading", x_read(ends[1], buffer, 1));
  look("first set still", one, 0);
  say("nested", x_ctl(two, X_ADD, one, X_IN, 3));
  look("both", two, 0);
  say("in a circle", x_ctl(one, X_ADD, two, X_IN, 4));
  int other = x_dup(ends[1]);
  x_ctl(one, X_ADD, other, X_IN, 5);
  look("a second number", one, 0);
  x_close(ends[1]);
  look("the first number closed", one, 0);
  x_close(other);
  look("both closed", one, 0);
  x_close(ends[0]), x_close(one), x_close(two);
}

static void pipes_and_counters(void) {
  int ep = x_epoll(), ends[2];
  x_pipe(ends);
  x_nonblock(ends[1]);
  x_ctl(ep, X_ADD, ends[0], X_IN, 1);
  x_ctl(ep, X_ADD, ends[1], X_OUT, 2);
  look("a pipe", ep, 0);
  long total = 0;
  int wrote;
  while ((wrote = x_write(ends[1], buffer, 4096)) > 0) total += wrote;
  printf("a full pipe: %ld %s\n", total, result(wrote));
  look("full", ep, 0);
  say("empty it", x_read(ends[0], buffer, 65536));
  look("empty", ep, 0);
  x_close(ends[0]);
  look("nobody reads", ep, 0);
  say("broken", x_write(ends[1], "x", 1));
  x_close(ends[1]);
  x_pipe(ends);
  x_close(ends[1]);
  say("nobody writes", x_read(ends[0], buffer, 1));
  x_close(ends[0]);
  int fd = x_eventfd(3, 0, 1);
  x_ctl(ep, X_ADD, fd, X_IN | X_OUT, 3);
  look("a counter", ep, 0);
  uint64_t value = 0;
  say("take", x_read(fd, &value, 8));
  printf("value %d\n", (int)value);
  look("none left", ep, 0);
  say("take none", x_read(fd, &value, 8));
  say("too small", x_read(fd, &value, 4));
  value = UINT64_MAX;
  say("too much", x_write(fd, &value, 8));
  value = UINT64_MAX - 1;
  say("all", x_write(fd, &value, 8));
  look("full counter", ep, 0);
  value = 1;
  say("one more", x_write(fd, &value, 8));
  x_close(fd);
  fd = x_eventfd(2, 1, 1);
  for (int i = 0; i < 3; i++) say("semaphore", x_read(fd, &value, 8));
  x_close(fd);
  x_pair(X_STREAM, ends);
  x_ctl(ep, X_ADD, ends[0], X_IN | X_OUT, 4);
  look("a pair can be written", ep, 0);
  x_write(ends[1], "abc", 3);
  look("and read", ep, 0);
  x_close(ends[1]);
  look("and ends", ep, 0);
  x_close(ends[0]);
  x_pair(X_DGRAM, ends);
  x_write(ends[0], "one", 3), x_write(ends[0], "three", 5);
  say("a message", x_read(ends[1], buffer, 100));
  say("the next, cut short", x_read(ends[1], buffer, 2));
  x_close(ends[0]), x_close(ends[1]), x_close(ep);
}

static void datagrams(void) {
  int a = x_socket(X_DGRAM), b = x_socket(X_DGRAM);
  x_bind(a, x_ip(0)), x_bind(b, x_ip(0));
  int port_a = x_port(a), port_b = x_port(b);
  say("to nobody", x_write(a, "x", 1));
  say("send", x_send_to(a, "hello", 5, x_ip(port_b)));
  say("send nothing", x_send_to(a, "", 0, x_ip(port_b)));
  x_addr from;
  say("receive", x_recv_from(b, buffer, 100, &from));
  printf("from the other: %d\n", x_port_of(&from) == port_a);
  say("receive nothing", x_recv_from(b, buffer, 100, &from));
  x_nonblock(b);
  say("no more", x_recv_from(b, buffer, 100, &from));
  say("too long", x_send_to(a, buffer, 70000, x_ip(port_b)));
  say("connect", x_connect(a, x_ip(port_b)));
  x_close(b);
  said("to a closed port", x_write(a, "x", 1));
  say("is told", x_read(a, buffer, 1));
  x_close(a);
}

static void files(void) {
  int at = x_unix_socket(X_STREAM), fd = x_unix_socket(X_STREAM);
  say("bind a path", x_bind(at, x_path("socket")));
  say("listen", x_listen(at, 4));
  say("bind it again", x_bind(fd, x_path("socket")));
  say("no such path", x_connect(fd, x_path("none")));
  say("connect", x_connect(fd, x_path("socket")));
  int server = x_accept(at, 0);
  x_write(fd, "hello", 5);
  say("read", x_read(server, buffer, 100));
  x_close(server), x_close(fd), x_close(at);
  fd = x_unix_socket(X_STREAM);
  say("nobody listens", x_connect(fd, x_path("socket")));
  x_close(fd);
  unlink("socket");
}

static void times(void) {
  int ep = x_epoll(), ends[2];
  x_pipe(ends);
  x_ctl(ep, X_ADD, ends[0], X_IN, 1);
  int64_t start = now_ms();
  look("20 ms", ep, 20000000);
  printf("waited: %d\n", now_ms() - start >= 20);
  x_poll_entry list[40];
  for (int i = 0; i < 40; i++) list[i] = (x_poll_entry){ends[0], X_IN, 0};
  start = now_ms();
  say("poll 40 for 20 ms", x_poll(list, 40, 20000000));
  printf("waited: %d\n", now_ms() - start >= 20);
  x_write(ends[1], "x", 1);
  say("poll 40 ready", x_poll(list, 40, -1));
  look("no event wanted", ep, -1);
  static x_event events[1];
  say("no room", x_wait(ep, events, 0, 0));
  say("no set to wait for", x_wait(ends[0], events, 1, 0));
  x_close(ends[1]);
  x_read(ends[0], buffer, 10);
  say("poll the end", x_poll(list, 1, -1));
  printf("has %d\n", (int)(list[0].has & (X_HUP | X_ERR)));
  x_close(ends[0]);
  say("poll nothing", x_poll(list, 1, 0));
  printf("has %d\n", (int)list[0].has);
  x_close(ep);
}

int main(void) {
  levels_and_edges();
  ends_of_connections();
  connecting();
  two_sets();
  pipes_and_counters();
  datagrams();
  files();
  times();
  printf("done\n");
  return 0;
}
