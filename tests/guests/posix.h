/* Processes, signals and files, as wasix.h has sockets: the same small set of calls on WASIX and on
 * Linux, and the words in which programs say what came of a call. */
#pragma once
#include "wasix.h"

enum { X_READ = 1, X_WRITE = 2, X_CREATE = 4, X_TRUNC = 8, X_EXCL = 16, X_APPEND = 32, X_DIR = 64, X_CLOEXEC = 128, X_NOFOLLOW = 256, X_NONBLOCK = 512 };
enum { X_NOHANG = 1, X_UNTRACED = 2 };
enum { X_EXITED = 1, X_KILLED, X_STOPPED };
enum { X_STEP_CLOSE, X_STEP_DUP2, X_STEP_OPEN, X_STEP_CHDIR };

typedef struct { int kind, number; } x_status;
/* A step of a child before it becomes a program. Signals ignored there are a list that ends with 0. */
typedef struct { int step, fd, from; const char *path; int flags; } x_step;

static const struct { int number; const char *name; } X_NAMES[] = {
  {E2BIG, "E2BIG"}, {EACCES, "EACCES"}, {EADDRINUSE, "EADDRINUSE"}, {EAGAIN, "EAGAIN"}, {EBADF, "EBADF"},
  {ECHILD, "ECHILD"}, {ECONNREFUSED, "ECONNREFUSED"}, {ECONNRESET, "ECONNRESET"}, {EEXIST, "EEXIST"},
  {EFBIG, "EFBIG"}, {EINTR, "EINTR"}, {EINVAL, "EINVAL"}, {EISDIR, "EISDIR"}, {ELOOP, "ELOOP"},
  {EMFILE, "EMFILE"}, {ENAMETOOLONG, "ENAMETOOLONG"}, {ENOENT, "ENOENT"}, {ENOEXEC, "ENOEXEC"},
  {ENOTDIR, "ENOTDIR"}, {ENOTEMPTY, "ENOTEMPTY"}, {ENOTSOCK, "ENOTSOCK"}, {EPERM, "EPERM"}, {EPIPE, "EPIPE"},
  {ERANGE, "ERANGE"}, {ESPIPE, "ESPIPE"}, {ESRCH, "ESRCH"},
};
static const char *x_result(int value) {
  static char text[4][32];
  static int next;
  char *to = text[next++ & 3];
  for (unsigned i = 0; value < 0 && i < sizeof X_NAMES / sizeof *X_NAMES; i++)
    if (X_NAMES[i].number == -value) return X_NAMES[i].name;
  sprintf(to, value < 0 ? "error %d" : "%d", value);
  return to;
}
/* One line at once: several processes write to one output. */
static void x_line(const char *text) { x_write(1, text, strlen(text)); }
static void say(const char *what, int value) {
  char line[200];
  snprintf(line, sizeof line, "%s: %s\n", what, x_result(value));
  x_line(line);
}
/* The same where the number itself differs from run to run. */
static void said(const char *what, int value) { say(what, value < 0 ? value : 0); }
static int64_t x_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

#ifdef __wasm__

X(proc_fork)(uint32_t, uint32_t *);
X(proc_join)(void *, uint32_t, void *);
X(proc_id)(uint32_t *);
X(proc_parent)(uint32_t, uint32_t *);
X(proc_signal)(uint32_t, uint32_t);
X(proc_raise)(uint32_t);
X(proc_raise_interval)(uint32_t, uint64_t, uint32_t);
X(proc_exec3)(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t, uint32_t, const char *, uint32_t);
X(proc_exec4)(const char *, uint32_t, char *const *, uint32_t, char *const *, uint32_t, uint32_t, const char *, uint32_t);
X(proc_spawn2)(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t, void *, uint32_t, void *, uint32_t,
               uint32_t, const char *, uint32_t, uint32_t *);
X(proc_spawn3)(const char *, uint32_t, char *const *, uint32_t, char *const *, uint32_t, void *, uint32_t, void *, uint32_t,
               uint32_t, const char *, uint32_t, uint32_t *);
