/* A program that bears what the system may answer: it goes on where fewer bytes came than it wished, and
 * tries again what the system was short of. So its text is the same whatever goes wrong, and nothing may
 * be lost. What it met is written to standard error at the end. Rebuilt by fault_check.sh. */
#define _GNU_SOURCE
#include "threaded.h"

enum { BYTES = 100000, FILES = 120, TRIES = 100000 };
static char buffer[BYTES + 1000], copy[BYTES + 1000];
static const struct { int number; const char *name; } PASSING[] = {
  {EINTR, "EINTR"}, {EAGAIN, "EAGAIN"}, {EMFILE, "EMFILE"}, {ENFILE, "ENFILE"}, {ENOBUFS, "ENOBUFS"},
  {ENOMEM, "ENOMEM"}, {ENOSPC, "ENOSPC"}, {ECONNABORTED, "ECONNABORTED"},
};
enum { PASSING_N = sizeof PASSING / sizeof *PASSING };
static int met[PASSING_N], tries;

static void put(int fd, const void *bytes, int n);
static void tell(const char *form, int a, int b) {
  char line[200];
  put(1, line, snprintf(line, sizeof line, form, a, b));
}
static void fail(const char *what, int result) {
  char line[200];
  put(2, line, snprintf(line, sizeof line, "%s: %s\n", what, x_result(result)));
  _Exit(9);
}
/* Whether it is an error that may be gone the next time. */
static int passes(int result) {
  for (int i = 0; result < 0 && i < PASSING_N; i++)
    if (PASSING[i].number == -result) {
      __atomic_add_fetch(&met[i], 1, __ATOMIC_SEQ_CST);
      if (__atomic_add_fetch(&tries, 1, __ATOMIC_SEQ_CST) > TRIES) _Exit(8);
      return 1;
    }
  return 0;
}
#define until(call) ({ int r_; while (passes(r_ = (call))) {} r_; })
static int fine(const char *what, int result) {
  if (result < 0) fail(what, result);
  return result;
}
#define must(call) fine(#call, until(call))
static void ready(int fd, int wants) {
  x_poll_entry entry = {fd, wants, 0};
  x_poll(&entry, 1, -1);
}
/* How many bytes: at once, or when the descriptor is ready. */
static int moved(const char *what, int fd, int wants, int result) {
  if (result >= 0) return result;
  if (!passes(result)) fail(what, result);
  if (result == -EAGAIN) ready(fd, wants);
  return 0;
}
static void put(int fd, const void *bytes, int n) {
  for (int at = 0; at < n;) at += moved("write", fd, X_OUT, x_write(fd, (const char *)bytes + at, n - at));
}
/* Up to the end, or to `n`; by the call that also says from whom, of a socket. */
static int receives;
static int get(int fd, char *to, int n) {
  int at = 0;
  while (at < n) {
    x_addr from;
    int got = receives ? x_recv_from(fd, to + at, n - at, &from) : x_read(fd, to + at, n - at);
    if (!got) break;
    at += moved("read", fd, X_IN, got);
  }
  return at;
}
static char pattern(int at) { return at * 7 + at / 251; }
static void fill(char *to, int from, int n) {
  for (int i = 0; i < n; i++) to[i] = pattern(from + i);
}
static int wrong(const char *at, int from, int n) {
  int bad = 0;
  for (int i = 0; i < n; i++) bad += at[i] != pattern(from + i);
  return bad;
}

