/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TLS records of a segment: their headers, and the plaintext handshake records among them. Framing alone: what it means
 * is the consumer's affair, but for when there is nothing more to look at. */
#ifndef TLSWATCH_WIRE_RECORDS_BPF_H
#define TLSWATCH_WIRE_RECORDS_BPF_H

#include "records.bpf.h"
#include "socket_table.bpf.h"
#include "wire_flow.bpf.h"

enum { CHANGE_CIPHER_SPEC = 20, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT };

static __always_inline struct wire_direction *direction_of(struct wire_flow *flow, __u32 direction)
{
	return direction ? &flow->direction[1] : &flow->direction[0];
}

/* Whether an encrypted record is as long as a client's Finished: by the suite's hash and tag, and with JSSE's padding. */
static __always_inline bool is_finished_length(__u32 length)
{
	return length == 53 || length == 69 || length == 45 || length == 85 || length == 61;
}

/* An alert's length, with either tag, and with that padding. */
static __always_inline bool is_alert_length(__u32 length)
{
	return length == 19 || length == 11 || length == 35;
}

/*
 * Sees a record of TLS 1.3 that is encrypted. A server's verdict on the client's Finished is its own next record: nothing
 * more is looked at behind it, unless it may be an alert.
 */
static __always_inline void see_encrypted(struct wire_flow *flow, bool is_client, __u32 length)
{
	struct wire_direction *client = direction_of(flow, flow->client);
	struct wire_direction *server = direction_of(flow, !flow->client);

	if (flow->phase != WIRE_SERVER_HELLO || (is_client ? client : server)->finished)
		return;
	flow->encrypted = 1;
	if (is_client) {
		client->flight = 1;
		if (!is_finished_length(length))
			return;
		client->finished = 1;
		if (flow->client == TLSWATCH_SEND)
			flow->phase = WIRE_DONE;
	} else if (client->flight) {
		server->flight++;
		if (client->finished ? server->flight > 1 || !is_alert_length(length) : server->flight > 3)
			flow->phase = WIRE_DONE;
	}
}

static __always_inline void see_handshake(struct __sk_buff *skb, struct wire_flow *flow, struct wire_direction *own,
					  bool is_client, __u32 at, const struct tlswatch_wire_record *record)
{
	__be32 random = 0;

	if (flow->phase == WIRE_CLIENT_HELLO) {
		/* A server has nothing else to send; where its kind is in the next segment, it is one as well. */
		if (is_client || (record->held && record->content[0] != 2))
			return;
		/* A HelloRetryRequest's random is a constant; another ClientHello follows it. */
		if (!bpf_skb_load_bytes(skb, at + 11, &random, 4) && random == bpf_htonl(0xcf21ad74))
			return;
		flow->direction[0].changed = 0;
		flow->direction[1].changed = 0;
		flow->phase = WIRE_SERVER_HELLO;
	} else if (own->changed && !flow->encrypted) {
		own->finished = 1;
		if (flow->direction[0].finished && flow->direction[1].finished)
			flow->phase = WIRE_DONE;
	}
}

/* One run a segment: what stands behind anything encrypted is left out. */
static __always_inline void extend_plain(struct wire_direction *own, __u32 length)
{
	if (own->plain_begin == own->plain_end)
		own->plain_begin = own->plain_end = own->next;
	if (own->plain_end == own->next)
		own->plain_end += 5 + length;
}

/*
 * Writes down the record whose header is in own->part. `where`: the offset of its header in the packet, which is negative
 * where it began in an earlier segment; in the upper half the packet's end.
 */
