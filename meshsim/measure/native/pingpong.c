// A message goes to another process and comes back, over several paths in turn, so that they can be compared.
// usage: pingpong CPU PEER_CPU BYTES SECONDS PAUSE_US NAME=PATH...   (a pause before each message)
//   PATH: self (a pipe to oneself: no switch), pipe, futex, unix, or tcp:... (path.h)
// prints {"NAME": {"round_trip_ns": [...], "send_ns": [...], "own_cpu_ns": [...], "peer_cpu_ns": [...]}, ...}
// The CPU times are per round trip, one mean a block. The clock's own cost is taken off.
#include "path.h"

enum { BLOCK = 100, WARM = 10, MOST_BLOCKS = 400, MOST_BYTES = 1 << 20 };

struct readings {
  double round_trip[BLOCK * MOST_BLOCKS], send[BLOCK * MOST_BLOCKS], own[MOST_BLOCKS], peer[MOST_BLOCKS];
  int blocks;
};

static char buffer[MOST_BYTES];
static int bytes;
static long pause_ns;
static int *turns;  // one a path, shared with the peers: whose turn it is on a futex path
static struct path paths[MOST_PATHS];

static void futex(int *word, int operation, int value) { syscall(SYS_futex, word, operation, value, NULL, NULL, 0); }

static void pass_turn(int *turn, int to) {
  __atomic_store_n(turn, to, __ATOMIC_SEQ_CST);
  futex(turn, FUTEX_WAKE, 1);
}

static void await_turn(int *turn, int mine) {
  int now;
  while ((now = __atomic_load_n(turn, __ATOMIC_SEQ_CST)) != mine) futex(turn, FUTEX_WAIT, now);
}

static void push(int fd) {
  for (int done = 0; done < bytes;) {
    int n = write(fd, buffer + done, bytes - done);
    if (n <= 0) fail("write");
    done += n;
  }
}

static void pull(int fd) {
  for (int done = 0; done < bytes;) {
    int n = read(fd, buffer + done, bytes - done);
    if (n <= 0) fail("read");
    done += n;
  }
}

static void serve(struct path *p, int listener) {
  if (listener >= 0) p->in = p->out = accept(listener, NULL, NULL);
  if (!strcmp(p->kind, "futex")) {
    for (int *turn = &turns[p - paths];;) {
      await_turn(turn, 1);
      pass_turn(turn, 0);
    }
  }
  if (listener >= 0) {
    int one = 1;
    setsockopt(p->in, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  for (;;) {
    pull(p->in);
    push(p->out);
  }
}

// Both ends of what is no TCP are made before the fork; returns the client's ends in in/out.
static void open_path(struct path *p, int peer_cpu, int home) {
  int there[2], back[2];
  if (!strcmp(p->kind, "tcp")) {
    start_peer(p, peer_cpu, serve);
    enter(p->client);
    p->in = p->out = connected(p);
    if (p->client && setns(home, CLONE_NEWNET)) fail("setns");
    return;
  }
  if (!strcmp(p->kind, "unix")) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, there)) fail("socketpair");
    p->in = p->out = there[1];
    start_peer(p, peer_cpu, serve);
    p->in = p->out = there[0];
    return;
  }
  if (pipe(there) || pipe(back)) fail("pipe");
  if (!strcmp(p->kind, "self")) {
    p->in = there[0];
    p->out = there[1];
    p->peer_clock = CLOCK_PROCESS_CPUTIME_ID;
    return;
  }
  p->in = there[0];
  p->out = back[1];
  start_peer(p, peer_cpu, serve);
  p->in = back[0];
  p->out = there[1];
}

static void rest(void) {
  struct timespec t = {pause_ns / 1000000000, pause_ns % 1000000000};
  if (pause_ns) nanosleep(&t, NULL);
}

static void round_trip(struct path *p, double *sent) {
  if (!strcmp(p->kind, "futex")) {
    int *turn = &turns[p - paths];
    pass_turn(turn, 1);
    *sent = now_ns();
    await_turn(turn, 0);
  } else {
    push(p->out);
    *sent = now_ns();
    pull(p->in);
  }
}

static void one_block(struct path *p, struct readings *r, double timer) {
  double sent;
  for (int i = 0; i < WARM; i++) round_trip(p, &sent);
  double own = read_clock(CLOCK_PROCESS_CPUTIME_ID), peer = read_clock(p->peer_clock);
  for (int i = 0; i < BLOCK; i++) {
    rest();
    double start = now_ns();
    round_trip(p, &sent);
    int k = r->blocks * BLOCK + i;
    r->round_trip[k] = now_ns() - start - 2 * timer;
    r->send[k] = sent - start - timer;
  }
  r->own[r->blocks] = (read_clock(CLOCK_PROCESS_CPUTIME_ID) - own) / BLOCK - 3 * timer;
  r->peer[r->blocks] = (read_clock(p->peer_clock) - peer) / BLOCK;
  r->blocks++;
}

int main(int argc, char **argv) {
  int count = argc - 6;
  if (count < 1 || count > MOST_PATHS) return 2;
  bytes = atoi(argv[3]);
  double seconds = atof(argv[4]);
  pause_ns = atol(argv[5]) * 1000;
  if (bytes < 1 || bytes > MOST_BYTES) return 2;
  memset(buffer, 'x', sizeof buffer);
  turns = mmap(NULL, MOST_PATHS * sizeof *turns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct readings *readings = calloc(count, sizeof *readings);
  if (turns == MAP_FAILED || !readings) fail("memory");
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  pin(atoi(argv[1]));
  for (int i = 0; i < count; i++) {
    parse(&paths[i], argv[6 + i]);
    open_path(&paths[i], atoi(argv[2]), home);
  }
  double timer = timer_ns(), end = now_ns() + seconds * 1e9;
  do {
    for (int i = 0; i < count; i++) one_block(&paths[i], &readings[i], timer);
  } while (now_ns() < end && readings[0].blocks < MOST_BLOCKS);
  printf("{");
  for (int i = 0; i < count; i++) {
    struct readings *r = &readings[i];
    // At most 2000 single observations, evenly taken.
    int all = r->blocks * BLOCK, step = all / 2000 + 1, kept = 0;
    for (int k = 0; k < all; k += step, kept++) {
      r->round_trip[kept] = r->round_trip[k];
      r->send[kept] = r->send[k];
    }
    printf("%s\"%s\": {", i ? ", " : "", paths[i].name);
    print_list("round_trip_ns", r->round_trip, kept, ", ");
    print_list("send_ns", r->send, kept, ", ");
    print_list("own_cpu_ns", r->own, r->blocks, ", ");
    print_list("peer_cpu_ns", r->peer, r->blocks, "}");
  }
  printf("}\n");
  for (int i = 0; i < count; i++)
    if (paths[i].peer > 0) kill(paths[i].peer, SIGKILL);
}
