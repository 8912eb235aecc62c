/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ClientHellos that are shown with the socket of a listener, not with that of their connection. */
#ifndef TLSWATCH_WIRE_LISTENER_BPF_H
#define TLSWATCH_WIRE_LISTENER_BPF_H

#include "wire_tell.bpf.h"

/*
 * A ClientHello in the segment that completes TCP's handshake (the ACK before it was lost or deferred) is shown with the
 * listener's socket. The connection's own becomes ESTABLISHED in the same softirq, on the same processor: it takes this over.
 */
struct wire_note {
	struct wire_flow flow;
	__u16 local_port;
	__u16 remote_port;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wire_note);
} wire_notes SEC(".maps");

#define NOTE_NS 1000000

/*
 * The same in a SYN (TCP Fast Open): where the kernel takes the data, the connection's socket is made at once, with its data
 * received, and stays in SYN_RECV until the client's next segment. It finds this by its peer.
 */
struct wire_syn_key {
	__be32 remote; /* the address's last four bytes */
	__be16 remote_port;
	__u16 local_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct wire_syn_key);
	__type(value, struct wire_flow);
} wire_syns SEC(".maps");

static __noinline int keep_syn(struct __sk_buff *skb, const struct wire_note *note)
{
	struct wire_syn_key key = { .remote_port = bpf_htons(note->remote_port), .local_port = note->local_port };

	/* Of an IPv4 header without options the source; of an IPv6 header its end. */
	if (bpf_skb_load_bytes(skb, skb->protocol == bpf_htons(ETHERTYPE_IPV4) ? 12 : 20, &key.remote, 4))
		return 0;
	bpf_map_update_elem(&wire_syns, &key, &note->flow, BPF_ANY);
	return 0;
}

static __noinline struct wire_flow *take_syn(struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct sock_common *common = &((struct sock *)tcp)->__sk_common;
	struct wire_flow *kept, *flow;
	struct wire_syn_key key = {};

	if (common->skc_family == AF_INET)
		key.remote = common->skc_daddr;
	else
		bpf_probe_read_kernel(&key.remote, 4, (void *)&common->skc_v6_daddr + 12);
	key.remote_port = common->skc_dport;
	key.local_port = common->skc_num;
	kept = bpf_map_lookup_elem(&wire_syns, &key);
	flow = kept ? bpf_sk_storage_get(&wire_flows, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) : NULL;
	if (flow)
		*flow = *kept;
	if (kept)
		bpf_map_delete_elem(&wire_syns, &key);
	return flow;
}

static __noinline int note_on_listener(struct __sk_buff *skb, struct tcp_sock *tcp)
{
	struct wire_segment segment = {};
	struct wire_note *note;
	__be16 ports[2];
	__u32 zero = 0;
	__u64 now;

	note = bpf_map_lookup_elem(&wire_notes, &zero);
	if (!note || wire_parse(skb, &segment) || !segment.payload || segment.flags & TCP_FLAG_RST ||
	    !is_client_hello(skb, segment.offset))
		return 0;
	if (bpf_skb_load_bytes(skb, segment.header, ports, 4))
		return 0;
	now = bpf_ktime_get_ns();
	__builtin_memset(&note->flow, 0, sizeof(note->flow));
	/* No socket's cookie has this bit. */
	wire_begin(&note->flow, tcp, now | 1ULL << 63, TLSWATCH_RECEIVE | (__u64)segment.sequence << 32);
	note->flow.open = 1 << TLSWATCH_SEND;
	note->remote_port = bpf_ntohs(ports[0]);
	note->local_port = bpf_ntohs(ports[1]);
	tell_segment(skb, &note->flow, NULL, &segment, TLSWATCH_WIRE_BEGINS);
	if (segment.flags & TCP_FLAG_SYN) {
		keep_syn(skb, note);
		note->flow.start_ns = 0;
	}
	return 0;
}

/* The connection that completes with a listener's segment: see note_on_listener. */
static __noinline int take_note(struct sock *sk)
{
	struct wire_note *note;
	struct wire_flow *flow;
	struct tcp_sock *tcp;
	__u32 zero = 0;

	note = bpf_map_lookup_elem(&wire_notes, &zero);
	if (!note || !note->flow.start_ns)
		return 0;
	if (note->local_port != sk->__sk_common.skc_num || note->remote_port != bpf_ntohs(sk->__sk_common.skc_dport) ||
	    bpf_ktime_get_ns() - note->flow.start_ns > NOTE_NS)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	flow = tcp ? bpf_sk_storage_get(&wire_flows, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) : NULL;
	if (flow)
		*flow = note->flow;
	note->flow.start_ns = 0;
	return 0;
}

#endif
