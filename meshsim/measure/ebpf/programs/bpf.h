// What our eBPF programs share: the kernel's calls and contexts as far as they use them, and their maps.
// Declared here and not taken from the system's headers, so that an object does not depend on where it was built.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
// A program has its own section; what else is in that section, it calls.
#define PROGRAM(name) SECTION("program/" #name) int name
#define INLINE static inline __attribute__((always_inline))
#define BE16(x) ((u16)((((x) & 0xff) << 8) | ((x) >> 8)))

// A map as the loader reads it (elf.py): no BTF, five numbers.
struct map {
  u32 type, key_size, value_size, max_entries, flags;
};
enum { HASH = 1, ARRAY = 2, PERCPU_ARRAY = 6, LRU_HASH = 9, SOCKHASH = 18 };

enum { XDP_DROP = 1, XDP_PASS = 2 };
enum { TC_NEXT = -1, TC_PASS = 0, TC_DROP = 2 };
enum { SK_PASS = 1 };

// Helpers, by their number in the kernel's ABI.
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static u64 (*const socket_cookie)(void *ctx) = (void *)46;
static long (*const sock_hash_update)(void *ctx, void *map, void *key, u64 flags) = (void *)70;
static long (*const msg_redirect_hash)(void *msg, void *map, void *key, u64 flags) = (void *)71;
static long (*const redirect_peer)(u32 ifindex, u64 flags) = (void *)155;
static long (*const repeat)(u32 times, void *body, void *ctx, u64 flags) = (void *)181;  // bpf_loop
enum { MSG_INGRESS = 1 };

// Contexts: the leading fields of the kernel's structures of these names.
struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
struct sk_buff_md {
  u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
      ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};
struct sock_addr {
  u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
};
struct sock_ops {
  u32 op, args[4], family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
};
enum { ACTIVE_ESTABLISHED = 4, PASSIVE_ESTABLISHED = 5 };
struct sk_msg_md {
  u64 data, data_end;
  u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
};
struct sock {
  u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
  u16 dst_port, zero;
  u32 dst_ip4;
};
struct sockopt {
  struct sock *sk;
  void *optval, *optval_end;
  int level, optname;
  volatile int optlen, retval;  // volatile: two writes are not to become one, which the verifier refuses
};