X(proc_signals_get)(uint8_t *);
X(proc_signals_sizes_get)(uint32_t *);
X(fd_dup2)(uint32_t, uint32_t, uint32_t, uint32_t *);
X(fd_fdflags_get)(uint32_t, uint16_t *);
X(fd_fdflags_set)(uint32_t, uint32_t);
X(fd_renumber)(uint32_t, uint32_t);
X(path_open2)(uint32_t, uint32_t, const char *, uint32_t, uint32_t, uint64_t, uint64_t, uint32_t, uint32_t, uint32_t *);
X(chdir)(const char *, uint32_t);
X(getcwd)(char *, uint32_t *);
X(sock_send_file)(uint32_t, uint32_t, uint64_t, uint64_t, uint64_t *);
X(thread_sleep)(uint64_t);
X(sock_set_opt_size)(uint32_t, uint32_t, uint64_t);
P1(fd_seek)(uint32_t, int64_t, uint32_t, uint64_t *);
P1(fd_pread)(uint32_t, void *, uint32_t, uint64_t, uint32_t *);
P1(fd_pwrite)(uint32_t, void *, uint32_t, uint64_t, uint32_t *);
P1(fd_filestat_get)(uint32_t, void *);
P1(fd_filestat_set_size)(uint32_t, uint64_t);
P1(path_filestat_get)(uint32_t, uint32_t, const char *, uint32_t, void *);
P1(path_create_directory)(uint32_t, const char *, uint32_t);
P1(path_remove_directory)(uint32_t, const char *, uint32_t);
P1(path_unlink_file)(uint32_t, const char *, uint32_t);
P1(path_rename)(uint32_t, const char *, uint32_t, uint32_t, const char *, uint32_t);
P1(path_link)(uint32_t, uint32_t, const char *, uint32_t, uint32_t, const char *, uint32_t);
P1(path_symlink)(const char *, uint32_t, uint32_t, const char *, uint32_t);
P1(path_readlink)(uint32_t, const char *, uint32_t, char *, uint32_t, uint32_t *);
__attribute__((import_module("wasix_32v1"), import_name("callback_signal"))) void wx_callback_signal(const char *, uint32_t);

enum { X_ROOT = 3 };
#define X_TEXT(text) (text), strlen(text)

static int x_fork(void) { return X_FD(wx_proc_fork(1, &fd), fd); }
static int x_pid(void) { return X_FD(wx_proc_id(&fd), fd); }
static int x_parent(void) { return X_FD(wx_proc_parent(x_pid(), &fd), fd); }
static int x_kill(int pid, int signal) { return -wx_proc_signal(pid, signal); }
static int x_wait_for(int pid, int flags, x_status *status) {
  struct { uint8_t tag; int32_t pid; } wanted = {pid > 0, pid};
  uint8_t ended[6];
  int e = wx_proc_join(&wanted, flags, ended);
  if (e) return -e;
  status->kind = ended[0];
  status->number = ended[0] == 2 ? ended[4] : ended[2];
  return wanted.pid;
}
static uint32_t x_count(char *const *list) {
  uint32_t n = 0;
  while (list[n]) n++;
  return n;
}
static char *x_joined(char *const *list, char *to) {
  *to = 0;
  for (; *list; list++) strcat(strcat(to, *list), list[1] ? "\n" : "");
  return to;
}
static int x_exec(const char *path, char *const *argv, char *const *env, int lines) {
  static char args[1000], envs[1000];
  if (!lines) return -wx_proc_exec4(X_TEXT(path), argv, x_count(argv), env, env ? x_count(env) : 0, 0, 0, 0);
  x_joined(argv, args);
  if (env) x_joined(env, envs);
  return -wx_proc_exec3(X_TEXT(path), X_TEXT(args), env ? envs : 0, env ? strlen(envs) : 0, 0, 0, 0);
}
/* What may be done with a file that is opened so. */
static uint64_t x_rights(int flags) {
  uint64_t all = 0x1fffffff & ~(2ull | 64 | 1 << 14);
  return all | (flags & X_READ ? 2 | 1 << 14 : 0) | (flags & X_WRITE ? 64 : 0);
}
static int x_oflags(int flags) {
  return (flags & X_CREATE ? 1 : 0) | (flags & X_DIR ? 2 : 0) | (flags & X_EXCL ? 4 : 0) | (flags & X_TRUNC ? 8 : 0);
}
static int x_open(const char *path, int flags) {
  int status = (flags & X_APPEND ? 1 : 0) | (flags & X_NONBLOCK ? 4 : 0);
  return X_FD(wx_path_open2(X_ROOT, !(flags & X_NOFOLLOW), X_TEXT(path), x_oflags(flags), x_rights(flags), x_rights(flags),
                            status, flags & X_CLOEXEC ? 1 : 0, &fd), fd);
}
typedef struct {
  uint8_t cmd; uint32_t fd, src, path, len, dirflags; uint16_t oflags; uint64_t rights, inheriting; uint16_t status, ext;
} x_raw_step;
static int x_spawn(const char *path, char *const *argv, char *const *env, const x_step *steps, int n, const int *ignored,
                   int lines) {
  static char args[1000], envs[1000];
  static x_raw_step raw[16];
  static uint8_t signals[16][2];
  int s = 0;
  for (int i = 0; i < n; i++)
    raw[i] = (x_raw_step){steps[i].step, steps[i].fd, steps[i].from, (uint32_t)steps[i].path,
                          steps[i].path ? strlen(steps[i].path) : 0, 1, x_oflags(steps[i].flags), x_rights(steps[i].flags),
                          x_rights(steps[i].flags), steps[i].flags & X_APPEND ? 1 : 0, 0};
  for (; ignored && ignored[s]; s++) signals[s][0] = ignored[s], signals[s][1] = 1;
  if (!lines)
    return X_FD(wx_proc_spawn3(X_TEXT(path), argv, x_count(argv), env, env ? x_count(env) : 0, raw, n, signals, s, 0, 0, 0, &fd),
                fd);
  x_joined(argv, args);
  if (env) x_joined(env, envs);
  return X_FD(wx_proc_spawn2(X_TEXT(path), X_TEXT(args), env ? envs : 0, env ? strlen(envs) : 0, raw, n, signals, s, 0, 0, 0, &fd),
              fd);
}
static int x_is_ignored(int signal) {
  uint8_t list[64];
  uint32_t n;
  if (wx_proc_signals_sizes_get(&n) || n > 31 || wx_proc_signals_get(list)) return -1;
  /* A list that would end behind the memory is refused. */
  if (n && wx_proc_signals_get((uint8_t *)(__builtin_wasm_memory_size(0) * 65536 - 1)) != 78) return -1;
  for (uint32_t i = 0; i < n; i++) if (list[2 * i] == signal) return list[2 * i + 1];
  return 0;
}

