/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams of QUIC handshakes: those that begin with a long header (RFC 9000 section 17.2) of a version that is known. Short
 * headers, which all that follows a handshake has, are passed over by their first bit.
 */
#ifndef TLSWATCH_WIRE_QUIC_BPF_H
#define TLSWATCH_WIRE_QUIC_BPF_H

#include "wire_records.bpf.h"

#define QUIC_V1 1U
#define QUIC_V2 0x6b3343cfU
/* A client's datagrams with Initial packets have so many bytes at least. */
#define QUIC_LEAST_INITIAL 1200
/* A handshake takes a dozen; who sends more in a second than so many each way floods. */
#define QUIC_DATAGRAMS 64
#define QUIC_WINDOW_NS 1000000000ULL
/* Datagrams that the kernel handles as one (UDP_SEGMENT, UDP_GRO), of which are looked at. */
#define QUIC_SEGMENTS 8

/* Who is spoken with on a socket. */
struct quic_peer_key {
	__u64 socket;
	__u8 remote[16];
	__u32 port;
	__u32 reserved;
};

struct quic_peer {
	__u64 since_ns;
	__u32 datagrams[2]; /* since then, by enum tlswatch_direction */
	__u32 left_out;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct quic_peer_key);
	__type(value, struct quic_peer);
} quic_peers SEC(".maps");

/* A datagram's place in the packet, and what is known of it. */
struct quic_place {
	__u32 offset; /* of its first byte, from the network header */
	__u32 length;
	__u16 udp; /* where UDP's header is */
	__u8 is_ipv4;
	__u8 is_initial;
};

static __always_inline bool is_quic_version(__u32 version)
{
	/* 0 is the server's list of the versions that it speaks; the last is what a client asks with to be given it. */
	return version == QUIC_V1 || version == QUIC_V2 || version == 0 || (version & 0x0f0f0f0f) == 0x0a0a0a0a;
}

/* Whether a packet is an Initial one, whose number in the header differs by version. */
static __always_inline bool is_initial(__u8 first, __u32 version)
{
	return version && (first >> 4 & 3) == (version == QUIC_V2);
}

/* Where the addresses are, theirs and the peer's, and how long they are. */
static __noinline int quic_addresses(struct __sk_buff *skb, struct tlswatch_datagram *out,
				     const struct quic_place *place, __u32 direction)
{
	__u32 source = place->is_ipv4 ? 12 : 8, target = place->is_ipv4 ? 16 : 24;
	__be16 ports[2];

	__builtin_memset(out->local, 0, sizeof(out->local));
	__builtin_memset(out->remote, 0, sizeof(out->remote));
	out->family = place->is_ipv4 ? AF_INET : AF_INET6;
	if (bpf_skb_load_bytes(skb, place->udp, ports, sizeof(ports)))
		return 0;
	out->local_port = bpf_ntohs(ports[direction == TLSWATCH_SEND ? 0 : 1]);
	out->remote_port = bpf_ntohs(ports[direction == TLSWATCH_SEND ? 1 : 0]);
	if (direction != TLSWATCH_SEND) {
		__u32 swapped = source;

		source = target;
		target = swapped;
	}
	if (place->is_ipv4) {
		bpf_skb_load_bytes(skb, source, out->local, 4);
		bpf_skb_load_bytes(skb, target, out->remote, 4);
	} else {
		bpf_skb_load_bytes(skb, source, out->local, 16);
		bpf_skb_load_bytes(skb, target, out->remote, 16);
	}
	return 0;
}

/* What is sent leaves in the task that sends it. */
static __noinline int quic_owner(struct tlswatch_datagram *out, __u32 direction)
{
	struct task_struct *task;

	out->header.pid = 0;
	out->header.tid = 0;
	out->header.process_start_ns = 0;
	__builtin_memset(out->comm, 0, sizeof(out->comm));
	if (direction != TLSWATCH_SEND)
		return 0;
	task = bpf_get_current_task_btf();
	out->header.pid = task->tgid;
	out->header.tid = task->pid;
	out->header.process_start_ns = task->group_leader->start_boottime;
	bpf_probe_read_kernel(out->comm, sizeof(out->comm), task->group_leader->comm);
	return 0;
}

/* Sends a datagram, with room for `most` bytes of it. `what`: the direction, and above 32 bits the record's flags. */
static __always_inline void tell_quic(struct __sk_buff *skb, const struct quic_place *place, __u64 what,
				      const __u32 most)
{
	struct tlswatch_datagram *out = bpf_ringbuf_reserve(&ring, sizeof(*out) + most, 0);
	__u64 count = place->length < most ? place->length : most;

	count_hit(TLSWATCH_PROGRAM_WIRE);
	if (!out) {
		count_drop(TLSWATCH_PROGRAM_WIRE, TLSWATCH_DROP_RING_FULL);
		return;
	}
	out->header.time_ns = bpf_ktime_get_ns();
	out->header.object = bpf_get_socket_cookie(skb);
	out->header.kind = TLSWATCH_DATAGRAM;
	out->header.profile = 0;
	out->header.hook = 0;
	out->header.size = sizeof(*out);
	out->flags = what >> 32;
	out->byte_count = 0;
	out->length = place->length;
	out->reserved = 0;
	quic_owner(out, (__u32)what);
	quic_addresses(skb, out, place, (__u32)what);
	if (count) {
		COPY_BOUND(count, most);
		if (!bpf_skb_load_bytes(skb, place->offset, (void *)(out + 1), count)) {
			out->byte_count = count;
			out->header.size += count;
		}
	}
	submit(out, TLSWATCH_PROGRAM_WIRE);
}

