/* A file that the guest holds while the host changes names: for each byte of the input it says what it
 * sees. */
#define _GNU_SOURCE
#include "posix.h"

int main(void) {
  int fd = x_open("./held", X_READ);
  char byte, text[10];
  for (x_line("ready\n"); x_read(0, &byte, 1) == 1;) {
    char line[200];
    int n = x_pread(fd, text, 4, 0), held = x_size_of("./held", 1), moved = x_size_of("./moved", 1);
    snprintf(line, sizeof line, "has %d bytes, %s links, held %s, moved %s\n", n, x_result(x_links(fd)), x_result(held), x_result(moved));
    x_line(line);
  }
  return 0;
}
