/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The records of segments. */
#ifndef TLSWATCH_WIRE_TELL_BPF_H
#define TLSWATCH_WIRE_TELL_BPF_H

#include "wire_records.bpf.h"

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
	struct wire_direction *own;

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
		if (what & TLSWATCH_WIRE_BEGINS)
			wire_connected(out, (struct sock *)tcp);
	}
	walk(skb, flow, out, segment, direction);
	own = direction_of(flow, direction);
	if (own->parts || (__s32)(own->next - (segment->sequence + segment->payload)) > 0)
		out->flags |= TLSWATCH_WIRE_CONTINUES;
	if (most)
		copy_plain(skb, out, own, segment, most);
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

#endif
