// A server for measurements: HTTP/1.1, HTTP/2 in clear text and raw messages on one port, told apart by their first
// bytes. One thread. usage: echo --port N [--address A] [--response-bytes N] [--compute-us X] [--step STEP …]
//
// A step is what a request does before its answer, in order: compute:US of CPU time, or call:A:PORT:BYTES:ASK[,A:PORT:…],
// one HTTP/1.1 request (or several at the same time) to other servers, with BYTES of body, for an answer of ASK bytes.
// Connections to them stay open. With calls, the server itself is asked by HTTP/1.1.
//
// An answer has the size that the request asks for in the header `x-bytes`, else --response-bytes. A raw message is
// "RAW1", its own length and the length of the answer (32 bits each, big endian), then filling; so is the answer.
// Prints "ready" when it listens.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http2.h"

enum { HEAD_MOST = 16384, STREAMS = 256, READ_MOST = 1 << 18, ANSWER_MOST = 1 << 24 };
enum { STEPS_MOST = 16, CALLS_MOST = 64 };
enum Protocol { UNKNOWN, HTTP1, HTTP2, RAW, UPSTREAM };

struct Answer {  // of HTTP/2, waiting for the peer's window
  uint32_t stream;
  long left, window;
};

struct Connection {
  int fd, closing, wants_out;
  enum Protocol protocol;
  char *head;  // a message head that has not come whole
  size_t head_length;
  long body_left, asked;  // of the message that is being read
  enum { WHOLE, CHUNK_SIZE, LAST_CHUNK } chunks;  // of its body: what comes next once body_left is 0
  char *out;
  size_t out_length, out_sent, out_room;
  // HTTP/2
  int frame_type, frame_flags;
  uint32_t frame_stream;
  long frame_left;
  int in_frame;
  long window, peer_window, received;
  struct Answer *waiting;
  int waiting_count, waiting_room;
  struct {
    uint32_t stream;
    long asked;
  } streams[STREAMS];
  // Steps of the request that came on it; and, of a connection to another server, for whom it works.
  int step, pending, failed, gone, in_body;
  struct Call *call;
  struct Connection *caller, *next_idle;
};

struct Call {
  struct sockaddr_in to;
  char *message;
  size_t length;
  struct Connection *idle;
};

struct Step {
  long compute_ns;
  int first_call, calls;
};

static int epoll_fd;
static long response_bytes = 64;
static long compute_ns;
static struct Step steps[STEPS_MOST];
static struct Call calls[CALLS_MOST];
static int step_count, call_count;
static char filling[READ_MOST];
static char input[READ_MOST];

