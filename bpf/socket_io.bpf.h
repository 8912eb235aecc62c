/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Socket I/O inside handshake calls. The programs run for every socket of the host, so their first test is whether this thread
 * is inside a handshake call; only what passes it counts as a hit.
 */
#ifndef TLSWATCH_SOCKET_IO_BPF_H
#define TLSWATCH_SOCKET_IO_BPF_H

#include "calls.bpf.h"
#include "proof.bpf.h"
#include "socket_table.bpf.h"

/* The record of a socket that is the object's own; what is told of its connection is told once. */
static __noinline int submit_socket(__u64 sk, struct socket_state *state, struct frame *frame, __u64 now, __u64 what)
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
	record->retransmits = state->flags & IS_TCP ? retransmits_of(sk) : TLSWATCH_NO_COUNT;
	fill_socket(record, (struct sock *)sk);
	submit(record, program);
	return 0;
}

/* The socket is the object's own. */
static __noinline int note_use(struct frame *frame, struct socket_state *state, __u64 sk, __u64 now)
{
	frame->socket = sk;
	if (frame->began || !(state->flags & IN_HANDSHAKE)) {
		state->used_ns = now;
		state->flags = IN_HANDSHAKE;
		if (protocol_of(sk) == IPPROTO_TCP)
			state->flags |= IS_TCP;
	}
	/* What lies there unread is known of TCP alone. */
	if (frame->unread_ns == TLSWATCH_NO_TIME && state->flags & IS_TCP)
		frame->unread_ns = 0;
	return 0;
}

/* The first use of a socket in a call: is it the object's own, and was that told already? */
static __noinline int first_use(struct frames *frames, struct frame *frame, __u64 sk, __u64 now, __u64 what)
{
	__u32 program = what, kind = program == TLSWATCH_PROGRAM_SOCKET_SEND ? IS_SEND : 0;
	struct socket_state *state = state_of(sk);
	__u32 how = TLSWATCH_NO_PROOF;
	bool of_process = state && state->object && state->pid == bpf_get_current_pid_tgid() >> 32;
	bool known = of_process && !frame->began && state->object == frame->object;

	if (!known) {
		if (of_process && state->object != frame->object)
			kind |= IS_OTHERS;
		how = proof(frames, frame, (struct sock *)sk, (__s32)(what >> 32), kind);
		if (how == TLSWATCH_NO_PROOF) {
			frame->stranger = sk;
			count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
			return 0;
		}
		if (!state)
			state = new_state_of(sk, now);
		if (!state) {
			count_drop(program, TLSWATCH_DROP_NO_MEMORY);
			return 0;
		}
	}
	note_use(frame, state, sk, now);
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
	frame->inferred = how == TLSWATCH_INFERRED;
	submit_socket(sk, state, frame, now, program | (__u64)how << 32);
	return 1;
}

/*
 * The first bytes that come on a socket that was only inferred, in the call that did so (a blocking transport on a descriptor that
 * does not block asks before there is anything). Returns 1 if they tell more, in a record of their own.
 */
static __noinline int prove_use(struct frame *frame, __u64 sk, int length, __u64 now)
{
	struct socket_state *state = state_of(sk);

	frame->inferred = 0;
	if (!state || state->object != frame->object || record_kind(length, 0) != TLSWATCH_PROOF_RECORD)
		return 0;
	state->proof = TLSWATCH_PROOF_RECORD;
	count_hit(TLSWATCH_PROGRAM_SOCKET_RECEIVE);
	submit_socket(sk, state, frame, now, TLSWATCH_PROGRAM_SOCKET_RECEIVE | (__u64)TLSWATCH_PROOF_RECORD << 32);
	return 1;
}

/* The calls that the thread is in, of its own or of the goroutine that runs on it. */
static __always_inline struct frames *frames_here(void)
{
	struct frames *frames = frames_of_thread(false);
	struct pt_regs___call *registers;

	if ((frames && frames->depth) || !shared.goroutines)
		return frames;
	registers = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return frames_of_goroutine(GOROUTINE(registers), false);
}

/*
 * Whether a receive on this socket may tell something about waiting: the first one that brings something in a call does, and
 * any other behind which the thread was off its processor; a goroutine's threads do not tell. libssl asks the socket up to
 * twenty times in a handshake.
 */
static __always_inline bool may_have_waited(const struct frame *frame, __u64 sk)
{
	return frame->goroutine || frame->socket != sk || frame->input_ns == frame->enter_ns ||
	       frame->switches != switches_of(bpf_get_current_task_btf());
}

/*
 * A receive on the own socket: for how long its bytes had lain there while the thread was blocked in the call. Of the time
 * since the last receive, which brought all there was, what came before these had arrived was spent waiting for them.
 */
static __noinline int note_receive(struct frames *frames, struct frame *frame, __u64 sk, int length, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 blocked, waited, spent = 0, ahead;

	frame->switches = switches_of(task);
	waited = time_waiting(task) - frame->run_delay_ns;
	add_time_off(frame);
	blocked = frame->off_cpu_ns > waited ? frame->off_cpu_ns - waited : 0;
	if (blocked > frame->blocked_ns)
		spent = blocked - frame->blocked_ns;
	if (length > 0 && frames->arrival == sk && frame->unread_ns != TLSWATCH_NO_TIME) {
		ahead = frames->arrival_ns > frame->mark_ns ? frames->arrival_ns - frame->mark_ns : 0;
		if (spent > ahead)
			frame->unread_ns += spent - ahead;
		if (frame->input_ns == frame->enter_ns)
			frame->arrived_ns = frames->arrival_ns;
	}
	frame->blocked_ns = blocked;
	frame->mark_ns = now;
	frames->arrival = 0;
	return 0;
}

