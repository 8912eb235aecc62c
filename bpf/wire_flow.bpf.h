/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is kept of a TCP connection while packets are looked at for its TLS handshake. */
#ifndef TLSWATCH_WIRE_FLOW_BPF_H
#define TLSWATCH_WIRE_FLOW_BPF_H

#include "maps.bpf.h"
#include <bpf/bpf_endian.h>

#define ETHERTYPE_IPV4 0x0800

/* Once a connection has carried so much both ways, its handshake is over, or there was none. */
#define WIRE_PAST 65536
/* A ClientHello begins in one of the first segments with payload, both ways (STARTTLS and the like come before it). */
#define WIRE_PLAIN_SEGMENTS 40
/* And a handshake has no more than so many. */
#define WIRE_SEGMENTS 64
/* So many with payload, both ways, are more than those two, whatever was sent again. */
#define WIRE_PAST_SEGMENTS 256

/* Of one direction, which is one processor's at a time. By enum tlswatch_direction. */
struct wire_direction {
	__u32 next; /* TCP sequence number of the next record's header */
	/* A run of plaintext handshake records; empty where the two are the same. */
	__u32 plain_begin;
	__u32 plain_end;
	__u16 left;   /* of TLSWATCH_WIRE_BYTES */
	__u8 part[5]; /* of a header that lies across segments, its first bytes */
	__u8 parts;
	__u8 changed;  /* ChangeCipherSpec was seen */
	__u8 finished; /* Finished was, or in TLS 1.3 a record of its length */
	__u8 flight;   /* records of TLS 1.3 behind the ServerHello, or behind the client's flight */
	__u8 gap;      /* records may have been missed: what looks like a header may be none */
};

enum wire_phase { WIRE_CLIENT_HELLO = 1, WIRE_SERVER_HELLO, WIRE_DONE };

struct wire_flow {
	__u64 number;
	__u64 start_ns;
	__u64 owner_start_ns;
	__u32 pid; /* 0 until it is known */
	__u32 tid;
	char comm[TLSWATCH_COMM_SIZE];
	struct wire_direction direction[2];
	__u16 segments;
	__u8 phase;     /* enum wire_phase */
	__u8 client;    /* enum tlswatch_direction: what the client sends */
	__u8 encrypted; /* TLS 1.3's encrypted records were seen */
	__u8 open;      /* 1 << direction: where its first record begins is not known yet (TCP Fast Open) */
	__u8 reserved[2];
};

/* With what the kernel adds 708 bytes a socket at most, until its handshake is over. */
_Static_assert(sizeof(struct wire_flow) <= 216, "memory of a socket");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wire_flow);
} wire_flows SEC(".maps");

/* 6.1 follows no other bound of a count that is not 0 than this one; `most` is a power of two. */
#define COPY_BOUND(count, most) asm volatile("%0 += -1\n\t%0 &= %1\n\t%0 += 1" : "+r"(count) : "i"((most)-1))

struct wire_packets {
	__u64 path[TLSWATCH_WIRE_PATH_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wire_packets);
} wire_packets SEC(".maps");

static __always_inline void count_packet(__u32 path)
{
	__u32 zero = 0;
	struct wire_packets *packets = bpf_map_lookup_elem(&wire_packets, &zero);
	__u64 index = path;

	barrier_var(index);
	/* Not atomically, which would cost as much as the rest: a packet may be counted once less, and no sum stands on it. */
	if (packets && index < TLSWATCH_WIRE_PATH_COUNT)
		packets->path[index]++;
}

/* A segment's place in the packet and in the stream. */
struct wire_segment {
	__u32 sequence; /* of its payload */
	__u32 offset;   /* of its payload, from the network header */
	__u32 payload;  /* bytes */
	__u8 flags;     /* TCP's */
	__u8 header;    /* where TCP's header is */
	__u16 what;     /* TLSWATCH_WIRE_SENT, TLSWATCH_WIRE_BEGINS */
};

enum { TCP_FLAG_FIN = 1, TCP_FLAG_SYN = 2, TCP_FLAG_RST = 4 };

