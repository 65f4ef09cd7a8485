// How long a server takes from the command that starts it to its first answer, on this network namespace's loopback.
// usage: first_answer PORT PIDFILE|- REQUESTS [COMMAND…]
//
// PIDFILE: the command (runc, crun) returns and leaves the server, whose pid it writes there; the server lives on.
// "-": the command is the server; it is ended when the standard input ends. No command: something listens already.
// "ports:N": N services listen already, on PORT and those after it; the first and the second answer of each.
// Prints {"first_answer_ns", "second_answer_ns": on one more connection, "request_ns": mean of REQUESTS more on it,
// "cpu_ns": of the command and the server until the first answer was seen, "pid"}.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 20, PAUSE_NS = 50000 };

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int open_connection(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval patience = {PATIENCE_S, 0};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (!connect(fd, (struct sockaddr *)&to, sizeof to)) return fd;
  close(fd);
  return -1;
}

// One request and its whole answer. 0 if the server went away.
static int ask(int fd) {
  static const char request[] = "GET /measured HTTP/1.1\r\nhost: service\r\n\r\n";
  char text[65536];
  size_t have = 0;
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1) return 0;
  while (have < sizeof text - 1) {
    ssize_t got = recv(fd, text + have, sizeof text - 1 - have, 0);
    if (got <= 0) return 0;
    text[have += got] = 0;
    char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
    if (body && length && length < body && have >= (size_t)(body + 4 - text) + atol(length + 15))
      return !strncmp(text, "HTTP/1.1 200", 12);
  }
  return 0;
}

// CPU time of all threads of a process, from the scheduler's own exact count.
static double cpu_ns(int pid) {
  char path[300];
  double total = 0;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  for (struct dirent *task; tasks && (task = readdir(tasks));) {
    double ns;
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%lf", &ns) == 1) total += ns;
    if (file) fclose(file);
  }
  if (tasks) closedir(tasks);
  return total;
}

static int fail(const char *what, int child) {
  fprintf(stderr, "%s\n", what);
  if (child > 0) kill(child, SIGKILL);
  return 1;
}

// Beside the pid file, what the command writes to its standard error.
static int open_log(const char *pid_file) {
  char path[1024];
  snprintf(path, sizeof path, "%s.log", pid_file);
  return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int fail_with(int words, const char *what) {
  char text[2048];
  ssize_t length = words < 0 ? 0 : pread(words, text, sizeof text, 0);
  fprintf(stderr, "%s: %.*s", what, (int)(length > 0 ? length : 0), text);
  return fail("", 0);
}

static double one_answer(int port) {
  double start = now_ns();
  int fd = open_connection(port), answered = fd >= 0 && ask(fd);
  if (fd >= 0) close(fd);
  return answered ? now_ns() - start : 0;
}

static int many(int port, int count) {
  for (int which = 0; which < count; which++) {
    double first = one_answer(port + which), second = one_answer(port + which);
    if (!first || !second) return fail("no answer", 0);
    printf("%s[%.0f, %.0f]", which ? ", " : "[", first, second);
  }
  puts("]");
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  if (!strncmp(argv[2], "ports:", 6)) return many(atoi(argv[1]), atoi(argv[2] + 6));
  int port = atoi(argv[1]), requests = atoi(argv[3]), detached = strcmp(argv[2], "-"), child = 0, ended = 0, status = 0;
  int words = detached ? open_log(argv[2]) : -1;
  double start = now_ns();
  if (argc > 4) {
    child = fork();
    if (!child) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      int nowhere = open("/dev/null", O_RDWR);
      dup2(nowhere, 0);
      dup2(nowhere, 1);
      if (detached) dup2(words, 2);  // else the server keeps our standard error open
      execvp(argv[4], argv + 4);
      _exit(127);
    }
  }
  int fd = -1;
  for (; now_ns() - start < PATIENCE_S * 1e9;) {
    fd = open_connection(port);
    if (fd >= 0 && ask(fd)) break;
    if (fd >= 0) close(fd);
    fd = -1;
    if (child && !ended && waitpid(child, &status, WNOHANG) == child) {
      ended = 1;
      if (!detached || status) return fail_with(words, "the command ended without an answer");
    }
    nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
  }
  double first = now_ns() - start, used = 0, second, warm = 0;
  if (fd < 0) return fail("no answer in time", child);
  close(fd);
  int pid = child;
  if (!detached && child) used = cpu_ns(child);
  if (detached && child) {
    if (!ended && (waitpid(child, &status, 0) != child || status)) return fail_with(words, "the command failed");
    FILE *file = fopen(argv[2], "r");
    if (!file || fscanf(file, "%d", &pid) != 1) return fail("no pid file", 0);
    fclose(file);
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    used = cpu_ns(pid) + 1e9 * (children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
           1e3 * (children.ru_utime.tv_usec + children.ru_stime.tv_usec);
  }
  start = now_ns();
  fd = open_connection(port);
  if (fd < 0 || !ask(fd)) return fail("no second answer", child);
  second = now_ns() - start;
  start = now_ns();
  for (int i = 0; i < requests; i++)
    if (!ask(fd)) return fail("the server went away", child);
  if (requests) warm = (now_ns() - start) / requests;
  close(fd);
  printf("{\"first_answer_ns\": %.0f, \"second_answer_ns\": %.0f, \"request_ns\": %.0f, \"cpu_ns\": %.0f, \"pid\": %d}\n",
         first, second, warm, used, pid);
  fflush(stdout);
  if (child && !detached) {
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
}