/* The same of a goroutine's call, which is not blocked in a receive: it waits from one that finds nothing until one that does. */
static __noinline int note_wait(struct frames *frames, struct frame *frame, __u64 sk, int length, __u64 now)
{
	bool knows_arrival = length > 0 && frames->arrival == sk;
	__u64 since = frame->waiting_ns;

	frames->arrival = 0;
	if (knows_arrival && frame->input_ns == frame->enter_ns)
		frame->arrived_ns = frames->arrival_ns;
	if (length == -EAGAIN) {
		if (!since)
			frame->waiting_ns = now;
		return 0;
	}
	if (!since)
		return 0;
	frame->waiting_ns = 0;
	frame->blocked_ns += now - since;
	if (knows_arrival && frame->unread_ns != TLSWATCH_NO_TIME) {
		if (frames->arrival_ns > since)
			since = frames->arrival_ns;
		if (now > since)
			frame->unread_ns += now - since;
	}
	return 0;
}

static __noinline int socket_io(__u64 sk, int length, __u32 program)
{
	struct frames *frames = frames_here();
	struct frame *frame = top_frame(frames);
	__u64 now;

	/* The handshake call that this thread is in, if any. */
	if (!frame || frame->after)
		return 0;
	if ((frame->sends | frame->receives) >> 15)
		settle_uses(frame);
	if (frame->stranger == sk) {
		count_skipped_hit(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	/* A later send tells nothing more, unless it fails. */
	if (program == TLSWATCH_PROGRAM_SOCKET_SEND && frame->socket == sk && frame->first_send_ns && length > 0) {
		frame->sends++;
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (frame->socket != sk) {
		count_hit(program);
		if (!first_use(frames, frame, sk, now, program | (__u64)(__u32)length << 32))
			return 0;
	} else if (program == TLSWATCH_PROGRAM_SOCKET_SEND) {
		frame->sends++;
	} else if (!frame->inferred || length <= 0 || !prove_use(frame, sk, length, now)) {
		frame->receives++;
	}
	if (program == TLSWATCH_PROGRAM_SOCKET_SEND) {
		if (length > 0 && !frame->first_send_ns)
			frame->first_send_ns = now;
		if (length < 0 && length != -EAGAIN)
			frame->io_result = length;
		return 0;
	}
	if (frame->goroutine)
		note_wait(frames, frame, sk, length, now);
	else if (may_have_waited(frame, sk))
		note_receive(frames, frame, sk, length, now);
	else
		frame->mark_ns = now;
	frame->io_result = length;
	if (length > 0)
		frame->input_ns = now;
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_send, struct sock *sk, int length, int flags)
{
	return socket_io((__u64)sk, length, TLSWATCH_PROGRAM_SOCKET_SEND);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_receive, struct sock *sk, int length, int flags)
{
	return socket_io((__u64)sk, length, TLSWATCH_PROGRAM_SOCKET_RECEIVE);
}

/* Ticks by which a socket's stamp may differ from what it has in ticks: less than the 40 ms that an acknowledgement is held back. */
#define STALE_TICKS 3

/*
 * When the newest of a socket's data came. Its stamp has that to the microsecond, unless a packet without data has refreshed
 * it since: the acknowledgement that the kernel sends after 40 ms, if the program has not read by then, or one of the peer's.
 * The kernel keeps it in ticks as well, to within one: these hold where the stamp is clearly younger.
 */
static __always_inline __u64 newest_data(const struct tcp_sock *tcp)
{
	__u32 ticks = (__u32)bpf_jiffies64() - ((const struct inet_connection_sock *)tcp)->icsk_ack.lrcvtime;
	__u64 stamp = tcp->tcp_mstamp * 1000, came;

	if (ticks < STALE_TICKS)
		return stamp;
	came = bpf_ktime_get_ns() - (__u64)ticks * knobs.tick_ns;
	return stamp > came + STALE_TICKS * knobs.tick_ns ? came : stamp;
}

/*
 * A receive has taken bytes, and the kernel has not put its own clock forward yet: the socket's stamp is still that of its
 * newest packet. Behind the receive (sock_recv_length) the acknowledgement has refreshed it. It keeps a number for the program
 * behind the receive, whose hit is the one that counts.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(socket_read, struct sock *sk)
{
	struct frames *frames = frames_here();
	struct frame *frame = top_frame(frames);
	struct tcp_sock *tcp;

	/* What was taken first in a receive had arrived by then; a further look would find the clock put forward. */
	if (!frame || frame->after || frames->arrival == (__u64)sk || !may_have_waited(frame, (__u64)sk))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	frames->arrival_ns = newest_data(tcp);
	frames->arrival = (__u64)sk;
	return 0;
}

/*
 * Stands in for the two above before Linux 6.3. It runs at the end of every system call of the host; the
 * call's number and first argument are still in the registers it was made with.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(system_call_exit, struct pt_regs___call *registers, long result)
{
	__u64 sk;

	if (!top_frame(frames_here()))
		return 0;
	switch (SYSTEM_CALL(registers)) {
	case READ:
	case READV:
	case RECVFROM:
	case RECVMSG:
		sk = socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(sk, result, TLSWATCH_PROGRAM_SOCKET_RECEIVE) : 0;
	case WRITE:
	case WRITEV:
	case SENDTO:
	case SENDMSG:
		sk = socket_of(FIRST_ARGUMENT(registers));
		return sk ? socket_io(sk, result, TLSWATCH_PROGRAM_SOCKET_SEND) : 0;
	default:
		return 0;
	}
}

#endif