static __always_inline void wire_place(struct wire_segment *segment, __u32 header, __u32 total, __u32 sequence,
				       __u8 words, __u8 flags)
{
	__u32 offset = header + (words >> 4) * 4;

	segment->sequence = sequence + !!(flags & TCP_FLAG_SYN);
	segment->flags = flags;
	segment->header = header;
	segment->offset = offset;
	segment->payload = total > offset ? total - offset : 0;
}

/* Wherever the headers lie, with options or without. */
static __noinline int wire_parse_any(struct __sk_buff *skb, struct wire_segment *segment)
{
	__u8 version, next;
	__be16 length;
	__be32 sequence;
	__u8 end[2]; /* data offset, flags */
	__u32 offset = 40, total = skb->len;

	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return 1;
	if (version >> 4 == 4) {
		offset = (version & 15) * 4;
		/* Short packets may be padded. */
		if (bpf_skb_load_bytes(skb, 2, &length, 2) || bpf_skb_load_bytes(skb, 9, &next, 1))
			return 1;
		if (bpf_ntohs(length) > offset && bpf_ntohs(length) < total)
			total = bpf_ntohs(length);
	} else if (bpf_skb_load_bytes(skb, 6, &next, 1)) {
		return 1;
	}
	if (next != IPPROTO_TCP)
		return 1;
	if (bpf_skb_load_bytes(skb, offset + 4, &sequence, 4) || bpf_skb_load_bytes(skb, offset + 12, end, 2))
		return 1;
	wire_place(segment, offset, total, bpf_ntohl(sequence), end[0], end[1]);
	return 0;
}

/* Of IPv6, where they nearly always are. Apart: what the two have in common would be made one, which takes stack. */
static __noinline int wire_parse_6(struct __sk_buff *skb, struct wire_segment *segment)
{
	const __u8 *ip = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (ip + 54 > end || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP)
		return wire_parse_any(skb, segment);
	wire_place(segment, 40, skb->len, bpf_ntohl(*(__be32 *)(ip + 44)), ip[52], ip[53]);
	return 0;
}

/* Reads the headers where they nearly always are, without a helper for each field. */
static __always_inline int wire_parse(struct __sk_buff *skb, struct wire_segment *segment)
{
	const __u8 *ip = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *tcp;
	__u32 total = skb->len, length;

	/* As far as flags in TCP's header. */
	if (ip + 34 <= end && ip[0] == 0x45 && ip[9] == IPPROTO_TCP) {
		length = bpf_ntohs(*(__be16 *)(ip + 2));
		/* Short packets may be padded. */
		if (length > 20 && length < total)
			total = length;
		tcp = ip + 20;
		wire_place(segment, 20, total, bpf_ntohl(*(__be32 *)(tcp + 4)), tcp[12], tcp[13]);
		return 0;
	}
	return wire_parse_6(skb, segment);
}

/* Bytes by which a ClientHello is known: its record's and its message's header, and its version. */
#define WIRE_HELLO_HEAD 11

static __always_inline bool begins_hello(const __u8 *head)
{
	return head[0] == 22 && head[1] == 3 && head[2] <= 4 && head[5] == 1 && head[6] == 0 && head[9] == 3 &&
	       head[10] <= 4;
}

static __always_inline bool is_client_hello(struct __sk_buff *skb, __u32 at)
{
	__u8 head[WIRE_HELLO_HEAD];

	return !bpf_skb_load_bytes(skb, at, head, sizeof(head)) && begins_hello(head);
}

/* How long the line is that a PROXY header of version 1 is. */
static __noinline int proxy_line(struct __sk_buff *skb, __u32 at)
{
	__u8 byte;

	for (int i = 15; i < 107; i++) {
		if (bpf_skb_load_bytes(skb, at + i, &byte, 1))
			return 0;
		if (byte == '\n')
			return i + 1;
	}
	return 0;
}

