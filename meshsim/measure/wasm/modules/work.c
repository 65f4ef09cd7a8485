// The module that runtimes are measured with: an empty call, calls back into the host, work over bytes.
#include "work.h"

#define EXPORT __attribute__((visibility("default")))
enum { ROOM = 1 << 16 };

__attribute__((import_module("env"), import_name("host"))) unsigned host(unsigned);

static unsigned char bytes[ROOM];

EXPORT unsigned empty(unsigned value) { return value; }

EXPORT unsigned call_host(unsigned times) {
  unsigned value = 0;
  while (times--) value = host(value);
  return value;
}

EXPORT void fill(void) {
  unsigned state = 1;
  for (unsigned i = 0; i < ROOM; i++) {
    state = state * 1103515245u + 12345u;
    bytes[i] = " abcdefg01234567"[state >> 28];
  }
}

EXPORT unsigned hash_work(unsigned length, unsigned times) {
  unsigned value = 2166136261u;
  while (times--) value = fnv(bytes, length, value);
  return value;
}

EXPORT unsigned sum_work(unsigned length, unsigned times) {
  unsigned value = 1;
  while (times--) value = sum(bytes, length, value);
  return value;
}

EXPORT unsigned parse_work(unsigned length, unsigned times) {
  unsigned value = 0;
  while (times--) value = parse(bytes, length, value);
  return value;
}
