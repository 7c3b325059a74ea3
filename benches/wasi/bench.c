// Calls of WASI preview 1, timed by the guest itself; also a native program, for comparison.
//
// Usage: bench NAME FOLDER [COUNT]. Prints "NAME NANOSECONDS" for the whole loop, without start-up.
// Build: see build.sh. Each loop checks its results: a call that fails ends the program with status 1.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *folder;
static char path[4096];
static uint8_t buffer[1 << 20];

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void check(int good, const char *what) {
  if (!good) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
  }
}

static const char *in_folder(const char *name) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int open_or_end(const char *name, int flags) {
  int fd = open(in_folder(name), flags, 0644);
  check(fd >= 0, name);
  return fd;
}

static void write_small(long count) {
  int fd = open_or_end("small", O_CREAT | O_TRUNC | O_WRONLY);
  for (long i = 0; i < count; i++) check(write(fd, buffer, 100) == 100, "write");
}

static void pread_4k(long count) {
  int fd = open_or_end("big", O_RDONLY);
  for (long i = 0; i < count; i++) {
    off_t at = (off_t)(i * 7919 % 262144) * 4096;
    check(pread(fd, buffer, 4096, at) == 4096, "pread");
  }
}

static void read_big(long count) {
  int fd = open_or_end("big", O_RDONLY);
  ssize_t got;
  int64_t all = 0;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) all += got;
  check(all == (int64_t)count << 20, "read");
}

static void open_close(long count) {
  int dir = open_or_end("many", O_RDONLY | O_DIRECTORY);
  for (long i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "%ld", i % 100000);
    int fd = openat(dir, name, O_RDONLY);
    check(fd >= 0, "open");
    check(close(fd) == 0, "close");
  }
}

static void list(long count) {
  DIR *dir = opendir(in_folder("many"));
  check(dir != NULL, "opendir");
  long entries = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) entries += entry->d_name[0] != '.';
  check(entries == count, "readdir");
}

static void clock_time(long count) {
  int64_t last = 0;
  for (long i = 0; i < count; i++) {
    int64_t time = now();
    check(time >= last, "clock");
    last = time;
  }
}

static void random_bytes(long count) {
  for (long i = 0; i < count; i++) check(getentropy(buffer, 16) == 0, "random");
}

static void random_big(long count) {
  for (long i = 0; i < count; i++) check(getentropy(buffer + i % 4096 * 256, 256) == 0, "random");
}

static const struct {
  const char *name;
  void (*run)(long count);
  long count;
} benches[] = {
    {"write_100", write_small, 1000000}, {"pread_4k", pread_4k, 1000000},
    {"read_1g", read_big, 1024},         {"open_close", open_close, 200000},
    {"readdir", list, 100000},           {"clock", clock_time, 10000000},
    {"random_16", random_bytes, 1000000}, {"random_256", random_big, 1000000},
};

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  folder = argv[2];
  for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
    if (strcmp(benches[i].name, argv[1]) != 0) continue;
    int64_t start = now();
    long count = argc > 3 ? atol(argv[3]) : benches[i].count;
    benches[i].run(count);
    printf("%s %lld\n", argv[1], (long long)(now() - start));
    return 0;
  }
  return 2;
}
