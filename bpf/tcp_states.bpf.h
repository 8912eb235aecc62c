/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP states: when connections begin, come about and end. */
#ifndef TLSWATCH_TCP_STATES_BPF_H
#define TLSWATCH_TCP_STATES_BPF_H

#include "socket_table.bpf.h"
#include "records.bpf.h"
#include <bpf/bpf_tracing.h>

/*
 * With TCP_FASTOPEN_CONNECT the SYN goes out with the first bytes, not with connect(2): the moment is worked out from the
 * time that its answer took. Where it had to be sent again, that tells nothing.
 */
static __noinline __u64 syn_sent_ns(struct sock *sk, __u64 connecting_ns, __u64 now)
{
	struct tcp_sock *tcp = (void *)sk;
	__u64 answer_ns;

	if (sk->sk_protocol != IPPROTO_TCP || !bpf_core_field_exists(tcp->fastopen_connect) ||
	    !BPF_CORE_READ_BITFIELD_PROBED(tcp, fastopen_connect))
		return connecting_ns;
	answer_ns = (__u64)(BPF_CORE_READ(tcp, srtt_us) >> 3) * 1000;
	if (!answer_ns || BPF_CORE_READ(tcp, total_retrans))
		return 0;
	return now - answer_ns > connecting_ns ? now - answer_ns : connecting_ns;
}

/*
 * A server's MPTCP socket is made, established, right after the TCP socket below it has got into SYN_RECV: on this processor
 * and in the same turn of its softirq.
 */
#define MPTCP_TURN_NS 1000000

static __noinline __u64 mptcp_connecting_ns(__u64 now)
{
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&last_syn_recv, &zero);

	return last && now - *last < MPTCP_TURN_NS ? *last : 0;
}

static __noinline int establish(struct sock *sk, struct socket_state *state, int old_state, __u64 now)
{
	if (old_state == TCP_SYN_SENT && state->connecting_ns)
		state->connecting_ns = syn_sent_ns(sk, state->connecting_ns, now);
	else if (!state->connecting_ns && sk->sk_protocol == IPPROTO_MPTCP)
		state->connecting_ns = mptcp_connecting_ns(now);
	state->established_ns = now;
	return 0;
}

static __noinline int begin_connecting(struct socket_state *state, int new_state, __u64 now)
{
	__u32 zero = 0;
	__u64 *last;

	clear_state(state, now);
	state->connecting_ns = now;
	last = new_state == TCP_SYN_RECV ? bpf_map_lookup_elem(&last_syn_recv, &zero) : NULL;
	if (last)
		*last = now;
	return 0;
}

/* A connection begins, or has come about. */
static __noinline int connecting(struct sock *sk, int old_state, int new_state)
{
	struct socket_state *state = state_of((__u64)sk);
	__u64 now = bpf_ktime_get_ns();

	if (!state)
		state = claim_slot((__u64)sk, now);
	if (!state) {
		count_skipped_hit(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_COLLISION);
		return 0;
	}
	if (new_state == TCP_ESTABLISHED)
		establish(sk, state, old_state, now);
	else
		begin_connecting(state, new_state, now);
	count_skipped_hit(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_NOTED);
	return 0;
}

/* A connection is being closed on which a TLS object's handshake may be in progress: told once. */
static __noinline int closing(struct sock *sk, struct socket_state *state, int old_state, int new_state)
{
	struct tlswatch_socket_closed *record;

	count_hit(TLSWATCH_PROGRAM_SOCKET_STATE);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, bpf_ktime_get_ns(), state->object, TLSWATCH_SOCKET_CLOSED, state->profile,
		    sizeof(*record), 0);
	record->header.pid = state->pid;
	record->header.tid = state->tid;
	record->header.process_start_ns = state->process_start_ns;
	record->number = state->number;
	record->old_state = old_state;
	record->new_state = new_state;
	record->error = sk->sk_err;
	state->object = 0;
	submit(record, TLSWATCH_PROGRAM_SOCKET_STATE);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state, struct sock *sk, int old_state, int new_state)
{
	struct socket_state *state;

	switch (new_state) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
	case TCP_ESTABLISHED:
		if (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_MPTCP)
			return 0;
		return connecting(sk, old_state, new_state);
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
	case TCP_CLOSE:
		state = state_of((__u64)sk);
		if (state && state->object && !(state->flags & IS_DONE))
			closing(sk, state, old_state, new_state);
		if (state && new_state == TCP_CLOSE)
			forget_socket((__u64)sk);
		return 0;
	default:
		return 0;
	}
}

#endif
