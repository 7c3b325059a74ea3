/* What files, directories and their descriptors do, step by step: the text must be the same as of the
 * native program. There are `text` ("no program\n") and `dir/inner` ("inner"). */
#define _GNU_SOURCE
#include "posix.h"

static char buffer[300000];

static void sayf(const char *form, int a, int b) {
  char line[200];
  snprintf(line, sizeof line, form, a, b);
  x_line(line);
}
static void content(const char *what, int n) {
  char line[400];
  if (n < 0) snprintf(line, sizeof line, "%s: %s\n", what, x_result(n));
  else snprintf(line, sizeof line, "%s: %d `%.*s`\n", what, n, n > 100 ? 100 : n, buffer);
  x_line(line);
}
static void reads(const char *what, int fd, int n) { content(what, x_read(fd, buffer, n)); }
static void cwd(const char *what) { content(what, x_cwd(buffer, sizeof buffer)); }

static void numbers(void) {
  int a = x_open("./text", X_READ), b = x_open("./text", X_READ);
  sayf("numbers go up by %d%.0d\n", b - a, 0);
  x_close(a);
  int c = x_dup(b);
  sayf("the lowest is free again: %d%.0d\n", c == a, 0);
  reads("one", b, 3);
  reads("the other goes on", c, 3);
  sayf("both are at %d, %d\n", x_seek(b, 0, SEEK_CUR), x_seek(c, 0, SEEK_CUR));
  say("over another", x_dup_to(b, 40) == 40);
  say("over itself", x_dup_to(40, 40) == 40);
  say("of none", x_dup_to(77, 41));
  say("over itself, of none", x_dup_to(77, 77));
  say("to no number", x_dup_to(b, -1));
  say("dup of none", x_dup(77));
  say("from a number on", x_dup_from(b, 60, 0));
  say("the next", x_dup_from(b, 60, 1));
  say("of none", x_dup_from(77, 60, 0));
  say("from no number", x_dup_from(b, -1, 0));
  sayf("kept and closed: %d %d\n", x_cloexec(60), x_cloexec(61));
  say("set", x_set_cloexec(60, 1));
  say("is set", x_cloexec(60));
  say("a new number has none", x_dup_to(60, 40) == 40 && x_cloexec(40) == 0);
  say("take back", x_set_cloexec(60, 0));
  say("is back", x_cloexec(60));
  say("of none", x_cloexec(77));
  say("set of none", x_set_cloexec(77, 1));
  int d = x_open("./text", X_READ | X_CLOEXEC);
  say("opened so", x_cloexec(d));
  x_close(d);
  say("close", x_close(61));
  say("again", x_close(61));
  say("no number", x_close(-1));
  /* One of several numbers of a pipe. */
  int ends[2];
  x_pipe(ends);
  int other = x_dup(ends[1]);
  x_close(ends[1]);
  say("another writes", x_write(other, "abc", 3));
  reads("one reads", ends[0], 10);
  x_close(other);
  reads("the end", ends[0], 10);
  x_dup_to(b, ends[0]);
  say("a file in place of the pipe", x_seek(ends[0], 0, SEEK_SET));
  x_close(ends[0]), x_close(b), x_close(c), x_close(40), x_close(60);
}

static void positions(void) {
  int fd = x_open("./new", X_READ | X_WRITE | X_CREATE | X_EXCL);
  say("write", x_write(fd, "0123456789", 10));
  say("back", x_seek(fd, -4, SEEK_CUR));
  reads("read", fd, 2);
  say("from the end", x_seek(fd, -1, SEEK_END));
  say("before the start", x_seek(fd, -20, SEEK_CUR));
  say("no direction", x_seek(fd, 0, 9));
  say("beyond the end", x_seek(fd, 20, SEEK_SET));
  reads("nothing there", fd, 5);
  content("read at a place", x_pread(fd, buffer, 3, 4));
  say("write at a place", x_pwrite(fd, "xy", 2, 4));
  say("where it is", x_seek(fd, 0, SEEK_CUR));
  say("write beyond the end", x_write(fd, "z", 1));
  say("size", x_size(fd));
  content("zeros between", x_pread(fd, buffer, 1, 15));
  say("shorter", x_truncate(fd, 6));
  say("longer", x_truncate(fd, 8));
  say("size", x_size(fd));
  content("all", x_pread(fd, buffer, 6, 0));
  int at_end = x_open("./new", X_WRITE | X_APPEND);
  say("at its end", x_write(at_end, "++", 2));
  say("wherever it is", x_seek(at_end, 0, SEEK_SET));
  say("again", x_write(at_end, "--", 2));
  say("size", x_size(fd));
  int only = x_open("./new", X_READ);
  say("write what is for reading", x_write(only, "x", 1));
  say("or cut it", x_truncate(only, 0));
  reads("read what is for writing", at_end, 1);
  x_close(only), x_close(at_end);
  say("empty it", x_close(x_open("./new", X_WRITE | X_TRUNC)));
  say("size", x_size(fd));
  reads("nothing", fd, 0);
  say("write nothing", x_write(fd, "", 0));
  reads("read of none", 77, 1);
  say("write to none", x_write(77, "x", 1));
  int ends[2];
  x_pipe(ends);
  say("a pipe has no place", x_seek(ends[0], 0, SEEK_CUR));
  content("nor can be read at one", x_pread(ends[0], buffer, 1, 0));
  say("nor written", x_pwrite(ends[1], "x", 1, 0));
  say("nor cut", x_truncate(ends[1], 0));
  reads("read the end that writes", ends[1], 1);
  say("write the end that reads", x_write(ends[0], "x", 1));
  x_close(ends[0]), x_close(ends[1]), x_close(fd);
  say("remove", x_unlink("./new"));
}

