/* What processes do, step by step: the text must be the same as of the native program. The first
 * argument is the path of the program itself, which it starts and becomes with a role. */
#define _GNU_SOURCE
#include "posix.h"
#include <ctype.h>

static char *self;
static char buffer[300000];

static void sayf(const char *form, int a, int b) {
  char line[200];
  snprintf(line, sizeof line, form, a, b);
  x_line(line);
}
static void status(const char *what, int pid, int waited, x_status s) {
  static const char *kinds[] = {"nothing", "exited", "killed", "stopped"};
  char line[200];
  snprintf(line, sizeof line, "%s: %s %s %d\n", what, waited < 0 ? x_result(waited) : waited == pid ? "it" : waited ? "other" : "none",
           waited > 0 ? kinds[s.kind] : "", waited > 0 ? s.number : 0);
  x_line(line);
}
static void wait_and_say(const char *what, int pid, int flags) {
  x_status s = {0, 0};
  int waited = x_wait_for(pid, flags, &s);
  status(what, pid, waited, s);
}
/* Waits for the one byte of another process. */
static void wait_for_byte(int fd) {
  char byte;
  if (x_read(fd, &byte, 1) != 1) x_line("no byte\n");
}

static void exits(void) {
  static const int codes[] = {0, 1, 42, 127, 128, 255, 256, 300, -1};
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
    int pid = x_fork();
    if (!pid) _Exit(codes[i]);
    sayf("code %d%.0d ", codes[i], 0);
    wait_and_say("ends", i & 1 ? pid : -1, 0);
  }
  wait_and_say("no child", -1, 0);
  wait_and_say("no child to look for", -1, X_NOHANG);
  wait_and_say("no such child", 99999, 0);
  wait_and_say("not a child", x_pid(), X_NOHANG);
}

static void numbers(void) {
  int own = x_pid(), report[2];
  x_pipe(report);
  int pid = x_fork();
  if (!pid) {
    int seen[2] = {x_pid(), x_parent()};
    x_write(report[1], seen, sizeof seen);
    _Exit(0);
  }
  int seen[2];
  say("report", x_read(report[0], seen, sizeof seen));
  sayf("its number %d, its parent %d\n", seen[0] == pid, seen[1] == own);
  sayf("is there until it is waited for: %d%.0d\n", x_kill(pid, 0), 0);
  wait_and_say("it", pid, 0);
  say("is gone", x_kill(pid, 0));
  say("a signal to nobody", x_kill(pid, 15));
  say("no signal", x_kill(own, 77));
  x_close(report[0]), x_close(report[1]);
}

static void running(void) {
  int go[2];
  x_pipe(go);
  int pid = x_fork();
  if (!pid) {
    wait_for_byte(go[0]);
    _Exit(9);
  }
  wait_and_say("runs", pid, X_NOHANG);
  wait_and_say("any runs", -1, X_NOHANG);
  say("is there", x_kill(pid, 0));
  x_write(go[1], "x", 1);
  wait_and_say("ends now", -1, 0);
  wait_and_say("only once", pid, X_NOHANG);
  x_close(go[0]), x_close(go[1]);
}

/* Signals end children, whatever they do. */
static void killed(void) {
  static const int signals[] = {1, 2, 9, 10, 12, 14, 15};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
    for (int busy = 0; busy < 2; busy++) {
      int ready[2];
      x_pipe(ready);
      int pid = x_fork();
      if (!pid) {
        x_write(ready[1], "x", 1);
        while (*(volatile int *)&busy) {}
        for (;;) x_sleep_ms(1000);
      }
      wait_for_byte(ready[0]);
      say("kill", x_kill(pid, signals[i]));
      wait_and_say(busy ? "busy" : "in a call", pid, 0);
      x_close(ready[0]), x_close(ready[1]);
    }
  int pid = x_fork();
  if (!pid) x_raise(15), _Exit(1);
  wait_and_say("raised", pid, 0);
  pid = x_fork();
  if (!pid) x_raise(17), x_raise(28), _Exit(3);
  wait_and_say("what is ignored", pid, 0);
  pid = x_fork();
  if (!pid) x_timer_ms(5, 0), x_sleep_ms(60000), _Exit(1);
  wait_and_say("its own timer", pid, 0);
}

