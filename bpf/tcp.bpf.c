/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP states and socket I/O. The I/O programs run for every socket of the host, so their first
 * test is whether this thread is inside a handshake call; only what passes it counts as a hit.
 */

static __always_inline void fill_socket(struct tlswatch_socket *record, struct sock *sk)
{
	record->cookie = (__u64)sk;
	record->family = sk->__sk_common.skc_family;
	record->protocol = sk->sk_protocol;
	__builtin_memset(record->local, 0, sizeof(record->local));
	__builtin_memset(record->remote, 0, sizeof(record->remote));
	record->local_port = 0;
	record->remote_port = 0;
	if (record->family == AF_INET) {
		bpf_probe_read_kernel(record->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_probe_read_kernel(record->remote, 4, &sk->__sk_common.skc_daddr);
	} else if (record->family == AF_INET6) {
		bpf_probe_read_kernel(record->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(record->remote, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		return;
	}
	record->local_port = sk->__sk_common.skc_num;
	record->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
}

static __always_inline int socket_io(struct sock *sk, int length, __u32 direction, __u32 program)
{
	struct frame *frame = top_frame(bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0));
	struct tlswatch_socket *record;
	struct socket_state *state;
	__u64 now;

	if (!frame)
		return 0;
	count_hit(program);
	if (direction == TLSWATCH_RECEIVE || (length < 0 && length != -EAGAIN))
		frame->io_result = length;
	/* A receive ties the socket to the object even if nothing came: a silent peer's session has an address. */
	if (length <= 0 && (direction == TLSWATCH_SEND || frame->socket == (__u64)sk)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (direction == TLSWATCH_SEND) {
		if (!frame->first_send_ns)
			frame->first_send_ns = now;
	} else if (length > 0) {
		frame->input_ns = now;
	}
	if (frame->socket == (__u64)sk) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	frame->socket = (__u64)sk;
	state = bpf_sk_storage_get(&sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!state) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 0;
	}
	/* Told already, unless this is another handshake on the same object. */
	if (!frame->began && state->object == frame->object && state->pid == bpf_get_current_pid_tgid() >> 32) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	state->object = frame->object;
	state->profile = frame->profile;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, frame->object, TLSWATCH_SOCKET, frame->profile, sizeof(*record), 0);
	/* Softirq closes sockets in anybody's name: the owner is remembered here. */
	state->pid = record->header.pid;
	state->tid = record->header.tid;
	state->process_start_ns = record->header.process_start_ns;
	/* They belong to the first handshake on the socket alone: not to one inside it, nor to a renegotiation. */
	record->connecting_ns = state->connecting_ns;
	record->established_ns = state->established_ns;
	state->connecting_ns = 0;
	state->established_ns = 0;
	record->direction = direction;
	record->length = length;
	fill_socket(record, sk);
	submit(record, program);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_send, struct sock *sk, int length, int flags)
{
	return socket_io(sk, length, TLSWATCH_SEND, TLSWATCH_PROGRAM_SOCKET_SEND);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_receive, struct sock *sk, int length, int flags)
{
	return socket_io(sk, length, TLSWATCH_RECEIVE, TLSWATCH_PROGRAM_SOCKET_RECEIVE);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state, struct sock *sk, int old_state, int new_state)
{
	struct tlswatch_socket_closed *record;
	struct socket_state *state;

	switch (new_state) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
	case TCP_ESTABLISHED:
		if (sk->sk_protocol != IPPROTO_TCP)
			return 0;
		count_hit(TLSWATCH_PROGRAM_SOCKET_STATE);
		state = bpf_sk_storage_get(&sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!state) {
			count_drop(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_NO_MEMORY);
			return 0;
		}
		if (new_state == TCP_ESTABLISHED) {
			state->established_ns = bpf_ktime_get_ns();
		} else {
			state->connecting_ns = bpf_ktime_get_ns();
			state->established_ns = 0;
			state->object = 0;
		}
		count_drop(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_NOTED);
		return 0;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
	case TCP_CLOSE:
		state = bpf_sk_storage_get(&sockets, sk, 0, 0);
		if (!state || !state->object)
			return 0;
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
		record->cookie = (__u64)sk;
		record->old_state = old_state;
		record->new_state = new_state;
		state->object = 0;
		submit(record, TLSWATCH_PROGRAM_SOCKET_STATE);
		return 0;
	default:
		return 0;
	}
}
