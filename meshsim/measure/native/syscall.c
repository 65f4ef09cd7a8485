// What it costs to enter the kernel: batches of one call, timed together, the empty loop taken off.
// usage: syscall getppid|read LOOPS        prints {"call_ns": [one mean a batch, …]}
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 50 };

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int reading = !strcmp(argv[1], "read");
  long loops = atol(argv[2]) / BATCHES;
  int zero = open("/dev/zero", O_RDONLY);
  char byte;
  printf("{\"call_ns\": [");
  for (int batch = 0; batch < BATCHES; batch++) {
    double start = now_ns();
    for (volatile long i = 0; i < loops; i++) {
    }
    double empty = now_ns() - start;
    start = now_ns();
    for (volatile long i = 0; i < loops; i++) {
      if (reading) {
        if (read(zero, &byte, 1) != 1) return 1;
      } else {
        syscall(SYS_getppid);
      }
    }
    printf("%s%.2f", batch ? ", " : "", (now_ns() - start - empty) / loops);
  }
  printf("]}\n");
}