/* Signals: one exported function gets all, as of the C library. */
static void (*x_handlers[32])(int);
__attribute__((export_name("__wasm_signal"))) void x_signalled(int number) {
  if (x_handlers[number & 31]) x_handlers[number & 31](number);
}
static void x_on(int signal, void (*handler)(int)) {
  x_handlers[signal] = handler;
  wx_callback_signal(X_TEXT("__wasm_signal"));
}
static void x_no_broken_pipes(void) {}
static int x_raise(int signal) { return -wx_proc_raise(signal); }
static int x_timer_ms(int ms, int repeat) { return -wx_proc_raise_interval(14, ms * 1000000ull, repeat); }
static int x_sleep_ms(int ms) { return -wx_thread_sleep(ms * 1000000ull); }

/* Descriptors and files. */
static int x_dup_from(int fd_, int from, int cloexec) { return X_FD(wx_fd_dup2(fd_, from, cloexec, &fd), fd); }
static int x_dup_to(int from, int to) { int e = wx_fd_renumber(from, to); return e ? -e : to; }
static int x_cloexec(int fd) {
  uint16_t flags;
  int e = wx_fd_fdflags_get(fd, &flags);
  return e ? -e : flags;
}
static int x_set_cloexec(int fd, int on) { return -wx_fd_fdflags_set(fd, on); }
static int x_chdir(const char *path) { return -wx_chdir(X_TEXT(path)); }
static int x_cwd(char *to, uint32_t room) {
  uint32_t len = room;
  int e = wx_getcwd(to, &len);
  return e ? -e : (int)len;
}
static int x_seek(int fd, int64_t by, int whence) {
  uint64_t at;
  int e = p1_fd_seek(fd, by, whence, &at);
  return e ? -e : (int)at;
}
static int x_pread(int from, void *at, uint32_t len, uint64_t offset) {
  x_vec v = {at, len};
  return X_FD(p1_fd_pread(from, &v, 1, offset, &fd), fd);
}
static int x_pwrite(int to, const void *at, uint32_t len, uint64_t offset) {
  x_vec v = {(void *)at, len};
  return X_FD(p1_fd_pwrite(to, &v, 1, offset, &fd), fd);
}
/* The size; links of the file. */
static int x_size(int fd) {
  uint64_t stat[8];
  int e = p1_fd_filestat_get(fd, stat);
  return e ? -e : (int)stat[4];
}
static int x_links(int fd) {
  uint64_t stat[8];
  int e = p1_fd_filestat_get(fd, stat);
  return e ? -e : (int)stat[3];
}
static int x_size_of(const char *path, int follow) {
  uint64_t stat[8];
  int e = p1_path_filestat_get(X_ROOT, follow, X_TEXT(path), stat);
  return e ? -e : (int)stat[4];
}
static int x_truncate(int fd, int64_t size) { return -p1_fd_filestat_set_size(fd, size); }
static int x_mkdir(const char *path) { return -p1_path_create_directory(X_ROOT, X_TEXT(path)); }
static int x_rmdir(const char *path) { return -p1_path_remove_directory(X_ROOT, X_TEXT(path)); }
static int x_unlink(const char *path) { return -p1_path_unlink_file(X_ROOT, X_TEXT(path)); }
static int x_rename(const char *from, const char *to) { return -p1_path_rename(X_ROOT, X_TEXT(from), X_ROOT, X_TEXT(to)); }
static int x_link(const char *from, const char *to) { return -p1_path_link(X_ROOT, 0, X_TEXT(from), X_ROOT, X_TEXT(to)); }
static int x_symlink(const char *text, const char *path) { return -p1_path_symlink(X_TEXT(text), X_ROOT, X_TEXT(path)); }
static int x_readlink(const char *path, char *to, int room) {
  return X_FD(p1_path_readlink(X_ROOT, X_TEXT(path), to, room, &fd), fd);
}
/* Buffers as small as they may be. */
static int x_small(int fd) {
  int e = wx_sock_set_opt_size(fd, 16, 1);
  return e ? -e : -wx_sock_set_opt_size(fd, 15, 1);
}
static int x_send_file(int out, int in, uint64_t offset, uint64_t count) {
  uint64_t sent;
  int e = wx_sock_send_file(out, in, offset, count, &sent);
  return e ? -e : (int)sent;
}

