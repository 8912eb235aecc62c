/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes: new programs to look at, ends that abandon handshakes, children of an observed process. */
#ifndef TLSWATCH_PROCESS_BPF_H
#define TLSWATCH_PROCESS_BPF_H

#include "calls.bpf.h"
#include <bpf/bpf_tracing.h>

/* The thread may end, or begin another program, in the middle of a call, whose steps travel nowhere any more. */
static __noinline int drop_calls(void)
{
	struct frames *frames = frames_of_thread(false);

	if (!frames)
		return 0;
	settle_steps(frames, false);
	frames->depth = 0;
	return release_thread(frames);
}

/* The ring's one way past submit(): a process's begin and end are in no hurry, and never wake the consumer. */
static __always_inline void submit_process(__u16 kind, __u32 program, const char *path)
{
	struct tlswatch_process *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	count_hit(program);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return;
	}
	fill_header(&record->header, bpf_ktime_get_ns(), 0, kind, 0, sizeof(*record), 0);
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	__builtin_memset(record->path, 0, sizeof(record->path));
	if (path)
		bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	count(program, __builtin_offsetof(struct tlswatch_counters, submitted));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	drop_calls();
	drop_goroutines_of(pid);
	if (knobs.filter_processes && !is_observed(pid))
		return 0;
	if (knobs.tell_programs)
		bpf_ringbuf_output(&programs, &pid, sizeof(pid), 0);
	submit_process(TLSWATCH_PROCESS_EXEC, TLSWATCH_PROGRAM_PROCESS_EXEC, program->interp);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	drop_calls();
	if (task->signal->live.counter != 0)
		return 0; /* other threads live on */
	drop_goroutines_of(pid);
	if (knobs.filter_processes) {
		if (!is_observed(pid))
			return 0;
		bpf_map_delete_elem(&observed_processes, &pid);
	}
	submit_process(TLSWATCH_PROCESS_EXIT, TLSWATCH_PROGRAM_PROCESS_EXIT, NULL);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 pid = child->tgid;
	__u8 one = 1;

	if (!knobs.filter_processes || !is_observed(parent->tgid) || child->pid != child->tgid)
		return 0;
	bpf_map_update_elem(&observed_processes, &pid, &one, BPF_ANY);
	return 0;
}

#endif
