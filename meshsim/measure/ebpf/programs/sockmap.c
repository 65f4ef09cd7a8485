// Sockets joined past TCP: sockops puts both ends of a connection into a map, sk_msg moves what is sent to the other.
#include "bpf.h"

// A connection by its client's end, which no rewriting of the server's address changes; and which of the two ends.
struct end {
  u32 client_ip, client_port;  // port in host order
  u32 server;
};

SECTION("maps") struct map missed = {ARRAY, 4, 8, 1, 0};
SECTION("maps") struct map sockets = {SOCKHASH, sizeof(struct end), 4, 65536, 0};

// Only connections to this port are joined; in host order, set by the loader.
const volatile u32 port = 0;

PROGRAM(join)(struct sock_ops *ctx) {
  u32 remote_port = BE16((u16)(ctx->remote_port >> 16));
  if (ctx->op == ACTIVE_ESTABLISHED && remote_port == port) {
    struct end end = {ctx->local_ip4, ctx->local_port, 0};
    sock_hash_update(ctx, &sockets, &end, 0);
  } else if (ctx->op == PASSIVE_ESTABLISHED && ctx->local_port == port) {
    struct end end = {ctx->remote_ip4, remote_port, 1};
    sock_hash_update(ctx, &sockets, &end, 0);
  }
  return 1;
}

PROGRAM(move)(struct sk_msg_md *msg) {
  u32 remote_port = BE16((u16)(msg->remote_port >> 16));
  struct end end = {msg->local_ip4, msg->local_port, 1};
  if (msg->local_port == port) {
    end.client_ip = msg->remote_ip4;
    end.client_port = remote_port;
    end.server = 0;
  }
  // Without an entry the message goes by TCP after all, and is counted.
  if (msg_redirect_hash(msg, &sockets, &end, MSG_INGRESS) != SK_PASS) {
    u32 first = 0;
    u64 *count = map_lookup(&missed, &first);
    if (count) __sync_fetch_and_add(count, 1);
  }
  return SK_PASS;
}
