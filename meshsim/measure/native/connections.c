// New TCP connections over several paths in turn: connect, be accepted, be closed by the other end, close.
// usage: connections CPU PEER_CPU SECONDS MOST NAME=tcp:...        at most MOST connections a path
// prints {"NAME": {"connection_ns": [...], "connect_ns": [...], "connect_cpu_ns": [...], "own_cpu_ns": [...],
//                  "peer_cpu_ns": [...]}, ...}
// connection: all of it; connect: the connect() call, elapsed and on the CPU; own, peer: CPU of the two processes per
// connection, one mean a block. The clock's own cost is taken off.
#include "path.h"

enum { BLOCK = 20, WARM = 2, MOST_BLOCKS = 500 };

struct readings {
  double all[BLOCK * MOST_BLOCKS], connect[BLOCK * MOST_BLOCKS], connect_cpu[BLOCK * MOST_BLOCKS];
  double own[MOST_BLOCKS], peer[MOST_BLOCKS];
  int blocks;
};

static struct path paths[MOST_PATHS];

static void serve(struct path *p, int listener) {
  (void)p;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    close(fd);
  }
}

static double cpu_now(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

static void one(struct path *p, double *connect_ns, double *connect_cpu_ns) {
  char byte;
  double cpu = cpu_now(), start = now_ns();
  int fd = connected(p);
  *connect_ns = now_ns() - start;
  *connect_cpu_ns = cpu_now() - cpu;
  if (read(fd, &byte, 1) != 0) fail("read");
  close(fd);
}

int main(int argc, char **argv) {
  int count = argc - 5;
  if (count < 1 || count > MOST_PATHS) return 2;
  double seconds = atof(argv[3]);
  int most = atoi(argv[4]) / (BLOCK + WARM);
  if (most > MOST_BLOCKS) most = MOST_BLOCKS;
  struct readings *readings = calloc(count, sizeof *readings);
  int homes[MOST_PATHS], home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (!readings || home < 0) fail("memory");
  pin(atoi(argv[1]));
  for (int i = 0; i < count; i++) {
    char name[64];
    parse(&paths[i], argv[5 + i]);
    if (strcmp(paths[i].kind, "tcp")) return 2;
    start_peer(&paths[i], atoi(argv[2]), serve);
    snprintf(name, sizeof name, "/proc/%d/ns/net", paths[i].client);
    homes[i] = paths[i].client ? open(name, O_RDONLY | O_CLOEXEC) : home;
    if (homes[i] < 0) fail(name);
  }
  double timer = timer_ns(), timer_cpu, end = now_ns() + seconds * 1e9;
  timer_cpu = cpu_now();
  for (int i = 0; i < 1000; i++) cpu_now();
  timer_cpu = (cpu_now() - timer_cpu) / 1001;
  do {
    for (int i = 0; i < count; i++) {
      struct path *p = &paths[i];
      struct readings *r = &readings[i];
      double elapsed, cpu;
      if (setns(homes[i], CLONE_NEWNET)) fail("setns");
      for (int k = 0; k < WARM; k++) one(p, &elapsed, &cpu);
      double own = read_clock(CLOCK_PROCESS_CPUTIME_ID), peer = read_clock(p->peer_clock);
      for (int k = 0; k < BLOCK; k++) {
        int at = r->blocks * BLOCK + k;
        double start = now_ns();
        one(p, &elapsed, &cpu);
        r->all[at] = now_ns() - start - 3 * timer - 2 * timer_cpu;
        r->connect[at] = elapsed - timer;
        r->connect_cpu[at] = cpu - 2 * timer - timer_cpu;
      }
      r->own[r->blocks] = (read_clock(CLOCK_PROCESS_CPUTIME_ID) - own) / BLOCK - 4 * timer - 2 * timer_cpu;
      r->peer[r->blocks] = (read_clock(p->peer_clock) - peer) / BLOCK;
      r->blocks++;
    }
  } while (now_ns() < end && readings[0].blocks < most);
  printf("{");
  for (int i = 0; i < count; i++) {
    struct readings *r = &readings[i];
    int all = r->blocks * BLOCK, step = all / 2000 + 1, kept = 0;
    for (int k = 0; k < all; k += step, kept++) {
      r->all[kept] = r->all[k];
      r->connect[kept] = r->connect[k];
      r->connect_cpu[kept] = r->connect_cpu[k];
    }
    printf("%s\"%s\": {", i ? ", " : "", paths[i].name);
    print_list("connection_ns", r->all, kept, ", ");
    print_list("connect_ns", r->connect, kept, ", ");
    print_list("connect_cpu_ns", r->connect_cpu, kept, ", ");
    print_list("own_cpu_ns", r->own, r->blocks, ", ");
    print_list("peer_cpu_ns", r->peer, r->blocks, "}");
  }
  printf("}\n");
  for (int i = 0; i < count; i++) kill(paths[i].peer, SIGKILL);
}