/* Lists of several ranges. */
#ifdef __wasm__
P1(random_get)(void *, uint32_t);
static int x_random(void *to, int n) { int e = p1_random_get(to, n); return e ? -e : n; }
static int x_vectors(int of, x_vec *v, int n, int64_t at, int writes) {
  if (at < 0) return writes ? X_FD(p1_fd_write(of, v, n, &fd), fd) : X_FD(p1_fd_read(of, v, n, &fd), fd);
  return writes ? X_FD(p1_fd_pwrite(of, v, n, at, &fd), fd) : X_FD(p1_fd_pread(of, v, n, at, &fd), fd);
}
P1(fd_readdir)(uint32_t, void *, uint32_t, uint64_t, uint32_t *);
/* How many names there are. */
static int x_list(const char *path) {
  static char page[1000];
  int of = x_open(path, X_READ | X_DIR), listed = 0, e = 0;
  uint32_t used = sizeof page;
  for (uint64_t cookie = 0; of >= 0 && used == sizeof page;) {
    e = p1_fd_readdir(of, page, sizeof page, cookie, &used);
    if (e) break;
    for (uint32_t at = 0, len; at + 24 <= used; at += 24 + len) {
      memcpy(&len, page + at + 16, 4);
      if (at + 24 + len > used) break;
      memcpy(&cookie, page + at, 8);
      listed++;
    }
  }
  if (of >= 0) x_close(of);
  return of < 0 ? of : e ? -e : listed;
}
#else
#include <dirent.h>
#include <sys/random.h>
#include <sys/uio.h>
typedef struct { void *at; size_t len; } x_vec;
static int x_random(void *to, int n) { return x_(getrandom(to, n, 0)); }
static int x_list(const char *path) {
  DIR *directory = opendir(path);
  if (!directory) return -errno;
  int listed = errno = 0;
  while (readdir(directory)) listed++;
  int e = errno;
  closedir(directory);
  return e ? -e : listed;
}
static int x_vectors(int of, x_vec *v, int n, int64_t at, int writes) {
  struct iovec *list = (struct iovec *)v;
  if (at < 0) return x_(writes ? writev(of, list, n) : readv(of, list, n));
  return x_(writes ? pwritev(of, list, n, at) : preadv(of, list, n, at));
}
#endif
/* All of a range, as pieces of three sizes. `at` is where in the file, or -1. */
static void all_vectors(int fd, char *bytes, int n, int64_t at, int writes) {
  for (int done = 0; done < n;) {
    x_vec v[3];
    int from = done, lens[3] = {1000, 1, 3000};
    for (int i = 0; i < 3; i++) {
      int len = n - from < lens[i] ? n - from : lens[i];
      v[i] = (x_vec){bytes + from, len};
      from += len;
    }
    int r = x_vectors(fd, v, 3, at < 0 ? -1 : at + done, writes);
    if (!r) break;
    done += moved("vectors", fd, writes ? X_OUT : X_IN, r);
  }
}

static void contents(void) {
  int fd = must(x_open("./new", X_READ | X_WRITE | X_CREATE | X_EXCL));
  fill(buffer, 0, BYTES);
  put(fd, buffer, BYTES);
  all_vectors(fd, buffer, 20000, -1, 1);
  all_vectors(fd, buffer, 20000, BYTES + 20000, 1);
  for (int at = 0; at < 5000;) at += moved("pwrite", fd, X_OUT, x_pwrite(fd, buffer + at, 5000 - at, 50000 + at));
  tell("size %d%.0d\n", must(x_size(fd)), 0);
  must(x_seek(fd, 0, SEEK_SET));
  memset(copy, 0, sizeof copy);
  int n = get(fd, copy, 50000);
  tell("read %d, wrong %d\n", n, wrong(copy, 0, n));
  for (int at = 0; at < 5000;) at += moved("pread", fd, X_IN, x_pread(fd, copy + at, 5000 - at, 50000 + at));
  tell("wrong %d%.0d\n", wrong(copy, 0, 5000), 0);
  must(x_seek(fd, BYTES, SEEK_SET));
  memset(copy, 0, sizeof copy);
  all_vectors(fd, copy, 20000, -1, 0);
  tell("ranges: wrong %d%.0d\n", wrong(copy, 0, 20000), 0);
  memset(copy, 0, sizeof copy);
  all_vectors(fd, copy, 20000, BYTES + 20000, 0);
  tell("ranges at a place: wrong %d%.0d\n", wrong(copy, 0, 20000), 0);
  must(x_truncate(fd, 1234));
  int end = must(x_open("./new", X_WRITE | X_APPEND));
  put(end, "end", 3);
  tell("size %d, links %d\n", must(x_size(fd)), must(x_links(fd)));
  x_close(end), x_close(fd);
}

