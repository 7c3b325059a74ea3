/* What threads cost: the same source as a WASIX guest (freestanding) and as a native program (with the
 * threads of the system). Prints microseconds per round: starting and joining a thread; two
 * semaphores passed to and fro; a condition variable likewise. */
#include <stdint.h>

typedef volatile uint32_t word;
enum { STARTS = 2000, ROUNDS = 50000 };

#ifdef __wasm__
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
IMPORT("wasix_32v1", "thread_spawn_v2") int32_t wx_spawn(void *start, uint32_t *tid);
IMPORT("wasix_32v1", "futex_wait") int32_t wx_wait(word *, uint32_t, void *, uint8_t *);
IMPORT("wasix_32v1", "futex_wake") int32_t wx_wake(word *, uint8_t *);
IMPORT("wasi_snapshot_preview1", "clock_time_get") int32_t wx_clock(uint32_t, uint64_t, uint64_t *);
IMPORT("wasi_snapshot_preview1", "fd_write") int32_t wx_write(uint32_t, const void *, uint32_t, uint32_t *);

static void wait_for(word *at, uint32_t value) { uint8_t woken; wx_wait(at, value, 0, &woken); }
static void wake(word *at) { uint8_t woken; wx_wake(at, &woken); }
static uint64_t now_ns(void) { uint64_t ns; wx_clock(1, 0, &ns); return ns; }
static void put(const char *text, uint32_t len) {
  struct { const char *at; uint32_t len; } io = {text, len};
  uint32_t written;
  wx_write(1, &io, 1, &written);
}

static char stack[65536] __attribute__((aligned(16)));
static struct { uint32_t stack, tls, function, argument, reserved[10], size, guard; } start;
static void (*body)(void);
static word ended;
void thread_body(void) {
  body();
  __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
  wake(&ended);
}
static void spawn(void (*function)(void)) {
  uint32_t tid;
  body = function;
  ended = 0;
  start.stack = (uint32_t)stack + sizeof stack;
  if (wx_spawn(&start, &tid)) put("no thread\n", 10);
}
static void join(void) { while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) wait_for(&ended, 0); }
#else
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for(word *at, uint32_t value) { syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, 0, 0, 0); }
static void wake(word *at) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }
static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void put(const char *text, uint32_t len) { (void)!write(1, text, len); }
static pthread_t thread;
static void *call(void *function) { ((void (*)(void))function)(); return 0; }
static void spawn(void (*function)(void)) { pthread_create(&thread, 0, call, (void *)function); }
static void join(void) { pthread_join(thread, 0); }
#endif

static void report(const char *what, uint64_t ns, uint32_t rounds) {
  char line[64];
  int len = 0;
  while (*what) line[len++] = *what++;
  line[len++] = ' ';
  uint64_t hundredths = ns / 10 / rounds;
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + hundredths % 10; while ((hundredths /= 10) || count < 3);
  while (count) {
    line[len++] = digits[--count];
    if (count == 2) line[len++] = '.';
  }
  line[len++] = '\n';
  put(line, len);
}

static word one, two;
static void up(word *semaphore) {
  __atomic_fetch_add(semaphore, 1, __ATOMIC_SEQ_CST);
  wake(semaphore);
}
static void down(word *semaphore) {
  for (;;) {
    uint32_t value = __atomic_load_n(semaphore, __ATOMIC_SEQ_CST);
    if (value == 0) wait_for(semaphore, 0);
    else if (__atomic_compare_exchange_n(semaphore, &value, value - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  }
}
static void semaphores(void) { for (int i = 0; i < ROUNDS; i++) { down(&one); up(&two); } }

static word mutex, turn, sequence;
static void lock(void) {
  uint32_t free = 0;
  if (__atomic_compare_exchange_n(&mutex, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  while (__atomic_exchange_n(&mutex, 2, __ATOMIC_SEQ_CST)) wait_for(&mutex, 2);
}
static void unlock(void) { if (__atomic_exchange_n(&mutex, 0, __ATOMIC_SEQ_CST) == 2) wake(&mutex); }
static void take_turns(uint32_t me) {
  for (int i = 0; i < ROUNDS; i++) {
    lock();
    while (turn != me) {
      uint32_t seen = sequence;
      unlock();
      wait_for(&sequence, seen);
      lock();
    }
    turn = !me;
    __atomic_fetch_add(&sequence, 1, __ATOMIC_SEQ_CST);
    wake(&sequence);
    unlock();
  }
}
static void conditions(void) { take_turns(1); }
static void nothing(void) {}

static void all(void) {
  uint64_t begin = now_ns();
  for (int i = 0; i < STARTS; i++) { spawn(nothing); join(); }
  report("spawn+join", now_ns() - begin, STARTS);
  spawn(semaphores);
  begin = now_ns();
  for (int i = 0; i < ROUNDS; i++) { up(&one); down(&two); }
  report("semaphores", now_ns() - begin, ROUNDS);
  join();
  spawn(conditions);
  begin = now_ns();
  take_turns(0);
  report("condition", now_ns() - begin, ROUNDS);
  join();
}

#ifdef __wasm__
void _start(void) { all(); }
#else
int main(void) { all(); }
#endif