/* Of what holds no Initial packet the headers tell enough. */
static __noinline int tell_quic_128(struct __sk_buff *skb, const struct quic_place *place, __u64 what)
{
	tell_quic(skb, place, what, 128);
	return 0;
}

static __noinline int tell_quic_2048(struct __sk_buff *skb, const struct quic_place *place, __u64 what)
{
	tell_quic(skb, place, what, 2048);
	return 0;
}

static __noinline int quic_begin(const struct quic_peer_key *key)
{
	struct quic_peer fresh = {};

	return bpf_map_update_elem(&quic_peers, key, &fresh, BPF_NOEXIST);
}

/* Who is spoken with; NULL where nothing has begun and this begins nothing. */
static __noinline struct quic_peer *quic_peer(struct __sk_buff *skb, const struct quic_place *place, __u32 direction)
{
	struct quic_peer_key key = {};
	struct quic_peer *peer;
	bool sends = direction == TLSWATCH_SEND;
	__be16 port = 0;

	key.socket = bpf_get_socket_cookie(skb);
	bpf_skb_load_bytes(skb, place->udp + (sends ? 2 : 0), &port, sizeof(port));
	key.port = port;
	if (place->is_ipv4)
		bpf_skb_load_bytes(skb, sends ? 16 : 12, key.remote, 4);
	else
		bpf_skb_load_bytes(skb, sends ? 24 : 8, key.remote, 16);
	peer = bpf_map_lookup_elem(&quic_peers, &key);
	if (peer || !place->is_initial || place->length < QUIC_LEAST_INITIAL)
		return peer;
	quic_begin(&key);
	return bpf_map_lookup_elem(&quic_peers, &key);
}

/* Whether one more is told; in the upper half the flags of its record. */
static __noinline __u64 quic_admit(struct quic_peer *peer, __u32 direction)
{
	__u64 now = bpf_ktime_get_ns(), flags = 0;
	__u32 *datagrams;

	if (!peer)
		return 0;
	datagrams = direction == TLSWATCH_SEND ? &peer->datagrams[TLSWATCH_SEND] : &peer->datagrams[TLSWATCH_RECEIVE];
	if (now - peer->since_ns > QUIC_WINDOW_NS) {
		peer->since_ns = now;
		peer->datagrams[0] = 0;
		peer->datagrams[1] = 0;
	}
	if (++*datagrams > QUIC_DATAGRAMS) {
		peer->left_out = 1;
		return 0;
	}
	if (peer->left_out) {
		peer->left_out = 0;
		flags = TLSWATCH_WIRE_GAP;
	}
	if (direction == TLSWATCH_SEND)
		flags |= TLSWATCH_WIRE_SENT;
	return flags << 32 | 1;
}

/* A datagram that begins with this head; returns whether it is one of a handshake. */
static __noinline int quic_datagram(struct __sk_buff *skb, struct quic_place *place, __u32 direction)
{
	__u8 head[5];
	__u32 version;
	__u64 admitted;

	if (bpf_skb_load_bytes(skb, place->offset, head, sizeof(head)) || !(head[0] & 0x80))
		return 0;
	version = head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
	if (!is_quic_version(version))
		return 0;
	place->is_initial = is_initial(head[0], version);
	admitted = quic_admit(quic_peer(skb, place, direction), direction);
	if (!admitted)
		return 1;
	admitted = (admitted >> 32) << 32 | direction;
	if (place->is_initial)
		tell_quic_2048(skb, place, admitted);
	else
		tell_quic_128(skb, place, admitted);
	return 1;
}

/* A packet of UDP with a long header; `offset` is where its payload is. */
static __noinline int quic_packet(struct __sk_buff *skb, __u32 offset, __u32 direction)
{
	struct quic_place place = { .offset = offset, .udp = offset - 8, .is_ipv4 = offset == 28 };
	__u32 left = skb->len > offset ? skb->len - offset : 0, segment = skb->gso_size;

	if (!segment || segment > left)
		segment = left;
	if (knobs.filter_processes && direction == TLSWATCH_SEND && !is_observed(bpf_get_current_task_btf()->tgid))
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < QUIC_SEGMENTS && left; i++) {
		place.length = left < segment ? left : segment;
		if (!quic_datagram(skb, &place, direction))
			break;
		place.offset += segment;
		left -= place.length;
	}
	count_packet(TLSWATCH_WIRE_PATH_HANDSHAKE);
	return 0;
}

/* UDP: the cheapest test first. An IPv4 header with options is not looked at. */
static __always_inline bool pass_udp(struct __sk_buff *skb, __u32 direction)
{
	__u32 offset = skb->protocol == bpf_htons(ETHERTYPE_IPV4) ? 28 : 48;
	__u8 head[5];

	if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)) || !(head[0] & 0x80) ||
	    !is_quic_version(head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4]))
		return false;
	quic_packet(skb, offset, direction);
	return true;
}

#endif