static void names(void) {
  must(x_mkdir("./made"));
  must(x_rename("./new", "./made/moved"));
  must(x_link("./made/moved", "./made/linked"));
  must(x_symlink("moved", "./made/link"));
  int n = must(x_readlink("./made/link", buffer, 100));
  tell("link of %d, through it %d\n", n, must(x_size_of("./made/link", 1)));
  must(x_chdir("./made"));
  tell("there %d, not there %d\n", must(x_size_of("./linked", 1)), until(x_size_of("./none", 1)) == -ENOENT);
  must(x_chdir(".."));
  tell("up and down %d%.0d\n", must(x_size_of("./made/../made/linked", 1)), 0);
  char name[40];
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "./made/file-with-a-name-%d", i);
    x_close(must(x_open(name, X_WRITE | X_CREATE | X_EXCL)));
  }
  int listed = must(x_list("./made"));
  tell("listed %d of %d\n", listed, FILES + 5);
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "./made/file-with-a-name-%d", i);
    must(x_unlink(name));
  }
  must(x_unlink("./made/link")), must(x_unlink("./made/moved")), must(x_unlink("./made/linked"));
  tell("away %d%.0d\n", must(x_rmdir("./made")), 0);
}

static int child_writes(int fd, int other, int piece) {
  int pid = must(x_fork());
  if (pid) return pid;
  x_close(other);
  for (int at = 0; at < BYTES; at += piece) put(fd, buffer + at, BYTES - at < piece ? BYTES - at : piece);
  _Exit(3);
}
static int status_of(int pid) {
  x_status s = {0, 0};
  must(x_wait_for(pid, 0, &s));
  return s.kind * 1000 + s.number;
}
static void stream(const char *what, int *ends, int nonblock) {
  fill(buffer, 0, BYTES);
  if (nonblock) must(x_nonblock(ends[0])), must(x_nonblock(ends[1]));
  int pid = child_writes(ends[1], ends[0], nonblock ? 70000 : 3000);
  x_close(ends[1]);
  memset(copy, 0, sizeof copy);
  receives = nonblock && strcmp(what, "a pipe");
  int n = get(ends[0], copy, sizeof copy);
  receives = 0;
  char form[100];
  snprintf(form, sizeof form, "%s: %%d, wrong %%d\n", what);
  tell(form, n, wrong(copy, 0, BYTES));
  tell("the child %d%.0d\n", status_of(pid), 0);
  x_close(ends[0]);
}
static void connection(int *ends, int in_file) {
  int at = in_file ? must(x_unix_socket(X_STREAM)) : must(x_socket(X_STREAM));
  x_addr to = x_path("socket");
  must(x_bind(at, in_file ? to : x_ip(0)));
  must(x_listen(at, 4));
  if (!in_file) to = x_ip(must(x_port(at)));
  ends[0] = in_file ? must(x_unix_socket(X_STREAM)) : must(x_socket(X_STREAM));
  must(x_connect(ends[0], to));
  ends[1] = must(x_accept(at, 0));
  x_close(at);
  if (in_file) must(x_unlink("socket"));
}
static void streams(void) {
  int ends[2];
  for (int nonblock = 0; nonblock < 2; nonblock++) {
    must(x_pipe(ends)), stream("a pipe", ends, nonblock);
    must(x_pair(X_STREAM, ends)), stream("a pair", ends, nonblock);
    connection(ends, 0), stream("a connection", ends, nonblock);
    connection(ends, 1), stream("a file's", ends, nonblock);
  }
  /* Several ranges, and one that has to wait for the other side. */
  must(x_pair(X_STREAM, ends));
  int pid = must(x_fork());
  if (!pid) {
    x_close(ends[0]);
    all_vectors(ends[1], buffer, 50000, -1, 1);
    _Exit(4);
  }
  x_close(ends[1]);
  memset(copy, 0, sizeof copy);
  all_vectors(ends[0], copy, 50000, -1, 0);
  tell("ranges of a pair: wrong %d, the child %d\n", wrong(copy, 0, 50000), status_of(pid));
  x_close(ends[0]);
}

