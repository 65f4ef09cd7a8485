// From a packet to its flow, with every access checked against the packet's end, as the verifier demands.
#pragma once
#include "bpf.h"

struct flow {
  u32 source, destination;
  u16 source_port, destination_port;
  u32 protocol;
};

struct ethernet {
  u8 destination[6], source[6];
  u16 type;
} __attribute__((packed));

struct ipv4 {
  u8 version_and_length, service;
  u16 length, id, fragment;
  u8 hops, protocol;
  u16 checksum;
  u32 source, destination;
};

struct ports {
  u16 source, destination;
};

// True if this is TCP or UDP over IPv4. IP options are stepped over.
INLINE int parse(void *data, void *end, struct flow *flow) {
  struct ethernet *ethernet = data;
  struct ipv4 *ip = (void *)(ethernet + 1);
  if ((void *)(ip + 1) > end || ethernet->type != BE16(0x0800)) return 0;
  u32 words = ip->version_and_length & 15;
  if (words < 5 || (ip->protocol != 6 && ip->protocol != 17)) return 0;
  struct ports *ports = (void *)ip + words * 4;
  if ((void *)(ports + 1) > end) return 0;
  flow->source = ip->source;
  flow->destination = ip->destination;
  flow->source_port = ports->source;
  flow->destination_port = ports->destination;
  flow->protocol = ip->protocol;
  return 1;
}

// Who sent it, and whether it may: the peer's address gives an identity, identity and port give a verdict.
struct rule {
  u32 identity;
  u16 port;
  u16 protocol;
};
SECTION("maps") struct map identities = {HASH, 4, 4, 65536, 0};
SECTION("maps") struct map policy = {HASH, sizeof(struct rule), 4, 65536, 0};

// As a data plane does: two look-ups a packet. 1 to let it through. `incoming` says at which end we are.
INLINE int allowed(struct flow *flow, int incoming) {
  u32 peer = incoming ? flow->source : flow->destination;
  u32 *identity = map_lookup(&identities, &peer);
  if (!identity) return 0;
  struct rule rule = {*identity, incoming ? flow->destination_port : flow->source_port, (u16)flow->protocol};
  u32 *verdict = map_lookup(&policy, &rule);
  return verdict && *verdict;
}