static void stopped(void) {
  int pid = x_fork();
  if (!pid) for (;;) x_sleep_ms(1000);
  say("stop", x_kill(pid, 19));
  wait_and_say("stops", pid, X_UNTRACED);
  wait_and_say("is said once", pid, X_UNTRACED | X_NOHANG);
  say("continue", x_kill(pid, 18));
  wait_and_say("runs", pid, X_NOHANG);
  x_kill(pid, 9);
  wait_and_say("ends", pid, 0);
}

static void many(void) {
  int sum = 0, count = 0, failed = 0;
  for (int i = 1; i <= 30; i++) {
    int pid = x_fork();
    if (!pid) _Exit(i);
    failed += pid < 0;
  }
  x_status s;
  while (x_wait_for(-1, 0, &s) > 0) sum += s.number, count++;
  sayf("30 children: %d, codes %d", count, sum);
  sayf(", failed %d%.0d\n", failed, 0);
  int pid = x_fork();
  if (!pid) {
    int inner = x_fork();
    if (!inner) _Exit(21);
    x_wait_for(inner, 0, &s);
    _Exit(s.number + 1);
  }
  wait_and_say("a child of a child", pid, 0);
}

static void pipes(void) {
  int to[2], from[2];
  x_pipe(to), x_pipe(from);
  int pid = x_fork();
  if (!pid) {
    x_close(to[1]), x_close(from[0]);
    int n;
    while ((n = x_read(to[0], buffer, 1000)) > 0)
      for (int done = 0; done < n;) done += x_write(from[1], buffer + done, n - done);
    _Exit(n == 0 ? 0 : 1);
  }
  x_close(to[0]), x_close(from[1]);
  /* More than both hold. */
  int writer = x_fork();
  if (!writer) {
    x_close(from[0]);
    memset(buffer, 'z', sizeof buffer);
    for (int left = sizeof buffer; left > 0;) left -= x_write(to[1], buffer, left);
    _Exit(0);
  }
  x_close(to[1]);
  int total = 0, n;
  while ((n = x_read(from[0], buffer, 5000)) > 0) total += n;
  say("through two children", total);
  say("then", n);
  wait_and_say("who wrote", writer, 0);
  wait_and_say("who passed on", pid, 0);
  x_close(from[0]);
  x_pipe(to);
  pid = x_fork();
  if (!pid) {
    x_close(to[0]);
    x_sleep_ms(20);
    int e = x_write(to[1], "x", 1);
    _Exit(e == -EPIPE ? 4 : 5);
  }
  x_close(to[0]), x_close(to[1]);
  wait_and_say("nobody reads", pid, 0);
}

static void shared(void) {
  int fd = x_open("./shared", X_READ | X_WRITE | X_CREATE | X_TRUNC);
  x_write(fd, "0123456789", 10);
  x_seek(fd, 2, SEEK_SET);
  volatile int memory = 1;
  int pid = x_fork();
  if (!pid) {
    memory = 2;
    int n = x_read(fd, buffer, 3);
    x_close(fd);
    _Exit(n == 3 && !memcmp(buffer, "234", 3) ? 0 : 1);
  }
  wait_and_say("the child reads", pid, 0);
  say("memory", memory);
  say("where the file is", x_seek(fd, 0, SEEK_CUR));
  say("read on", x_read(fd, buffer, 2));
  sayf("%c%c\n", buffer[0], buffer[1]);
  pid = x_fork();
  if (!pid) _Exit(x_chdir("./dir") == 0 && x_size_of("./inner", 1) == 5 ? 0 : 1);
  wait_and_say("the child goes elsewhere", pid, 0);
  say("the parent stays", x_size_of("./dir/inner", 1));
  int ep = x_epoll(), counter = x_eventfd(0, 0, 0);
  x_ctl(ep, X_ADD, counter, X_IN, 5);
  pid = x_fork();
  if (!pid) {
    uint64_t three = 3;
    x_write(counter, &three, 8);
    _Exit(0);
  }
  x_event event = {0, 0};
  say("a set hears of the child's writing", x_wait(ep, &event, 1, 10000000000));
  sayf("data %d events %d\n", (int)event.data, event.events);
  wait_and_say("it", pid, 0);
  x_close(fd), x_close(ep), x_close(counter);
  x_unlink("./shared");
}

