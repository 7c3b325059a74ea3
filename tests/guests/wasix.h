/* The same small set of calls on WASIX and on Linux, so that one source is a guest and a native
 * program. Errors are negative errno numbers of the C library at hand; names are printed. */
#pragma once
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { X_IN = 1, X_OUT = 2, X_RDHUP = 4, X_PRI = 8, X_ERR = 16, X_HUP = 32, X_ET = 64, X_ONCE = 128 };
enum { X_ADD, X_MOD, X_DEL };
enum { X_STREAM = 1, X_DGRAM = 2 };

typedef struct { uint32_t events; uint64_t data; } x_event;
typedef struct { int fd; uint32_t wants, has; } x_poll_entry;

#ifdef __wasm__

#define X(name) __attribute__((import_module("wasix_32v1"), import_name(#name))) int32_t wx_##name
#define P1(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t p1_##name
X(sock_open)(uint32_t, uint32_t, uint32_t, uint32_t *);
X(sock_bind)(uint32_t, void *);
X(sock_listen)(uint32_t, uint32_t);
X(sock_connect)(uint32_t, void *);
X(sock_accept_v2)(uint32_t, uint32_t, uint32_t *, void *);
X(sock_addr_local)(uint32_t, void *);
X(sock_pair)(uint32_t, uint32_t, uint32_t, uint32_t *, uint32_t *);
X(sock_recv_from)(uint32_t, void *, uint32_t, uint32_t, uint32_t *, uint16_t *, void *);
X(sock_send_to)(uint32_t, void *, uint32_t, uint32_t, void *, uint32_t *);
X(sock_set_opt_flag)(uint32_t, uint32_t, uint32_t);
X(sock_set_opt_time)(uint32_t, uint32_t, void *);
X(sock_get_opt_size)(uint32_t, uint32_t, uint64_t *);
X(epoll_create)(uint32_t *);
X(epoll_ctl)(uint32_t, uint32_t, uint32_t, void *);
X(epoll_wait)(uint32_t, void *, uint32_t, uint64_t, uint32_t *);
X(fd_event)(uint64_t, uint32_t, uint32_t *);
X(fd_pipe)(uint32_t *, uint32_t *);
X(fd_dup)(uint32_t, uint32_t *);
P1(fd_close)(uint32_t);
P1(fd_fdstat_set_flags)(uint32_t, uint32_t);
P1(poll_oneoff)(void *, void *, uint32_t, uint32_t *);
P1(fd_read)(uint32_t, void *, uint32_t, uint32_t *);
P1(fd_write)(uint32_t, void *, uint32_t, uint32_t *);
P1(sock_shutdown)(uint32_t, uint32_t);

typedef struct { uint8_t bytes[110]; } x_addr;
typedef struct { void *at; uint32_t len; } x_vec;

/* The errno numbers of the interface are those of the C library. */
#define X_FD(call, fd) ({ uint32_t fd = 0; int32_t e_ = call; e_ ? -e_ : (int)fd; })

