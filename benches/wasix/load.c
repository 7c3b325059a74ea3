/* Loads an HTTP server and says what came of it: load PORT ACTIVE IDLE SECONDS
 * ACTIVE connections send a request each and the next one when it is answered; IDLE connections do
 * nothing. Prints requests, and the times of requests in microseconds: median, 99th percentile. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
/* Bytes of an answer; the first one tells. */
static int answer_bytes;
/* Times of requests, by microseconds; what takes longer counts as the longest. */
static uint32_t times[1000000];
static struct { uint64_t sent; int got; } state[65536];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void must(int ok, const char *what) {
  if (!ok) { fprintf(stderr, "%s: %s\n", what, strerror(errno)); exit(1); }
}
static int open_one(int port) {
  struct sockaddr_in a = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  must(fd >= 0, "socket");
  must(!connect(fd, (struct sockaddr *)&a, sizeof a), "connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}
static void ask(int fd) {
  state[fd].sent = now_ns();
  state[fd].got = 0;
  must(write(fd, REQUEST, sizeof REQUEST - 1) == sizeof REQUEST - 1, "write");
}
/* The first request of a connection: it is open on the other side then. */
static void first(int fd) {
  char buffer[4096];
  ask(fd);
  int got = read(fd, buffer, sizeof buffer);
  must(got > 0, "read");
  answer_bytes = got;
}

int main(int argc, char **argv) {
  must(argc == 5, "load PORT ACTIVE IDLE SECONDS");
  int port = atoi(argv[1]), active = atoi(argv[2]), idle = atoi(argv[3]);
  double seconds = atof(argv[4]);
  int ep = epoll_create1(0);
  for (int i = 0; i < idle; i++) first(open_one(port));
  static int fds[65536];
  for (int i = 0; i < active; i++) {
    first(fds[i] = open_one(port));
    struct epoll_event e = {EPOLLIN, {.fd = fds[i]}};
    must(!epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e), "epoll_ctl");
  }
  /* The driver looks at the server's clock now. */
  printf("ready\n"), fflush(stdout);
  must(getchar() != EOF, "go");
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), count = 0, now = start;
  for (int i = 0; i < active; i++) ask(fds[i]);
  while (now < end) {
    static struct epoll_event events[1024];
    int n = epoll_wait(ep, events, 1024, 1000);
    must(n >= 0, "epoll_wait");
    now = now_ns();
    for (int i = 0; i < n; i++) {
      char buffer[4096];
      int fd = events[i].data.fd, got = read(fd, buffer, sizeof buffer);
      must(got > 0, "the server closed a connection");
      if ((state[fd].got += got) < answer_bytes) continue;
      uint64_t us = (now - state[fd].sent) / 1000;
      times[us < 999999 ? us : 999999]++;
      count++;
      ask(fd);
    }
  }
  uint64_t sum = 0, p50 = 0, p99 = 0;
  for (uint64_t us = 0; us < 1000000; us++) {
    sum += times[us];
    if (!p50 && sum * 2 >= count) p50 = us;
    if (!p99 && sum * 100 >= count * 99) p99 = us;
  }
  printf("%llu %.3f %llu %llu\n", (unsigned long long)count, (now - start) / 1e9, (unsigned long long)p50, (unsigned long long)p99);
  fflush(stdout);
  getchar();
  return 0;
}
