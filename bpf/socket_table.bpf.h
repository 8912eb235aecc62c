/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is kept of sockets, by their addresses. */
#ifndef TLSWATCH_SOCKET_TABLE_BPF_H
#define TLSWATCH_SOCKET_TABLE_BPF_H

#include "maps.bpf.h"
#include <bpf/bpf_endian.h>

/* Flags of a socket's state. */
enum { IN_HANDSHAKE = 1, IS_TCP = 2, IS_DONE = 4 /* the last one was told to be done */ };

/* So long after it was made, a state that no TLS object has used is of no connection that is just beginning. */
#define BEGINNING_NS 5000000000ULL
/* And so long after its first use, one of a handshake that nobody has seen the end of. */
#define HANDSHAKE_NS 300000000000ULL

static __always_inline struct socket_state *slot_of(__u64 sk)
{
	__u32 index;

	/* Of a kernel's pointer the verifier takes the lower half for a number, where it is moved by itself. */
	asm volatile("%0 = %1" : "=w"(index) : "w"((__u32)sk));
	index = (index * 0x9e3779b1U) >> 16; /* the golden ratio: neighbours go far apart */
	return bpf_map_lookup_elem(&socket_slots, &index);
}

static __always_inline bool is_over(const struct socket_state *state, __u64 now)
{
	__u64 age = now - state->used_ns;

	if (!state->object)
		return age > BEGINNING_NS;
	return !(state->flags & IN_HANDSHAKE) || age > HANDSHAKE_NS;
}

static __always_inline void clear_state(struct socket_state *state, __u64 now)
{
	state->connecting_ns = 0;
	state->established_ns = 0;
	state->used_ns = now;
	state->object = 0;
	state->number = 0;
	state->proof = TLSWATCH_NO_PROOF;
	state->flags = 0;
}

/* The place of a socket that has none yet; NULL where another one needs it. */
static __noinline struct socket_state *claim_slot(__u64 sk, __u64 now)
{
	struct socket_state *slot = slot_of(sk);
	__u64 before;

	if (!slot)
		return NULL;
	before = slot->sk;
	if (before && !is_over(slot, now))
		return NULL;
	if (__sync_val_compare_and_swap(&slot->sk, before, sk) != before)
		return NULL;
	clear_state(slot, now);
	return slot;
}

/* A place elsewhere, for a socket that a TLS object uses. */
static __noinline int displace(__u64 sk, __u64 now)
{
	struct socket_state *state;
	__u32 zero = 0;

	state = bpf_map_lookup_elem(&no_socket, &zero);
	if (!state || bpf_map_update_elem(&displaced_sockets, &sk, state, BPF_NOEXIST))
		return 0;
	__sync_fetch_and_add(&shared.displaced_sockets, 1);
	state = bpf_map_lookup_elem(&displaced_sockets, &sk);
	if (!state)
		return 0;
	state->sk = sk;
	state->used_ns = now;
	return 0;
}

/* What is kept of a socket. */
static __noinline struct socket_state *state_of(__u64 sk)
{
	struct socket_state *state = slot_of(sk);

	if (state && state->sk == sk)
		return state;
	return shared.displaced_sockets ? bpf_map_lookup_elem(&displaced_sockets, &sk) : NULL;
}

/* The same where nothing is kept yet, for a TLS object's socket: NULL only for want of memory. */
static __noinline struct socket_state *new_state_of(__u64 sk, __u64 now)
{
	struct socket_state *state = claim_slot(sk, now);

	if (state)
		return state;
	displace(sk, now);
	return bpf_map_lookup_elem(&displaced_sockets, &sk);
}

/* A socket is gone: its place is free. */
static __noinline int forget_socket(__u64 sk)
{
	struct socket_state *slot = slot_of(sk);

	if (slot && slot->sk == sk)
		slot->sk = 0;
	else if (shared.displaced_sockets && !bpf_map_delete_elem(&displaced_sockets, &sk))
		__sync_fetch_and_add(&shared.displaced_sockets, -1);
	return 0;
}

static __always_inline __u16 protocol_of(__u64 sk)
{
	return KERNEL_MEMBER(struct sock, sk, sk_protocol);
}

/* Segments that were sent again on a TCP socket, SYN and SYN-ACK among them. */
static __always_inline __u32 retransmits_of(__u64 sk)
{
	return KERNEL_MEMBER(struct tcp_sock, sk, total_retrans);
}

/* Its round-trip time, smoothed. */
static __always_inline __u32 rtt_us_of(__u64 sk)
{
	return KERNEL_MEMBER(struct tcp_sock, sk, srtt_us) >> 3;
}

/* Whose connection it is. */
static __always_inline void fill_socket(struct tlswatch_socket *record, struct sock *sk)
{
	record->family = KERNEL_MEMBER(struct sock, sk, __sk_common.skc_family);
	record->protocol = KERNEL_MEMBER(struct sock, sk, sk_protocol);
	__builtin_memset(record->local, 0, sizeof(record->local));
	__builtin_memset(record->remote, 0, sizeof(record->remote));
	record->local_port = 0;
	record->remote_port = 0;
	if (record->family == AF_INET) {
		*(__be32 *)record->local = KERNEL_MEMBER(struct sock, sk, __sk_common.skc_rcv_saddr);
		*(__be32 *)record->remote = KERNEL_MEMBER(struct sock, sk, __sk_common.skc_daddr);
	} else if (record->family == AF_INET6) {
		bpf_probe_read_kernel(record->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(record->remote, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		return;
	}
	record->local_port = KERNEL_MEMBER(struct sock, sk, __sk_common.skc_num);
	record->remote_port = bpf_ntohs(KERNEL_MEMBER(struct sock, sk, __sk_common.skc_dport));
}

#endif
