// A worker that gets requests at given times and spends a fixed CPU time on each; late ones queue.
// usage: worker CPU WORK_NS < TIMES       TIMES: ns from the start, ascending, one a line
// prints {"latency_ns": [from the intended time to the end, one a request]}
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 100000 };

static double read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  static double due[MOST], latency[MOST];
  int count = 0;
  cpu_set_t set;
  if (argc != 3) return 2;
  CPU_ZERO(&set);
  CPU_SET(atoi(argv[1]), &set);
  if (sched_setaffinity(0, sizeof set, &set)) return 1;
  double work = atof(argv[2]);
  while (count < MOST && scanf("%lf", &due[count]) == 1) count++;
  double start = read_clock(CLOCK_MONOTONIC) + 20e6;
  for (int i = 0; i < count; i++) {
    double at = start + due[i];
    struct timespec until = {.tv_sec = (time_t)(at / 1e9)};
    until.tv_nsec = (long)(at - until.tv_sec * 1e9);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    for (double begun = read_clock(CLOCK_THREAD_CPUTIME_ID); read_clock(CLOCK_THREAD_CPUTIME_ID) - begun < work;) {
    }
    latency[i] = read_clock(CLOCK_MONOTONIC) - at;
  }
  printf("{\"latency_ns\": [");
  for (int i = 0; i < count; i++) printf("%s%.0f", i ? ", " : "", latency[i]);
  printf("]}\n");
}
