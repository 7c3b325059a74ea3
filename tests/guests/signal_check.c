/* What signals and timers do, step by step: the text must be the same as of the native program. */
#define _GNU_SOURCE
#include "posix.h"

static volatile int count, last, log_length, log_of[64];
static volatile int depth, deepest;
static char buffer[300000];

static void sayf(const char *form, int a, int b) {
  char line[200];
  snprintf(line, sizeof line, form, a, b);
  x_line(line);
}
static void note(int signal) {
  if (++depth > deepest) deepest = depth;
  count++, last = signal;
  if (log_length < 64) log_of[log_length++] = signal;
  depth--;
}
static void nothing(int signal) { (void)signal; }
static void raises(int signal) {
  note(signal);
  if (signal == 10 && count == 1) x_raise(10), x_raise(12), note(100);
}
static volatile int leave_with;
static void leaves(int signal) { _Exit(leave_with + signal); }
static void counted(const char *what) {
  char line[200];
  int n = snprintf(line, sizeof line, "%s: %d", what, count);
  for (int i = 0; i < log_length; i++) n += snprintf(line + n, sizeof line - n, " %d", log_of[i]);
  snprintf(line + n, sizeof line - n, "\n");
  x_line(line);
  count = last = log_length = 0;
}
static void wait_and_say(const char *what, int pid) {
  x_status s = {0, 0};
  int waited = x_wait_for(pid, 0, &s);
  char line[200];
  snprintf(line, sizeof line, "%s: %s %s %d\n", what, waited == pid ? "it" : x_result(waited),
           s.kind == X_EXITED ? "exited" : s.kind == X_KILLED ? "killed" : "else", s.number);
  x_line(line);
}
/* Waits for the one byte of another process, whatever else comes. */
static void wait_for_byte(int fd) {
  char byte;
  while (x_read(fd, &byte, 1) == -EINTR) {}
}
/* Until signals that are on their way have come. */
static void settle(int ms) {
  for (int64_t end = x_now_ms() + ms; x_now_ms() < end;) x_sleep_ms(5);
  count = last = log_length = 0;
}
static const int ALL[] = {1, 2, 10, 12, 14, 15, 17, 28};
enum { ALL_N = 8 };

/* Before there is any handler. */
static void defaults(void) {
  for (int i = 0; i < ALL_N; i++) {
    int pid = x_fork();
    if (!pid) {
      x_raise(ALL[i]);
      _Exit(33);
    }
    sayf("signal %d%.0d ", ALL[i], 0);
    wait_and_say("by default", pid);
  }
}

static void to_itself(void) {
  for (int i = 0; i < ALL_N; i++) x_on(ALL[i], note);
  for (int i = 0; i < ALL_N; i++) say("raise", x_raise(ALL[i]));
  counted("raised");
  for (int i = 0; i < ALL_N; i++) say("kill", x_kill(x_pid(), ALL[i]));
  counted("sent");
  x_on(1, nothing);
  x_raise(1), x_raise(2);
  counted("another handler");
  x_on(10, raises), x_on(12, raises);
  x_raise(10);
  counted("a handler that raises");
  x_on(10, note), x_on(12, note);
  say("probe", x_kill(x_pid(), 0));
  say("no signal", x_raise(99));
  x_on(1, note);
}

static void loops(void) {
  for (int round = 0; round < 3; round++) {
    said("a timer", x_timer_ms(10, 0));
    while (!count) {}
    counted("in a loop");
  }
  x_timer_ms(4, 1);
  while (count < 5) {}
  x_timer_ms(0, 0);
  x_sleep_ms(20);
  count = 0;
  x_sleep_ms(30);
  sayf("after five and the end of the timer: %d%.0d\n", count, 0);
  log_length = 0;
  x_timer_ms(30, 0);
  x_timer_ms(0, 0);
  x_sleep_ms(60);
  counted("a timer that was taken back");
  x_timer_ms(60000, 0);
  x_timer_ms(10, 0);
  while (!count) {}
  counted("a timer that was changed");
  int64_t start = x_now_ms();
  x_timer_ms(40, 0);
  while (!count) {}
  sayf("not before its time: %d%.0d\n", x_now_ms() - start >= 39, 0);
  counted("once");
}

/* Each call that waits ends with EINTR when a handler has run. The timer goes on, should it be early. */
static void call(const char *what, int (*wait)(void)) {
  count = log_length = 0;
  x_timer_ms(10, 1);
  int result = wait();
  x_timer_ms(0, 0);
  int was = count > 0 && last == 14;
  say(what, result);
  sayf("handled: %d%.0d\n", was, 0);
  x_sleep_ms(1);
  count = log_length = 0;
}
static int ends[2], listening, set, counter;
static int by_reading(void) { return x_read(ends[0], buffer, 1); }
static int by_writing(void) {
  int n;
  while ((n = x_write(ends[1], buffer, sizeof buffer)) > 0) {}
  return n;
}
static int by_sleeping(void) { return x_sleep_ms(60000); }
static int by_accepting(void) { return x_accept(listening, 0); }
static int by_set(void) { x_event e; return x_wait(set, &e, 1, -1); }
static int by_set_in_time(void) { x_event e; return x_wait(set, &e, 1, 60000000000); }
static int by_poll(void) { x_poll_entry e = {ends[0], X_IN, 0}; return x_poll(&e, 1, -1); }
static int by_counter(void) { return x_read(counter, buffer, 8); }
static int by_full_counter(void) { uint64_t all = UINT64_MAX - 1; x_write(counter, &all, 8); return x_write(counter, &all, 8); }
static int waiting_for;
static int by_child(void) { x_status s; return x_wait_for(waiting_for, 0, &s); }
static int by_any_child(void) { x_status s; return x_wait_for(-1, 0, &s); }
static int by_datagram(void) { x_addr from; return x_recv_from(counter, buffer, 1, &from); }

