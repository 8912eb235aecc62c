/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS handshakes as packets show them, for programs whose library cannot be read. Attached to cgroups, both ways; a packet
 * is dropped where such a program returns 0: each has one way out, which returns 1.
 */
#ifndef TLSWATCH_WIRE_BPF_H
#define TLSWATCH_WIRE_BPF_H

#include "wire_records.bpf.h"
#include <bpf/bpf_tracing.h>

/* 6.1 follows no other bound of a count that is not 0 than this one; `most` is a power of two. */
#define COPY_BOUND(count, most) asm volatile("%0 += -1\n\t%0 &= %1\n\t%0 += 1" : "+r"(count) : "i"((most)-1))

/* The plaintext handshake bytes of the segment go behind the fixed part, which has room for `most`. */
static __always_inline void copy_plain(struct __sk_buff *skb, struct tlswatch_wire *out, struct wire_direction *own,
				       const struct wire_segment *segment, const __u32 most)
{
	__s32 from = own->plain_begin - segment->sequence;
	__s32 to = own->plain_end - segment->sequence;
	__u64 count;

	if (from < 0)
		from = 0;
	if (to > (__s32)segment->payload)
		to = segment->payload;
	if (to <= from)
		return;
	count = to - from;
	if (count > own->left)
		count = own->left;
	if (count > most)
		count = most;
	if (!count)
		return;
	COPY_BOUND(count, most);
	if (bpf_skb_load_bytes(skb, segment->offset + from, (void *)(out + 1), count))
		return;
	out->sequence = segment->sequence + from;
	out->byte_count = count;
	out->header.size += count;
	own->left -= count;
}

/* Whatever the consumer makes of it, nothing more comes. */
static __noinline int mark_over(const struct wire_flow *flow, struct tlswatch_wire *out)
{
	if (flow->phase == WIRE_DONE)
		out->flags |= TLSWATCH_WIRE_UNWATCHED;
	return 0;
}

static __noinline int walk(struct __sk_buff *skb, struct wire_flow *flow, struct tlswatch_wire *out,
			   const struct wire_segment *segment, __u32 direction)
{
	__u64 end = segment->offset + segment->payload;
	int at;

	for (int i = 0; i < TLSWATCH_WIRE_RECORDS; i++) {
		at = wire_header(skb, flow, segment->offset | (__u64)segment->payload << 32,
				 direction | (__u64)segment->sequence << 32);
		if (!at)
			break;
		if (wire_record(skb, flow, out, (__u32)(at - 5) | end << 32, direction)) {
			mark_over(flow, out);
			break;
		}
	}
	return 0;
}

/* Sends what a segment shows, with room for `most` plaintext bytes. `tcp` is NULL where it is another socket's. */
static __always_inline void tell(struct __sk_buff *skb, struct wire_flow *flow, struct tcp_sock *tcp,
				 const struct wire_segment *segment, __u64 what, const __u32 most)
{
	__u32 direction = what & TLSWATCH_WIRE_SENT ? TLSWATCH_SEND : TLSWATCH_RECEIVE;
	struct tlswatch_wire *out = bpf_ringbuf_reserve(&ring, sizeof(*out) + most, 0);

	count_hit(TLSWATCH_PROGRAM_WIRE);
	if (!out) {
		count_drop(TLSWATCH_PROGRAM_WIRE, TLSWATCH_DROP_RING_FULL);
		return;
	}
	wire_fill(out, flow, bpf_ktime_get_ns(), what);
	if (tcp) {
		out->rtt_us = tcp->srtt_us >> 3;
		out->retransmits = tcp->total_retrans;
		wire_addresses(out, (struct sock *)tcp);
	}
	walk(skb, flow, out, segment, direction);
	if (most)
		copy_plain(skb, out, direction_of(flow, direction), segment, most);
	submit(out, TLSWATCH_PROGRAM_WIRE);
}

/* One function for each room, so that each has little stack. */
#define DEFINE_TELL(most)                                                                                              \
	static __noinline int tell_##most(struct __sk_buff *skb, struct wire_flow *flow, struct tcp_sock *tcp,         \
					  const struct wire_segment *segment, __u64 what)                              \
	{                                                                                                              \
		tell(skb, flow, tcp, segment, what, most);                                                             \
		return 0;                                                                                              \
	}

DEFINE_TELL(0)
DEFINE_TELL(1024)
DEFINE_TELL(2048)
DEFINE_TELL(4096)

/* How many plaintext bytes a segment may show. */
static __always_inline __u32 plain_bytes(const struct wire_flow *flow, const struct wire_direction *own,
					 const struct wire_segment *segment)
{
	bool may_be_plain = flow->phase == WIRE_CLIENT_HELLO || !(own->changed || flow->encrypted) ||
			    (__s32)(own->plain_end - segment->sequence) > 0;

	if (!may_be_plain)
		return 0;
	return segment->payload < own->left ? segment->payload : own->left;
}

static __noinline int tell_segment(struct __sk_buff *skb, struct wire_flow *flow, struct tcp_sock *tcp,
				   const struct wire_segment *segment, __u64 what)
{
	__u32 direction = what & TLSWATCH_WIRE_SENT ? TLSWATCH_SEND : TLSWATCH_RECEIVE;
	struct wire_direction *own = direction_of(flow, direction);
	__u32 plain;

	/* A new run, unless one goes on into this segment. */
	if ((__s32)(own->plain_end - segment->sequence) <= 0)
		own->plain_begin = own->plain_end = own->next;
	plain = plain_bytes(flow, own, segment);
	if (!plain)
		return tell_0(skb, flow, tcp, segment, what);
	if (plain <= 1024)
		return tell_1024(skb, flow, tcp, segment, what);
	if (plain <= 2048)
		return tell_2048(skb, flow, tcp, segment, what);
	return tell_4096(skb, flow, tcp, segment, what);
}

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

