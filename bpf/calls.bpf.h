/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls in progress and what happens in them.
 *
 * The functions are not inlined, so that each keeps its own small stack: a program whose frame
 * reaches 64 bytes gets a private stack since 6.13, which has crashed hosts under TLS load.
 *
 * What each hit passes is inlined all the same, as far as those 64 bytes allow it: where the processor's mitigation makes
 * returns slow (AMD's Safe RET) a call takes 9 ns, and what lies together is fetched sooner.
 *
 * Most are global (not static): the verifier checks a global function once and by itself, a static
 * one again at each call, and Linux 6.1 gives up after a million instructions. In return it holds
 * that their pointers may be null.
 */
#ifndef TLSWATCH_CALLS_BPF_H
#define TLSWATCH_CALLS_BPF_H

#include "frames.bpf.h"

/* Time for which the thread was ready to run, and waited for a processor. */
static __always_inline __u64 time_waiting(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info) ? task->sched_info.run_delay : 0;
}

/* While this stands, the thread was on its processor all the time. */
static __always_inline __u64 switches_of(struct task_struct *task)
{
	return task->nvcsw + task->nivcsw;
}

/* Whether the scheduler of fair shares runs it: the others leave prev_sum_exec_runtime alone. */
static __always_inline bool is_fair(struct task_struct *task)
{
	return task->policy == SCHED_NORMAL || task->policy == SCHED_BATCH || task->policy == SCHED_IDLE;
}

/*
 * Adds to the call's time on no processor what has come since the last time.
 *
 * The scheduler brings exec_start and sum_exec_runtime up to date together, so that what they have not got yet cancels out in
 * the change of their difference. But they are in the task clock of one processor, which leaves out what was stolen from it:
 * two processors' are apart by 0.7 s after some hours. Where the thread has moved, the moment at which it last got a processor
 * (sched_info.last_arrival, in a clock that all of them share) and what it had run by then tell the same.
 */
static __always_inline int add_time_off(struct frame *frame)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 start, off = 0, arrived = 0;
	__s64 change;

	if (!frame)
		return 0;
		/* A tick between two reads would tear them apart. */
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		start = *(volatile __u64 *)&task->se.exec_start;
		off = start - *(volatile __u64 *)&task->se.sum_exec_runtime;
		if (start == *(volatile __u64 *)&task->se.exec_start)
			break;
	}
	change = off - frame->off_mark;
	if (bpf_core_field_exists(task->sched_info))
		arrived = task->sched_info.last_arrival - task->se.prev_sum_exec_runtime;
	if (cpu != frame->cpu) {
		change = arrived - frame->arrived_mark;
		if (!bpf_core_field_exists(task->sched_info) || !is_fair(task))
			frame->off_cpu_ns = TLSWATCH_NO_TIME;
	}
	if (frame->off_cpu_ns != TLSWATCH_NO_TIME && change > 0)
		frame->off_cpu_ns += change;
	frame->off_mark = off;
	frame->arrived_mark = arrived;
	frame->cpu = cpu;
	return 0;
}

static __always_inline int start_clocks(struct frame *frame, __u64 now)
{
	if (!frame)
		return 0;
	frame->tid = bpf_get_current_pid_tgid();
	frame->switches = switches_of(bpf_get_current_task_btf()); /* before the marks: none is missed */
	frame->off_cpu_ns = 0;
	add_time_off(frame); /* the marks */
	frame->off_cpu_ns = 0;
	frame->run_delay_ns = time_waiting(bpf_get_current_task_btf());
	frame->blocked_ns = 0;
	frame->mark_ns = now;
	frame->unread_ns = TLSWATCH_NO_TIME;
	frame->arrived_ns = 0;
	return 0;
}

/* Enters a call: returns its frame. */
static __always_inline struct frame *push_frame(struct frames *frames, __u64 object, __u32 profile, __u64 now,
						__u32 server)
{
	struct frame *frame;
	__u64 slot = frames->depth;

	if (slot >= FRAMES)
		slot = FRAMES - 1;

		/* The same object on the thread already: its return was missed. Take its place. */
#pragma clang loop unroll(disable)
	for (int i = FRAMES - 1; i >= 0; i--)
		if (i < (int)frames->depth && frames->frame[i].object == object)
			slot = i;
	BOUND(slot, FRAMES - 1);
	frames->depth = slot + 1;
	frame = &frames->frame[slot];
	frame->object = object;
	frame->enter_ns = now;
	frame->input_ns = now;
	frame->first_send_ns = 0;
	frame->agreement_enter_ns = 0;
	frame->socket = 0;
	frame->stranger = 0;
	frame->io_result = NO_IO;
	frame->profile = profile;
	frame->alpn_looked = 0;
	frame->steps = 0;
	frame->began = 0;
	frame->server = server;
	frame->state = NO_STATE;
	frame->detail = NO_STATE;
	frame->after = 0;
	frame->failed = 0;
	frame->inferred = 0;
	frame->waiting_ns = 0;
	frame->sends = 0;
	frame->receives = 0;
	frame->goroutine = frames->next_goroutine;
	frame->stepped = frames->next_stepped;
	frame->bias = frames->next_bias;
	start_clocks(frame, now);
	return frame;
}