static void spin(long ns) {
  if (!ns) return;
  // CPU time of this thread: what others take from us in between does not shorten the work.
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  long until = t.tv_sec * 1000000000L + t.tv_nsec + ns;
  do {
    for (volatile int i = 0; i < 200; i++) {
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  } while (t.tv_sec * 1000000000L + t.tv_nsec < until);
}

static void compute(void) { spin(compute_ns); }

static void shut(struct Connection *c) {
  close(c->fd);
  free(c->head);
  free(c->out);
  free(c->waiting);
  c->fd = -1;
}

static void watch(struct Connection *c) {
  int wants = c->out_length > c->out_sent;
  if (wants == c->wants_out) return;
  struct epoll_event event = {.events = EPOLLIN | (wants ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
  c->wants_out = wants;
}

static int flush(struct Connection *c) {  // 0 when the connection is gone
  while (c->out_sent < c->out_length) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return 0;
    c->out_sent += n;
  }
  if (c->out_sent == c->out_length) {
    c->out_sent = c->out_length = 0;
    if (c->closing && !c->pending) return 0;
  }
  watch(c);
  return 1;
}

static char *room(struct Connection *c, size_t more) {
  if (c->out_length + more > c->out_room) {
    c->out_room = (c->out_length + more) * 2;
    c->out = realloc(c->out, c->out_room);
    if (!c->out) abort();
  }
  char *at = c->out + c->out_length;
  c->out_length += more;
  return at;
}

static void fill(struct Connection *c, long bytes) {
  while (bytes > 0) {
    long part = bytes < READ_MOST ? bytes : READ_MOST;
    memcpy(room(c, part), filling, part);
    bytes -= part;
  }
}

static long wanted(long asked) {
  long bytes = asked >= 0 ? asked : response_bytes;
  return bytes > ANSWER_MOST ? ANSWER_MOST : bytes;
}

static void begin_http1(struct Connection *c);

// HTTP/1.1 ------------------------------------------------------------------------------------------------------------

static void answer_http1(struct Connection *c) {
  compute();
  long bytes = wanted(c->asked);
  char head[128];
  int length = snprintf(head, sizeof head, "HTTP/1.1 %s\r\ncontent-length: %ld\r\n%s\r\n",
                        c->failed ? "502 Bad Gateway" : "200 OK", bytes, c->closing ? "connection: close\r\n" : "");
  memcpy(room(c, length), head, length);
  fill(c, bytes);
}

static const char *header(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line && line[2] && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
    if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':') {
      for (line += 3 + length; *line == ' '; line++) {
      }
      return line;
    }
  return NULL;
}

static ssize_t take_chunk_line(struct Connection *c, const char *p, size_t n) {
  const char *end = memchr(p, '\n', n);
  size_t part = end ? (size_t)(end + 1 - p) : n;
  if (c->head_length + part > HEAD_MOST) return -1;
  memcpy(c->head + c->head_length, p, part);
  c->head_length += part;
  if (!end) return part;
  c->head[c->head_length] = 0;
  if (c->chunks == CHUNK_SIZE) {
    long size = strtol(c->head, NULL, 16);
    if (size < 0) return -1;
    c->body_left = size ? size + 2 : 0;  // and the end of its line
    if (!size) c->chunks = LAST_CHUNK;
  } else if (c->head_length <= 2) {  // an empty line ends the trailers
    c->chunks = WHOLE;
    begin_http1(c);
  }
  c->head_length = 0;
  return part;
}

static ssize_t take_http1(struct Connection *c, const char *p, size_t n) {
  if (c->body_left) {
    size_t part = n < (size_t)c->body_left ? n : (size_t)c->body_left;
    c->body_left -= part;
    if (!c->body_left && !c->chunks) begin_http1(c);
    return part;
  }
  if (c->chunks) return take_chunk_line(c, p, n);
  if (!c->head && !(c->head = malloc(HEAD_MOST + 1))) abort();
  size_t before = c->head_length, part = n < HEAD_MOST - before ? n : HEAD_MOST - before;
  memcpy(c->head + before, p, part);
  c->head_length += part;
  c->head[c->head_length] = 0;
  char *end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
  if (!end) return c->head_length == HEAD_MOST ? -1 : (ssize_t)part;
  size_t used = end + 4 - c->head - before;
  end[4] = 0;
  const char *length = header(c->head, "content-length"), *asked = header(c->head, "x-bytes");
  const char *connection = header(c->head, "connection");
  c->body_left = length ? atol(length) : 0;
  c->asked = asked ? atol(asked) : -1;
  c->closing = connection && !strncasecmp(connection, "close", 5);
  c->head_length = 0;
  if (c->body_left < 0) return -1;
  const char *coding = header(c->head, "transfer-encoding");
  if (coding && !strncasecmp(coding, "chunked", 7)) c->body_left = 0, c->chunks = CHUNK_SIZE;
  else if (!c->body_left) begin_http1(c);
  return used;
}

// Raw messages --------------------------------------------------------------------------------------------------------

static void answer_raw(struct Connection *c) {
  compute();
  long bytes = wanted(c->asked);
  if (bytes < 12) bytes = 12;
  unsigned char *p = (unsigned char *)room(c, 12);
  memcpy(p, "RAW1", 4);
  put32(put32(p + 4, bytes), 0);
  fill(c, bytes - 12);
}

static ssize_t take_raw(struct Connection *c, const char *p, size_t n) {
  if (c->body_left) {
    size_t part = n < (size_t)c->body_left ? n : (size_t)c->body_left;
    c->body_left -= part;
    if (!c->body_left) answer_raw(c);
    return part;
  }
  if (!c->head && !(c->head = malloc(HEAD_MOST + 1))) abort();
  size_t part = n < 12 - c->head_length ? n : 12 - c->head_length;
  memcpy(c->head + c->head_length, p, part);
  c->head_length += part;
  if (c->head_length < 12) return part;
  c->head_length = 0;
  if (memcmp(c->head, "RAW1", 4)) return -1;
  c->body_left = (long)get32((unsigned char *)c->head + 4) - 12;
  c->asked = get32((unsigned char *)c->head + 8);
  if (c->body_left < 0) return -1;
  if (!c->body_left) answer_raw(c);
  return part;
}

// HTTP/2 --------------------------------------------------------------------------------------------------------------

static int send_data(struct Connection *c, struct Answer *a) {  // 1 when all of it is on its way
  while (a->left > 0) {
    long part = a->left < FRAME_MOST ? a->left : FRAME_MOST;
    if (part > a->window) part = a->window;
    if (part > c->window) part = c->window;
    if (part <= 0) return 0;
    a->left -= part, a->window -= part, c->window -= part;
    put_frame((unsigned char *)room(c, FRAME_HEAD), part, DATA, a->left ? 0 : END_STREAM, a->stream);
    fill(c, part);
  }
  return 1;
}

static void answer_http2(struct Connection *c, uint32_t stream, long asked) {
  compute();
  struct Answer a = {stream, wanted(asked), c->peer_window};
  unsigned char block[64], *end = block;
  char number[24];
  *end++ = 0x88;  // :status 200
  end = put_integer(end, 0, 4, 28);  // content-length
  end = put_string(end, number, snprintf(number, sizeof number, "%ld", a.left));
  unsigned char *p = (unsigned char *)room(c, FRAME_HEAD + (end - block));
  memcpy(put_frame(p, end - block, HEADERS, END_HEADERS | (a.left ? 0 : END_STREAM), stream), block, end - block);
  if (send_data(c, &a)) return;
  if (c->waiting_count == c->waiting_room) {
    c->waiting_room = c->waiting_room ? 2 * c->waiting_room : 16;
    c->waiting = realloc(c->waiting, c->waiting_room * sizeof *c->waiting);
    if (!c->waiting) abort();
  }
  c->waiting[c->waiting_count++] = a;
}

static void send_waiting(struct Connection *c) {
  int kept = 0;
  for (int i = 0; i < c->waiting_count; i++)
    if (!send_data(c, &c->waiting[i])) c->waiting[kept++] = c->waiting[i];
  c->waiting_count = kept;
}

static int end_frame(struct Connection *c) {
  unsigned char *p = (unsigned char *)c->head, *end = p + c->head_length;
  int slot = c->frame_stream / 2 % STREAMS;
  if (c->frame_type == HEADERS || c->frame_type == CONTINUATION) {
    int status, padding = 0;
    if (c->frame_type == HEADERS) {
      if (c->frame_flags & PADDED && p < end) padding = *p++;
      if (c->frame_flags & PRIORITY_FIELDS) p += 5;
      c->streams[slot].stream = c->frame_stream;
      c->streams[slot].asked = -1;
    }
    if (p > end - padding) return 0;
    long asked;
    read_block(p, end - padding, &status, &asked);
    if (asked >= 0) c->streams[slot].asked = asked;
  } else if (c->frame_type == SETTINGS && !(c->frame_flags & ACK)) {
    for (; end - p >= 6; p += 6)
      if (p[1] == SETTING_WINDOW) {
        long window = get32(p + 2);
        for (int i = 0; i < c->waiting_count; i++) c->waiting[i].window += window - c->peer_window;
        c->peer_window = window;
      }
    put_frame((unsigned char *)room(c, FRAME_HEAD), 0, SETTINGS, ACK, 0);
    send_waiting(c);
  } else if (c->frame_type == PING && !(c->frame_flags & ACK) && c->head_length == 8) {
    unsigned char *answer = put_frame((unsigned char *)room(c, FRAME_HEAD + 8), 8, PING, ACK, 0);
    memcpy(answer, c->head, 8);
  } else if (c->frame_type == WINDOW_UPDATE && c->head_length == 4) {
    if (!c->frame_stream) c->window += get32(p);
    for (int i = 0; c->frame_stream && i < c->waiting_count; i++)
      if (c->waiting[i].stream == c->frame_stream) c->waiting[i].window += get32(p);
    send_waiting(c);
  } else if (c->frame_type == RST_STREAM) {
    for (int i = 0; i < c->waiting_count; i++)
      if (c->waiting[i].stream == c->frame_stream) c->waiting[i] = c->waiting[--c->waiting_count];
    return 1;
  }
  if (c->received > (long)WINDOW / 2) {
    put32(put_frame((unsigned char *)room(c, FRAME_HEAD + 4), 4, WINDOW_UPDATE, 0, 0), c->received);
    c->received = 0;
  }
  if (c->frame_type <= HEADERS && c->frame_flags & END_STREAM && c->streams[slot].stream == c->frame_stream)
    answer_http2(c, c->frame_stream, c->streams[slot].asked);
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
  if (c->frame_type != DATA) {
    memcpy(c->head + c->head_length, p, part);
    c->head_length += part;
  } else {
    c->received += part;
  }
  c->frame_left -= part;
  if (c->frame_left) return part;
  c->in_frame = 0;
  int good = end_frame(c);
  c->head_length = 0;
  return good ? (ssize_t)part : -1;
}

// Calls to other servers ----------------------------------------------------------------------------------------------

static void end_call(struct Connection *caller, int good);

static void advance(struct Connection *c) {  // go on with the steps of its request until a call has to be waited for
  while (c->step < step_count) {
    struct Step *step = &steps[c->step++];
    spin(step->compute_ns);
    c->pending = step->calls;
    for (int i = 0; i < step->calls; i++) {
      struct Call *call = &calls[step->first_call + i];
      struct Connection *up = call->idle;
      if (up) {
        call->idle = up->next_idle;
      } else {
        if (!(up = calloc(1, sizeof *up))) abort();
        int one = 1;
        up->protocol = UPSTREAM;
        up->call = call;
        up->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        setsockopt(up->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connect(up->fd, (struct sockaddr *)&call->to, sizeof call->to);  // sending waits until it is there
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = up};
        up->wants_out = 1;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, up->fd, &event);
      }
      up->caller = c;
      memcpy(room(up, call->length), call->message, call->length);
      if (up->wants_out == 0) flush(up);  // a connection that is broken says so when it is read
    }
    if (c->pending) return;
  }
  if (c->gone) return;
  answer_http1(c);
}

