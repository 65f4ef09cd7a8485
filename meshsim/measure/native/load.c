// A load generator for measurements: open loop (--rate, Poisson or --constant) or closed loop, HTTP/1.1, HTTP/2 in clear
// text (prior knowledge) or raw messages (see echo.c). Open loop measures latency from the moment at which a request
// was due, whether or not a connection was free then: nothing is omitted when the other side is slow.
//
// usage: load --address A --port N [--protocol http1|http2|raw] [--connections N] [--streams N] [--rate R [--constant]]
//             [--new-connection] [--body BYTES] [--ask BYTES] [--path P] [--header 'name: value'] [--seed N]
//             [--warm-up S] [--seconds S] [--cpu NAME=FILE] [--thread NAME=FOLDER]
//
// --cpu: cpu.stat of a cgroup, --thread: /proc/PID/task/TID; both are read as the measured seconds begin and end, so that
// CPU time belongs to exactly the requests that are counted. Prints one JSON object; every time is in ns.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "http2.h"

enum { HEAD_MOST = 16384, STREAMS_MOST = 128, READ_MOST = 1 << 18, WATCHED_MOST = 16, QUEUE_MOST = 1 << 20 };
enum Protocol { HTTP1, HTTP2, RAW };
enum State { SHUT, CONNECTING, OPEN };
enum Failure { REFUSED, BROKEN, BAD_STATUS, BAD_ANSWER, FAILURES };
static const char *const FAILURE[] = {"refused", "broken", "status", "answer"};

struct Request {
  long due, sent;
  uint32_t stream;
};

struct Connection {
  int fd, wants_out, queued;
  enum State state;
  int busy, greeted;  // requests on their way; HTTP/2: the peer's settings have come
  struct Request requests[STREAMS_MOST];
  uint32_t next_stream;
  char head[HEAD_MOST + 1];
  size_t head_length;
  long body_left;
  int in_body, bad, last;  // the answer that is being read; last: the peer closes after it
  char *out;
  size_t out_length, out_sent, out_room;
  int frame_type, frame_flags, in_frame;
  uint32_t frame_stream;
  long frame_left, window, peer_window, received;
};

struct Watched {
  const char *name, *path;
  long before[4], after[4];
};

static const char *address = "127.0.0.1", *path = "/", *extra[64];
static int port, connections = 1, streams = 1, fresh, constant, extra_count;
static enum Protocol protocol = HTTP1;
static double rate, warm_up = 0.2, seconds = 1;
static long body, ask = -1, seed = 1;

static struct Connection *all;
static struct Connection **idle;  // ring of connections that can take a request
static size_t idle_first, idle_count;
static long *due;  // ring of requests that are due and have no connection
static size_t due_first, due_count;
static char *message;
static size_t message_length, block_length;
static int epoll_fd;
static char input[READ_MOST];
static struct sockaddr_in server;

static long begin_ns, end_ns, drain_ns;
static int measuring, stopped;
static long answered, failed[FAILURES], dropped, on_the_way, bytes_in, opened;
static float *latency, *lag;  // microseconds would lose nothing, but a float of ns is as short
static size_t latency_count, latency_room;
static struct Watched cpus[WATCHED_MOST], threads[WATCHED_MOST];
static int cpu_count, thread_count;
static struct rusage own_before, own_after;

static long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static double uniform(void) {  // xorshift64*
  static uint64_t state;
  if (!state) state = 0x9e3779b97f4a7c15u * (uint64_t)(seed + 1) | 1;
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return ((state * 0x2545f4914f6cdd1du >> 11) + 0.5) / 9007199254740992.0;
}

// What is watched -----------------------------------------------------------------------------------------------------

static void slurp(const char *where, char *text, size_t most) {
  int fd = open(where, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, most - 1);
  text[n > 0 ? n : 0] = 0;
  if (fd >= 0) close(fd);
}

static long number_after(const char *text, const char *name) {
  const char *at = strstr(text, name);
  return at ? atol(at + strlen(name)) : 0;
}

