// The little of HTTP/2 (RFC 9113) and HPACK (RFC 7541) that `load` and `echo` need. Both ends ask for a header table of
// size 0, so that header blocks carry no state from one to the next.
#ifndef MESHSIM_HTTP2_H
#define MESHSIM_HTTP2_H
#include <stdint.h>
#include <string.h>

enum { FRAME_HEAD = 9, FRAME_MOST = 16384 };
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY_FIELDS = 32 };
enum { SETTING_TABLE_SIZE = 1, SETTING_WINDOW = 4 };
static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const uint32_t WINDOW = 1u << 30;

static inline uint32_t get32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline unsigned char *put32(unsigned char *p, uint32_t v) {
  p[0] = v >> 24, p[1] = v >> 16, p[2] = v >> 8, p[3] = v;
  return p + 4;
}

static inline unsigned char *put_frame(unsigned char *p, uint32_t length, int type, int flags, uint32_t stream) {
  p[0] = length >> 16, p[1] = length >> 8, p[2] = length, p[3] = type, p[4] = flags;
  return put32(p + 5, stream);
}

// What an end says first (a client after the preface): no header table, wide windows.
static inline unsigned char *put_greeting(unsigned char *p) {
  p = put_frame(p, 12, SETTINGS, 0, 0);
  *p++ = 0, *p++ = SETTING_TABLE_SIZE, p = put32(p, 0);
  *p++ = 0, *p++ = SETTING_WINDOW, p = put32(p, WINDOW);
  p = put_frame(p, 4, WINDOW_UPDATE, 0, 0);
  return put32(p, WINDOW);
}

// An integer with a prefix of some bits; NULL when the block ends in it.
static inline const unsigned char *get_integer(const unsigned char *p, const unsigned char *end, int bits, uint32_t *v) {
  uint32_t most = (1u << bits) - 1;
  if (p >= end) return NULL;
  *v = *p++ & most;
  if (*v < most) return p;
  for (int shift = 0; p < end && shift < 28; shift += 7) {
    *v += (uint32_t)(*p & 127) << shift;
    if (!(*p++ & 128)) return p;
  }
  return NULL;
}

static inline unsigned char *put_integer(unsigned char *p, int first, int bits, uint32_t v) {
  uint32_t most = (1u << bits) - 1;
  if (v < most) {
    *p++ = first | v;
    return p;
  }
  *p++ = first | most;
  for (v -= most; v >= 128; v >>= 7) *p++ = 128 | (v & 127);
  *p++ = v;
  return p;
}

static inline unsigned char *put_string(unsigned char *p, const char *text, size_t length) {
  p = put_integer(p, 0, 7, length);
  memcpy(p, text, length);
  return p + length;
}

// A decimal number, plain or in Huffman code, whose digits have 5 bits (0-2) or 6 (3-9).
static inline long get_number(const unsigned char *p, uint32_t length, int huffman) {
  long value = 0;
  if (!huffman) {
    for (uint32_t i = 0; i < length; i++) value = value * 10 + (p[i] - '0');
    return value;
  }
  uint32_t bits = length * 8, at = 0;
  while (at + 5 <= bits) {
    uint32_t code = 0;
    for (int i = 0; i < 5; i++, at++) code = code << 1 | (p[at / 8] >> (7 - at % 8) & 1);
    if (code > 2) {
      if (at >= bits) break;
      code = code << 1 | (p[at / 8] >> (7 - at % 8) & 1), at++;
      if (code < 0x19 || code > 0x1f) break;  // padding
      code = code - 0x19 + 3;
    }
    value = value * 10 + code;
  }
  return value;
}

static inline int same(const unsigned char *p, uint32_t length, int huffman, const char *plain, const char *coded) {
  const char *other = huffman ? coded : plain;
  return length == strlen(other) && !memcmp(p, other, length);
}

// Goes through a header block for its status (0 if none) and for the number in `x-bytes` (-1 if none).
static inline void read_block(const unsigned char *p, const unsigned char *end, int *status, long *bytes) {
  static const int known[] = {200, 204, 206, 304, 400, 404, 500};  // static table, from 8 on
  *status = 0, *bytes = -1;
  while (p && p < end) {
    int first = *p;
    uint32_t index, length;
    if (first & 128) {
      if (!(p = get_integer(p, end, 7, &index))) return;
      if (index >= 8 && index <= 14) *status = known[index - 8];
      continue;
    }
    if ((first & 0xe0) == 0x20) {  // size of the table
      p = get_integer(p, end, 5, &index);
      continue;
    }
    if (!(p = get_integer(p, end, first & 64 ? 6 : 4, &index))) return;
    int is_bytes = 0;
    if (!index) {
      int huffman = p < end && *p & 128;
      if (!(p = get_integer(p, end, 7, &length)) || length > (size_t)(end - p)) return;
      is_bytes = same(p, length, huffman, "x-bytes", "\xf2\xb4\x7e\x92\x54\x7f");
      p += length;
    }
    int huffman = p < end && *p & 128;
    if (!(p = get_integer(p, end, 7, &length)) || length > (size_t)(end - p)) return;
    if (index >= 8 && index <= 14) *status = get_number(p, length, huffman);
    if (is_bytes) *bytes = get_number(p, length, huffman);
    p += length;
  }
}
#endif
