/* A server of files with a pool of threads and a database of SQLite. Rebuilt by sqlite_server.sh.
 *
 *   sqlite_server sql DATABASE     runs the statements of its input, and prints their rows
 *   sqlite_server serve DATABASE   answers GET /NAME with the file ./public/NAME, and counts that in the
 *                                  database before it answers; GET /end ends it */
#define _GNU_SOURCE
#define X_STACK 262144
#include "threaded.h"
#include "sqlite3.h"

/* Locks for SQLite: recursive ones know whose they are. */
struct sqlite3_mutex { x_word word; volatile uint32_t owner; uint32_t depth; int kind; };
enum { STATIC_LOCKS = 16, LOCKS = 64 };
static struct sqlite3_mutex static_locks[STATIC_LOCKS], locks[LOCKS];
static int locks_begin(void) { return SQLITE_OK; }
static sqlite3_mutex *lock_make(int kind) {
  if (kind > SQLITE_MUTEX_RECURSIVE) return &static_locks[kind % STATIC_LOCKS];
  for (int i = 0; i < LOCKS; i++)
    if (!locks[i].kind) {
      locks[i].kind = kind + 1;
      return &locks[i];
    }
  return 0;
}
/* Only the main thread makes and frees connections. */
static void lock_free(sqlite3_mutex *lock) { lock->kind = 0; }
static int lock_is_held(sqlite3_mutex *lock) { return lock->owner == (uint32_t)x_thread_id(); }
static void lock_enter(sqlite3_mutex *lock) {
  uint32_t own = x_thread_id();
  if (lock->owner != own) x_lock(&lock->word);
  lock->owner = own;
  lock->depth++;
}
static int lock_try(sqlite3_mutex *lock) {
  uint32_t own = x_thread_id(), was = 0;
  if (lock->owner != own &&
      !__atomic_compare_exchange_n((uint32_t *)&lock->word, &was, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    return SQLITE_BUSY;
  lock->owner = own;
  lock->depth++;
  return SQLITE_OK;
}
static void lock_leave(sqlite3_mutex *lock) {
  if (--lock->depth) return;
  lock->owner = 0;
  x_unlock(&lock->word);
}
static int lock_is_not_held(sqlite3_mutex *lock) { return !lock_is_held(lock); }
static const sqlite3_mutex_methods METHODS = {
  locks_begin, locks_begin, lock_make, lock_free, lock_enter, lock_try, lock_leave, lock_is_held, lock_is_not_held,
};

static sqlite3 *database;
static void must(int result, const char *what) {
  if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE) return;
  char line[300];
  snprintf(line, sizeof line, "%s: %d %s\n", what, result, database ? sqlite3_errmsg(database) : "");
  x_line(line);
  _Exit(1);
}
static void open_database(const char *path) {
  must(sqlite3_config(SQLITE_CONFIG_MUTEX, &METHODS), "locks");
  must(sqlite3_initialize(), "initialize");
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  /* This library has no locks of files. */
  must(sqlite3_open_v2(path, &database, flags, "unix-none"), "open");
  must(sqlite3_exec(database, "PRAGMA synchronous=FULL", 0, 0, 0), "pragma");
}

static int row(void *unused, int columns, char **values, char **names) {
  (void)unused, (void)names;
  for (int i = 0; i < columns; i++) x_line(i ? "|" : ""), x_line(values[i] ? values[i] : "NULL");
  x_line("\n");
  return 0;
}
static int sql(void) {
  static char text[1 << 20];
  size_t length = fread(text, 1, sizeof text - 1, stdin);
  text[length] = 0;
  char *error = 0;
  if (sqlite3_exec(database, text, row, 0, &error)) x_line("error: "), x_line(error), x_line("\n");
  return sqlite3_close(database);
}

enum { WORKERS = 8, QUEUE = 64 };
static volatile int queue[QUEUE], first, queued;
static x_word mutex, not_empty, not_full, counting;
static sqlite3_stmt *count_one;
/* How often the path was asked for by now, which is on the disk when this returns. */
static int count(const char *path) {
  x_lock(&counting);
  must(sqlite3_bind_text(count_one, 1, path, -1, SQLITE_TRANSIENT), "bind");
  int n = sqlite3_step(count_one) == SQLITE_ROW ? sqlite3_column_int(count_one, 0) : -1;
  must(sqlite3_reset(count_one), "count");
  x_unlock(&counting);
  return n;
}
static int send_all(int fd, const char *bytes, int n) {
  while (n > 0) {
    int wrote = x_write(fd, bytes, n);
    if (wrote < 0) return wrote;
    bytes += wrote, n -= wrote;
  }
  return 0;
}
static int answer(int fd, const char *path) {
  char head[300], name[120];
  if (!strcmp(path, "/end")) _Exit(0);
  snprintf(name, sizeof name, "./public%s", path);
  int file = strstr(path, "..") ? -EACCES : x_open(name, X_READ), n = count(path);
  int size = file < 0 ? 0 : x_size(file);
  snprintf(head, sizeof head, "HTTP/1.1 %s\r\nX-Count: %d\r\nContent-Length: %d\r\n\r\n", file < 0 ? "404 Not Found" : "200 OK", n, size);
  int result = send_all(fd, head, strlen(head));
  for (int at = 0; !result && at < size;) {
    int sent = x_send_file(fd, file, at, size - at);
    if (sent <= 0) result = -1;
    at += sent;
  }
  if (file >= 0) x_close(file);
  return result;
}
/* All requests of a connection. */
static void serve(int fd) {
  char text[2048], path[100];
  int have = 0;
  for (;;) {
    text[have] = 0;
    char *end = strstr(text, "\r\n\r\n");
    if (!end) {
      int n = have < (int)sizeof text - 1 ? x_read(fd, text + have, sizeof text - 1 - have) : 0;
      if (n <= 0) break;
      have += n;
      continue;
    }
    if (sscanf(text, "GET %99s ", path) != 1 || answer(fd, path)) break;
    have -= end + 4 - text;
    memmove(text, end + 4, have);
  }
  x_close(fd);
}
static void works(int unused) {
  (void)unused;
  for (;;) {
    x_lock(&mutex);
    while (!queued) x_wait_on(&not_empty, &mutex);
    int fd = queue[first];
    first = (first + 1) % QUEUE, queued--;
    x_signal(&not_full, 0);
    x_unlock(&mutex);
    serve(fd);
  }
}
static int server(void) {
  must(sqlite3_exec(database, "CREATE TABLE IF NOT EXISTS hits (path TEXT PRIMARY KEY, n INTEGER NOT NULL)", 0, 0, 0), "create");
  const char *text = "INSERT INTO hits VALUES (?1, 1) ON CONFLICT (path) DO UPDATE SET n = n + 1 RETURNING n";
  must(sqlite3_prepare_v2(database, text, -1, &count_one, 0), "prepare");
  int at = x_socket(X_STREAM);
  if (x_bind(at, x_ip(0)) || x_listen(at, 128)) return 1;
  for (int i = 0; i < WORKERS; i++) if (x_thread(works, i) < 0) return 1;
  char line[40];
  snprintf(line, sizeof line, "port %d\n", x_port(at));
  x_line(line);
  for (;;) {
    int fd = x_accept(at, 0);
    if (fd < 0) continue;
    x_no_delay(fd);
    x_lock(&mutex);
    while (queued == QUEUE) x_wait_on(&not_full, &mutex);
    queue[(first + queued++) % QUEUE] = fd;
    x_signal(&not_empty, 0);
    x_unlock(&mutex);
  }
}

int main(int argc, char **argv) {
  x_no_broken_pipes();
  if (argc != 3) return 2;
  open_database(argv[2]);
  return strcmp(argv[1], "serve") ? sql() : server();
}