static __noinline int note_on_listener(struct __sk_buff *skb, struct tcp_sock *tcp)
{
	struct wire_segment segment = {};
	struct wire_note *note;
	__be16 ports[2];
	__u32 zero = 0;
	__u64 now;

	note = bpf_map_lookup_elem(&wire_notes, &zero);
	if (!note || wire_parse(skb, &segment) || !segment.payload || segment.flags & (TCP_FLAG_SYN | TCP_FLAG_RST) ||
	    !is_client_hello(skb, segment.offset))
		return 0;
	if (bpf_skb_load_bytes(skb, segment.header, ports, 4))
		return 0;
	now = bpf_ktime_get_ns();
	__builtin_memset(&note->flow, 0, sizeof(note->flow));
	/* No socket's cookie has this bit. */
	wire_begin(&note->flow, tcp, now | 1ULL << 63, TLSWATCH_RECEIVE | (__u64)segment.sequence << 32);
	note->remote_port = bpf_ntohs(ports[0]);
	note->local_port = bpf_ntohs(ports[1]);
	tell_segment(skb, &note->flow, NULL, &segment, TLSWATCH_WIRE_BEGINS);
	return 0;
}

/* A connection that may be one of TLS: no ClientHello has been seen on it. Returns whether one begins here. */
static __noinline int look_for_hello(struct __sk_buff *skb, struct wire_flow *flow, struct tcp_sock *tcp,
				     const struct wire_segment *segment, __u32 direction)
{
	int at = find_client_hello(skb, segment->offset);

	if (at < 0)
		return 0;
	wire_begin(flow, tcp, bpf_get_socket_cookie(skb), direction | (__u64)(segment->sequence + at) << 32);
	return 1;
}

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

static __always_inline int follow(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
				  struct wire_flow *flow, const struct wire_segment *segment, __u32 direction)
{
	int begins = 0, flags;

	if (direction == TLSWATCH_SEND) {
		wire_owner(flow, tcp);
		if (knobs.filter_processes && flow->pid && !is_observed(flow->pid)) {
			bpf_sk_storage_delete(&wire_flows, sk);
			return 0;
		}
	}
	if (flow->phase == WIRE_BEFORE) {
		begins = segment->payload ? look_for_hello(skb, flow, tcp, segment, direction) : 0;
		if (!begins) {
			count_packet(TLSWATCH_WIRE_PATH_PLAIN);
			if (segment->payload && ++flow->segments > WIRE_PLAIN_SEGMENTS)
				bpf_sk_storage_delete(&wire_flows, sk);
			return 0;
		}
	}
	count_packet(TLSWATCH_WIRE_PATH_HANDSHAKE);
	flags = segment_flags(skb, flow, tcp, segment, direction);
	if (flags < 0)
		return 0;
	tell_segment(skb, flow, tcp, segment, flags | (begins ? TLSWATCH_WIRE_BEGINS : 0));
	if (flow->phase == WIRE_DONE || flags & (TLSWATCH_WIRE_RESET | TLSWATCH_WIRE_FIN | TLSWATCH_WIRE_UNWATCHED))
		bpf_sk_storage_delete(&wire_flows, sk);
	return 0;
}

static __noinline int look(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp, __u32 direction)
{
	struct wire_segment segment = {};
	struct wire_flow *flow;

	if (sk->state == TCP_LISTEN) {
		if (direction == TLSWATCH_RECEIVE)
			note_on_listener(skb, tcp);
		return 0;
	}
	flow = bpf_sk_storage_get(&wire_flows, sk, NULL, 0);
	if (!flow && (tcp->bytes_received > 1 || tcp->bytes_acked > 1)) {
		count_packet(TLSWATCH_WIRE_PATH_DONE);
		return 0;
	}
	if (wire_parse(skb, &segment))
		return 0;
	if (!flow) {
		if (!segment.payload || sk->state > TCP_SYN_RECV) {
			count_packet(TLSWATCH_WIRE_PATH_PLAIN);
			return 0;
		}
		flow = bpf_sk_storage_get(&wire_flows, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!flow)
			return 0;
	}
	return follow(skb, sk, tcp, flow, &segment, direction);
}

/* The cheapest test first: most packets are of connections that have carried much. */
static __always_inline void pass(struct __sk_buff *skb, __u32 direction)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp;

	if (!sk)
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp) {
		count_packet(TLSWATCH_WIRE_PATH_OTHER);
		return;
	}
	if (tcp->bytes_received > WIRE_PAST && tcp->bytes_acked > WIRE_PAST) {
		count_packet(TLSWATCH_WIRE_PATH_OLD);
		return;
	}
	sk = bpf_sk_fullsock(sk);
	if (sk)
		look(skb, sk, tcp, direction);
}

SEC("cgroup_skb/egress")
int wire_egress(struct __sk_buff *skb)
{
	pass(skb, TLSWATCH_SEND);
	return 1;
}

SEC("cgroup_skb/ingress")
int wire_ingress(struct __sk_buff *skb)
{
	pass(skb, TLSWATCH_RECEIVE);
	return 1;
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
	if (flow) {
		*flow = note->flow;
		flow->direction[TLSWATCH_SEND].next = tcp->write_seq;
	}
	note->flow.start_ns = 0;
	return 0;
}

static __noinline int tell_closed(struct sock *sk)
{
	struct wire_flow *flow = bpf_sk_storage_get(&wire_flows, sk, NULL, 0);
	struct tlswatch_wire *out;
	struct tcp_sock *tcp;

	if (!flow || flow->phase == WIRE_BEFORE || flow->phase == WIRE_DONE)
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
