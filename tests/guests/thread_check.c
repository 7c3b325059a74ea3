/* What threads and futexes do, step by step: the text must be the same as of the native program.
 * Rebuilt by thread_check.sh. */
#define _GNU_SOURCE
#include "threaded.h"

static x_word word, other, done, mutex, started, woken;
static volatile int plain;
static int ends[2];
static char buffer[1000];

static void sayf(const char *form, int a, int b) {
  char line[200];
  snprintf(line, sizeof line, form, a, b);
  x_line(line);
}
static void wait_until(x_word *at, uint32_t value) {
  for (uint32_t now; (now = *at) < value;) x_futex_wait(at, now, 10);
}

static void counts(int n) {
  for (int i = 0; i < n; i++) ++word;
}
static void counts_locked(int n) {
  for (int i = 0; i < n; i++) {
    x_lock(&mutex);
    plain = plain + 1;
    x_unlock(&mutex);
  }
}
static void round_of(const char *what, x_body body, int threads, int argument) {
  int numbers[32], failed = 0, joined = 0;
  for (int i = 0; i < threads; i++) failed += (numbers[i] = x_thread(body, argument)) < 0;
  for (int i = 0; i < threads; i++) joined += x_join(numbers[i]) == 0;
  char line[200];
  snprintf(line, sizeof line, "%s: failed %d, joined %d\n", what, failed, joined);
  x_line(line);
}

static volatile int numbers_seen[8];
static void tells_number(int i) { numbers_seen[i] = x_thread_id(); }
static void numbers(void) {
  int distinct = 1;
  for (int i = 0; i < 8; i++) x_join(x_thread(tells_number, i));
  /* A number may come back when its thread has ended: these live at the same time. */
  for (int i = 0; i < 8; i++) distinct &= numbers_seen[i] > 0 && numbers_seen[i] != x_thread_id();
  sayf("numbers of threads are not main's: %d, main's is the process's: %d\n", distinct, x_thread_id() == x_pid());
  say("join nobody", x_join(29999));
}

static void joins(void) {
  word = 0;
  round_of("count", counts, 8, 10000);
  sayf("counted %d%.0d\n", word, 0);
  plain = 0;
  round_of("count under a lock", counts_locked, 4, 10000);
  sayf("counted %d%.0d\n", plain, 0);
  word = 0;
  int bad = 0;
  for (int i = 0; i < 300; i++) {
    int number = x_thread(counts, 1);
    bad += number < 0 || x_join(number) != 0;
  }
  sayf("300 one after the other: %d, bad %d\n", word, bad);
}
static void exits_early(int n) {
  word = n;
  x_thread_exit();
  word = n + 1;
}
static void late(int ms) {
  x_sleep_ms(ms);
  word = 7;
}
static void ends_of_threads(void) {
  say("a thread that exits", x_join(x_thread(exits_early, 5)));
  say("stopped there", word);
  int64_t start = x_now_ms();
  say("a join waits", x_join(x_thread(late, 40)));
  sayf("until the end: %d, %d\n", x_now_ms() - start >= 40, word);
}

static void waits(int ms) {
  ++started;
  int result = x_futex_wait(&word, 1, ms);
  if (result == 1) ++woken;
  ++done;
}
/* Threads have no way to say that they wait by now: 30 ms are enough for that but for a loaded machine,
 * where they are waited for again. */
static void all_wait(uint32_t n) {
  wait_until(&started, n);
  x_sleep_ms(30);
}
static void futexes(void) {
  word = 1, started = woken = done = 0;
  int64_t start = x_now_ms();
  say("another value", x_futex_wait(&word, 2, -1));
  say("another value, with a time", x_futex_wait(&word, 2, 5000));
  sayf("at once: %d%.0d\n", x_now_ms() - start < 1000, 0);
  start = x_now_ms();
  say("30 ms", x_futex_wait(&word, 1, 30));
  sayf("waited: %d%.0d\n", x_now_ms() - start >= 30, 0);
  say("no time", x_futex_wait(&word, 1, 0));
  say("wake nobody", x_futex_wake(&word, 0));
  say("wake all of nobody", x_futex_wake(&word, 1));
  int threads[6];
  for (int i = 0; i < 6; i++) threads[i] = x_thread(waits, i & 1 ? -1 : 20000);
  all_wait(6);
  say("wake one", x_futex_wake(&word, 0));
  wait_until(&done, 1);
  x_sleep_ms(20);
  sayf("woke %d, ended %d\n", woken, done);
  say("wake another", x_futex_wake(&word, 0));
  wait_until(&done, 2);
  x_sleep_ms(20);
  sayf("woke %d, ended %d\n", woken, done);
  say("wake of another word", x_futex_wake(&other, 1));
  x_sleep_ms(20);
  sayf("woke %d, ended %d\n", woken, done);
  say("wake all", x_futex_wake(&word, 1));
  for (int i = 0; i < 6; i++) x_join(threads[i]);
  sayf("woke %d, ended %d\n", woken, done);
  started = woken = done = 0;
  for (int i = 0; i < 4; i++) threads[i] = x_thread(waits, 30);
  for (int i = 0; i < 4; i++) x_join(threads[i]);
  sayf("nobody wakes: woke %d, ended %d\n", woken, done);
  say("none is left", x_futex_wake(&word, 1));
}