/* What may stand before a ClientHello in its segment: the PROXY protocol's header, or MySQL's request for TLS. Its length. */
static __noinline int prefix_length(struct __sk_buff *skb, __u32 at)
{
	__u8 head[8];
	__be16 length;

	if (bpf_skb_load_bytes(skb, at, head, 8))
		return 0;
	if (head[0] == 'P' && head[1] == 'R' && head[2] == 'O' && head[3] == 'X' && head[4] == 'Y')
		return proxy_line(skb, at);
	if (head[0] == '\r' && head[1] == '\n' && head[2] == '\r' && head[4] == 0 && head[6] == '\n')
		return bpf_skb_load_bytes(skb, at + 14, &length, 2) ? 0 : 16 + bpf_ntohs(length);
	return head[0] == 32 && head[1] == 0 && head[2] == 0 && head[3] == 1 ? 36 : 0;
}

/* Where one begins that the first byte allows: there, or behind what may stand before it. */
static __noinline int find_client_hello_at(struct __sk_buff *skb, __u32 at)
{
	int length;

	if (is_client_hello(skb, at))
		return 0;
	length = prefix_length(skb, at);
	return length > 0 && is_client_hello(skb, at + length) ? length : -1;
}

/* Where in the segment's payload a ClientHello begins; negative where none does. The first byte tells of nearly all. */
static __always_inline int find_client_hello(struct __sk_buff *skb, __u32 at)
{
	__u8 first;

	if (bpf_skb_load_bytes(skb, at, &first, 1))
		return -1;
	return first == 22 || first == 'P' || first == '\r' || first == 32 ? find_client_hello_at(skb, at) : -1;
}

/*
 * In egress a lock that a process owns is held by the current task: it is the one that sends, or that closes the socket. A
 * softirq, which sends in anybody's time, holds the lock without owning it.
 */
static __noinline int wire_owner(struct wire_flow *flow, struct tcp_sock *tcp)
{
	struct task_struct *task;

	if (flow->pid || !((struct sock *)tcp)->sk_lock.owned)
		return 0;
	task = bpf_get_current_task_btf();
	flow->tid = task->pid;
	flow->owner_start_ns = task->group_leader->start_boottime;
	bpf_probe_read_kernel(flow->comm, sizeof(flow->comm), task->group_leader->comm);
	flow->pid = task->tgid;
	return 0;
}

/* The other direction's first record begins with the next byte that it carries. */
static __noinline int wire_begin(struct wire_flow *flow, struct tcp_sock *tcp, __u64 number, __u64 where)
{
	__u32 direction = where & 1, next = where >> 32;
	__u64 now = bpf_ktime_get_ns();

	if (!flow)
		return 0;
	flow->number = number;
	flow->start_ns = now;
	flow->client = direction;
	flow->segments = 0;
	flow->open = 0;
	flow->direction[0].left = TLSWATCH_WIRE_BYTES;
	flow->direction[1].left = TLSWATCH_WIRE_BYTES;
	if (direction == TLSWATCH_SEND) {
		flow->direction[TLSWATCH_SEND].next = next;
		flow->direction[TLSWATCH_RECEIVE].next = tcp->rcv_nxt;
		/* In the SYN: the peer has not told where it begins. */
		if (((struct sock *)tcp)->__sk_common.skc_state == TCP_SYN_SENT)
			flow->open = 1 << TLSWATCH_RECEIVE;
	} else {
		flow->direction[TLSWATCH_RECEIVE].next = next;
		flow->direction[TLSWATCH_SEND].next = tcp->write_seq;
	}
	flow->direction[0].plain_begin = flow->direction[0].plain_end = flow->direction[0].next;
	flow->direction[1].plain_begin = flow->direction[1].plain_end = flow->direction[1].next;
	flow->phase = WIRE_CLIENT_HELLO;
	return 0;
}

/* The first segment that tells where a direction's bytes begin: a SYN, or one with payload. */
static __noinline int wire_open(struct wire_flow *flow, const struct wire_segment *segment, __u32 direction)
{
	struct wire_direction *own = direction ? &flow->direction[1] : &flow->direction[0];

	if (!(flow->open >> direction & 1) || (!segment->payload && !(segment->flags & TCP_FLAG_SYN)))
		return 0;
	flow->open &= ~(1 << direction);
	own->next = own->plain_begin = own->plain_end = segment->sequence;
	return 0;
}

#endif
