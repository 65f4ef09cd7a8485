// A system call that an eBPF program of a cgroup may hang on, over and over, in batches.
// usage: hooks connect ADDRESS PORT COUNT     connect() on a UDP socket: chooses the route, sends nothing
//        hooks original COUNT                 getsockopt(SO_ORIGINAL_DST) on a TCP connection to ourselves
// prints {"call_ns": [one mean a batch, ...]}
#include "path.h"

enum { BATCHES = 20, SO_ORIGINAL_DST_ = 80 };

int main(int argc, char **argv) {
  int connecting = argc == 5 && !strcmp(argv[1], "connect");
  if (!connecting && !(argc == 3 && !strcmp(argv[1], "original"))) return 2;
  int each = atoi(argv[argc - 1]) / BATCHES;
  struct sockaddr_in to = connecting ? address(argv[2], atoi(argv[3])) : address("127.0.0.1", 0), answer;
  int fd;
  if (connecting) {
    fd = socket(AF_INET, SOCK_DGRAM, 0);
  } else {
    socklen_t size = sizeof to;
    int listener = tcp_socket();
    fd = tcp_socket();
    if (bind(listener, (struct sockaddr *)&to, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&to, &size) || connect(fd, (struct sockaddr *)&to, size))
      fail("connection to ourselves");
  }
  printf("{\"call_ns\": [");
  for (int batch = 0; batch < BATCHES; batch++) {
    double start = now_ns();
    for (int i = 0; i < each; i++) {
      if (connecting) {
        if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
      } else {
        socklen_t size = sizeof answer;
        getsockopt(fd, SOL_IP, SO_ORIGINAL_DST_, &answer, &size);  // refused where nothing tracks connections
      }
    }
    printf("%s%.2f", batch ? ", " : "", (now_ns() - start) / each);
  }
  printf("]}\n");
}