static void look(int after) {
  char text[8192], file[512];
  for (int i = 0; i < cpu_count; i++) {
    long *to = after ? cpus[i].after : cpus[i].before;
    slurp(cpus[i].path, text, sizeof text);
    to[0] = number_after(text, "user_usec ") * 1000, to[1] = number_after(text, "system_usec ") * 1000;
    to[2] = number_after(text, "usage_usec ") * 1000;
  }
  for (int i = 0; i < thread_count; i++) {
    long *to = after ? threads[i].after : threads[i].before;
    snprintf(file, sizeof file, "%s/schedstat", threads[i].path);
    slurp(file, text, sizeof text);
    sscanf(text, "%ld %ld", &to[0], &to[1]);
    snprintf(file, sizeof file, "%s/status", threads[i].path);
    slurp(file, text, sizeof text);
    to[2] = number_after(text, "\nvoluntary_ctxt_switches:"), to[3] = number_after(text, "nonvoluntary_ctxt_switches:");
  }
  getrusage(RUSAGE_SELF, after ? &own_after : &own_before);
}

// Connections ---------------------------------------------------------------------------------------------------------

static int capacity(const struct Connection *c) {
  return protocol == HTTP2 ? streams - c->busy : 1 - c->busy;
}

static void offer(struct Connection *c) {  // it can take a request
  if (c->queued) return;
  c->queued = 1;
  idle[(idle_first + idle_count++) % connections] = c;
}

static void watch(struct Connection *c, int wants) {
  if (wants == c->wants_out) return;
  struct epoll_event event = {.events = EPOLLIN | (wants ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
  c->wants_out = wants;
}

static void fail(enum Failure kind, long requests) {
  if (measuring) failed[kind] += requests;
}

static void shut(struct Connection *c, enum Failure kind) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  fail(kind, c->busy);
  on_the_way -= c->busy;
  c->state = SHUT;
  c->busy = c->greeted = c->in_body = c->in_frame = c->wants_out = 0;
  c->head_length = c->out_length = c->out_sent = 0;
  memset(c->requests, 0, sizeof c->requests);
  if (!stopped) offer(c);
}

static void begin_connecting(struct Connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->state = CONNECTING;
  c->wants_out = 1;
  c->next_stream = 1;
  c->window = c->peer_window = 65535;
  opened += measuring;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) shut(c, REFUSED);
}

static int flush(struct Connection *c) {
  while (c->out_sent < c->out_length) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return 0;
    c->out_sent += n;
  }
  if (c->out_sent == c->out_length) c->out_sent = c->out_length = 0;
  watch(c, c->out_length > 0);
  return 1;
}

static unsigned char *room(struct Connection *c, size_t more) {
  if (c->out_length + more > c->out_room) {
    c->out_room = (c->out_length + more) * 2;
    c->out = realloc(c->out, c->out_room);
    if (!c->out) abort();
  }
  unsigned char *at = (unsigned char *)c->out + c->out_length;
  c->out_length += more;
  return at;
}

static void write_request(struct Connection *c, long due_ns) {
  long now = now_ns();
  int slot = 0;
  uint32_t stream = 0;
  if (protocol == HTTP2) {
    stream = c->next_stream;
    c->next_stream += 2;
    while (c->requests[slot].stream) slot++;
    memcpy(put_frame(room(c, FRAME_HEAD + block_length), block_length, HEADERS,
                     END_HEADERS | (body ? 0 : END_STREAM), stream), message, block_length);
    for (long left = body; left > 0;) {
      long part = left < FRAME_MOST ? left : FRAME_MOST;
      left -= part;
      memset(put_frame(room(c, FRAME_HEAD + part), part, DATA, left ? 0 : END_STREAM, stream), 'x', part);
    }
    c->window -= body;
  } else {
    memcpy(room(c, message_length), message, message_length);
  }
  c->requests[slot] = (struct Request){due_ns, now, stream};
}