/* Forgets the call of `object` that is not the innermost one. */
__noinline int drop_frame(struct frames *frames, __u64 object)
{
	__u32 depth, kept = 0;

	if (!frames)
		return 0;
	depth = frames->depth;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FRAMES; i++) {
		if (i >= depth)
			break;
		if (frames->frame[i].object == object)
			continue;
		frames->frame[kept & (FRAMES - 1)] = frames->frame[i];
		kept++;
	}
	frames->depth = kept;
	return 0;
}

/* Counts what a call used its own socket for. Where a call is given up, neither the hits nor why they made no record are told. */
static __always_inline int settle_uses(struct frame *frame)
{
	if (!frame)
		return 0;
	if (frame->sends)
		count_skipped_hits(TLSWATCH_PROGRAM_SOCKET_SEND, TLSWATCH_DROP_NOTED, frame->sends);
	if (frame->receives)
		count_skipped_hits(TLSWATCH_PROGRAM_SOCKET_RECEIVE, TLSWATCH_DROP_NOTED, frame->receives);
	frame->sends = 0;
	frame->receives = 0;
	return 0;
}

/* The steps of an outer call go out before an inner call takes their place. */
static __always_inline void flush_steps(struct frames *frames)
{
	settle_steps(frames, true);
}

/*
 * The calls without effect that came before this record's are told of in it; from now on none are owed. Where a handshake
 * begins with it (`began`) they were of an object that stood there before.
 */
__noinline int take_idle_calls(struct tlswatch_call_return *record, __u64 object, bool began)
{
	struct idle_key key = { .object = object, .pid = bpf_get_current_pid_tgid() >> 32 };
	struct idle_calls *found;

	if (!record)
		return 0;
	record->idle_calls = 0;
	record->idle_ns = 0;
	if (!shared.idle_objects)
		return 0;
	found = bpf_map_lookup_elem(&idle, &key);
	if (!found)
		return 0;
	if (began)
		goto forget;
	record->idle_calls = found->count >> 31 ? 0x7fffffff : found->count;
	record->idle_ns = found->spent_ns;
	if (record->off_cpu_ns != TLSWATCH_NO_TIME)
		record->off_cpu_ns += found->off_cpu_ns;
	if (record->run_delay_ns != TLSWATCH_NO_TIME)
		record->run_delay_ns += found->run_delay_ns;
forget:
	if (!bpf_map_delete_elem(&idle, &key))
		__sync_fetch_and_add(&shared.idle_objects, -1);
	return 0;
}

/*
 * A call without effect comes back. Returns 1 where it needs no record of its own: at most one a second does, so that the
 * consumer sees that the handshake is being worked on.
 */
#define IDLE_CALLS_NS 1000000000ULL

static __noinline bool first_idle_call(struct idle_key *key, const struct tlswatch_call_return *record, __u64 spent,
				       __u64 now)
{
	struct idle_calls first = { .since_ns = now,
				    .spent_ns = spent,
				    .off_cpu_ns = record->off_cpu_ns,
				    .run_delay_ns = record->run_delay_ns,
				    .count = 1 };

	return !bpf_map_update_elem(&idle, key, &first, BPF_NOEXIST);
}

__noinline int keep_idle_call(const struct tlswatch_call_return *record, __u64 object, __u64 spent, __u64 now)
{
	struct idle_key key = { .object = object, .pid = bpf_get_current_pid_tgid() >> 32 };
	struct idle_calls *found = bpf_map_lookup_elem(&idle, &key);

	if (!record || record->off_cpu_ns == TLSWATCH_NO_TIME || record->run_delay_ns == TLSWATCH_NO_TIME)
		return 0;
	if (!found) {
		/* Counted first: who sees the entry must not see that there is none. One pushed out by another stays counted. */
		__sync_fetch_and_add(&shared.idle_objects, 1);
		if (first_idle_call(&key, record, spent, now))
			return 1;
		__sync_fetch_and_add(&shared.idle_objects, -1);
		return 0;
	}
	if (now - found->since_ns >= IDLE_CALLS_NS)
		return 0;
	__sync_fetch_and_add(&found->spent_ns, spent);
	__sync_fetch_and_add(&found->off_cpu_ns, record->off_cpu_ns);
	__sync_fetch_and_add(&found->run_delay_ns, record->run_delay_ns);
	__sync_fetch_and_add(&found->count, 1);
	return 1;
}

/* Where the next step of the innermost call is written: it counts once `frame->steps` is raised. */
static __always_inline struct tlswatch_step *next_step(struct frames *frames, struct frame *frame)
{
	__u64 index = frame->steps;

	barrier_var(index);
	if (index < TLSWATCH_STEPS)
		return &frames->step[index];
	/* No room: those before go out on their own. */
	flush_steps(frames);
	return &frames->step[0];
}

#endif