static x_addr x_ip(uint16_t port) {
  x_addr a = {{1, 0, port & 255, port >> 8, 127, 0, 0, 1}};
  return a;
}
static x_addr x_path(const char *path) {
  x_addr a = {{3}};
  strncpy((char *)a.bytes + 2, path, 107);
  return a;
}
static int x_port(int fd) {
  x_addr a;
  int e = wx_sock_addr_local(fd, &a);
  return e ? -e : a.bytes[2] | a.bytes[3] << 8;
}
static int x_port_of(x_addr *a) { return a->bytes[2] | a->bytes[3] << 8; }
static int x_socket(int type) { return X_FD(wx_sock_open(1, type, 0, &fd), fd); }
static int x_unix_socket(int type) { return X_FD(wx_sock_open(3, type, 0, &fd), fd); }
static int x_bind(int fd, x_addr a) { return -wx_sock_bind(fd, &a); }
static int x_connect(int fd, x_addr a) { return -wx_sock_connect(fd, &a); }
static int x_listen(int fd, int backlog) { return -wx_sock_listen(fd, backlog); }
static int x_accept(int at, int nonblock) {
  x_addr a;
  return X_FD(wx_sock_accept_v2(at, nonblock ? 4 : 0, &fd, &a), fd);
}
static int x_nonblock(int fd) { return -p1_fd_fdstat_set_flags(fd, 4); }
static int x_pair(int type, int *pair) { return -wx_sock_pair(3, type, 0, (uint32_t *)&pair[0], (uint32_t *)&pair[1]); }
static int x_pipe(int *pair) { return -wx_fd_pipe((uint32_t *)&pair[0], (uint32_t *)&pair[1]); }
static int x_eventfd(uint64_t start, int semaphore, int nonblock) {
  return X_FD(wx_fd_event(start, (semaphore ? 1 : 0) | (nonblock ? 4 : 0), &fd), fd);
}
static int x_dup(int from) { return X_FD(wx_fd_dup(from, &fd), fd); }
static int x_close(int fd) { return -p1_fd_close(fd); }
static int x_shutdown_write(int fd) { return -p1_sock_shutdown(fd, 2); }
static int x_read(int from, void *at, uint32_t len) {
  x_vec v = {at, len};
  return X_FD(p1_fd_read(from, &v, 1, &fd), fd);
}
static int x_write(int to, const void *at, uint32_t len) {
  x_vec v = {(void *)at, len};
  return X_FD(p1_fd_write(to, &v, 1, &fd), fd);
}
static int x_recv_from(int from, void *at, uint32_t len, x_addr *a) {
  x_vec v = {at, len};
  uint16_t flags;
  return X_FD(wx_sock_recv_from(from, &v, 1, 0, &fd, &flags, a), fd);
}
static int x_send_to(int to, const void *at, uint32_t len, x_addr a) {
  x_vec v = {(void *)at, len};
  return X_FD(wx_sock_send_to(to, &v, 1, 0, &a, &fd), fd);
}
static int x_last_error(int fd) {
  uint64_t value;
  int e = wx_sock_get_opt_size(fd, 11, &value);
  return e ? -e : (int)value;
}
static int x_reuse(int fd) { return -wx_sock_set_opt_flag(fd, 2, 1); }
static int x_no_delay(int fd) { return -wx_sock_set_opt_flag(fd, 3, 1); }
static int x_linger(int fd) {
  struct { uint8_t tag; uint64_t ns; } none = {1, 0};
  return -wx_sock_set_opt_time(fd, 13, &none);
}
static int x_epoll(void) { return X_FD(wx_epoll_create(&fd), fd); }
typedef struct { uint32_t events, pad, ptr, fd, data1, pad1; uint64_t data2; } x_raw_event;
static int x_ctl(int ep, int op, int fd, uint32_t events, uint64_t data) {
  /* As the C library does it: Linux's numbers, and one value in three places. */
  static const uint32_t ops[] = {1, 3, 2};
  x_raw_event e = {events, 0, (uint32_t)data, fd, (uint32_t)data, 0, data};
  return -wx_epoll_ctl(ep, ops[op], fd, &e);
}
static int x_wait(int ep, x_event *events, int max, int64_t timeout_ns) {
  static x_raw_event raw[1024];
  uint32_t n = 0;
  int e = wx_epoll_wait(ep, raw, max > 1024 ? 1024 : max, (uint64_t)timeout_ns, &n);
  for (uint32_t i = 0; i < n; i++) events[i] = (x_event){raw[i].events, raw[i].data2};
  return e ? -e : (int)n;
}
typedef struct {
  uint64_t user; uint8_t tag; uint8_t pad[7];
  union { struct { uint32_t id; uint64_t ns, precision; uint16_t flags; } clock; uint32_t fd; } u;
} x_sub;
typedef struct { uint64_t user; uint16_t error; uint8_t type; uint8_t pad[5]; uint64_t bytes; uint16_t flags; } x_raw_ready;
/* Subscriptions are made anew only where the list differs from the last one, as a program would
 * that keeps its list. */
