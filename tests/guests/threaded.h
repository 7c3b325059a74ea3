/* Threads and futexes, as wasix.h has sockets: the same small set of calls on WASIX and on Linux.
 * Words say whether a wait was ended by others (also because the word is another) or by its time. */
#pragma once
#include "posix.h"

typedef _Atomic uint32_t x_word;
typedef void (*x_body)(int argument);

#ifdef __wasm__

X(thread_spawn_v2)(void *, uint32_t *);
X(thread_join)(uint32_t);
X(thread_id)(uint32_t *);
X(thread_signal)(uint32_t, uint32_t);
X(thread_parallelism)(uint32_t *);
X(futex_wait)(x_word *, uint32_t, void *, uint8_t *);
X(futex_wake)(x_word *, uint8_t *);
X(futex_wake_all)(x_word *, uint8_t *);
__attribute__((import_module("wasix_32v1"), import_name("thread_exit"))) _Noreturn void wx_thread_exit(uint32_t);

#ifndef X_STACK
#define X_STACK 65536
#endif
enum { X_THREADS = 64 };
typedef struct {
  uint32_t stack, tls, function, argument, reserved[10], stack_size, guard_size;
  x_word is_taken;
} x_start;
static x_start x_starts[X_THREADS];
static char x_stacks[X_THREADS][X_STACK] __attribute__((aligned(16)));

/* Called by the first instructions of each thread. */
void run_thread(int32_t tid, x_start *start) {
  (void)tid;
  ((x_body)start->function)(start->argument);
}
/* Its number. Places are found again by it when it is joined. */
static uint32_t x_numbers[X_THREADS];
static int x_thread(x_body body, int argument) {
  for (int i = 0; i < X_THREADS; i++) {
    if (__c11_atomic_exchange(&x_starts[i].is_taken, 1, __ATOMIC_SEQ_CST)) continue;
    x_starts[i].stack = (uint32_t)x_stacks[i] + X_STACK;
    x_starts[i].function = (uint32_t)body;
    x_starts[i].argument = argument;
    int e = wx_thread_spawn_v2(&x_starts[i], &x_numbers[i]);
    if (!e) return x_numbers[i];
    x_starts[i].is_taken = 0;
    return -e;
  }
  return -EAGAIN;
}
static int x_join(int number) {
  int e = wx_thread_join(number);
  for (int i = 0; !e && i < X_THREADS; i++)
    if (x_starts[i].is_taken && x_numbers[i] == (uint32_t)number) {
      x_numbers[i] = 0;
      x_starts[i].is_taken = 0;
      break;
    }
  return -e;
}
static int x_thread_id(void) { return X_FD(wx_thread_id(&fd), fd); }
static int x_thread_kill(int number, int signal) { return -wx_thread_signal(number, signal); }
static void x_thread_exit(void) { wx_thread_exit(0); }
static int x_futex_wait(x_word *at, uint32_t value, int ms) {
  struct { uint8_t tag; uint64_t ns; } time = {ms >= 0, ms * 1000000ull};
  uint8_t woken;
  int e = wx_futex_wait(at, value, &time, &woken);
  return e ? -e : woken;
}
static int x_futex_wake(x_word *at, int all) {
  uint8_t woken;
  int e = all ? wx_futex_wake_all(at, &woken) : wx_futex_wake(at, &woken);
  return e ? -e : woken;
}

#else

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

enum { X_THREADS = 64 };
static struct { x_word is_taken; pthread_t thread; x_body body; int argument; } x_starts[X_THREADS];
static void *x_run(void *at) {
  int i = (intptr_t)at;
  x_starts[i].body(x_starts[i].argument);
  return 0;
}
static int x_thread(x_body body, int argument) {
  for (int i = 0; i < X_THREADS; i++) {
    if (__atomic_exchange_n(&x_starts[i].is_taken, 1, __ATOMIC_SEQ_CST)) continue;
    x_starts[i].body = body, x_starts[i].argument = argument;
    int e = pthread_create(&x_starts[i].thread, 0, x_run, (void *)(intptr_t)i);
    if (!e) return i + 1000;
    x_starts[i].is_taken = 0;
    return -e;
  }
  return -EAGAIN;
}
static int x_join(int number) {
  int i = number - 1000;
  if (i < 0 || i >= X_THREADS || !x_starts[i].is_taken) return -ESRCH;
  int e = pthread_join(x_starts[i].thread, 0);
  x_starts[i].is_taken = 0;
  return -e;
}
static int x_thread_id(void) { return syscall(SYS_gettid); }
static int x_thread_kill(int number, int signal) { return -pthread_kill(x_starts[number - 1000].thread, signal); }
static void x_thread_exit(void) { pthread_exit(0); }
static int x_futex_wait(x_word *at, uint32_t value, int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  if (!syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, ms >= 0 ? &time : 0)) return 1;
  return errno == ETIMEDOUT ? 0 : errno == EAGAIN || errno == EINTR ? 1 : -errno;
}
static int x_futex_wake(x_word *at, int all) {
  int n = x_(syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1));
  return n < 0 ? n : n > 0;
}

#endif

/* 0: free, 1: taken, 2: taken, and others wait. */
static void x_lock(x_word *mutex) {
  uint32_t was = 0;
  if (__atomic_compare_exchange_n((uint32_t *)mutex, &was, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  while (__atomic_exchange_n((uint32_t *)mutex, 2, __ATOMIC_SEQ_CST)) x_futex_wait(mutex, 2, -1);
}
static void x_unlock(x_word *mutex) {
  if (__atomic_exchange_n((uint32_t *)mutex, 0, __ATOMIC_SEQ_CST) == 2) x_futex_wake(mutex, 0);
}
/* A condition is a count of its signals. */
static void x_wait_on(x_word *condition, x_word *mutex) {
  uint32_t seen = *condition;
  x_unlock(mutex);
  x_futex_wait(condition, seen, -1);
  x_lock(mutex);
}
static void x_signal(x_word *condition, int all) {
  ++*condition;
  x_futex_wake(condition, all);
}
