// Paths between two processes that stand in network namespaces of their own, and the clocks to measure them with.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_TRANSPARENT
#define IP_TRANSPARENT 19
#endif

enum { MOST_PATHS = 32 };

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline double read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline double now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// What one reading of the clock costs: the median of many.
static double timer_ns(void) {
  enum { TIMES = 2001, EACH = 20 };
  static double seen[TIMES];
  for (int i = 0; i < TIMES; i++) {
    double start = now_ns();
    for (int k = 0; k < EACH - 1; k++) now_ns();
    seen[i] = (now_ns() - start) / EACH;
  }
  qsort(seen, TIMES, sizeof *seen, ascending);
  return seen[TIMES / 2];
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

// Go into the network namespace of a process; 0: stay.
static void enter(int pid) {
  char name[64];
  if (!pid) return;
  snprintf(name, sizeof name, "/proc/%d/ns/net", pid);
  int fd = open(name, O_RDONLY);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) fail(name);
  close(fd);
}

// The clock that counts the CPU time of a process.
static clockid_t clock_of(pid_t pid) {
  clockid_t clock;
  errno = clock_getcpuclockid(pid, &clock);
  if (errno) fail("clock_getcpuclockid");
  return clock;
}

// tcp:CLIENT:SERVER:LISTEN:PORT:CONNECT:PORT[:transparent]. CLIENT, SERVER: processes in whose network namespaces the
// two ends stand (0: ours). The addresses differ where something between them rewrites the destination.
struct path {
  char name[40], kind[16], listen_at[40], connect_to[40];
  int client, server, listen_port, connect_port, transparent;
  int in, out;
  pid_t peer;
  clockid_t peer_clock;
};

static void parse(struct path *p, char *text) {
  char option[16] = "";
  memset(p, 0, sizeof *p);
  char *rest = strchr(text, '=');
  if (!rest) exit(2);
  snprintf(p->name, sizeof p->name, "%.*s", (int)(rest - text), text);
  if (sscanf(rest + 1, "tcp:%d:%d:%39[^:]:%d:%39[^:]:%d:%15s", &p->client, &p->server, p->listen_at, &p->listen_port,
             p->connect_to, &p->connect_port, option) >= 6) {
    strcpy(p->kind, "tcp");
    p->transparent = !strcmp(option, "transparent");
  } else {
    snprintf(p->kind, sizeof p->kind, "%.15s", rest + 1);
  }
}

static struct sockaddr_in address(const char *host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) exit(2);
  return a;
}

static int tcp_socket(void) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) fail("socket");
  return fd;
}

static int listening(const struct path *p) {
  int one = 1, fd = tcp_socket();
  struct sockaddr_in a = address(p->listen_at, p->listen_port);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (p->transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one)) fail("IP_TRANSPARENT");
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 128)) fail("listen");
  return fd;
}

static int connected(const struct path *p) {
  int fd = tcp_socket();
  struct sockaddr_in a = address(p->connect_to, p->connect_port);
  struct timeval limit = {.tv_sec = 5};  // a path that leads nowhere must not hang the run
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
    fprintf(stderr, "%s: connect to %s:%d: %s\n", p->name, p->connect_to, p->connect_port, strerror(errno));
    exit(1);
  }
  return fd;
}

// Start the other end of a path as a process of its own on a CPU; returns when it listens.
static void start_peer(struct path *p, int cpu, void (*serve)(struct path *, int listener)) {
  int ready[2];
  char byte;
  if (pipe(ready)) fail("pipe");
  pid_t parent = getpid();
  p->peer = fork();
  if (p->peer < 0) fail("fork");
  if (!p->peer) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    pin(cpu);
    int listener = -1;
    if (!strcmp(p->kind, "tcp")) {
      enter(p->server);
      listener = listening(p);
    }
    if (write(ready[1], "", 1) != 1) _exit(1);
    close(ready[0]);
    close(ready[1]);
    serve(p, listener);
    _exit(0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) {
    fprintf(stderr, "%s: the other end did not start\n", p->name);
    exit(1);
  }
  close(ready[0]);
  p->peer_clock = clock_of(p->peer);
}

static void print_list(const char *name, const double *values, int count, const char *end) {
  printf("\"%s\": [", name);
  for (int i = 0; i < count; i++) printf("%s%.1f", i ? ", " : "", values[i]);
  printf("]%s", end);
}
