/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP states and socket I/O. The I/O programs run for every socket of the host, so their first
 * test is whether this thread is inside a handshake call; only what passes it counts as a hit.
 */

static __always_inline void fill_socket(struct tlswatch_socket *record, struct sock *sk)
{
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

/* ---- is a socket the handshake's own? ---- */

#if defined(__TARGET_ARCH_x86)
#define SYSTEM_CALL(registers) (registers)->orig_ax
#define FIRST_ARGUMENT(registers) (registers)->di
#define SECOND_ARGUMENT(registers) (registers)->si
enum { READ = 0, WRITE = 1, READV = 19, WRITEV = 20, SENDTO = 44, RECVFROM = 45, SENDMSG = 46, RECVMSG = 47 };
#elif defined(__TARGET_ARCH_arm64)
#define SYSTEM_CALL(registers) (registers)->syscallno
#define FIRST_ARGUMENT(registers) (registers)->orig_x0
#define SECOND_ARGUMENT(registers) (registers)->regs[1]
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

/* What the object's transport tells of a socket. */
enum { IS_ANOTHER = 0, NOT_TOLD, IS_THE_ONE };
#define TRANSPORTS 4   /* filters that are looked through */

/* Whether the kind whose table is there is one of the library's own. */
static __noinline bool is_own_kind(const struct tlswatch_transport *layout, __u64 table)
{
	__u64 name = 0, address;

	_Static_assert(sizeof(name) == TLSWATCH_KIND_NAME, "name");
	if (bpf_probe_read_user(&address, sizeof(address), (void *)(table + layout->name)) ||
	    bpf_probe_read_user_str(&name, sizeof(name), (void *)address) < 0)
		return false;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_KINDS; i++)
		if (name && layout->own[i] == name)
			return true;
	return false;
}

/* Whether a descriptor of this process is of that file. */
static __always_inline bool is_of_file(__u32 descriptor, __u64 file)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	__u64 found = 0;

	if (descriptor >= table->max_fds)
		return false;
	bpf_probe_read_kernel(&found, sizeof(found), table->fd + descriptor);
	return found && found == file;
}

/* Whether the object's transport has the descriptor of the socket whose file is there. */
__noinline int transport_tells(const struct tlswatch_profile *profile, struct frames *frames, __u64 object, __u64 file)
{
	const struct tlswatch_transport *layout;
	__u64 address, table;
	__u32 done, kind;
	int descriptor;

	if (!profile || !frames)
		return NOT_TOLD;
	layout = &profile->transport;
	if (!layout->known)
		return NOT_TOLD;
	done = read_state(profile, frames, object);
	done = read_more(profile, frames, object, profile->transport_reads, done);
	if (profile->transport_reads & ~done)
		return NOT_TOLD;
	address = address_of(profile, frames, object, done, TLSWATCH_TRANSPORT);
#pragma clang loop unroll(disable)
	for (int i = 0; i < TRANSPORTS; i++) {
		/* A filter before nothing is the application's own transport under a number of its liking (haproxy's). */
		if (!address)
			return i ? NOT_TOLD : IS_ANOTHER;
		if (bpf_probe_read_user(&table, sizeof(table), (void *)(address + layout->kinds)) ||
		    bpf_probe_read_user(&kind, sizeof(kind), (void *)(table + layout->kind)))
			return NOT_TOLD;
		if (kind & layout->has_descriptor) {
			if (bpf_probe_read_user(&descriptor, sizeof(descriptor),
						(void *)(address + layout->descriptor)))
				return NOT_TOLD;
			if (descriptor >= 0 && is_of_file(descriptor, file))
				return IS_THE_ONE;
			break;
		}
		if (!(kind & layout->is_filter))
			break;
		if (bpf_probe_read_user(&address, sizeof(address), (void *)(address + layout->next)))
			return NOT_TOLD;
		table = 0;
	}
	return table && is_own_kind(layout, table) ? IS_ANOTHER : NOT_TOLD;
}

/* Where the bytes are that the thread's system call has just sent or received; 0 where that is not known. */
static __noinline __u64 call_buffer(void)
{
	struct pt_regs___call *registers = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u64 address = SECOND_ARGUMENT(registers);

	switch (SYSTEM_CALL(registers)) {
	case READ:
	case WRITE:
	case SENDTO:
	case RECVFROM:
		return address;
	case SENDMSG:
	case RECVMSG:
		/* struct msghdr: name, its length, then the iovecs. */
		if (bpf_probe_read_user(&address, sizeof(address), (void *)(address + 16)))
			return 0;
		/* fallthrough */
	case READV:
	case WRITEV:
		/* struct iovec: where, how many. */
		return bpf_probe_read_user(&address, sizeof(address), (void *)address) ? 0 : address;
	default:
		return 0;
	}
}

/* What a send or receive looks like that is to prove something; bits of `what` below. */
enum { IS_SEND = 1, IS_OTHERS = 2 };

