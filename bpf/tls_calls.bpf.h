/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls of the handshake state machine: how they begin. */
#ifndef TLSWATCH_TLS_CALLS_BPF_H
#define TLSWATCH_TLS_CALLS_BPF_H

#include "calls.bpf.h"
#include "facts.bpf.h"
#include "interfaces.bpf.h"

/*
 * Who calls. A short-lived child may be gone before anybody has read what it runs: the parent tells, as long as both run the
 * same file.
 */
static __noinline __u32 fill_names(char *comm, char *thread)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = leader->real_parent;
	struct inode *own = leader->mm->exe_file->f_inode;

	bpf_get_current_comm(thread, TLSWATCH_COMM_SIZE);
	if (task == leader)
		__builtin_memcpy(comm, thread, TLSWATCH_COMM_SIZE);
	else
		bpf_probe_read_kernel(comm, TLSWATCH_COMM_SIZE, &leader->comm);
	return own && parent->mm->exe_file->f_inode == own ? parent->tgid : 0;
}

__noinline int submit_enter(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame, __u32 done)
{
	struct tlswatch_call_enter *record;
	__u32 present = 0;

	if (!frames || !profile || !frame)
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, frame->enter_ns, frame->object, TLSWATCH_CALL_ENTER, frame->profile,
		    sizeof(*record), TLSWATCH_HOOK_CALL);
#pragma clang loop unroll(disable)
	for (__u32 slot = 0; slot < TLSWATCH_STATE_SLOTS; slot++)
		present |= take_field(profile, frames, done, slot, &record->state[slot]);
	record->server = frame->server;
	record->present = present;
	record->reserved = 0;
	record->parent_pid = fill_names(record->comm, record->thread);
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* Whether the object is a server's: by the call's own argument, or as the object has it. */
static __always_inline __u32 is_server(struct pt_regs *ctx, const struct tlswatch_site *site,
				       const struct tlswatch_profile *profile, const struct frames *frames, __u32 done)
{
	const struct tlswatch_test *test = &profile->server;

	if (site->argument.kind != TLSWATCH_NOWHERE && !(site->flags & TLSWATCH_SITE_STEP))
		return ((__u32)value_at(ctx, &site->argument) & test->mask) == test->value;
	return holds(profile, test, frames, done);
}

/* A call begins. `done` is the set of reads that were done, with the state's among them. */
__noinline int begin_call(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame, __u32 done)
{
	__u32 state;

	if (!frames || !profile || !frame)
		return 0;
	if (read_field(profile, frames, done, TLSWATCH_STATE, &state)) {
		frame->state = state;
		read_field(profile, frames, done, TLSWATCH_DETAIL, &frame->detail);
		if (is_after(profile, frames, done)) {
			frame->after = 1;
			count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_NOTED);
			return 0;
		}
		if (!profile->starts_in_any && !contains(&profile->start, state)) {
			count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_NOTED);
			return 0;
		}
	}
	if (frames->next_continues) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_NOTED);
		return 0;
	}
	frame->began = 1;
	return submit_enter(frames, profile, frame, done);
}

/* What the next frame keeps of the site. */
static __always_inline int mark_next(struct pt_regs *ctx, const struct tlswatch_site *site, struct frames *frames)
{
	frames->next_goroutine = site->context == TLSWATCH_GOROUTINE;
	frames->next_continues = site->flags & TLSWATCH_SITE_CONTINUES;
	frames->next_stepped = site->hook == TLSWATCH_HOOK_CALL && site->flags & TLSWATCH_SITE_STEP;
	frames->next_bias = site->address ? (__u32)instruction_pointer(ctx) - (__u32)site->address : 0;
	return 0;
}

/*
 * Leaves a call that is made of steps where the last of them has ended unseen: the object is freed, or another one's call begins
 * on the thread.
 */
static __noinline int leave_steps(struct frames *frames, struct frame *frame)
{
	flush_steps(frames);
	settle_uses(frame);
	frames->depth--;
	return 0;
}

/* The call gets its frame, for frames->next_object; `done` is as in begin_call. */
static __noinline int open_call(struct pt_regs *ctx, const struct tlswatch_site *site, struct frames *frames, __u64 now,
				__u32 done)
{
	__u32 index = site->profile;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frame *frame;

	if (!profile)
		return 0;
	frame = top_frame(frames);
	if (frame && frame->stepped && frame->object != frames->next_object)
		leave_steps(frames, frame);
	flush_steps(frames);
	mark_next(ctx, site, frames);
	drop_ended(&profile->interfaces, frames, index);
	frame = push_frame(frames, frames->next_object, index, now, is_server(ctx, site, profile, frames, done));
	begin_call(frames, profile, frame, done);
	return profile->exit_hooked != 0;
}

/*
 * Whether the thread is in a call of the object that goes on: with its next step, or in a function that works through the rest
 * of them.
 */
static __always_inline bool is_in_call(const struct tlswatch_site *site, struct frames *frames,
				       const struct tlswatch_profile *profile)
{
	struct frame *frame = top_frame(frames);
	__u32 done, state;

	if (!frame || frame->object != frames->next_object || frame->profile != site->profile)
		return false;
	if (!frame->stepped)
		return site->flags & (TLSWATCH_SITE_STEP | TLSWATCH_SITE_JOINS);
	/* Nothing has shown that the one before is over. */
	done = read_state(profile, frames, frames->next_object);
	if (read_field(profile, frames, done, TLSWATCH_STATE, &state) && contains(&profile->start, state))
		return false;
	frame->stepped = site->flags & TLSWATCH_SITE_STEP ? 1 : 0;
	return true;
}

/* Whether a step is over before it begins: what was left to send of an earlier one could not be sent. */
static __always_inline bool step_is_over(struct pt_regs *ctx, const struct tlswatch_site *site)
{
	return site->flags & TLSWATCH_SITE_STEP && (__u32)value_at(ctx, &site->argument);
}

/* An entry into the handshake. Returns 0 if its return is wanted. */
static __noinline int enter_call(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u32 index = site->profile, done, state;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;

	if (!profile || !profile->enabled) {
		count_drop(program, TLSWATCH_DROP_DISABLED);
		return 1;
	}
	if (site->flags & TLSWATCH_SITE_STEPS && !value_at(ctx, &site->argument2)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 1;
	}
	frames = frames_at(ctx, site, true);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 1;
	}
	frames->next_object = object_of(ctx, site);
	if (is_in_call(site, frames, profile)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 1;
	}
	done = read_state(profile, frames, frames->next_object);
	if (profile->exit_hooked && read_field(profile, frames, done, TLSWATCH_STATE, &state) &&
	    contains(&profile->dead, state)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		leave_frames(ctx, site, frames);
		return 1;
	}
	return open_call(ctx, site, frames, now, done);
}

#endif
