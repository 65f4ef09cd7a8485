// An HTTP/1.1 echo service as a module: the host puts a request head at input() and calls handle(its length); the
// answer, of the returned length, is at output(). No answer (0): the head is not complete.
#define EXPORT __attribute__((visibility("default")))
enum { ROOM = 4096 };

static char in[ROOM], out[ROOM];

EXPORT char *input(void) { return in; }
EXPORT char *output(void) { return out; }

static unsigned put(unsigned at, const char *text, unsigned length) {
  for (unsigned i = 0; i < length; i++) out[at++] = text[i];
  return at;
}

static unsigned put_number(unsigned at, unsigned number) {
  char digits[10];
  unsigned count = 0;
  do digits[count++] = '0' + number % 10;
  while (number /= 10);
  while (count) out[at++] = digits[--count];
  return at;
}

EXPORT unsigned handle(unsigned length) {
  unsigned path = 0, path_end = 0;
  if (length > ROOM - 256) length = ROOM - 256;
  if (length < 4 || in[length - 1] != '\n' || in[length - 3] != '\n') return 0;
  while (path < length && in[path] != ' ') path++;
  path_end = ++path;
  while (path_end < length && in[path_end] != ' ' && in[path_end] != '\r') path_end++;
  if (path_end >= length) return 0;
  static const char status[] = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ";
  unsigned at = put(0, status, sizeof status - 1);
  at = put_number(at, path_end - path);
  at = put(at, "\r\n\r\n", 4);
  return put(at, in + path, path_end - path);
}