/*
 * What the bytes of this send or receive are: a TLS (RFC 8446 section 5.1) or DTLS record of a handshake, of something
 * else, or none.
 */
static __noinline __u32 record_kind(int length, __u32 what)
{
	__u64 address = call_buffer();
	__u8 head[8];

	/* The last byte is the message's type: libssl asks for a record's five bytes first. */
	head[5] = 1;
	if (!address || length < 5 || bpf_probe_read_user(head, 5, (void *)address) ||
	    (length > 5 && bpf_probe_read_user(head + 5, 1, (void *)(address + 5))))
		return TLSWATCH_NO_PROOF;
	/* Versions 3.0 to 3.4; DTLS counts down from 254.255. */
	if (!(head[1] == 3 && head[2] <= 4) && !(head[1] == 254 && head[2] >= 252))
		return TLSWATCH_NO_PROOF;
	/* A ClientHello: what either side's handshake begins with. */
	if (head[0] == 22)
		return head[5] == 1 ? TLSWATCH_PROOF_RECORD : TLSWATCH_NO_PROOF;
	/* On a connection of TLS that is known it may carry this one (TLS inside TLS). */
	return head[0] == 23 && what & IS_OTHERS ? TLSWATCH_INFERRED : TLSWATCH_NO_PROOF;
}

/*
 * How it is known that the socket is the object's own: enum tlswatch_proof. `what` tells what is done (IS_SEND), and
 * whether the socket is another object's (IS_OTHERS).
 */
static __noinline __u32 proof(struct frames *frames, struct frame *frame, struct sock *sk, int length, __u32 what)
{
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &frame->profile);
	__u32 found;
	int told;

	if (!profile)
		return TLSWATCH_NO_PROOF;
	told = transport_tells(profile, frames, frame->object, (__u64)BPF_CORE_READ(sk, sk_socket, file));
	if (told == IS_THE_ONE)
		return TLSWATCH_PROOF_DESCRIPTOR;
	/*
	 * The bytes have to tell. A handshake begins with a ClientHello that a client sends and a server receives. What a
	 * callback opens comes after that, and the other way round in a server: it asks first.
	 */
	if (told != NOT_TOLD || frame->socket || (frame->server ? 0 : IS_SEND) != (what & IS_SEND) ||
	    frame->stranger == (__u64)sk)
		return TLSWATCH_NO_PROOF;
	found = record_kind(length, what);
	if (found != TLSWATCH_NO_PROOF)
		return found;
	/* A server's handshake begins by listening. */
	return frame->server && frame->began && !frame->stranger && !frame->first_send_ns ? TLSWATCH_INFERRED :
											    TLSWATCH_NO_PROOF;
}

/* ---- socket I/O inside handshake calls ---- */

/* The record of a socket that is the object's own; what is told of its connection is told once. */
static __noinline int submit_socket(struct sock *sk, struct socket_state *state, struct frame *frame, __u64 now,
				    __u64 what)
{
	__u32 program = what;
	struct tlswatch_socket *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, frame->object, TLSWATCH_SOCKET, frame->profile, sizeof(*record), 0);
	/* Softirq closes sockets in anybody's name: the owner is remembered here. */
	state->pid = record->header.pid;
	state->tid = record->header.tid;
	state->process_start_ns = record->header.process_start_ns;
	if (!state->number)
		state->number = __sync_fetch_and_add(&shared.sockets, 1) + 1;
	record->number = state->number;
	/* They belong to the first handshake on the socket alone: not to one inside it, nor to a renegotiation. */
	record->connecting_ns = state->connecting_ns;
	record->established_ns = state->established_ns;
	if (state->established_ns) {
		state->connecting_ns = 0;
		state->established_ns = 0;
	}
	record->direction = program == TLSWATCH_PROGRAM_SOCKET_SEND ? TLSWATCH_SEND : TLSWATCH_RECEIVE;
	record->proof = what >> 32;
	record->retransmits = TLSWATCH_NO_COUNT;
	fill_socket(record, sk);
	submit(record, program);
	return 0;
}

/* The first use of a socket in a call: is it the object's own, and was that told already? */
static __noinline int first_use(struct frames *frames, struct frame *frame, struct sock *sk, __u64 now, __u64 what)
{
	__u32 program = what, kind = program == TLSWATCH_PROGRAM_SOCKET_SEND ? IS_SEND : 0;
	struct socket_state *state = state_of(sk, false);
	__u32 how = TLSWATCH_NO_PROOF;
	bool of_process = state && state->object && state->pid == bpf_get_current_pid_tgid() >> 32;
	bool known = of_process && !frame->began && state->object == frame->object;

	if (!known) {
		if (of_process && state->object != frame->object)
			kind |= IS_OTHERS;
		how = proof(frames, frame, sk, (__s32)(what >> 32), kind);
		if (how == TLSWATCH_NO_PROOF) {
			frame->stranger = (__u64)sk;
			count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
			return 0;
		}
		if (!state)
			state = state_of(sk, true);
		if (!state) {
			count_drop(program, TLSWATCH_DROP_NO_MEMORY);
			return 0;
		}
	}
	frame->socket = (__u64)sk;
	if (known && state->proof == TLSWATCH_INFERRED && !kind)
		how = record_kind((__s32)(what >> 32), kind);
	/* Of a connection that came about after the first bytes (TCP Fast Open) there is more to tell. */
	if (known && how != TLSWATCH_PROOF_RECORD && !state->established_ns) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 1;
	}
	if (known && how != TLSWATCH_PROOF_RECORD)
		how = state->proof;
	state->proof = how;
	state->object = frame->object;
	state->profile = frame->profile;
	submit_socket(sk, state, frame, now, program | (__u64)how << 32);
	return 1;
}

