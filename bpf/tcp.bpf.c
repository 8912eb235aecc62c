/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP states and socket I/O. The I/O programs run for every socket of the host, so their first
 * test is whether this thread is inside a handshake call; only what passes it counts as a hit.
 */

static __always_inline void fill_socket(struct tlswatch_socket *record, struct sock *sk)
{
	record->cookie = (__u64)sk;
	record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	record->protocol = BPF_CORE_READ(sk, sk_protocol);
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
	record->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	record->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

/* What is kept of a socket by its address: made where there is nothing yet. */
__noinline int make_state(__u64 sk)
{
	struct socket_state state = {};

	bpf_map_update_elem(&socket_table, &sk, &state, BPF_NOEXIST);
	return 0;
}

static __always_inline struct socket_state *state_by_address(__u64 sk, bool create)
{
	struct socket_state *state = bpf_map_lookup_elem(&socket_table, &sk);

	if (state || !create)
		return state;
	make_state(sk);
	return bpf_map_lookup_elem(&socket_table, &sk);
}

/* The same for a socket that is the kernel's own pointer. */
static __always_inline struct socket_state *state_of(struct sock *sk, bool create)
{
	if (sockets_by_address)
		return state_by_address((__u64)sk, create);
	return bpf_sk_storage_get(&sockets, sk, 0, create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

/* The handshake call that this thread is in, if any. */
static __always_inline struct frame *current_frame(void)
{
	return top_frame(bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0));
}

static __always_inline int socket_io(struct frame *frame, struct sock *sk, int length, __u32 direction, __u32 program)
{
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
	state = state_of(sk, true);
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
	return socket_io(current_frame(), sk, length, TLSWATCH_SEND, TLSWATCH_PROGRAM_SOCKET_SEND);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_receive, struct sock *sk, int length, int flags)
{
	return socket_io(current_frame(), sk, length, TLSWATCH_RECEIVE, TLSWATCH_PROGRAM_SOCKET_RECEIVE);
}

#if defined(__TARGET_ARCH_x86)
#define SYSTEM_CALL(registers) (registers)->orig_ax
#define FIRST_ARGUMENT(registers) (registers)->di
enum { READ = 0, WRITE = 1, READV = 19, WRITEV = 20, SENDTO = 44, RECVFROM = 45, SENDMSG = 46, RECVMSG = 47 };
#elif defined(__TARGET_ARCH_arm64)
#define SYSTEM_CALL(registers) (registers)->syscallno
#define FIRST_ARGUMENT(registers) (registers)->orig_x0
enum { READ = 63, WRITE = 64, READV = 65, WRITEV = 66, SENDTO = 206, RECVFROM = 207, SENDMSG = 211, RECVMSG = 212 };
#endif

/* The socket behind a descriptor of this process, or 0 where there is none. */
__noinline __u64 socket_of(__u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt);
	struct file *file = 0;
	struct socket *socket;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + descriptor);
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return (__u64)BPF_CORE_READ(socket, sk);
}

/*
 * Stands in for the two above before Linux 6.3. It runs at the end of every system call of the host; the
 * call's number and first argument are still in the registers it was made with.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(system_call_exit, struct pt_regs *registers, long result)
{
	struct frame *frame = current_frame();
	struct sock *sk;

	if (!frame)
		return 0;
	switch (SYSTEM_CALL(registers)) {
	case READ:
	case READV:
	case RECVFROM:
	case RECVMSG:
		sk = (struct sock *)socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(frame, sk, result, TLSWATCH_RECEIVE, TLSWATCH_PROGRAM_SOCKET_RECEIVE) : 0;
	case WRITE:
	case WRITEV:
	case SENDTO:
	case SENDMSG:
		sk = (struct sock *)socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(frame, sk, result, TLSWATCH_SEND, TLSWATCH_PROGRAM_SOCKET_SEND) : 0;
	default:
		return 0;
	}
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
		state = state_of(sk, true);
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
		state = state_of(sk, false);
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