static void begin_http1(struct Connection *c) {
  c->step = c->failed = 0;
  if (step_count) advance(c);
  else answer_http1(c);
}

static ssize_t take_upstream(struct Connection *up, const char *p, size_t n) {
  if (!up->caller) return -1;
  size_t used;
  if (!up->in_body) {
    if (!up->head && !(up->head = malloc(HEAD_MOST + 1))) abort();
    size_t before = up->head_length, part = n < HEAD_MOST - before ? n : HEAD_MOST - before;
    memcpy(up->head + before, p, part);
    up->head_length += part;
    up->head[up->head_length] = 0;
    char *end = strstr(up->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end) return up->head_length == HEAD_MOST ? -1 : (ssize_t)part;
    used = end + 4 - up->head - before;
    end[4] = 0;
    const char *length = header(up->head, "content-length");
    if (!length) return -1;
    up->body_left = atol(length);
    up->failed = up->head_length < 12 || memcmp(up->head + 8, " 200", 4);
    up->head_length = 0;
    up->in_body = 1;
  } else {
    used = n < (size_t)up->body_left ? n : (size_t)up->body_left;
    up->body_left -= used;
  }
  if (up->body_left) return used;
  struct Connection *caller = up->caller;
  up->in_body = 0;
  up->caller = NULL;
  up->next_idle = up->call->idle;
  up->call->idle = up;
  end_call(caller, !up->failed);
  return used;
}

