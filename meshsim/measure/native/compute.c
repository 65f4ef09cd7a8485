// The native side of the comparison: the work of wasm/modules/work.h, batch by batch.
// usage: compute KIND LENGTH TIMES BATCHES        prints {"ns_per_byte": […], "value": N}
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../wasm/modules/work.h"

enum { ROOM = 1 << 16 };
static unsigned char bytes[ROOM];

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

__attribute__((noinline)) static unsigned work(int kind, unsigned length, unsigned times) {
  unsigned value = kind == 'h' ? 2166136261u : kind == 's' ? 1 : 0;
  while (times--)
    value = kind == 'h' ? fnv(bytes, length, value) : kind == 's' ? sum(bytes, length, value)
                                                                   : parse(bytes, length, value);
  return value;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  unsigned length = atoi(argv[2]), times = atoi(argv[3]), batches = atoi(argv[4]), value = 0, state = 1;
  if (length > ROOM) return 2;
  for (unsigned i = 0; i < ROOM; i++) {
    state = state * 1103515245u + 12345u;
    bytes[i] = " abcdefg01234567"[state >> 28];
  }
  printf("{\"ns_per_byte\": [");
  for (unsigned batch = 0; batch < batches; batch++) {
    double start = now_ns();
    value = work(argv[1][0], length, times);
    printf("%s%.4f", batch ? ", " : "", (now_ns() - start) / ((double)length * times));
  }
  printf("], \"value\": %u}\n", value);
}