static void sending(void) {
  int file = must(x_open("./sent", X_READ | X_WRITE | X_CREATE)), ends[2];
  put(file, buffer, BYTES);
  for (int nonblock = 0; nonblock < 2; nonblock++) {
    must(x_pair(X_STREAM, ends));
    if (nonblock) must(x_nonblock(ends[0]));
    int pid = must(x_fork());
    if (!pid) {
      x_close(ends[0]);
      int n = get(ends[1], copy, sizeof copy);
      _Exit(n == BYTES && !wrong(copy, 0, n) ? 5 : 6);
    }
    x_close(ends[1]);
    for (int at = 0; at < BYTES;) at += moved("sendfile", ends[0], X_OUT, x_send_file(ends[0], file, at, BYTES - at));
    x_close(ends[0]);
    tell("a file was sent: %d%.0d\n", status_of(pid), 0);
  }
  x_close(file), must(x_unlink("./sent"));
}

static void datagrams(void) {
  int a = must(x_socket(X_DGRAM)), b = must(x_socket(X_DGRAM)), good = 0;
  must(x_bind(a, x_ip(0))), must(x_bind(b, x_ip(0)));
  int port = must(x_port(b)), from_port = must(x_port(a));
  for (int i = 0; i < 40; i++) {
    if (i == 20) must(x_nonblock(a)), must(x_nonblock(b));
    x_addr from;
    int n = until(x_send_to(a, buffer + i, 100 + i, x_ip(port)));
    ready(b, X_IN);
    good += n == 100 + i && until(x_recv_from(b, copy, 1000, &from)) == n && !wrong(copy, i, n) &&
            x_port_of(&from) == from_port;
  }
  tell("messages as they were: %d%.0d\n", good, 0);
  x_close(a), x_close(b);
}

static void waiting(void) {
  int set = must(x_epoll()), ends[2], counter = must(x_eventfd(0, 0, 0)), inner = must(x_epoll());
  must(x_pipe(ends));
  must(x_ctl(set, X_ADD, ends[0], X_IN, 1)), must(x_ctl(set, X_ADD, counter, X_IN, 2));
  must(x_ctl(inner, X_ADD, set, X_IN, 3));
  x_event event;
  int64_t start = x_now_ms();
  int n = must(x_wait(set, &event, 1, 20000000));
  tell("20 ms: %d, waited %d\n", n, x_now_ms() - start >= 20);
  x_poll_entry list[40];
  for (int i = 0; i < 40; i++) list[i] = (x_poll_entry){ends[0], X_IN, 0};
  start = x_now_ms();
  n = must(x_poll(list, 40, 20000000));
  tell("40 for 20 ms: %d, waited %d\n", n, x_now_ms() - start >= 20);
  start = x_now_ms();
  n = must(x_poll(list, 1, 20000000));
  tell("one for 20 ms: %d, waited %d\n", n, x_now_ms() - start >= 20);
  start = x_now_ms();
  must(x_sleep_ms(20));
  tell("slept %d%.0d\n", x_now_ms() - start >= 20, 0);
  int pid = must(x_fork());
  if (!pid) {
    uint64_t one = 1;
    for (int i = 0; i < 50; i++) put(ends[1], "x", 1), put(counter, &one, 8);
    _Exit(7);
  }
  /* Nothing of it is lost, however it is waited for. */
  uint64_t sum = 0;
  int got = 0;
  while (got < 50 || sum < 50) {
    if (got % 2) must(x_wait(inner, &event, 1, -1));
    if (got % 3 == 0) ready(sum < 50 ? counter : ends[0], X_IN);
    must(x_wait(set, &event, 1, -1));
    uint64_t value = 0;
    if (event.data == 1) got += must(x_read(ends[0], copy, 1));
    else if (must(x_read(counter, &value, 8))) sum += value;
  }
  tell("by the pipe %d, by the counter %d\n", got, sum);
  tell("the child %d%.0d\n", status_of(pid), 0);
  x_close(set), x_close(inner), x_close(counter), x_close(ends[0]), x_close(ends[1]);
}

