// cgroup/connect4: a connection to the address of a service, or to anything at all, goes somewhere else from the start.
#include "bpf.h"

struct address {
  u32 ip, port;  // both in network order
};

SECTION("maps") struct map services = {HASH, sizeof(struct address), sizeof(struct address), 16384, 0};

// Service address -> pod, as a kube-proxy replacement does it: one look-up, no packet is touched later.
PROGRAM(balance)(struct sock_addr *ctx) {
  struct address service = {ctx->user_ip4, ctx->user_port};
  struct address *pod = map_lookup(&services, &service);
  if (pod) {
    ctx->user_ip4 = pod->ip;
    ctx->user_port = pod->port;
  }
  return 1;
}

PROGRAM(nothing)(struct sock_addr *ctx) { return 1; }

// Capture for a proxy. connect4 sends the connection to the proxy and remembers where it wanted to go, by socket; when
// it is established, sockops notes this under its port, which is what the proxy can ask for: getsockopt on the
// accepted socket then answers with the original destination, as after an iptables REDIRECT.
const volatile u32 proxy_ip = 0, proxy_port = 0;

SECTION("maps") struct map by_socket = {LRU_HASH, 8, sizeof(struct address), 65536, 0};
SECTION("maps") struct map by_port = {LRU_HASH, 4, sizeof(struct address), 65536, 0};

PROGRAM(capture)(struct sock_addr *ctx) {
  if ((ctx->user_ip4 & 0xff) == 127) return 1;  // what stays in the pod needs no proxy
  struct address wanted = {ctx->user_ip4, ctx->user_port};
  u64 cookie = socket_cookie(ctx);
  map_update(&by_socket, &cookie, &wanted, 0);
  ctx->user_ip4 = proxy_ip;
  ctx->user_port = proxy_port;
  return 1;
}

PROGRAM(established)(struct sock_ops *ctx) {
  if (ctx->op != ACTIVE_ESTABLISHED) return 1;
  u64 cookie = socket_cookie(ctx);
  struct address *wanted = map_lookup(&by_socket, &cookie);
  if (wanted) {
    u32 port = ctx->local_port;
    struct address copy = *wanted;
    map_update(&by_port, &port, &copy, 0);
  }
  return 1;
}

// SO_ORIGINAL_DST of iptables, answered from the map; a socket that is not in it gets the kernel's own answer.
enum { SOL_IP = 0, SO_ORIGINAL_DST = 80 };
struct address_in {
  u16 family, port;
  u32 ip;
};
PROGRAM(original)(struct sockopt *ctx) {
  struct address_in *answer = ctx->optval;
  if (ctx->level != SOL_IP || ctx->optname != SO_ORIGINAL_DST || (void *)(answer + 1) > ctx->optval_end) return 1;
  struct sock *sk = ctx->sk;
  if (!sk) return 1;
  u32 port = BE16(sk->dst_port);
  struct address *wanted = map_lookup(&by_port, &port);
  if (!wanted) return 1;
  answer->family = 2;
  answer->port = (u16)wanted->port;
  answer->ip = wanted->ip;
  ctx->optlen = 16;
  ctx->retval = 0;
  return 1;
}
