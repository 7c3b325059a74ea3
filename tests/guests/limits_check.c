/* What calls do at the limits of the system, step by step: no numbers left for descriptors, and buffers
 * that take next to nothing. The text must be the same as of the native program, which has as few. */
#define _GNU_SOURCE
#include "posix.h"

enum { MANY = 2000, BYTES = 200000 };
static int taken[MANY], taken_n;
static char buffer[70000];

static void sayf(const char *form, int a, int b) {
  char line[200];
  snprintf(line, sizeof line, form, a, b);
  x_line(line);
}
static int fill(void) {
  int fd;
  while (taken_n < MANY && (fd = x_dup(0)) >= 0) taken[taken_n++] = fd;
  return fd;
}
static void give_back(int n) {
  while (n-- && taken_n) x_close(taken[--taken_n]);
}
static int listening;
static int by_open(void) { return x_open("./text", X_READ); }
static int by_creating(void) { return x_open("./created", X_WRITE | X_CREATE); }
static int by_dup(void) { return x_dup(1); }
static int by_dup_from(void) { return x_dup_from(1, 5, 1); }
static int by_socket(void) { return x_socket(X_STREAM); }
static int by_datagrams(void) { return x_socket(X_DGRAM); }
static int by_path(void) { return x_unix_socket(X_STREAM); }
static int by_counter(void) { return x_eventfd(0, 0, 0); }
static int by_set(void) { return x_epoll(); }
static int by_accept(void) { return x_accept(listening, 0); }

static void descriptors(void) {
  static int (*const makes[])(void) = {by_open, by_creating, by_dup, by_dup_from, by_socket, by_datagrams, by_path, by_counter, by_set, by_accept};
  static const char *const names[] = {"open", "create", "dup", "dup from", "socket", "datagrams", "path", "counter", "set", "accept"};
  enum { N = sizeof makes / sizeof *makes };
  listening = x_socket(X_STREAM);
  x_bind(listening, x_ip(0)), x_listen(listening, 8);
  int client = x_socket(X_STREAM), pair[2] = {-1, -1};
  say("connect", x_connect(client, x_ip(x_port(listening))));
  say("fill", fill());
  for (int i = 0; i < N; i++) say(names[i], makes[i]());
  say("pipe", x_pipe(pair));
  say("pair", x_pair(X_STREAM, pair));
  sayf("nothing was made: %d %d\n", pair[0], pair[1]);
  say("what was not opened was not created", x_size_of("./created", 1));
  /* Calls that make none go on. */
  say("over another", x_dup_to(0, taken[0]) == taken[0]);
  say("a name", x_size_of("./dir/inner", 1));
  say("a directory", x_mkdir("./made"));
  say("and away", x_rmdir("./made"));
  x_poll_entry entry = {listening, X_IN, 0};
  say("poll", x_poll(&entry, 1, 0));
  x_sleep_ms(1);
  int pid = x_fork();
  if (!pid) _Exit(5);
  x_status s = {0, 0};
  say("a child", x_wait_for(pid, 0, &s) == pid);
  sayf("ends with %d%.0d\n", s.number, 0);
  /* One number: each call works once, and leaves none when it fails again. */
  for (int i = 0; i < N - 1; i++) {
    give_back(1);
    int fd = makes[i]();
    said(names[i], fd);
    say("again", makes[i]());
    x_close(fd);
    int e = x_pipe(pair);
    if (e != -EMFILE) sayf("a pipe had room: %d%.0d\n", e, 0);
    fill();
  }
  give_back(1);
  int server = x_accept(listening, 0);
  said("who connected still waits, and is accepted", server);
  say("the connection", x_write(client, "x", 1));
  say("works", x_read(server, buffer, 1));
  x_close(server), x_close(client), x_close(listening);
  give_back(MANY);
  say("a pipe again", x_pipe(pair));
  x_close(pair[0]), x_close(pair[1]);
  x_unlink("./created");
}

static char pattern(int at) { return at * 7 + at / 251; }
/* Writes all, in a child, in pieces of this size. */
static int writer(int fd, int piece) {
  int pid = x_fork();
  if (pid) return pid;
  static char bytes[70000];
  for (int at = 0; at < BYTES;) {
    int n = BYTES - at < piece ? BYTES - at : piece;
    for (int i = 0; i < n; i++) bytes[i] = pattern(at + i);
    int wrote = x_write(fd, bytes, n);
    if (wrote == -EAGAIN) {
      x_poll_entry entry = {fd, X_OUT, 0};
      x_poll(&entry, 1, -1);
    } else if (wrote < 0 && wrote != -EINTR) {
      _Exit(1);
    } else if (wrote > 0) {
      at += wrote;
    }
  }
  _Exit(0);
}
static void streams(const char *what, int *ends, int small, int nonblock, int piece) {
  if (small) say("small", x_small(ends[0]) || x_small(ends[1]));
  if (nonblock) x_nonblock(ends[0]), x_nonblock(ends[1]);
  int pid = writer(ends[1], piece), at = 0, bad = 0, n;
  x_close(ends[1]);
  while ((n = x_read(ends[0], buffer, 1 + at % sizeof buffer)) != 0) {
    if (n == -EAGAIN) {
      x_poll_entry entry = {ends[0], X_IN, 0};
      x_poll(&entry, 1, -1);
    } else if (n < 0 && n != -EINTR) {
      say("read", n);
      break;
    }
    for (int i = 0; i < n; i++) bad += buffer[i] != pattern(at + i);
    if (n > 0) at += n;
  }
  x_status s = {0, 0};
  x_wait_for(pid, 0, &s);
  char line[200];
  snprintf(line, sizeof line, "%s in pieces of %d: %d bytes, %d wrong, the writer %d\n", what, piece, at, bad, s.number);
  x_line(line);
  x_close(ends[0]);
}
static void connection(int *ends) {
  int at = x_socket(X_STREAM);
  x_bind(at, x_ip(0)), x_listen(at, 1);
  ends[0] = x_socket(X_STREAM);
  x_connect(ends[0], x_ip(x_port(at)));
  ends[1] = x_accept(at, 0);
  x_close(at);
}
static void pieces(void) {
  int ends[2];
  for (int nonblock = 0; nonblock < 2; nonblock++)
    for (int piece = 3000; piece < 70000; piece *= 20) {
      x_pipe(ends), streams("a pipe", ends, 0, nonblock, piece);
      x_pair(X_STREAM, ends), streams("a pair", ends, 1, nonblock, piece);
      connection(ends), streams("a connection", ends, 0, nonblock, piece);
    }
}

int main(void) {
  x_no_broken_pipes();
  descriptors();
  pieces();
  x_line("done\n");
  return 0;
}