/* Two threads take turns: a wake-up that is lost ends this never. */
static void answers(int rounds) {
  for (int i = 0; i < rounds; i++) {
    while (word != 1) x_futex_wait(&word, 0, -1);
    word = 0;
    x_futex_wake(&word, 0);
  }
}
static void turns(void) {
  enum { ROUNDS = 5000 };
  word = 0;
  int number = x_thread(answers, ROUNDS);
  for (int i = 0; i < ROUNDS; i++) {
    word = 1;
    x_futex_wake(&word, 0);
    while (word) x_futex_wait(&word, 1, -1);
  }
  say("took turns", x_join(number));
}
static volatile int queue, produced, consumed;
static x_word not_empty, not_full;
static void consumes(int n) {
  for (int i = 0; i < n; i++) {
    x_lock(&mutex);
    while (!queue) x_wait_on(&not_empty, &mutex);
    queue--, consumed++;
    x_signal(&not_full, 0);
    x_unlock(&mutex);
  }
}
static void produces(int n) {
  for (int i = 0; i < n; i++) {
    x_lock(&mutex);
    while (queue == 4) x_wait_on(&not_full, &mutex);
    queue++, produced++;
    x_signal(&not_empty, 1);
    x_unlock(&mutex);
  }
}
static void conditions(void) {
  int threads[8];
  for (int i = 0; i < 8; i++) threads[i] = x_thread(i < 4 ? consumes : produces, 1000);
  for (int i = 0; i < 8; i++) x_join(threads[i]);
  sayf("produced %d, consumed %d\n", produced, consumed);
}

static void reads(int n) {
  int total = 0, got;
  char bytes[100];
  while (total < n && (got = x_read(ends[0], bytes, sizeof bytes)) > 0) total += got;
  word = total;
}
static void calls(void) {
  x_pipe(ends);
  int number = x_thread(reads, 100000);
  static char many[1000];
  for (int i = 0; i < 100; i++) x_write(ends[1], many, 1000);
  say("a thread reads", x_join(number));
  sayf("bytes %d%.0d\n", word, 0);
  /* The end wakes it. */
  number = x_thread(reads, 1);
  x_sleep_ms(20);
  x_close(ends[1]);
  say("until the end", x_join(number));
  sayf("bytes %d%.0d\n", word, 0);
  x_close(ends[0]);
  /* Descriptors are those of all. */
  int counter = x_eventfd(0, 0, 0);
  ends[0] = counter;
  number = x_thread(reads, 8);
  uint64_t one = 1;
  x_sleep_ms(20);
  x_write(counter, &one, 8);
  say("a counter of both", x_join(number));
  x_close(counter);
}

/* Signals for a thread end what it waits in. */
static x_word handled;
static void handles(int signal) { handled = signal; }
static volatile int read_result;
static void reads_once(int unused) {
  (void)unused;
  ++started;
  char byte;
  read_result = x_read(ends[0], &byte, 1);
  ++done;
}
static void signals(void) {
  x_on(10, handles);
  x_pipe(ends);
  started = done = handled = 0;
  int number = x_thread(reads_once, 0);
  wait_until(&started, 1);
  while (!done) x_thread_kill(number, 10), x_sleep_ms(5);
  say("a thread is signalled", x_join(number));
  say("it reads", read_result);
  say("handled", handled);
  x_close(ends[0]), x_close(ends[1]);
}