static void calls(void) {
  x_on(14, note);
  call("a sleep", by_sleeping);
  x_pipe(ends);
  call("reading a pipe", by_reading);
  call("polling", by_poll);
  set = x_epoll();
  x_ctl(set, X_ADD, ends[0], X_IN, 1);
  call("waiting for a set", by_set);
  call("for a minute", by_set_in_time);
  x_close(set);
  call("writing a pipe", by_writing);
  x_close(ends[0]), x_close(ends[1]);
  x_pair(X_STREAM, ends);
  call("reading a pair", by_reading);
  call("writing a pair", by_writing);
  x_close(ends[0]), x_close(ends[1]);
  counter = x_eventfd(0, 0, 0);
  call("taking of a counter", by_counter);
  call("adding to a counter", by_full_counter);
  x_close(counter);
  listening = x_socket(X_STREAM);
  x_bind(listening, x_ip(0)), x_listen(listening, 1);
  call("accepting", by_accepting);
  ends[0] = x_socket(X_STREAM);
  x_connect(ends[0], x_ip(x_port(listening)));
  ends[1] = x_accept(listening, 0);
  call("reading a connection", by_reading);
  call("writing a connection", by_writing);
  x_close(ends[0]), x_close(ends[1]), x_close(listening);
  counter = x_socket(X_DGRAM);
  x_bind(counter, x_ip(0));
  call("a datagram", by_datagram);
  x_close(counter);
  waiting_for = x_fork();
  if (!waiting_for) x_timer_ms(0, 0), x_sleep_ms(60000), _Exit(0);
  call("a child", by_child);
  call("any child", by_any_child);
  x_on(17, nothing);
  x_kill(waiting_for, 9);
  while (by_child() == -EINTR) {}
  settle(30);
  x_on(17, note);
}

/* Between processes. */
static void others(void) {
  for (int i = 0; i < ALL_N; i++) {
    for (int busy = 0; busy < 2; busy++) {
      int ready[2];
      x_on(17, nothing);
      x_pipe(ready);
      int pid = x_fork();
      if (!pid) {
        leave_with = 100;
        x_on(ALL[i], leaves);
        x_write(ready[1], "x", 1);
        while (*(volatile int *)&busy) {}
        for (;;) x_sleep_ms(60000);
      }
      wait_for_byte(ready[0]);
      say("signal a child", x_kill(pid, ALL[i]));
      x_status s = {0, 0};
      while (x_wait_for(pid, 0, &s) == -EINTR) {}
      sayf(s.kind == X_EXITED ? "its handler ends it with %d%.0d\n" : "it ended with %d%.0d\n", s.number, 0);
      x_close(ready[0]), x_close(ready[1]);
    }
  }
  settle(30);
  x_on(17, note);
  int own = x_pid();
  for (int i = 0; i < 3; i++) {
    int pid = x_fork();
    if (!pid) x_kill(own, i ? 15 : 10), _Exit(0);
    while (log_length < 2) x_sleep_ms(5);
    sayf("from a child: %d and %d\n", log_of[0] == 17 ? log_of[1] : log_of[0], log_of[0] == 17 || log_of[1] == 17);
    count = log_length = 0;
    x_status s;
    while (x_wait_for(pid, 0, &s) == -EINTR) {}
  }
  x_pipe(ends);
  int pid = x_fork();
  if (!pid) x_sleep_ms(30), _Exit(0);
  say("reading when a child ends", by_reading());
  counted("heard");
  x_status s;
  say("it", x_wait_for(pid, 0, &s) == pid);
  x_close(ends[0]), x_close(ends[1]);
  /* A child has the handlers, but not the timers, of its parent. */
  x_timer_ms(50, 0);
  pid = x_fork();
  if (!pid) {
    leave_with = 50;
    x_on(14, leaves);
    x_sleep_ms(150);
    x_on(10, leaves);
    x_raise(10);
    _Exit(1);
  }
  while (log_length < 2) x_sleep_ms(5);
  sayf("timers stay with the parent: %d %d\n", log_of[0], log_of[1]);
  while (x_wait_for(pid, 0, &s) == -EINTR) {}
  sayf("the child %d %d\n", s.kind, s.number);
  count = log_length = 0;
}

/* No signal is lost between looking and sleeping. */
static void no_losses(void) {
  settle(30);
  int pid = x_fork(), own = x_parent();
  if (!pid) {
    for (int i = 0; i < 100; i++) {
      x_kill(own, 10);
      x_sleep_ms(1);
    }
    _Exit(0);
  }
  x_status s;
  int interrupted = 0, waited;
  while ((waited = x_wait_for(pid, 0, &s)) == -EINTR) interrupted++;
  sayf("heard of them: %d, of the end: %d\n", count > 0 && interrupted > 0, waited == pid);
  int usr1 = 0;
  for (int i = 0; i < log_length; i++) usr1 += log_of[i] == 10;
  sayf("all heard are of its kind: %d%.0d\n", usr1 == log_length || log_of[log_length - 1] == 17, 0);
  count = log_length = 0;
}

int main(void) {
  x_no_broken_pipes();
  defaults();
  to_itself();
  loops();
  calls();
  others();
  no_losses();
  sayf("one handler at a time: %d%.0d\n", deepest <= 2, 0);
  x_line("done\n");
  return 0;
}
