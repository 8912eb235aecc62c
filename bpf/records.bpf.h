/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers, and the way into the ring. */
#ifndef TLSWATCH_RECORDS_BPF_H
#define TLSWATCH_RECORDS_BPF_H

#include "maps.bpf.h"

/*
 * Submits without a wake-up (67 ns against 8 µs): the consumer polls, and is woken when much waits. One record in 32 looks for
 * that, by the clock's lower bits: where the consumer stands is its own processor's cache line.
 */
static __always_inline __u64 wake_flags(const struct tlswatch_header *header)
{
	if (header->time_ns & 31)
		return BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > knobs.wake_bytes ? 0 : BPF_RB_NO_WAKEUP;
}

static __always_inline void submit(void *record, __u32 program)
{
	bpf_ringbuf_submit(record, wake_flags(record));
	count(program, __builtin_offsetof(struct tlswatch_counters, submitted));
}

/* The same for a record of a size that is not known beforehand, made elsewhere. Returns whether there was room. */
static __noinline bool output(void *record, __u64 size, __u32 program)
{
	if (bpf_ringbuf_output(&ring, record, size, wake_flags(record))) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return false;
	}
	count(program, __builtin_offsetof(struct tlswatch_counters, submitted));
	return true;
}

/* Not inlined: see the note in calls.h. `what` packs kind, profile, size and hook, 16 bits each. */
__noinline int write_header(struct tlswatch_header *header, __u64 now, __u64 object, __u64 what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	if (!header)
		return 0;
	header->time_ns = now;
	header->process_start_ns = task->group_leader->start_boottime;
	header->object = object;
	header->pid = pid_tgid >> 32;
	header->tid = (__u32)pid_tgid;
	header->kind = what;
	header->profile = what >> 16;
	header->size = what >> 32;
	header->hook = what >> 48;
	return 0;
}

static __always_inline void fill_header(struct tlswatch_header *header, __u64 now, __u64 object, __u16 kind,
					__u16 profile, __u16 size, __u16 hook)
{
	write_header(header, now, object, kind | (__u64)profile << 16 | (__u64)size << 32 | (__u64)hook << 48);
}

#endif