static char *const ENV[] = {"X=1", "Y=two words", 0};

static void starts(int lines) {
  int out[2], in[2];
  x_pipe(out), x_pipe(in);
  x_step redirected[] = {{X_STEP_DUP2, 0, in[0]}, {X_STEP_DUP2, 1, out[1]}, {X_STEP_CLOSE, in[1]}, {X_STEP_CLOSE, in[0]},
                         {X_STEP_CLOSE, out[0]}, {X_STEP_CLOSE, out[1]}};
  char *copy[] = {self, "copy", 0}, *show[] = {self, "show", "an\nargument", "", "last", 0}, *code[] = {self, "exit", "77", 0};
  int pid = x_spawn(self, copy, ENV, redirected, 6, 0, lines);
  said("start between pipes", pid);
  x_close(in[0]), x_close(out[1]);
  x_write(in[1], "hello, child", 12);
  x_close(in[1]);
  int n = 0, got;
  while ((got = x_read(out[0], buffer + n, 100)) > 0) n += got;
  buffer[n] = 0;
  x_line(buffer), x_line("\n");
  x_close(out[0]);
  wait_and_say("it", pid, 0);
  x_step to_file[] = {{X_STEP_OPEN, 1, 0, "./written", X_WRITE | X_CREATE | X_TRUNC}, {X_STEP_OPEN, 0, 0, "./text", X_READ}};
  pid = x_spawn(self, copy, ENV, to_file, 2, 0, lines);
  wait_and_say("from a file to a file", pid, 0);
  say("wrote", x_size_of("./written", 1));
  to_file[0].flags = X_WRITE | X_APPEND;
  pid = x_spawn(self, copy, ENV, to_file, 2, 0, lines);
  wait_and_say("at its end", pid, 0);
  say("wrote", x_size_of("./written", 1));
  x_unlink("./written");
  pid = x_spawn(self, code, ENV, 0, 0, 0, lines);
  wait_and_say("a code", pid, 0);
  if (!lines) {
    pid = x_spawn(self, show, ENV, 0, 0, 0, 0);
    wait_and_say("arguments and variables", pid, 0);
  }
  static char *const NOTHING[] = {"NONE=", 0};
  char *seven[] = {self, "descriptor", "17", 0};
  int kept = x_dup_from(1, 17, 0);
  say("a descriptor", kept);
  wait_and_say("is inherited", x_spawn(self, seven, NOTHING, 0, 0, 0, lines), 0);
  x_set_cloexec(kept, 1);
  wait_and_say("is closed", x_spawn(self, seven, NOTHING, 0, 0, 0, lines), 0);
  x_step itself = {X_STEP_DUP2, 17, 17};
  wait_and_say("is kept by a step", x_spawn(self, seven, NOTHING, &itself, 1, 0, lines), 0);
  x_close(kept);
  x_step elsewhere = {X_STEP_CHDIR, 0, 0, "./dir"};
  char *size[] = {self, "size", "./inner", 0}, up[200];
  snprintf(up, sizeof up, "../%s", self + 2);
  wait_and_say("elsewhere", x_spawn(up, size, ENV, &elsewhere, 1, 0, lines), 0);
  say("by a path from before", x_spawn(self, size, ENV, &elsewhere, 1, 0, lines));
  static const int ignored[] = {1, 15, 0};
  char *asks[] = {self, "ignored", 0};
  wait_and_say("signals ignored", x_spawn(self, asks, ENV, 0, 0, ignored, lines), 0);
  wait_and_say("and not", x_spawn(self, asks, ENV, 0, 0, 0, lines), 0);
  say("missing", x_spawn("./missing", code, ENV, 0, 0, 0, lines));
  say("a missing directory", x_spawn("./none/missing", code, ENV, 0, 0, 0, lines));
  say("a file as a directory", x_spawn("./text/missing", code, ENV, 0, 0, 0, lines));
  say("a directory", x_spawn("./dir", code, ENV, 0, 0, 0, lines));
  say("no program", x_spawn("./text", code, ENV, 0, 0, 0, lines));
  say("no name", x_spawn("", code, ENV, 0, 0, 0, lines));
  elsewhere.path = "./missing";
  say("to a missing directory", x_spawn(self, code, ENV, &elsewhere, 1, 0, lines));
  to_file[1].path = "./missing";
  say("from a missing file", x_spawn(self, code, ENV, &to_file[1], 1, 0, lines));
  x_step bad = {X_STEP_DUP2, 1, 99};
  say("a descriptor that is not open", x_spawn(self, code, ENV, &bad, 1, 0, lines));
  wait_and_say("no child is left", -1, X_NOHANG);
}