static void send_request(struct Connection *c, long due_ns) {
  c->busy++;
  on_the_way++;
  if (c->state == SHUT) {
    c->requests[0] = (struct Request){due_ns, 0, 0};
    begin_connecting(c);
    return;
  }
  write_request(c, due_ns);
  if (!flush(c)) shut(c, BROKEN);
}

static void done(struct Connection *c, int slot, int good) {
  struct Request r = c->requests[slot];
  long now = now_ns();
  c->busy--;
  on_the_way--;
  c->requests[slot].stream = 0;
  if (measuring && now < end_ns) {
    if (good) answered++;
    else failed[BAD_STATUS]++;
  }
  if (good && r.due >= begin_ns && r.due < end_ns) {
    if (latency_count == latency_room) {
      latency_room = latency_room ? 2 * latency_room : 1 << 16;
      latency = realloc(latency, latency_room * sizeof *latency);
      lag = realloc(lag, latency_room * sizeof *lag);
      if (!latency || !lag) abort();
    }
    latency[latency_count] = now - r.due;
    lag[latency_count++] = r.sent - r.due;
  }
}

// Answers -------------------------------------------------------------------------------------------------------------

static ssize_t take_http1(struct Connection *c, const char *p, size_t n) {
  if (!c->busy) return -1;
  size_t used = n;
  if (!c->in_body) {
    size_t before = c->head_length, part = n < HEAD_MOST - before ? n : HEAD_MOST - before;
    memcpy(c->head + before, p, part);
    c->head_length += part;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end) return c->head_length == HEAD_MOST ? -1 : (ssize_t)part;
    used = end + 4 - c->head - before;
    end[4] = 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (!length) return -1;  // chunked: our server never answers so
    c->body_left = atol(length + 17);
    c->bad = c->head_length < 12 || memcmp(c->head + 8, " 200", 4);
    c->last = strcasestr(c->head, "\r\nconnection: close\r\n") != NULL;
    c->head_length = 0;
    c->in_body = 1;
  } else {
    used = n < (size_t)c->body_left ? n : (size_t)c->body_left;
    c->body_left -= used;
  }
  if (c->body_left) return used;
  c->in_body = 0;
  done(c, 0, !c->bad);
  return used;
}

static ssize_t take_raw(struct Connection *c, const char *p, size_t n) {
  if (!c->busy) return -1;
  size_t used;
  if (!c->in_body) {
    used = n < 12 - c->head_length ? n : 12 - c->head_length;
    memcpy(c->head + c->head_length, p, used);
    c->head_length += used;
    if (c->head_length < 12) return used;
    c->head_length = 0;
    if (memcmp(c->head, "RAW1", 4)) return -1;
    c->body_left = (long)get32((unsigned char *)c->head + 4) - 12;
    c->in_body = 1;
  } else {
    used = n < (size_t)c->body_left ? n : (size_t)c->body_left;
    c->body_left -= used;
  }
  if (c->body_left) return used;
  c->in_body = 0;
  done(c, 0, 1);
  return used;
}

static int slot_of(struct Connection *c, uint32_t stream) {
  for (int i = 0; i < streams; i++)
    if (c->requests[i].stream == stream) return i;
  return -1;
}

