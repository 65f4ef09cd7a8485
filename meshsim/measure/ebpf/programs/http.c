// An HTTP/1.1 request line, parsed byte by byte: method, path, version. The packet is the text.
// TC_PASS for a request line that is well-formed and ends within the bound, else TC_DROP.
//
//   check        a plain loop that only checks the line
//   find         a plain loop that also remembers where the path is, as routing by path needs it
//   find_called  the same under bpf_loop, whose body the verifier checks once instead of turn by turn
#include "bpf.h"

// How many bytes at most; set by the loader.
const volatile u32 bound = 64;

enum state { METHOD, PATH_BEGINS, PATH, VERSION, RETURN, DONE, BAD };

// What one byte does.
INLINE u32 next(u32 state, u8 byte) {
  switch (state) {
    case METHOD:
      return byte == ' ' ? PATH_BEGINS : byte >= 'A' && byte <= 'Z' ? METHOD : BAD;
    case PATH_BEGINS:
      return byte == '/' ? PATH : BAD;
    case PATH:
      return byte == ' ' ? VERSION : byte >= '!' && byte <= '~' ? PATH : BAD;
    case VERSION:
      return byte == '\r' ? RETURN : VERSION;
    default:
      return byte == '\n' ? DONE : BAD;
  }
}

PROGRAM(check)(struct sk_buff_md *ctx) {
  u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  u32 state = METHOD;
  for (u32 i = 0; i < bound; i++) {
    if (data + i + 1 > end) break;
    state = next(state, data[i]);
    if (state >= DONE) break;
  }
  return state == DONE ? TC_PASS : TC_DROP;
}

struct parser {
  struct sk_buff_md *ctx;
  u32 at, state, path_from, path_to;
};

INLINE void step(struct parser *parser, u8 byte, u32 at) {
  u32 before = parser->state, after = next(before, byte);
  if (before == PATH_BEGINS && after == PATH) parser->path_from = at;
  if (before == PATH && after == VERSION) parser->path_to = at;
  parser->state = after;
}

// A path longer than this is none that we know.
enum { LONGEST = 16384 };

INLINE int verdict(struct parser *parser) {
  return parser->state == DONE && parser->path_to - parser->path_from < LONGEST ? TC_PASS : TC_DROP;
}

PROGRAM(find)(struct sk_buff_md *ctx) {
  struct parser parser = {ctx, 0, METHOD, 0, 0};
  u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  for (u32 i = 0; i < bound; i++) {
    if (data + i + 1 > end) break;
    step(&parser, data[i], i);
    if (parser.state >= DONE) break;
  }
  return verdict(&parser);
}

static long turn(u32 index, struct parser *parser);

PROGRAM(find_called)(struct sk_buff_md *ctx) {
  struct parser parser = {ctx, 0, METHOD, 0, 0};
  repeat(bound, turn, &parser, 0);
  return verdict(&parser);
}

// One turn of bpf_loop; 1 ends it.
static __attribute__((section("program/find_called"), noinline)) long turn(u32 index, struct parser *parser) {
  u8 *byte = (u8 *)(long)parser->ctx->data + (parser->at & 0x7fff);
  if (byte + 1 > (u8 *)(long)parser->ctx->data_end) return 1;
  step(parser, *byte, parser->at);
  parser->at++;
  return parser->state >= DONE;
}