static void becomes(int lines) {
  char *code[] = {self, "exit", "78", 0}, *show[] = {self, "show", "one", 0}, *seven[] = {self, "descriptor", "17", 0};
  int pid = x_fork();
  if (!pid) {
    say("missing", x_exec("./missing", code, ENV, lines));
    say("a directory", x_exec("./dir", code, ENV, lines));
    say("no program", x_exec("./text", code, ENV, lines));
    say("become", x_exec(self, code, ENV, lines));
    _Exit(1);
  }
  wait_and_say("it", pid, 0);
  pid = x_fork();
  if (!pid) _Exit(-x_exec(self, show, ENV, lines));
  wait_and_say("arguments and variables", pid, 0);
  for (int cloexec = 0; cloexec < 2; cloexec++) {
    pid = x_fork();
    if (!pid) x_dup_from(1, 17, cloexec), x_exec(self, seven, ENV, lines);
    wait_and_say(cloexec ? "closed" : "kept", pid, 0);
  }
  int go[2];
  x_pipe(go);
  pid = x_fork();
  if (!pid) {
    char *copy[] = {self, "copy", 0};
    x_dup_to(go[0], 0);
    x_close(go[0]), x_close(go[1]);
    x_exec(self, copy, ENV, lines);
  }
  x_close(go[0]);
  x_write(go[1], "input\n", 6);
  x_close(go[1]);
  wait_and_say("with its own input", pid, 0);
  pid = x_fork();
  if (!pid) {
    char *waits[] = {self, "wait", 0};
    x_exec(self, waits, ENV, lines);
  }
  wait_and_say("the same number", pid, X_NOHANG);
  x_sleep_ms(50);
  x_kill(pid, 15);
  wait_and_say("is killed", pid, 0);
}

static int role(int argc, char **argv) {
  if (!strcmp(argv[1], "exit")) return atoi(argv[2]);
  if (!strcmp(argv[1], "descriptor")) return x_cloexec(atoi(argv[2])) == 0 ? 1 : 2;
  if (!strcmp(argv[1], "size")) return x_size_of(argv[2], 1);
  if (!strcmp(argv[1], "ignored")) return 32 * x_is_ignored(1) + 16 * x_is_ignored(2) + 8 * x_is_ignored(15) + 1;
  if (!strcmp(argv[1], "wait")) for (;;) x_sleep_ms(1000);
  if (!strcmp(argv[1], "copy")) {
    int n;
    while ((n = x_read(0, buffer, 1000)) > 0) {
      for (int i = 0; i < n; i++) buffer[i] = toupper(buffer[i]);
      x_write(1, buffer, n);
    }
    return n == 0 ? 12 : 13;
  }
  if (!strcmp(argv[1], "show")) {
    char line[200];
    for (int i = 1; i < argc; i++) snprintf(line, sizeof line, "argument %d `%s`\n", i, argv[i]), x_line(line);
    const char *x = getenv("X"), *y = getenv("Y");
    snprintf(line, sizeof line, "X %s Y %s\n", x ? x : "-", y ? y : "-");
    x_line(line);
    return argc;
  }
  return 99;
}

int main(int argc, char **argv) {
  x_no_broken_pipes();
  if (argc > 2 || (argc > 1 && argv[1][0] != '.')) return role(argc, argv);
  self = argc > 1 ? argv[1] : argv[0];
  exits();
  numbers();
  running();
  killed();
  stopped();
  many();
  pipes();
  shared();
  for (int lines = 0; lines < 2; lines++) {
    say("lists are lines", lines);
    starts(lines);
    becomes(lines);
  }
  x_line("done\n");
  return 0;
}
