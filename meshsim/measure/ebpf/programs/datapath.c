// What programs on packets do: let pass, drop, hand to another interface, check a policy. For XDP and for tc.
#include "packet.h"

// The interface that `redirect` goes to; set by the loader.
const volatile u32 target = 0;

PROGRAM(xdp_pass)(struct xdp_md *ctx) { return XDP_PASS; }

PROGRAM(xdp_drop)(struct xdp_md *ctx) { return XDP_DROP; }

PROGRAM(xdp_redirect)(struct xdp_md *ctx) { return redirect(target, 0); }

PROGRAM(xdp_parse)(struct xdp_md *ctx) {
  struct flow flow;
  if (!parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &flow)) return XDP_PASS;
  return flow.source_port == flow.destination_port ? XDP_DROP : XDP_PASS;
}

PROGRAM(xdp_policy)(struct xdp_md *ctx) {
  struct flow flow;
  if (!parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &flow)) return XDP_PASS;
  return allowed(&flow, 1) ? XDP_PASS : XDP_DROP;
}

PROGRAM(tc_pass)(struct sk_buff_md *ctx) { return TC_NEXT; }

PROGRAM(tc_accept)(struct sk_buff_md *ctx) { return TC_PASS; }

PROGRAM(tc_drop)(struct sk_buff_md *ctx) { return TC_DROP; }

PROGRAM(tc_redirect)(struct sk_buff_md *ctx) { return redirect(target, 0); }

// Into the pod behind the interface at once, past the bridge and the pod's own queue. Only for IPv4: ARP must bridge.
PROGRAM(tc_peer)(struct sk_buff_md *ctx) {
  return ctx->protocol == BE16(0x0800) ? redirect_peer(target, 0) : TC_NEXT;
}

PROGRAM(tc_parse)(struct sk_buff_md *ctx) {
  struct flow flow;
  if (!parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &flow)) return TC_NEXT;
  return flow.source_port == flow.destination_port ? TC_DROP : TC_NEXT;
}

PROGRAM(tc_policy_in)(struct sk_buff_md *ctx) {
  struct flow flow;
  if (!parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &flow)) return TC_NEXT;
  return allowed(&flow, 1) ? TC_NEXT : TC_DROP;
}

PROGRAM(tc_policy_out)(struct sk_buff_md *ctx) {
  struct flow flow;
  if (!parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &flow)) return TC_NEXT;
  return allowed(&flow, 0) ? TC_NEXT : TC_DROP;
}