static int x_poll(x_poll_entry *list, uint32_t n, int64_t timeout_ns) {
  static x_sub *subs;
  static x_raw_ready *ready;
  static uint32_t room;
  if (room < 2 * n + 1) {
    room = 4 * n + 64;
    subs = realloc(subs, room * sizeof *subs);
    ready = realloc(ready, room * sizeof *ready);
    if (!subs || !ready) return -ENOMEM;
  }
  uint32_t m = 0, got = 0;
  for (uint32_t i = 0; i < n; i++) {
    list[i].has = 0;
    if (list[i].wants & X_IN) { subs[m].user = i; subs[m].tag = 1; subs[m++].u.fd = list[i].fd; }
    if (list[i].wants & X_OUT) { subs[m].user = i; subs[m].tag = 2; subs[m++].u.fd = list[i].fd; }
  }
  if (timeout_ns >= 0) {
    memset(&subs[m], 0, sizeof *subs);
    subs[m].user = ~0ull;
    subs[m].u.clock.id = 1;
    subs[m++].u.clock.ns = timeout_ns;
  }
  int e = p1_poll_oneoff(subs, ready, m, &got);
  if (e) return -e;
  int count = 0;
  for (uint32_t i = 0; i < got; i++) {
    if (ready[i].user == ~0ull) continue;
    x_poll_entry *entry = &list[ready[i].user];
    if (!entry->has) count++;
    entry->has |= ready[i].error ? X_ERR : ready[i].type == 1 ? X_IN : X_OUT;
    if (ready[i].flags & 1) entry->has |= X_HUP;
  }
  return count;
}

#else

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct { struct sockaddr_storage s; socklen_t len; } x_addr;