#else

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
extern char **environ;

static int x_fork(void) { return x_(fork()); }
static int x_pid(void) { return getpid(); }
static int x_parent(void) { return getppid(); }
static int x_kill(int pid, int signal) { return x_(kill(pid, signal)); }
static int x_wait_for(int pid, int flags, x_status *status) {
  int raw = 0, got = x_(waitpid(pid > 0 ? pid : -1, &raw, (flags & X_NOHANG ? WNOHANG : 0) | (flags & X_UNTRACED ? WUNTRACED : 0)));
  if (got < 0) return got;
  *status = got == 0            ? (x_status){0, 0}
            : WIFEXITED(raw)   ? (x_status){X_EXITED, WEXITSTATUS(raw)}
            : WIFSIGNALED(raw) ? (x_status){X_KILLED, WTERMSIG(raw)}
                               : (x_status){X_STOPPED, WSTOPSIG(raw)};
  return got;
}
static int x_exec(const char *path, char *const *argv, char *const *env, int lines) {
  (void)lines;
  return x_(execve(path, argv, env ? env : environ));
}
static int x_flags(int flags) {
  return ((flags & 3) == 3 ? O_RDWR : flags & X_WRITE ? O_WRONLY : O_RDONLY) | (flags & X_CREATE ? O_CREAT : 0) |
         (flags & X_TRUNC ? O_TRUNC : 0) | (flags & X_EXCL ? O_EXCL : 0) | (flags & X_APPEND ? O_APPEND : 0) |
         (flags & X_DIR ? O_DIRECTORY : 0) | (flags & X_CLOEXEC ? O_CLOEXEC : 0) | (flags & X_NOFOLLOW ? O_NOFOLLOW : 0) |
         (flags & X_NONBLOCK ? O_NONBLOCK : 0);
}
static int x_open(const char *path, int flags) { return x_(open(path, x_flags(flags), 0666)); }
static int x_spawn(const char *path, char *const *argv, char *const *env, const x_step *steps, int n, const int *ignored,
                   int lines) {
  posix_spawn_file_actions_t actions;
  (void)lines;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < n; i++) {
    const x_step *s = &steps[i];
    if (s->step == X_STEP_CLOSE) posix_spawn_file_actions_addclose(&actions, s->fd);
    if (s->step == X_STEP_DUP2) posix_spawn_file_actions_adddup2(&actions, s->from, s->fd);
    if (s->step == X_STEP_OPEN) posix_spawn_file_actions_addopen(&actions, s->fd, s->path, x_flags(s->flags), 0666);
    if (s->step == X_STEP_CHDIR) posix_spawn_file_actions_addchdir_np(&actions, s->path);
  }
  /* Ignored signals are inherited; there is no attribute for them. */
  for (int i = 0; ignored && ignored[i]; i++) signal(ignored[i], SIG_IGN);
  pid_t pid;
  int e = posix_spawn(&pid, path, &actions, 0, argv, env ? env : environ);
  for (int i = 0; ignored && ignored[i]; i++) signal(ignored[i], SIG_DFL);
  posix_spawn_file_actions_destroy(&actions);
  return e ? -e : pid;
}
static int x_is_ignored(int number) {
  struct sigaction action;
  sigaction(number, 0, &action);
  return action.sa_handler == SIG_IGN;
}
static void x_on(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(number, &action, 0);
}
/* A broken pipe is an error of the call, as it is for guests. */
static void x_no_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }
static int x_raise(int signal) { return x_(raise(signal)); }
static int x_timer_ms(int ms, int repeat) {
  struct itimerval time = {{0, repeat ? ms * 1000 : 0}, {0, ms * 1000}};
  return x_(setitimer(ITIMER_REAL, &time, 0));
}
static int x_sleep_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  return x_(nanosleep(&time, 0));
}
static int x_dup_from(int fd, int from, int cloexec) { return x_(fcntl(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, from)); }
static int x_dup_to(int from, int to) { return x_(dup2(from, to)); }
static int x_cloexec(int fd) { return x_(fcntl(fd, F_GETFD)); }
static int x_set_cloexec(int fd, int on) { return x_(fcntl(fd, F_SETFD, on)); }
static int x_chdir(const char *path) { return x_(chdir(path)); }
/* Seen from where the program began, which is a guest's root. */
static int x_cwd(char *to, uint32_t room) {
  static char root[4096];
  static char path[4096];
  if (!*root && !getcwd(root, sizeof root)) return -errno;
  if (!getcwd(path, sizeof path)) return -errno;
  const char *rest = path[strlen(root)] ? path + strlen(root) : "/";
  if (strlen(rest) > room) return -ERANGE;
  strncpy(to, rest, room);
  return strlen(rest);
}
static int x_seek(int fd, int64_t by, int whence) { return x_(lseek(fd, by, whence)); }
static int x_pread(int fd, void *at, uint32_t len, uint64_t offset) { return x_(pread(fd, at, len, offset)); }
static int x_pwrite(int fd, const void *at, uint32_t len, uint64_t offset) { return x_(pwrite(fd, at, len, offset)); }
static int x_size(int fd) { struct stat s; return fstat(fd, &s) ? -errno : (int)s.st_size; }
static int x_links(int fd) { struct stat s; return fstat(fd, &s) ? -errno : (int)s.st_nlink; }
static int x_size_of(const char *path, int follow) {
  struct stat s;
  return (follow ? stat : lstat)(path, &s) ? -errno : (int)s.st_size;
}
static int x_truncate(int fd, int64_t size) { return x_(ftruncate(fd, size)); }
static int x_mkdir(const char *path) { return x_(mkdir(path, 0777)); }
static int x_rmdir(const char *path) { return x_(rmdir(path)); }
static int x_unlink(const char *path) { return x_(unlink(path)); }
static int x_rename(const char *from, const char *to) { return x_(rename(from, to)); }
static int x_link(const char *from, const char *to) { return x_(link(from, to)); }
static int x_symlink(const char *text, const char *path) { return x_(symlink(text, path)); }
static int x_readlink(const char *path, char *to, int room) { return x_(readlink(path, to, room)); }
static int x_small(int fd) {
  int e = x_option(fd, SOL_SOCKET, SO_SNDBUF, 1);
  return e ? e : x_option(fd, SOL_SOCKET, SO_RCVBUF, 1);
}
static int x_send_file(int out, int in, uint64_t offset, uint64_t count) {
  off_t at = offset;
  return x_(sendfile(out, in, &at, count));
}

#endif