static void names(void) {
  say("open what is not there", x_open("./missing", X_READ));
  say("in what is not there", x_open("./missing/file", X_WRITE | X_CREATE));
  say("in a file", x_open("./text/file", X_READ));
  say("no name", x_open("", X_READ));
  say("what is there already", x_open("./text", X_WRITE | X_CREATE | X_EXCL));
  say("a directory for writing", x_open("./dir", X_WRITE));
  say("a file as a directory", x_open("./text", X_READ | X_DIR));
  said("a directory", x_open("./dir", X_READ | X_DIR));
  say("a file with a slash", x_open("./text/", X_READ));
  memset(buffer, 'n', 300), memcpy(buffer, "./", 2), buffer[300] = 0;
  say("a long name", x_open(buffer, X_WRITE | X_CREATE));
  say("make a directory", x_mkdir("./made"));
  say("again", x_mkdir("./made"));
  say("where there is a file", x_mkdir("./text"));
  say("in what is not there", x_mkdir("./missing/made"));
  say("with a slash", x_mkdir("./made/inner/"));
  say("remove what is not empty", x_rmdir("./made"));
  say("remove a file", x_rmdir("./text"));
  say("remove what is not there", x_rmdir("./missing"));
  say("unlink a directory", x_unlink("./made/inner") == -EISDIR || x_unlink("./made/inner") == -EPERM);
  say("rename", x_rename("./made/inner", "./made/other"));
  say("the old is gone", x_size_of("./made/inner", 1));
  say("rename to itself", x_rename("./made/other", "./made/other"));
  say("into itself", x_rename("./made", "./made/other/made"));
  say("over a directory that is not empty", x_rename("./dir", "./made"));
  say("a file over a directory", x_rename("./text", "./made/other"));
  say("a directory over a file", x_rename("./made", "./text"));
  say("what is not there", x_rename("./missing", "./made/missing"));
  say("remove", x_rmdir("./made/other"));
  say("and above", x_rmdir("./made"));
  x_close(x_open("./one", X_WRITE | X_CREATE));
  int two = x_open("./two", X_READ | X_WRITE | X_CREATE);
  x_write(two, "two", 3);
  say("rename over another", x_rename("./two", "./one"));
  say("it is the other now", x_size_of("./one", 1));
  say("which stays open", x_size(two));
  say("link", x_link("./one", "./three"));
  say("links", x_links(two));
  say("link again", x_link("./one", "./three"));
  say("link what is not there", x_link("./missing", "./four"));
  say("unlink", x_unlink("./one"));
  say("unlink the other", x_unlink("./three"));
  say("links", x_links(two));
  content("it can still be read", x_pread(two, buffer, 3, 0));
  say("unlink what is not there", x_unlink("./three"));
  x_close(two);
}

static void links(void) {
  say("a link", x_symlink("text", "./link"));
  say("again", x_symlink("text", "./link"));
  content("it says", x_readlink("./link", buffer, 100));
  content("cut short", x_readlink("./link", buffer, 2));
  content("what is none", x_readlink("./text", buffer, 100));
  sayf("what it leads to %d, itself %d\n", x_size_of("./link", 1), x_size_of("./link", 0));
  int fd = x_open("./link", X_READ);
  reads("through it", fd, 4);
  x_close(fd);
  say("not through it", x_open("./link", X_READ | X_NOFOLLOW));
  say("to a directory", x_symlink("dir", "./way"));
  say("through that", x_size_of("./way/inner", 1));
  say("up through that", x_size_of("./way/../text", 1));
  x_symlink("circle", "./circle");
  say("in a circle", x_size_of("./circle", 1));
  x_symlink("nowhere", "./hanging");
  say("to nothing", x_open("./hanging", X_READ));
  say("create there", x_open("./hanging", X_WRITE | X_CREATE | X_EXCL));
  int made = x_open("./hanging", X_WRITE | X_CREATE);
  said("without asking", made);
  x_close(made);
  say("is made", x_size_of("./nowhere", 0));
  say("unlink takes the link", x_unlink("./hanging"));
  say("only", x_size_of("./nowhere", 0));
  x_unlink("./nowhere"), x_unlink("./link"), x_unlink("./way"), x_unlink("./circle");
}