static int x_(long result) { return result < 0 ? -errno : (int)result; }
static x_addr x_ip(uint16_t port) {
  x_addr a = {.len = sizeof(struct sockaddr_in)};
  *(struct sockaddr_in *)&a.s = (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
  return a;
}
static x_addr x_path(const char *path) {
  x_addr a = {.len = sizeof(struct sockaddr_un)};
  a.s.ss_family = AF_UNIX;
  strncpy(((struct sockaddr_un *)&a.s)->sun_path, path, 107);
  return a;
}
static int x_port(int fd) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  int e = x_(getsockname(fd, (struct sockaddr *)&a, &len));
  return e < 0 ? e : ntohs(a.sin_port);
}
static int x_port_of(x_addr *a) { return ntohs(((struct sockaddr_in *)&a->s)->sin_port); }
static int x_socket(int type) { signal(SIGPIPE, SIG_IGN); return x_(socket(AF_INET, type, 0)); }
static int x_unix_socket(int type) { return x_(socket(AF_UNIX, type, 0)); }
static int x_bind(int fd, x_addr a) { return x_(bind(fd, (struct sockaddr *)&a.s, a.len)); }
static int x_connect(int fd, x_addr a) { return x_(connect(fd, (struct sockaddr *)&a.s, a.len)); }
static int x_listen(int fd, int backlog) { return x_(listen(fd, backlog)); }
static int x_accept(int at, int nonblock) { return x_(accept4(at, 0, 0, nonblock ? SOCK_NONBLOCK : 0)); }
static int x_nonblock(int fd) { return x_(fcntl(fd, F_SETFL, O_NONBLOCK)); }
static int x_pair(int type, int *pair) { return x_(socketpair(AF_UNIX, type, 0, pair)); }
static int x_pipe(int *pair) { signal(SIGPIPE, SIG_IGN); return x_(pipe(pair)); }
static int x_eventfd(uint64_t start, int semaphore, int nonblock) {
  return x_(eventfd(start, (semaphore ? EFD_SEMAPHORE : 0) | (nonblock ? EFD_NONBLOCK : 0)));
}
static int x_dup(int from) { return x_(dup(from)); }
static int x_close(int fd) { return x_(close(fd)); }
static int x_shutdown_write(int fd) { return x_(shutdown(fd, SHUT_WR)); }
static int x_read(int from, void *at, uint32_t len) { return x_(read(from, at, len)); }
static int x_write(int to, const void *at, uint32_t len) { return x_(write(to, at, len)); }
static int x_recv_from(int from, void *at, uint32_t len, x_addr *a) {
  a->len = sizeof a->s;
  return x_(recvfrom(from, at, len, 0, (struct sockaddr *)&a->s, &a->len));
}
static int x_send_to(int to, const void *at, uint32_t len, x_addr a) {
  return x_(sendto(to, at, len, 0, (struct sockaddr *)&a.s, a.len));
}
static int x_option(int fd, int level, int name, int value) { return x_(setsockopt(fd, level, name, &value, sizeof value)); }
static int x_last_error(int fd) {
  int value = 0;
  socklen_t len = sizeof value;
  int e = x_(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
  return e < 0 ? e : value;
}
static int x_reuse(int fd) { return x_option(fd, SOL_SOCKET, SO_REUSEADDR, 1); }
static int x_no_delay(int fd) { return x_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }
static int x_linger(int fd) {
  struct linger none = {1, 0};
  return x_(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none));
}
static int x_epoll(void) { return x_(epoll_create1(0)); }
static const struct { uint32_t x, kernel; } x_bits[] = {
  {X_IN, EPOLLIN}, {X_OUT, EPOLLOUT}, {X_RDHUP, EPOLLRDHUP}, {X_PRI, EPOLLPRI},
  {X_ERR, EPOLLERR}, {X_HUP, EPOLLHUP}, {X_ET, EPOLLET}, {X_ONCE, EPOLLONESHOT},
};
static int x_ctl(int ep, int op, int fd, uint32_t events, uint64_t data) {
  static const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
  struct epoll_event e = {.data.u64 = data};
  for (int i = 0; i < 8; i++) if (events & x_bits[i].x) e.events |= x_bits[i].kernel;
  return x_(epoll_ctl(ep, ops[op], fd, &e));
}
static int x_wait(int ep, x_event *events, int max, int64_t timeout_ns) {
  static struct epoll_event raw[1024];
  int ms = timeout_ns < 0 ? -1 : (int)((timeout_ns + 999999) / 1000000);
  int n = x_(epoll_wait(ep, raw, max > 1024 ? 1024 : max, ms));
  for (int i = 0; i < n; i++) {
    events[i] = (x_event){0, raw[i].data.u64};
    for (int j = 0; j < 8; j++) if (raw[i].events & x_bits[j].kernel) events[i].events |= x_bits[j].x;
  }
  return n;
}
static int x_poll(x_poll_entry *list, uint32_t n, int64_t timeout_ns) {
  static struct pollfd *fds;
  static uint32_t room;
  if (room < n) {
    room = 2 * n + 64;
    fds = realloc(fds, room * sizeof *fds);
  }
  for (uint32_t i = 0; i < n; i++) {
    fds[i].fd = list[i].fd;
    fds[i].events = (list[i].wants & X_IN ? POLLIN : 0) | (list[i].wants & X_OUT ? POLLOUT : 0);
  }
  int count = x_(poll(fds, n, timeout_ns < 0 ? -1 : (int)((timeout_ns + 999999) / 1000000)));
  if (count < 0) return count;
  for (uint32_t i = 0; i < n; i++) {
    short r = fds[i].revents;
    list[i].has = (r & POLLIN ? X_IN : 0) | (r & POLLOUT ? X_OUT : 0) | (r & POLLHUP ? X_HUP : 0) | (r & POLLNVAL ? X_ERR : 0);
  }
  return count;
}

#endif