static int end_frame(struct Connection *c) {
  unsigned char *p = (unsigned char *)c->head, *end = p + c->head_length;
  int slot = c->frame_stream ? slot_of(c, c->frame_stream) : -1;
  if (c->frame_type == HEADERS) {
    int status, padding = 0;
    long ignored;
    if (c->frame_flags & PADDED && p < end) padding = *p++;
    if (c->frame_flags & PRIORITY_FIELDS) p += 5;
    if (p > end - padding) return 0;
    read_block(p, end - padding, &status, &ignored);
    if (status && status != 200 && slot >= 0) c->bad = 1;
  } else if (c->frame_type == SETTINGS && !(c->frame_flags & ACK)) {
    for (; end - p >= 6; p += 6)
      if (p[1] == SETTING_WINDOW) c->peer_window = get32(p + 2);
    put_frame(room(c, FRAME_HEAD), 0, SETTINGS, ACK, 0);
    c->greeted = 1;
  } else if (c->frame_type == PING && !(c->frame_flags & ACK) && c->head_length == 8) {
    memcpy(put_frame(room(c, FRAME_HEAD + 8), 8, PING, ACK, 0), c->head, 8);
  } else if (c->frame_type == WINDOW_UPDATE && !c->frame_stream && c->head_length == 4) {
    c->window += get32(p);
  } else if (c->frame_type == GOAWAY) {
    return 0;
  } else if (c->frame_type == RST_STREAM && slot >= 0) {
    done(c, slot, 0);
  }
  if (c->received > (long)WINDOW / 2) {
    put32(put_frame(room(c, FRAME_HEAD + 4), 4, WINDOW_UPDATE, 0, 0), c->received);
    c->received = 0;
  }
  if (c->frame_type <= HEADERS && c->frame_flags & END_STREAM && slot >= 0) {
    done(c, slot, !c->bad);
    c->bad = 0;
  }
  return 1;
}

static ssize_t take_http2(struct Connection *c, const char *p, size_t n) {
  if (!c->in_frame) {
    size_t part = n < FRAME_HEAD - c->head_length ? n : FRAME_HEAD - c->head_length;
    memcpy(c->head + c->head_length, p, part);
    c->head_length += part;
    if (c->head_length < FRAME_HEAD) return part;
    unsigned char *head = (unsigned char *)c->head;
    c->frame_left = (long)head[0] << 16 | head[1] << 8 | head[2];
    c->frame_type = head[3], c->frame_flags = head[4], c->frame_stream = get32(head + 5) & 0x7fffffff;
    c->head_length = 0;
    if (c->frame_left > FRAME_MOST) return -1;
    c->in_frame = c->frame_left > 0;
    if (!c->in_frame && !end_frame(c)) return -1;
    return part;
  }
  size_t part = n < (size_t)c->frame_left ? n : (size_t)c->frame_left;
  if (c->frame_type == DATA) {
    c->received += part;
  } else {
    memcpy(c->head + c->head_length, p, part);
    c->head_length += part;
  }
  c->frame_left -= part;
  if (c->frame_left) return part;
  c->in_frame = 0;
  int good = end_frame(c);
  c->head_length = 0;
  return good ? (ssize_t)part : -1;
}

static int ready_for_more(const struct Connection *c) {
  if (capacity(c) <= 0) return 0;
  if (protocol != HTTP2 || c->state != OPEN) return 1;
  return c->greeted && c->window >= body && c->peer_window >= body;
}

static void receive(struct Connection *c) {
  ssize_t (*const take[])(struct Connection *, const char *, size_t) = {take_http1, take_http2, take_raw};
  ssize_t n = recv(c->fd, input, sizeof input, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    shut(c, BROKEN);
    return;
  }
  bytes_in += measuring ? n : 0;
  for (ssize_t at = 0; at < n;) {
    ssize_t used = take[protocol](c, input + at, n - at);
    if (used < 0) {
      fail(BAD_ANSWER, !c->busy);
      shut(c, BAD_ANSWER);
      return;
    }
    at += used;
  }
  if (!flush(c)) shut(c, BROKEN);
  else if (!c->busy && (fresh || (protocol == HTTP1 && c->last))) shut(c, BROKEN);
  else if (!stopped && ready_for_more(c)) offer(c);
}

static void connected(struct Connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    shut(c, REFUSED);
    return;
  }
  c->state = OPEN;
  if (protocol == HTTP2) {
    memcpy(room(c, sizeof PREFACE - 1), PREFACE, sizeof PREFACE - 1);
    unsigned char greeting[64];
    size_t length = put_greeting(greeting) - greeting;
    memcpy(room(c, length), greeting, length);
  }
  if (c->busy) write_request(c, c->requests[0].due);
  else if (ready_for_more(c)) offer(c);
  if (!flush(c)) shut(c, BROKEN);
}

