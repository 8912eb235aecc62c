/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS handshakes as packets show them, for programs whose library cannot be read. Attached to cgroups, both ways; a packet
 * is dropped where such a program returns 0: each has one way out, which returns 1.
 */
#ifndef TLSWATCH_WIRE_BPF_H
#define TLSWATCH_WIRE_BPF_H

#include "wire_listener.bpf.h"
#include "wire_quic.bpf.h"
#include <bpf/bpf_tracing.h>

/*
 * TCP has all that lies before this segment, and a record's header that was to come there has overtaken it: it is gone. The
 * next segment that begins with a header is where records are seen again.
 */
static __noinline int find_record_again(struct __sk_buff *skb, struct wire_flow *flow,
					const struct wire_segment *segment)
{
	struct wire_direction *own = &flow->direction[TLSWATCH_RECEIVE];
	__u8 head[3];

	own->gap = 1;
	if (bpf_skb_load_bytes(skb, segment->offset, head, 3) || head[0] < CHANGE_CIPHER_SPEC ||
	    head[0] > APPLICATION_DATA || head[1] != 3 || head[2] > 4)
		return 0;
	own->next = segment->sequence;
	own->plain_begin = own->plain_end = segment->sequence;
	own->parts = 0;
	return 1;
}

/* What a segment has to tell besides records; -1 nothing at all. */
static __noinline int segment_flags(struct __sk_buff *skb, struct wire_flow *flow, struct tcp_sock *tcp,
				    const struct wire_segment *segment, __u32 direction)
{
	struct wire_direction *own = direction_of(flow, direction);
	__s32 distance = own->next + own->parts - segment->sequence;
	int flags = direction == TLSWATCH_SEND ? TLSWATCH_WIRE_SENT : 0;
	bool shows = false;

	if (segment->payload) {
		shows = (distance >= 0 && distance < (__s32)segment->payload) ||
			(__s32)(own->plain_end - segment->sequence) > 0;
		if (distance < 0 && direction == TLSWATCH_RECEIVE && segment->sequence == tcp->rcv_nxt &&
		    find_record_again(skb, flow, segment)) {
			flags |= TLSWATCH_WIRE_GAP;
			shows = true;
		}
	}
	if (segment->flags & TCP_FLAG_RST)
		flags |= TLSWATCH_WIRE_RESET;
	/* One that overtakes data is no end yet. */
	else if (segment->flags & TCP_FLAG_FIN &&
		 (direction == TLSWATCH_SEND || (__s32)(segment->sequence - tcp->rcv_nxt) <= 0))
		flags |= TLSWATCH_WIRE_FIN;
	if (++flow->segments > WIRE_SEGMENTS)
		flags |= TLSWATCH_WIRE_UNWATCHED;
	return shows || flags & (TLSWATCH_WIRE_RESET | TLSWATCH_WIRE_FIN | TLSWATCH_WIRE_UNWATCHED) ? flags : -1;
}

/* A segment of a handshake. */
static __noinline int follow(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp, struct wire_flow *flow,
			     const struct wire_segment *segment)
{
	__u32 direction = segment->what & TLSWATCH_WIRE_SENT ? TLSWATCH_SEND : TLSWATCH_RECEIVE;
	int flags;

	if (direction == TLSWATCH_SEND) {
		wire_owner(flow, tcp);
		if (knobs.filter_processes && flow->pid && !is_observed(flow->pid)) {
			bpf_sk_storage_delete(&wire_flows, sk);
			return 0;
		}
	}
	count_packet(TLSWATCH_WIRE_PATH_HANDSHAKE);
	if (flow->open)
		wire_open(flow, segment, direction);
	flags = segment_flags(skb, flow, tcp, segment, direction);
	if (flags < 0)
		return 0;
	tell_segment(skb, flow, tcp, segment, flags | segment->what);
	if (flow->phase == WIRE_DONE || flags & (TLSWATCH_WIRE_RESET | TLSWATCH_WIRE_FIN | TLSWATCH_WIRE_UNWATCHED))
		bpf_sk_storage_delete(&wire_flows, sk);
	return 0;
}

/* The socket's, NULL where it has none. Most sockets have no storage at all, which a helper takes longer to find. */
static __always_inline struct wire_flow *flow_of(struct bpf_sock *sk, struct tcp_sock *tcp)
{
	return ((struct sock *)tcp)->sk_bpf_storage ? bpf_sk_storage_get(&wire_flows, sk, NULL, 0) : NULL;
}

/*
 * Where in a segment's payload a ClientHello begins; negative where none does. One that comes again, by a retransmission or as
 * a duplicate, was seen the first time, and its handshake may be over.
 */
static __always_inline int find_new_hello(struct __sk_buff *skb, struct tcp_sock *tcp,
					  const struct wire_segment *segment, __u32 direction)
{
	__u32 next = direction == TLSWATCH_SEND ? tcp->snd_nxt : tcp->rcv_nxt;

	if (!segment->payload || (__s32)(segment->sequence - next) < 0)
		return -1;
	return find_client_hello(skb, segment->offset);
}

