// Look-ups in maps, one after the other: the next key depends on the value just found, so that none overlaps another.
// Run on a packet that begins with {state, mask, misses}; all values in the maps are 0.
#include "bpf.h"

struct key {
  u32 number, zero[3];
};
struct run {
  u32 state, mask, misses;
};
enum { LOOKUPS = 8 };

SECTION("maps") struct map array = {ARRAY, 4, 8, 1, 0};
SECTION("maps") struct map percpu_array = {PERCPU_ARRAY, 4, 8, 1, 0};
SECTION("maps") struct map hash = {HASH, sizeof(struct key), 8, 1, 0};
SECTION("maps") struct map lru_hash = {LRU_HASH, sizeof(struct key), 8, 1, 0};

// A linear congruential generator over all 32 bits; its upper bits choose the key.
#define STEP(state) ((state) * 1664525u + 1013904223u)

#define LOOK_UP(name, MAP, KEY)                                                            \
  PROGRAM(name)(struct sk_buff_md *ctx) {                                            \
    struct run *run = (void *)(long)ctx->data;                                             \
    if ((void *)(run + 1) > (void *)(long)ctx->data_end) return TC_DROP;                  \
    u32 state = run->state, misses = 0;                                                    \
    _Pragma("unroll") for (int i = 0; i < LOOKUPS; i++) {                                  \
      state = STEP(state);                                                                 \
      KEY;                                                                                 \
      u64 *value = MAP;                                                                    \
      if (value)                                                                           \
        state += (u32)*value;                                                              \
      else                                                                                 \
        misses++;                                                                          \
    }                                                                                      \
    run->state = state;                                                                    \
    run->misses += misses;                                                                 \
    return TC_PASS;                                                                       \
  }

#define NUMBER u32 key = (state >> 8) & run->mask
#define LONG_KEY struct key key = {(state >> 8) & run->mask, {0, 0, 0}}

LOOK_UP(look_array, map_lookup(&array, &key), NUMBER)
LOOK_UP(look_percpu_array, map_lookup(&percpu_array, &key), NUMBER)
LOOK_UP(look_hash, map_lookup(&hash, &key), LONG_KEY)
LOOK_UP(look_lru_hash, map_lookup(&lru_hash, &key), LONG_KEY)

// The same without a look-up: what choosing the keys costs.
INLINE u64 *nothing(struct key *key, u64 *zero) {
  __asm__ volatile("" : : "r"(key) : "memory");
  return zero;
}
PROGRAM(look_nothing)(struct sk_buff_md *ctx) {
  struct run *run = (void *)(long)ctx->data;
  if ((void *)(run + 1) > (void *)(long)ctx->data_end) return TC_DROP;
  u32 state = run->state;
  u64 zero = 0;
  _Pragma("unroll") for (int i = 0; i < LOOKUPS; i++) {
    state = STEP(state);
    struct key key = {(state >> 8) & run->mask, {0, 0, 0}};
    state += (u32)*nothing(&key, &zero);
  }
  run->state = state;
  return TC_PASS;
}