/* In children: how a process with threads ends. */
static void sleeps(int ms) { ++started; x_sleep_ms(ms); }
static void spins(int unused) { (void)unused; ++started; for (;;) ++other; }
static void blocks(int unused) { (void)unused; ++started; x_read(ends[0], buffer, 1); }
static void waits_for_ever(int unused) { (void)unused; ++started; x_futex_wait(&word, word, -1); }
static void exits_all(int code) { x_sleep_ms(20); _Exit(code); }
static void forks(int code) {
  x_status s;
  int pid = x_fork();
  if (!pid) _Exit(code);
  x_wait_for(pid, 0, &s);
  word = s.number;
}
static void ended(const char *what, int pid) {
  x_status s = {0, 0};
  x_wait_for(pid, 0, &s);
  char line[200];
  snprintf(line, sizeof line, "%s: %s %d\n", what, s.kind == X_EXITED ? "exited" : "killed", s.number);
  x_line(line);
}
static void ends_of_processes(void) {
  x_body others[] = {spins, blocks, waits_for_ever, sleeps};
  static const char *names[] = {"while one runs", "while one reads", "while one waits", "while one sleeps"};
  x_pipe(ends);
  for (int i = 0; i < 4; i++) {
    started = 0;
    int pid = x_fork();
    if (!pid) {
      x_thread(others[i], 60000);
      wait_until(&started, 1);
      x_sleep_ms(5);
      _Exit(20 + i);
    }
    ended(names[i], pid);
    pid = x_fork();
    if (!pid) {
      x_thread(exits_all, 30 + i);
      others[i](60000);
      _Exit(1);
    }
    ended("the same by another thread", pid);
    pid = x_fork();
    if (!pid) {
      x_thread(others[i], 60000);
      for (;;) x_sleep_ms(1000);
    }
    x_sleep_ms(30);
    x_kill(pid, 15);
    ended("by a signal", pid);
  }
  int pid = x_fork();
  if (!pid) {
    x_thread(sleeps, 30);
    x_thread_exit();
  }
  ended("the last thread", pid);
  say("a thread forks", x_join(x_thread(forks, 44)));
  say("its child", word);
  /* Only who forks goes on in the child. */
  other = 0, started = 0;
  int spinning = x_thread(sleeps, 200);
  wait_until(&started, 1);
  pid = x_fork();
  if (!pid) {
    int number = x_thread(counts, 3);
    word = 0;
    _Exit(x_join(number) == 0 ? 9 : 1);
  }
  ended("a fork beside a thread", pid);
  say("the thread is the parent's", x_join(spinning));
  x_close(ends[0]), x_close(ends[1]);
}

/* Names change while others look: each sees one or none of them, and nothing else ever fails. */
static x_word bad, looks;
static void moves(int n) {
  for (int i = 0; i < n; i++)
    if (x_rename(i & 1 ? "./moved" : "./name", i & 1 ? "./name" : "./moved")) ++bad;
}
static void looks_at_names(int n) {
  for (int i = 0; i < n; i++) {
    const char *name = i & 1 ? "./name" : "./moved";
    int size = x_size_of(name, 1), fd = x_open(name, X_READ);
    if ((size != 0 && size != -ENOENT) || (fd < 0 && fd != -ENOENT)) ++bad;
    if (fd >= 0 && (x_size(fd) != 0 || x_links(fd) != 1)) ++bad;
    x_close(fd);
    ++looks;
  }
}
static void names(void) {
  x_close(x_open("./name", X_WRITE | X_CREATE));
  int threads[4];
  for (int i = 0; i < 4; i++) threads[i] = x_thread(i ? looks_at_names : moves, 1000);
  for (int i = 0; i < 4; i++) x_join(threads[i]);
  sayf("looks at names that change: %d, bad %d\n", looks, bad);
  say("it is there", x_unlink("./name"));
}

/* Threads begin and end while their process forks: children can have threads too, and end. */
static volatile int goes_on;
static void begins(int unused) {
  (void)unused;
  while (goes_on) x_join(x_thread(counts, 1));
}
static void forks_and_threads(void) {
  goes_on = 1;
  int threads[3], right = 0;
  for (int i = 0; i < 3; i++) threads[i] = x_thread(begins, 0);
  for (int i = 0; i < 40; i++) {
    x_status s = {0, 0};
    int pid = x_fork();
    if (!pid) _Exit(x_join(x_thread(counts, 1)) == 0 ? 7 : 1);
    x_wait_for(pid, 0, &s);
    right += s.number == 7;
  }
  goes_on = 0;
  for (int i = 0; i < 3; i++) x_join(threads[i]);
  sayf("children of a process whose threads come and go: %d%.0d\n", right, 0);
}

static void sleeping(void) {
  int64_t start = x_now_ms();
  say("sleep", x_sleep_ms(25));
  sayf("slept: %d%.0d\n", x_now_ms() - start >= 25, 0);
  say("no sleep", x_sleep_ms(0));
}

int main(void) {
  x_no_broken_pipes();
  numbers();
  joins();
  ends_of_threads();
  futexes();
  turns();
  conditions();
  calls();
  names();
  sleeping();
  ends_of_processes();
  forks_and_threads();
  signals();
  x_line("done\n");
  return 0;
}