__noinline int wire_record(struct __sk_buff *skb, struct wire_flow *flow, struct tlswatch_wire *out, __u64 where,
			   __u32 direction)
{
	struct tlswatch_wire_record *record;
	struct wire_direction *own;
	__s32 at = (__s32)where;
	__u32 length, index, end = where >> 32;
	bool is_client, is_plain;

	if (!flow || !out)
		return 1;
	own = direction_of(flow, direction);
	is_client = direction == flow->client;
	length = own->part[3] << 8 | own->part[4];
	own->parts = 0;
	if (own->part[0] < CHANGE_CIPHER_SPEC || own->part[0] > HEARTBEAT || own->part[1] != 3 || length > 18432) {
		if (own->gap) {
			/* Another place is looked for in what comes next. */
			own->next--;
			return 1;
		}
		out->flags |= TLSWATCH_WIRE_NOT_TLS;
		flow->phase = WIRE_DONE;
		return 1;
	}
	index = out->records;
	if (index >= TLSWATCH_WIRE_RECORDS)
		return 1;
	BOUND(index, 15);
	if (index >= TLSWATCH_WIRE_RECORDS)
		return 1;
	out->records = index + 1;
	record = &out->record[index];
	record->length = length;
	record->type = own->part[0];
	record->held = 0;
	__builtin_memset(record->content, 0, sizeof(record->content));
	is_plain = flow->phase == WIRE_CLIENT_HELLO || !own->changed;
	if ((record->type == HANDSHAKE && is_plain) || (record->type == ALERT && length == 2)) {
		if (length >= TLSWATCH_WIRE_CONTENT && at + 5 + TLSWATCH_WIRE_CONTENT <= (__s32)end) {
			if (!bpf_skb_load_bytes(skb, at + 5, record->content, TLSWATCH_WIRE_CONTENT))
				record->held = TLSWATCH_WIRE_CONTENT;
		} else if (at + 7 <= (__s32)end && !bpf_skb_load_bytes(skb, at + 5, record->content, 2)) {
			record->held = 2;
		}
	}
	/* A ChangeCipherSpec between hellos leaves no hole between their bytes. */
	if ((record->type == HANDSHAKE && is_plain) ||
	    (record->type == CHANGE_CIPHER_SPEC && flow->phase == WIRE_CLIENT_HELLO))
		extend_plain(own, length);
	own->next += 5 + length;
	switch (record->type) {
	case CHANGE_CIPHER_SPEC:
		own->changed = 1;
		break;
	case ALERT:
		if (length == 2 && record->held && record->content[0] == 2)
			flow->phase = WIRE_DONE;
		break;
	case HANDSHAKE:
		see_handshake(skb, flow, own, is_client, at, record);
		break;
	case APPLICATION_DATA:
		see_encrypted(flow, is_client, length);
		break;
	}
	return flow->phase == WIRE_DONE;
}

/*
 * The next record's header of this direction, gathered into own->part, if all of it has come by the end of this segment.
 * Returns its offset in the packet plus 5, since it may begin in an earlier segment; 0 where there is none.
 */
__noinline int wire_header(struct __sk_buff *skb, struct wire_flow *flow, __u64 where, __u64 what)
{
	__u32 offset = where, payload = where >> 32, sequence = what >> 32, at;
	struct wire_direction *own;
	__s32 distance;
	__u8 byte;

	if (!flow)
		return 0;
	own = direction_of(flow, what & 1);
	for (int i = 0; i < 5; i++) {
		at = own->parts;
		if (at > 4)
			break;
		distance = own->next + at - sequence;
		if (distance < 0 || distance >= (__s32)payload)
			return 0;
		if (bpf_skb_load_bytes(skb, offset + distance, &byte, 1))
			return 0;
		BOUND(at, 7);
		if (at > 4)
			return 0;
		own->part[at] = byte;
		own->parts = at + 1;
	}
	distance = own->next - sequence;
	return offset + distance + 5;
}

static __noinline int wire_addresses(struct tlswatch_wire *out, struct sock *sk)
{
	__builtin_memset(out->local, 0, sizeof(out->local));
	__builtin_memset(out->remote, 0, sizeof(out->remote));
	out->family = sk->__sk_common.skc_family;
	if (out->family == AF_INET) {
		bpf_probe_read_kernel(out->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_probe_read_kernel(out->remote, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_probe_read_kernel(out->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(out->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
	out->local_port = sk->__sk_common.skc_num;
	out->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	return 0;
}

/* When the connection came about, as far as it was seen. */
static __noinline int wire_connected(struct tlswatch_wire *out, struct sock *sk)
{
	struct socket_state *state = state_of((__u64)sk);

	if (!state)
		return 0;
	out->connecting_ns = state->connecting_ns;
	out->established_ns = state->established_ns;
	return 0;
}

/* All but the records, the bytes and the addresses. `what`: the record's flags. */
__noinline int wire_fill(struct tlswatch_wire *out, struct wire_flow *flow, __u64 now, __u64 what)
{
	if (!out || !flow)
		return 0;
	out->header.time_ns = now;
	out->header.process_start_ns = flow->owner_start_ns;
	out->header.object = flow->number;
	out->header.pid = flow->pid;
	out->header.tid = flow->tid;
	out->header.kind = TLSWATCH_WIRE;
	out->header.profile = 0;
	out->header.size = sizeof(*out);
	out->header.hook = 0;
	out->start_ns = flow->start_ns;
	out->connecting_ns = 0;
	out->established_ns = 0;
	out->sequence = 0;
	out->rtt_us = 0;
	out->retransmits = TLSWATCH_NO_COUNT;
	out->flags = what;
	if (flow->client == TLSWATCH_RECEIVE)
		out->flags |= TLSWATCH_WIRE_IS_SERVER;
	out->byte_count = 0;
	out->family = 0;
	out->local_port = 0;
	out->remote_port = 0;
	out->records = 0;
	__builtin_memset(out->local, 0, sizeof(out->local));
	__builtin_memset(out->remote, 0, sizeof(out->remote));
	__builtin_memcpy(out->comm, flow->comm, sizeof(out->comm));
	__builtin_memset(out->record, 0, sizeof(out->record));
	return 0;
}

#endif