/* A handshake begins with the ClientHello that begins so far behind the segment's payload's beginning. */
static __noinline int begin_flow(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
				 struct wire_segment *segment, __u32 at)
{
	__u32 direction = segment->what & TLSWATCH_WIRE_SENT ? TLSWATCH_SEND : TLSWATCH_RECEIVE;
	struct wire_flow *flow = bpf_sk_storage_get(&wire_flows, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!flow)
		return 0;
	wire_begin(flow, tcp, bpf_get_socket_cookie(skb), direction | (__u64)(segment->sequence + at) << 32);
	segment->what |= TLSWATCH_WIRE_BEGINS;
	return follow(skb, sk, tcp, flow, segment);
}

/* As path_of. */
static __always_inline __u32 look(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp, __u32 direction)
{
	struct wire_segment segment = {};
	struct wire_flow *flow;
	int at;

	if (sk->state == TCP_LISTEN) {
		if (direction == TLSWATCH_RECEIVE)
			note_on_listener(skb, tcp);
		return TLSWATCH_WIRE_PATH_COUNT;
	}
	flow = flow_of(sk, tcp);
	if (!flow && sk->state == TCP_SYN_RECV && tcp->bytes_received > 1)
		flow = take_syn(sk, tcp);
	if (!flow && tcp->data_segs_in + tcp->data_segs_out > WIRE_PLAIN_SEGMENTS)
		return TLSWATCH_WIRE_PATH_DONE;
	if (wire_parse(skb, &segment))
		return TLSWATCH_WIRE_PATH_COUNT;
	segment.what = direction == TLSWATCH_SEND ? TLSWATCH_WIRE_SENT : 0;
	if (flow) {
		follow(skb, sk, tcp, flow, &segment);
		return TLSWATCH_WIRE_PATH_COUNT;
	}
	at = sk->state > TCP_SYN_RECV ? -1 : find_new_hello(skb, tcp, &segment, direction);
	if (at < 0)
		return TLSWATCH_WIRE_PATH_PLAIN;
	begin_flow(skb, sk, tcp, &segment, at);
	return TLSWATCH_WIRE_PATH_COUNT;
}

/* Whether a handshake is over on any connection that has carried so much: the cheapest test that there is. */
static __always_inline bool is_old(const struct tcp_sock *tcp)
{
	return (tcp->bytes_received > WIRE_PAST && tcp->bytes_acked > WIRE_PAST) ||
	       tcp->data_segs_in + tcp->data_segs_out > WIRE_PAST_SEGMENTS;
}

/* The socket as TCP has it, NULL where it is none of TCP's or no full one. */
static __always_inline struct tcp_sock *tcp_of(struct bpf_sock *sk)
{
	struct sock *full;
	int state;

	if (!knobs.has_cast)
		return bpf_skc_to_tcp_sock(sk);
	/* As the helper does it, but without the call. */
	full = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));
	state = full->__sk_common.skc_state;
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || full->sk_protocol != IPPROTO_TCP)
		return NULL;
	return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
}

/*
 * How far a packet is looked at: enum tlswatch_wire_path; TLSWATCH_WIRE_PATH_COUNT where that is counted already, or is nothing.
 * The cheapest test first: most packets are of connections that have carried much.
 */
static __always_inline __u32 path_of(struct __sk_buff *skb, __u32 direction)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp;

	if (!sk)
		return TLSWATCH_WIRE_PATH_COUNT;
	tcp = tcp_of(sk);
	if (tcp)
		return is_old(tcp) ? TLSWATCH_WIRE_PATH_OLD : look(skb, sk, tcp, direction);
	sk = bpf_sk_fullsock(sk);
	return sk && sk->protocol == IPPROTO_UDP && pass_udp(skb, direction) ? TLSWATCH_WIRE_PATH_COUNT :
									       TLSWATCH_WIRE_PATH_OTHER;
}

SEC("cgroup_skb/egress")
int wire_egress(struct __sk_buff *skb)
{
	count_packet(path_of(skb, TLSWATCH_SEND));
	return 1;
}

SEC("cgroup_skb/ingress")
int wire_ingress(struct __sk_buff *skb)
{
	count_packet(path_of(skb, TLSWATCH_RECEIVE));
	return 1;
}

static __noinline int tell_closed(struct sock *sk)
{
	struct wire_flow *flow = bpf_sk_storage_get(&wire_flows, sk, NULL, 0);
	struct tlswatch_wire *out;
	struct tcp_sock *tcp;

	if (!flow || flow->phase == WIRE_DONE)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp)
		wire_owner(flow, tcp);
	count_hit(TLSWATCH_PROGRAM_WIRE);
	out = bpf_ringbuf_reserve(&ring, sizeof(*out), 0);
	if (!out) {
		count_drop(TLSWATCH_PROGRAM_WIRE, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	wire_fill(out, flow, bpf_ktime_get_ns(), TLSWATCH_WIRE_CLOSED);
	wire_addresses(out, sk);
	flow->phase = WIRE_DONE;
	submit(out, TLSWATCH_PROGRAM_WIRE);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(wire_state, struct sock *sk, int old_state, int new_state)
{
	if (new_state == TCP_ESTABLISHED && old_state == TCP_SYN_RECV)
		return take_note(sk);
	if (new_state == TCP_CLOSE)
		return tell_closed(sk);
	return 0;
}

#endif