static void lose(struct Connection *up) {  // a connection to another server is gone
  struct Connection **at = &up->call->idle, *caller = up->caller;
  while (*at && *at != up) at = &(*at)->next_idle;
  if (*at) *at = up->next_idle;
  shut(up);
  free(up);
  if (caller) end_call(caller, 0);
}

static void end_call(struct Connection *caller, int good) {
  caller->failed |= !good;
  if (--caller->pending) return;
  if (caller->gone) {
    free(caller);
    return;
  }
  advance(caller);
  if (!caller->pending && !flush(caller)) shutdown(caller->fd, SHUT_RDWR);  // its own event ends it
}

static int understand_step(char *text) {
  if (step_count == STEPS_MOST) return 0;
  struct Step *step = &steps[step_count++];
  if (!strncmp(text, "compute:", 8)) {
    step->compute_ns = atof(text + 8) * 1000;
    return 1;
  }
  if (strncmp(text, "call:", 5)) return 0;
  step->first_call = call_count;
  for (char *one = strtok(text + 5, ","); one; one = strtok(NULL, ",")) {
    char host[40];
    int port;
    long bytes, ask;
    if (call_count == CALLS_MOST || sscanf(one, "%39[^:]:%d:%ld:%ld", host, &port, &bytes, &ask) != 4) return 0;
    struct Call *call = &calls[call_count++];
    call->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    if (!inet_aton(host, &call->to.sin_addr) || !(call->message = malloc(bytes + 256))) return 0;
    int head = sprintf(call->message, "%s / HTTP/1.1\r\nhost: echo\r\nx-bytes: %ld\r\n", bytes ? "POST" : "GET", ask);
    if (bytes) head += sprintf(call->message + head, "content-length: %ld\r\n", bytes);
    head += sprintf(call->message + head, "\r\n");
    memset(call->message + head, 'x', bytes);
    call->length = head + bytes;
    step->calls++;
  }
  return 1;
}