static x_word mutex, condition;
static volatile int count, turn;
static void adds(int n) {
  for (int i = 0; i < n; i++) x_lock(&mutex), count = count + 1, x_unlock(&mutex);
}
static void takes_turns(int which) {
  for (int i = 0; i < 50; i++) {
    x_lock(&mutex);
    while (turn % 2 != which) x_wait_on(&condition, &mutex);
    turn = turn + 1;
    x_signal(&condition, 1);
    x_unlock(&mutex);
  }
}
static void threads(void) {
  int numbers[4];
  for (int i = 0; i < 4; i++) numbers[i] = must(x_thread(adds, 1000));
  for (int i = 0; i < 4; i++) must(x_join(numbers[i]));
  for (int i = 0; i < 2; i++) numbers[i] = must(x_thread(takes_turns, i));
  for (int i = 0; i < 2; i++) must(x_join(numbers[i]));
  tell("counted %d, turns %d\n", count, turn);
  static x_word word;
  int64_t start = x_now_ms();
  int woken = x_futex_wait(&word, 0, 20);
  tell("woken %d, waited %d\n", woken, x_now_ms() - start >= 20);
}

static volatile int handled;
static void handles(int signal) { handled += signal != 0; }
static void processes(void) {
  char *argv[] = {"program", "child", 0}, *env[] = {"A=1", 0};
  for (int i = 0; i < 5; i++) {
    int pid = must(x_fork());
    if (!pid) _Exit(i);
    tell("a child %d%.0d\n", status_of(pid), 0);
  }
  tell("a program %d%.0d\n", status_of(must(x_spawn("./program", argv, env, 0, 0, 0, 0))), 0);
  int pid = must(x_fork());
  if (!pid) must(x_exec("./program", argv, env, 0)), _Exit(1);
  tell("another %d%.0d\n", status_of(pid), 0);
  pid = must(x_fork());
  if (!pid) for (;;) x_sleep_ms(1000);
  must(x_kill(pid, 9));
  tell("killed %d%.0d\n", status_of(pid), 0);
}
static void signals(void) {
  x_on(10, handles), x_on(14, handles);
  must(x_raise(10));
  while (handled < 1) x_sleep_ms(1);
  must(x_timer_ms(5, 0));
  while (handled < 2) x_sleep_ms(1000);
  must(x_kill(x_pid(), 10));
  while (handled < 3) x_sleep_ms(1);
  tell("signals %d%.0d\n", handled, 0);
}
static void randoms(void) {
  memset(copy, 0, 5000);
  for (int at = 0; at < 5000;) at += must(x_random(copy + at, 5000 - at));
  int empty = 0;
  for (int at = 0; at < 4992; at += 64) {
    int any = 0;
    for (int i = 0; i < 64; i++) any |= copy[at + i];
    empty += !any;
  }
  tell("without numbers %d%.0d\n", empty, 0);
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "child")) return 5;
  x_no_broken_pipes();
  tell("begins\n", 0, 0);
  contents();
  names();
  streams();
  sending();
  datagrams();
  waiting();
  threads();
  processes();
  signals();
  randoms();
  tell("done\n", 0, 0);
  for (int i = 0; i < PASSING_N; i++)
    if (met[i]) {
      char line[100];
      int n = snprintf(line, sizeof line, "met %s %d\n", PASSING[i].name, met[i]);
      put(2, line, n);
    }
  return 0;
}