static void places(void) {
  cwd("at first");
  say("go", x_chdir("./dir"));
  cwd("there");
  say("what lies there", x_size_of("./inner", 1));
  say("what does not", x_size_of("./text", 1));
  say("above", x_size_of("./../text", 1));
  x_close(x_open("./made", X_WRITE | X_CREATE));
  say("up", x_chdir(".."));
  say("what was made there", x_size_of("./dir/made", 1));
  x_unlink("./dir/made");
  say("a file", x_chdir("./text"));
  say("missing", x_chdir("./missing"));
  say("no name", x_chdir(""));
  cwd("still");
  x_symlink("dir", "./way");
  say("through a link", x_chdir("./way"));
  cwd("where it leads");
  say("no room", x_cwd(buffer, 2));
  x_chdir("..");
  x_unlink("./way");
  say("a directory", x_mkdir("./gone"));
  x_chdir("./gone");
  say("its removal", x_rmdir("./../gone"));
  say("nothing can be made there", x_open("./file", X_WRITE | X_CREATE));
  say("the way back", x_chdir(".."));
  cwd("at the end");
}

static void sending(void) {
  int file = x_open("./sent", X_READ | X_WRITE | X_CREATE), ends[2];
  memset(buffer, 'q', sizeof buffer);
  x_write(file, buffer, 50000);
  x_seek(file, 7, SEEK_SET);
  x_pair(X_STREAM, ends);
  say("send of a file", x_send_file(ends[0], file, 49990, 100));
  reads("which is", ends[1], 100);
  say("the place stays", x_seek(file, 0, SEEK_CUR));
  say("nothing", x_send_file(ends[0], file, 0, 0));
  say("beyond its end", x_send_file(ends[0], file, 60000, 10));
  say("to none", x_send_file(77, file, 0, 1));
  say("of none", x_send_file(ends[0], 77, 0, 1));
  int total = 0, n;
  x_nonblock(ends[0]);
  while ((n = x_send_file(ends[0], file, 0, 50000)) > 0) total += n;
  say("until it is full", n);
  sayf("that was much: %d%.0d\n", total > 50000, 0);
  x_close(ends[1]);
  say("nobody reads", x_send_file(ends[0], file, 0, 10));
  x_close(ends[0]), x_close(file), x_unlink("./sent");
}

/* Others come and go while a set watches one number. */
static void sets(void) {
  int set = x_epoll(), ends[2];
  x_pipe(ends);
  x_event e;
  say("watch", x_ctl(set, X_ADD, ends[0], X_IN, 1));
  int other = x_dup_from(ends[0], 30, 0);
  say("another number", x_ctl(set, X_ADD, other, X_IN, 2));
  x_write(ends[1], "x", 1);
  x_event both[4];
  say("both", x_wait(set, both, 4, 0));
  x_close(ends[0]);
  say("closed, but for the other number", x_wait(set, both, 4, 0));
  x_close(other);
  say("none is left", x_wait(set, both, 4, 0));
  x_close(ends[1]);
  int file = x_open("./text", X_READ);
  say("a file", x_ctl(set, X_ADD, file, X_IN, 3));
  x_close(file);
  int copy = x_dup(set);
  int counter = x_eventfd(1, 0, 0);
  say("by another number of the set", x_ctl(copy, X_ADD, counter, X_IN, 4));
  say("the first hears", x_wait(set, &e, 1, 0));
  sayf("of %d%.0d\n", (int)e.data, 0);
  x_close(set);
  say("the other still does", x_wait(copy, &e, 1, 0));
  /* A number that is another thing now. */
  x_pipe(ends);
  say("in its place", x_dup_to(ends[0], counter) == counter);
  say("what was there is forgotten", x_wait(copy, &e, 1, 0));
  say("the new one is another", x_ctl(copy, X_ADD, counter, X_IN, 5));
  x_write(ends[1], "x", 1);
  say("and is heard of", x_wait(copy, &e, 1, 0));
  sayf("as %d%.0d\n", (int)e.data, 0);
  x_poll_entry list[2] = {{counter, X_IN, 0}, {77, X_IN, 0}};
  say("a poll of it and of none", x_poll(list, 2, 0));
  sayf("%d %d\n", list[0].has, list[1].has);
  x_close(copy), x_close(counter), x_close(ends[0]), x_close(ends[1]);
}

int main(void) {
  x_no_broken_pipes();
  x_cwd(buffer, sizeof buffer);
  numbers();
  positions();
  names();
  links();
  places();
  sending();
  sets();
  x_line("done\n");
  return 0;
}