static struct Connection *next_idle(void) {
  while (idle_count) {
    struct Connection *c = idle[idle_first];
    idle_first = (idle_first + 1) % connections;
    idle_count--;
    c->queued = 0;
    if (c->state != CONNECTING && ready_for_more(c)) return c;
  }
  return NULL;
}

static void turn(long until) {  // waits for events, at most until then, and handles them
  struct epoll_event events[128];
  long wait = until - now_ns();
  if (wait < 0) wait = 0;
  struct timespec limit = {wait / 1000000000L, wait % 1000000000L};
  int n = syscall(SYS_epoll_pwait2, epoll_fd, events, 128, &limit, NULL, 0);
  if (n < 0 && errno == ENOSYS) n = epoll_wait(epoll_fd, events, 128, wait / 1000000);
  for (int i = 0; i < n; i++) {
    struct Connection *c = events[i].data.ptr;
    if (c->state == CONNECTING) {
      if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(c);
      continue;
    }
    if (events[i].events & EPOLLOUT && c->state == OPEN && !flush(c)) shut(c, BROKEN);
    if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) && c->state == OPEN) receive(c);
  }
}

static void run(void) {
  double gap = rate > 0 ? 1e9 / rate : 0;
  double next = now_ns();
  for (;;) {
    long now = now_ns();
    if (!measuring && !stopped && now >= begin_ns) {
      look(0);
      measuring = 1;
    }
    if (measuring && now >= end_ns) {
      look(1);
      measuring = 0;
      stopped = 1;
    }
    if (stopped && (now >= drain_ns || !on_the_way)) return;
    if (rate > 0) {
      for (; !stopped && next <= now; next += constant ? gap : -log(uniform()) * gap) {
        if (due_count == QUEUE_MOST) dropped += measuring;
        else due[(due_first + due_count++) % QUEUE_MOST] = next;
      }
      struct Connection *c;
      while (!stopped && due_count && (c = next_idle())) {
        long at = due[due_first];
        due_first = (due_first + 1) % QUEUE_MOST;
        due_count--;
        send_request(c, at);
        if (c->state == OPEN && ready_for_more(c)) offer(c);
      }
    } else if (!stopped) {
      for (size_t left = idle_count; left > 0; left--) {
        struct Connection *c = next_idle();
        if (!c) break;
        do send_request(c, now_ns());
        while (c->state == OPEN && ready_for_more(c));
      }
    }
    long until = stopped ? drain_ns : measuring ? end_ns : begin_ns;
    if (rate > 0 && !stopped && next < until) until = next;
    turn(until);
  }
}

// Setting up and telling ----------------------------------------------------------------------------------------------

