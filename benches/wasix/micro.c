/* What single calls cost: the same source as a WASIX guest and as a native program.
 *
 *   micro ROW FOLDER      prints nanoseconds per operation, the median of its batches
 *
 * FOLDER has the files that rows need: `data`, and `program`, which ends at once. */
#include "../../tests/guests/threaded.h"

enum { BATCHES_MAX = 200, BATCHES_MIN = 3, PREAD_BYTES = 4096 };
static const uint64_t WARM_NS = 100000000, MEASURE_NS = 300000000;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
/* Figures of what did not work are worse than none. */
static int must(int result, const char *what) {
  if (result >= 0) return result;
  say(what, result);
  _Exit(1);
}
static const char *folder;
static const char *in_folder(const char *name) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

/* A thread with which the main one takes turns ends at the turn after this. */
static _Atomic int is_over;

/* Starting a thread that does nothing, and waiting for its end. */
static void end_at_once(int argument) { (void)argument; }
static void threads(int rounds) {
  while (rounds--) must(x_join(must(x_thread(end_at_once, 0), "thread")), "join");
}

/* Two semaphores, up and down in turn. */
static x_word here, there;
static void up(x_word *semaphore) {
  ++*semaphore;
  x_futex_wake(semaphore, 0);
}
static void down(x_word *semaphore) {
  for (;;) {
    uint32_t value = *semaphore;
    if (!value) x_futex_wait(semaphore, 0, -1);
    else if (__atomic_compare_exchange_n((uint32_t *)semaphore, &value, value - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  }
}
static void semaphore_partner(int argument) {
  for (;;) {
    down(&there);
    if (is_over) return;
    up(&here);
  }
}
static void semaphores(int rounds) { while (rounds--) up(&there), down(&here); }
static void end_semaphores(void) { up(&there); }

/* One condition and whose turn it is. */
static x_word mutex, condition;
static volatile int turn;
static void take_turn(int me) {
  x_lock(&mutex);
  while (turn != me) x_wait_on(&condition, &mutex);
  turn = !me;
  x_signal(&condition, 0);
  x_unlock(&mutex);
}
static void condition_partner(int argument) { while (!is_over) take_turn(1); }
/* The turn comes back when the partner has had it. */
static void conditions(int rounds) { while (rounds--) take_turn(0); }
static void end_conditions(void) { take_turn(0); }

/* A byte to and fro through two pipes. */
static int to_partner[2], from_partner[2];
static void pipe_partner(int argument) {
  char byte;
  while (x_read(to_partner[0], &byte, 1) == 1 && x_write(from_partner[1], &byte, 1) == 1);
}
static void open_pipes(void) {
  must(x_pipe(to_partner), "pipe");
  must(x_pipe(from_partner), "pipe");
}
static void pipes(int rounds) {
  char byte = 1;
  while (rounds--) {
    must(x_write(to_partner[1], &byte, 1) - 1, "write");
    must(x_read(from_partner[0], &byte, 1) - 1, "read");
  }
}
static void end_pipes(void) { x_close(to_partner[1]); }

/* A set with a descriptor that is not ready. */
static int set;
static void open_set(void) {
  set = must(x_epoll(), "epoll");
  open_pipes();
  must(x_ctl(set, X_ADD, to_partner[0], X_IN, 1), "epoll_ctl");
}
static void empty_waits(int rounds) {
  x_event events[64];
  while (rounds--) must(x_wait(set, events, 64, 0) ? -1 : 0, "epoll_wait");
}

static int file;
static void open_file(void) { file = must(x_open(in_folder("data"), X_READ), "data"); }
static void preads(int rounds) {
  static char bytes[PREAD_BYTES];
  while (rounds--) must(x_pread(file, bytes, sizeof bytes, 0) - PREAD_BYTES, "pread");
}

static void clocks(int rounds) { while (rounds--) now_ns(); }

static void wait_for(int child) {
  x_status status;
  must(x_wait_for(child, 0, &status), "wait");
  if (status.kind != X_EXITED || status.number) must(-ECHILD, "status");
}
static void touch(int mib) {
  size_t bytes = (size_t)mib << 20;
  volatile char *memory = malloc(bytes);
  if (!memory) must(-ENOMEM, "memory");
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
}
static void touch_1(void) { touch(1); }
static void touch_64(void) { touch(64); }
static void forks(int rounds) {
  while (rounds--) {
    int child = must(x_fork(), "fork");
    if (!child) _Exit(0);
    wait_for(child);
  }
}

static void spawns(int rounds) {
  const char *path = in_folder("program");
  char *argv[] = {"program", 0};
  while (rounds--) wait_for(must(x_spawn(path, argv, 0, 0, 0, 0, 1), "spawn"));
}

static const struct {
  const char *name;
  int batch;
  void (*run)(int rounds), (*prepare)(void);
  x_body partner;
  void (*end)(void);
} ROWS[] = {
  {"thread", 100, threads},
  {"semaphore", 1000, semaphores, 0, semaphore_partner, end_semaphores},
  {"condition", 1000, conditions, 0, condition_partner, end_conditions},
  {"pipe", 1000, pipes, open_pipes, pipe_partner, end_pipes},
  {"epoll_wait", 10000, empty_waits, open_set},
  {"pread", 10000, preads, open_file},
  {"clock", 100000, clocks},
  {"fork-1", 20, forks, touch_1},
  {"fork-64", 2, forks, touch_64},
  {"spawn", 5, spawns},
};

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}
static uint64_t batch_ns(int row) {
  uint64_t begin = now_ns();
  ROWS[row].run(ROWS[row].batch);
  return now_ns() - begin;
}
static void measure(int row) {
  static uint64_t batches[BATCHES_MAX];
  uint64_t warm = now_ns() + WARM_NS, all = 0;
  do batch_ns(row); while (now_ns() < warm);
  int n = 0;
  while (n < BATCHES_MIN || (n < BATCHES_MAX && all < MEASURE_NS)) all += batches[n++] = batch_ns(row);
  qsort(batches, n, sizeof *batches, by_size);
  char line[40];
  snprintf(line, sizeof line, "%.1f\n", (double)batches[n / 2] / ROWS[row].batch);
  x_line(line);
}

int main(int argc, char **argv) {
  for (unsigned row = 0; argc == 3 && row < sizeof ROWS / sizeof *ROWS; row++) {
    if (strcmp(argv[1], ROWS[row].name)) continue;
    folder = argv[2];
    if (ROWS[row].prepare) ROWS[row].prepare();
    int partner = ROWS[row].partner ? must(x_thread(ROWS[row].partner, 0), "thread") : 0;
    measure(row);
    is_over = 1;
    if (partner) ROWS[row].end(), must(x_join(partner), "join");
    /* As children do: its code is there then in later runs. */
    _Exit(0);
  }
  x_line("micro ROW FOLDER\n");
  return 2;
}
