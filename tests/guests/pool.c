/* A pool of threads and a set of epoll: the main thread gives numbers to threads through a queue with
 * a lock and a condition, both on futexes, and hears of results by a counter of events and by pipes
 * that a set watches. Rebuilt by tests/guests/pool.sh. */
#include <stdint.h>

#define X(name) __attribute__((import_module("wasix_32v1"), import_name(#name))) int32_t wx_##name
#define P1(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t p1_##name
typedef _Atomic uint32_t word;
X(thread_spawn_v2)(void *, uint32_t *);
X(thread_join)(uint32_t);
X(futex_wait)(word *, uint32_t, void *, uint8_t *);
X(futex_wake)(word *, uint8_t *);
X(futex_wake_all)(word *, uint8_t *);
X(fd_event)(uint64_t, uint32_t, uint32_t *);
X(fd_pipe)(uint32_t *, uint32_t *);
X(epoll_create)(uint32_t *);
X(epoll_ctl)(uint32_t, uint32_t, uint32_t, void *);
X(epoll_wait)(uint32_t, void *, uint32_t, uint64_t, uint32_t *);
P1(fd_read)(uint32_t, void *, uint32_t, uint32_t *);
P1(fd_write)(uint32_t, void *, uint32_t, uint32_t *);

enum { THREADS = 8, QUEUE = 16, NUMBERS = 20000, STACK = 16384 };
typedef struct { void *at; uint32_t len; } vec;
typedef struct { uint32_t events, pad, ptr, fd, data1, pad1; uint64_t data2; } event;
typedef struct { uint32_t stack, tls, function, argument, reserved[10], stack_size, guard_size; } start;

static void must(int32_t errno_is) { if (errno_is) __builtin_trap(); }

static void wait_for(word *at, uint32_t value) {
  struct { uint8_t tag; uint64_t ns; } forever = {0, 0};
  uint8_t woken;
  must(wx_futex_wait(at, value, &forever, &woken));
}
/* 0: free, 1: taken, 2: taken, and others wait. */
static void lock(word *mutex) {
  uint32_t was = 0;
  if (__c11_atomic_compare_exchange_strong(mutex, &was, 1, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  while (__c11_atomic_exchange(mutex, 2, __ATOMIC_SEQ_CST)) wait_for(mutex, 2);
}
static void unlock(word *mutex) {
  uint8_t woken;
  if (__c11_atomic_exchange(mutex, 0, __ATOMIC_SEQ_CST) == 2) must(wx_futex_wake(mutex, &woken));
}
/* A condition is a count of its signals. */
static void wait_on(word *condition, word *mutex) {
  uint32_t seen = *condition;
  unlock(mutex);
  wait_for(condition, seen);
  lock(mutex);
}
static void signal_one(word *condition) {
  uint8_t woken;
  __c11_atomic_fetch_add(condition, 1, __ATOMIC_SEQ_CST);
  must(wx_futex_wake(condition, &woken));
}
static void signal_all(word *condition) {
  uint8_t woken;
  __c11_atomic_fetch_add(condition, 1, __ATOMIC_SEQ_CST);
  must(wx_futex_wake_all(condition, &woken));
}

static word mutex, not_empty, not_full;
static uint32_t queue[QUEUE], first, count, closed;
static uint32_t waker, pipes[THREADS][2];
static _Atomic uint64_t sum;
static _Alignas(16) char stacks[THREADS][STACK];
static start starts[THREADS];

static void put(uint32_t number) {
  lock(&mutex);
  while (count == QUEUE) wait_on(&not_full, &mutex);
  queue[(first + count++) % QUEUE] = number;
  unlock(&mutex);
  signal_one(&not_empty);
}
static int take(uint32_t *number) {
  lock(&mutex);
  while (!count && !closed) wait_on(&not_empty, &mutex);
  int any = count != 0;
  if (any) {
    *number = queue[first];
    first = (first + 1) % QUEUE;
    count--;
  }
  unlock(&mutex);
  if (any) signal_one(&not_full);
  return any;
}
static void write_all(uint32_t fd, const void *at, uint32_t len) {
  vec piece = {(void *)at, len};
  uint32_t done;
  must(p1_fd_write(fd, &piece, 1, &done));
  if (done != len) __builtin_trap();
}

/* A thread: `start.s` has set its stack. It tells each number by the counter, and its own count of
 * them, at its end, by its pipe. */
void run_thread(uint32_t tid, start *at) {
  uint32_t number, mine = 0;
  uint64_t one = 1;
  while (take(&number)) {
    __c11_atomic_fetch_add(&sum, (uint64_t)number * number, __ATOMIC_SEQ_CST);
    mine++;
    write_all(waker, &one, 8);
  }
  write_all(pipes[at->argument][1], &mine, 4);
}

static void add(uint32_t set, uint32_t fd, uint64_t data) {
  event e = {1, 0, (uint32_t)data, fd, (uint32_t)data, 0, data};
  must(wx_epoll_ctl(set, 0, fd, &e));
}
static void print(const char *name, uint64_t value) {
  char line[64], *end = line + sizeof line, *at = end;
  *--at = '\n';
  do *--at = '0' + value % 10; while (value /= 10);
  *--at = ' ';
  uint32_t len = 0;
  while (name[len]) len++;
  while (len) *--at = name[--len];
  write_all(1, at, end - at);
}

__attribute__((export_name("_start"))) void run(void) {
  uint32_t set, tids[THREADS], given = 0, told = 0, ended = 0, by_pipes = 0;
  must(wx_epoll_create(&set));
  must(wx_fd_event(0, 0, &waker));
  add(set, waker, 1000);
  for (uint32_t i = 0; i < THREADS; i++) {
    must(wx_fd_pipe(&pipes[i][0], &pipes[i][1]));
    add(set, pipes[i][0], 1 + i);
    starts[i].stack = (uint32_t)(stacks[i] + STACK);
    starts[i].argument = i;
    must(wx_thread_spawn_v2(&starts[i], &tids[i]));
  }
  while (ended < THREADS) {
    /* More than the queue holds, so that it waits for threads too; then the end. */
    while (given < NUMBERS && given < told + 4 * QUEUE) put(++given);
    if (told == NUMBERS && !closed) {
      lock(&mutex);
      closed = 1;
      unlock(&mutex);
      signal_all(&not_empty);
    }
    event events[16];
    uint32_t n = 0;
    must(wx_epoll_wait(set, events, 16, ~0ull, &n));
    for (uint32_t i = 0; i < n; i++) {
      uint64_t value = 0;
      uint32_t len = events[i].data2 == 1000 ? 8 : 4, got;
      vec piece = {&value, len};
      must(p1_fd_read(events[i].data2 == 1000 ? waker : pipes[events[i].data2 - 1][0], &piece, 1, &got));
      if (got != len) __builtin_trap();
      if (len == 8) told += value;
      else by_pipes += value, ended++;
    }
  }
  for (int i = 0; i < THREADS; i++) must(wx_thread_join(tids[i]));
  print("told", told);
  print("by pipes", by_pipes);
  print("sum", sum);
}