// Connections ---------------------------------------------------------------------------------------------------------

static ssize_t recognise(struct Connection *c, const char *p, size_t n) {
  // The first bytes come in one segment from every client that we measure with.
  if (n >= 4 && !memcmp(p, "RAW1", 4)) {
    c->protocol = RAW;
    return 0;
  }
  if (n >= sizeof PREFACE - 1 && !memcmp(p, PREFACE, sizeof PREFACE - 1)) {
    c->protocol = HTTP2;
    c->window = c->peer_window = 65535;
    if (!(c->head = malloc(HEAD_MOST + 1))) abort();
    unsigned char greeting[64];
    size_t length = put_greeting(greeting) - greeting;
    memcpy(room(c, length), greeting, length);
    return sizeof PREFACE - 1;
  }
  c->protocol = HTTP1;
  return 0;
}

static int serve(struct Connection *c) {  // 0 when the connection is gone
  ssize_t n = recv(c->fd, input, sizeof input, 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (!n) return 0;
  ssize_t (*const take[])(struct Connection *, const char *, size_t) = {recognise, take_http1, take_http2, take_raw,
                                                                           take_upstream};
  for (ssize_t at = 0; at < n && !(c->closing && !c->body_left);) {
    ssize_t used = take[c->protocol](c, input + at, n - at);
    if (used < 0) return 0;
    at += used;
  }
  return flush(c);
}

static void welcome(int listener) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct Connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int argc, char **argv) {
  const char *address = "0.0.0.0";
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--address")) address = argv[i + 1];
    else if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--response-bytes")) response_bytes = atol(argv[i + 1]);
    else if (!strcmp(argv[i], "--compute-us")) compute_ns = atof(argv[i + 1]) * 1000;
    else if (!strcmp(argv[i], "--step") && understand_step(argv[i + 1])) continue;
    else return fprintf(stderr, "echo: cannot understand %s %s\n", argv[i], argv[i + 1]), 2;
  }
  signal(SIGPIPE, SIG_IGN);
  memset(filling, 'x', sizeof filling);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (!inet_aton(address, &at.sin_addr)) return fprintf(stderr, "echo: no address: %s\n", address), 2;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) return perror("echo: listen"), 1;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(epoll_fd, events, 64, -1);
    for (int i = 0; i < n; i++) {
      struct Connection *c = events[i].data.ptr;
      if (!c) {
        welcome(listener);
        continue;
      }
      int alive = 1;
      if (events[i].events & EPOLLOUT) alive = flush(c);
      if (alive && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) alive = serve(c);
      if (alive) continue;
      if (c->protocol == UPSTREAM) {
        lose(c);
      } else {
        shut(c);
        if (c->pending) c->gone = 1;  // its calls still point at it
        else free(c);
      }
    }
  }
}
