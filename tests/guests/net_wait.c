/* Waits for a connection, or for what comes of one, in the way that is named, for as long as it
 * takes: net_wait accept|read|epoll|poll */
#include "wasix.h"

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "accept";
  int listener = x_socket(X_STREAM);
  int e = x_bind(listener, x_ip(0));
  if (!e) e = x_listen(listener, 4);
  if (e) return printf("listen %d\n", e), 1;
  printf("port %d\n", x_port(listener));
  fflush(stdout);
  char byte;
  if (!strcmp(mode, "accept")) {
    e = x_accept(listener, 0);
  } else if (!strcmp(mode, "read")) {
    e = x_read(x_accept(listener, 0), &byte, 1);
  } else if (!strcmp(mode, "epoll")) {
    x_event event;
    int ep = x_epoll();
    x_ctl(ep, X_ADD, listener, X_IN, 1);
    e = x_wait(ep, &event, 1, -1);
  } else {
    x_poll_entry entry = {listener, X_IN, 0};
    e = x_poll(&entry, 1, -1);
  }
  printf("%s %s\n", mode, e > 0 ? "done" : "failed");
  return e <= 0;
}