static void make_message(void) {
  size_t most = body + HEAD_MOST;
  message = malloc(most);
  if (!message) abort();
  char number[32];
  if (protocol == RAW) {
    message_length = body < 12 ? 12 : body;
    memset(message, 'x', message_length);
    memcpy(message, "RAW1", 4);
    put32(put32((unsigned char *)message + 4, message_length), ask < 12 ? 12 : ask);
  } else if (protocol == HTTP2) {
    unsigned char *p = (unsigned char *)message;
    *p++ = body ? 0x83 : 0x82;  // :method POST, GET
    *p++ = 0x86;                // :scheme http
    p = put_string(put_integer(p, 0, 4, 4), path, strlen(path));  // :path
    p = put_string(put_integer(p, 0, 4, 1), "echo", 4);           // :authority
    if (body) p = put_string(put_integer(p, 0, 4, 28), number, sprintf(number, "%ld", body));  // content-length
    if (ask >= 0) {
      p = put_string(put_integer(p, 0, 4, 0), "x-bytes", 7);
      p = put_string(p, number, sprintf(number, "%ld", ask));
    }
    for (int i = 0; i < extra_count; i++) {
      const char *colon = strchr(extra[i], ':');
      p = put_string(put_integer(p, 0, 4, 0), extra[i], colon - extra[i]);
      p = put_string(p, colon + 2, strlen(colon + 2));
    }
    block_length = p - (unsigned char *)message;
  } else {
    char *p = message + sprintf(message, "%s %s HTTP/1.1\r\nhost: echo\r\n", body ? "POST" : "GET", path);
    if (body) p += sprintf(p, "content-length: %ld\r\n", body);
    if (ask >= 0) p += sprintf(p, "x-bytes: %ld\r\n", ask);
    if (fresh) p += sprintf(p, "connection: close\r\n");
    for (int i = 0; i < extra_count; i++) p += sprintf(p, "%s\r\n", extra[i]);
    p += sprintf(p, "\r\n");
    memset(p, 'x', body);
    message_length = p + body - message;
  }
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void tell_quantiles(const char *name, float *values) {
  static const double at[] = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
  double sum = 0;
  for (size_t i = 0; i < latency_count; i++) sum += values[i];
  qsort(values, latency_count, sizeof *values, by_size);
  printf(", \"%s\": {\"mean\": %.0f", name, latency_count ? sum / latency_count : 0);
  for (size_t i = 0; latency_count && i < sizeof at / sizeof *at; i++)
    printf(", \"%g\": %.0f", at[i], values[(size_t)(at[i] * (latency_count - 1) + 0.5)]);
  printf("}");
}

static void tell_histogram(void) {  // of the sorted latencies: [lower edge, how many], 8 buckets an octave
  printf(", \"histogram\": [");
  int first = 1;
  for (size_t i = 0; i < latency_count;) {
    int bucket = latency[i] > 1 ? (int)floor(log2(latency[i]) * 8) : 0;
    size_t from = i;
    while (i < latency_count && (latency[i] > 1 ? (int)floor(log2(latency[i]) * 8) : 0) == bucket) i++;
    printf("%s[%.0f, %zu]", first ? "" : ", ", exp2(bucket / 8.0), i - from);
    first = 0;
  }
  printf("]");
}

static long usage_ns(struct timeval after, struct timeval before) {
  return (after.tv_sec - before.tv_sec) * 1000000000L + (after.tv_usec - before.tv_usec) * 1000L;
}

static void tell(long unanswered) {
  printf("{\"seconds\": %.6f, \"offered_rate\": %.3f, \"answered\": %ld, \"opened\": %ld, \"unanswered\": %ld, "
         "\"dropped\": %ld, \"bytes_in\": %ld, \"errors\": {",
         seconds, rate, answered, opened, unanswered, dropped, bytes_in);
  for (int i = 0; i < FAILURES; i++) printf("%s\"%s\": %ld", i ? ", " : "", FAILURE[i], failed[i]);
  printf("}, \"observed\": %zu", latency_count);
  tell_quantiles("latency_ns", latency);
  tell_histogram();
  tell_quantiles("lag_ns", lag);
  printf(", \"own_cpu\": {\"user\": %ld, \"system\": %ld, \"slept\": %ld}",
         usage_ns(own_after.ru_utime, own_before.ru_utime), usage_ns(own_after.ru_stime, own_before.ru_stime),
         own_after.ru_nvcsw - own_before.ru_nvcsw);
  printf(", \"cpu\": {");
  for (int i = 0; i < cpu_count; i++)
    printf("%s\"%s\": {\"user\": %ld, \"system\": %ld, \"total\": %ld}", i ? ", " : "", cpus[i].name,
           cpus[i].after[0] - cpus[i].before[0], cpus[i].after[1] - cpus[i].before[1],
           cpus[i].after[2] - cpus[i].before[2]);
  printf("}, \"threads\": {");
  for (int i = 0; i < thread_count; i++)
    printf("%s\"%s\": {\"ran\": %ld, \"waited\": %ld, \"slept\": %ld, \"preempted\": %ld}", i ? ", " : "",
           threads[i].name, threads[i].after[0] - threads[i].before[0], threads[i].after[1] - threads[i].before[1],
           threads[i].after[2] - threads[i].before[2], threads[i].after[3] - threads[i].before[3]);
  printf("}}\n");
}

static int add_watched(struct Watched *list, int *count, char *text) {
  char *equals = strchr(text, '=');
  if (!equals || *count == WATCHED_MOST) return 0;
  *equals = 0;
  list[*count].name = text;
  list[(*count)++].path = equals + 1;
  return 1;
}

static int understand(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *option = argv[i];
    if (!strcmp(option, "--constant")) {
      constant = 1;
      continue;
    }
    if (!strcmp(option, "--new-connection")) {
      fresh = 1;
      continue;
    }
    if (++i == argc) return fprintf(stderr, "load: %s: no value\n", option), 0;
    char *value = argv[i];
    if (!strcmp(option, "--address")) address = value;
    else if (!strcmp(option, "--port")) port = atoi(value);
    else if (!strcmp(option, "--protocol"))
      protocol = !strcmp(value, "http2") ? HTTP2 : !strcmp(value, "raw") ? RAW : HTTP1;
    else if (!strcmp(option, "--connections")) connections = atoi(value);
    else if (!strcmp(option, "--streams")) streams = atoi(value);
    else if (!strcmp(option, "--rate")) rate = atof(value);
    else if (!strcmp(option, "--body")) body = atol(value);
    else if (!strcmp(option, "--ask")) ask = atol(value);
    else if (!strcmp(option, "--path")) path = value;
    else if (!strcmp(option, "--seed")) seed = atol(value);
    else if (!strcmp(option, "--warm-up")) warm_up = atof(value);
    else if (!strcmp(option, "--seconds")) seconds = atof(value);
    else if (!strcmp(option, "--header") && extra_count < 64 && strstr(value, ": ")) extra[extra_count++] = value;
    else if (!strcmp(option, "--cpu") && add_watched(cpus, &cpu_count, value)) continue;
    else if (!strcmp(option, "--thread") && add_watched(threads, &thread_count, value)) continue;
    else return fprintf(stderr, "load: cannot understand %s %s\n", option, value), 0;
  }
  if (connections < 1 || streams < 1 || streams > STREAMS_MOST || body < 0 || seconds <= 0)
    return fprintf(stderr, "load: connections and streams from 1, streams to %d, seconds above 0\n", STREAMS_MOST), 0;
  if (fresh && streams > 1) return fprintf(stderr, "load: --new-connection goes with one stream\n"), 0;
  return 1;
}

int main(int argc, char **argv) {
  if (!understand(argc, argv)) return 2;
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
  if (!inet_aton(address, &server.sin_addr)) return fprintf(stderr, "load: no address: %s\n", address), 2;
  all = calloc(connections, sizeof *all);
  idle = calloc(connections, sizeof *idle);
  due = malloc(QUEUE_MOST * sizeof *due);
  if (!all || !idle || !due) return perror("load"), 1;
  make_message();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < connections; i++) {
    all[i].fd = -1;
    if (fresh) offer(&all[i]);
    else begin_connecting(&all[i]);
  }
  begin_ns = end_ns = drain_ns = now_ns() + 5000000000L;
  if (!fresh) {
    while ((int)idle_count < connections && now_ns() < end_ns) turn(now_ns() + 100000000L);
    int open = 0;
    for (int i = 0; i < connections; i++) open += all[i].state == OPEN;
    if (open < connections) return fprintf(stderr, "load: %d of %d connections opened\n", open, connections), 1;
  }
  begin_ns = now_ns() + (long)(warm_up * 1e9);
  end_ns = begin_ns + (long)(seconds * 1e9);
  drain_ns = end_ns + 1000000000L;
  run();
  tell(on_the_way + due_count);
  return 0;
}