/* The calls that the thread is in, of its own or of the goroutine that runs on it. */
static __always_inline struct frames *frames_here(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct frames *frames = bpf_task_storage_get(&thread_frames, task, 0, 0);
	struct pt_regs___call *registers;

	if ((frames && frames->depth) || !shared.goroutines)
		return frames;
	registers = (void *)bpf_task_pt_regs(task);
	return frames_of_goroutine(GOROUTINE(registers), false);
}

static __noinline int socket_io(struct sock *sk, int length, __u32 program)
{
	struct frames *frames = frames_here();
	struct frame *frame = top_frame(frames);
	__u64 now;

	/* The handshake call that this thread is in, if any. */
	if (!frame)
		return 0;
	if (frame->stranger == (__u64)sk) {
		count_skipped_hit(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (frame->socket == (__u64)sk) {
		count_skipped_hit(program, TLSWATCH_DROP_NOTED);
	} else {
		count_hit(program);
		if (!first_use(frames, frame, sk, now, program | (__u64)(__u32)length << 32))
			return 0;
	}
	if (program == TLSWATCH_PROGRAM_SOCKET_SEND) {
		if (length > 0 && !frame->first_send_ns)
			frame->first_send_ns = now;
		if (length < 0 && length != -EAGAIN)
			frame->io_result = length;
	} else {
		frame->io_result = length;
		if (length > 0)
			frame->input_ns = now;
	}
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_send, struct sock *sk, int length, int flags)
{
	return socket_io(sk, length, TLSWATCH_PROGRAM_SOCKET_SEND);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_receive, struct sock *sk, int length, int flags)
{
	return socket_io(sk, length, TLSWATCH_PROGRAM_SOCKET_RECEIVE);
}

/*
 * Stands in for the two above before Linux 6.3. It runs at the end of every system call of the host; the
 * call's number and first argument are still in the registers it was made with.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(system_call_exit, struct pt_regs___call *registers, long result)
{
	struct sock *sk;

	if (!top_frame(frames_here()))
		return 0;
	switch (SYSTEM_CALL(registers)) {
	case READ:
	case READV:
	case RECVFROM:
	case RECVMSG:
		sk = (struct sock *)socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(sk, result, TLSWATCH_PROGRAM_SOCKET_RECEIVE) : 0;
	case WRITE:
	case WRITEV:
	case SENDTO:
	case SENDMSG:
		sk = (struct sock *)socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(sk, result, TLSWATCH_PROGRAM_SOCKET_SEND) : 0;
	default:
		return 0;
	}
}

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

static __noinline int establish(struct sock *sk, struct socket_state *state, int old_state)
{
	__u64 now = bpf_ktime_get_ns();

	if (old_state == TCP_SYN_SENT && state->connecting_ns)
		state->connecting_ns = syn_sent_ns(sk, state->connecting_ns, now);
	else if (!state->connecting_ns && sk->sk_protocol == IPPROTO_MPTCP)
		state->connecting_ns = mptcp_connecting_ns(now);
	state->established_ns = now;
	return 0;
}

static __noinline int begin_connecting(struct socket_state *state, int new_state)
{
	__u64 now = bpf_ktime_get_ns(), *last;
	__u32 zero = 0;

	state->connecting_ns = now;
	state->established_ns = 0;
	state->object = 0;
	last = new_state == TCP_SYN_RECV ? bpf_map_lookup_elem(&last_syn_recv, &zero) : 0;
	if (last)
		*last = now;
	return 0;
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
		if (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_MPTCP)
			return 0;
		state = state_of(sk, true);
		if (!state) {
			count_hit(TLSWATCH_PROGRAM_SOCKET_STATE);
			count_drop(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_NO_MEMORY);
			return 0;
		}
		if (new_state == TCP_ESTABLISHED) {
			establish(sk, state, old_state);
		} else {
			begin_connecting(state, new_state);
		}
		count_skipped_hit(TLSWATCH_PROGRAM_SOCKET_STATE, TLSWATCH_DROP_NOTED);
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
		record->number = state->number;
		record->old_state = old_state;
		record->new_state = new_state;
		state->object = 0;
		submit(record, TLSWATCH_PROGRAM_SOCKET_STATE);
		return 0;
	default:
		return 0;
	}
}
