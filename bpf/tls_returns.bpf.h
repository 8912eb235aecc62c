/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls of the handshake state machine: how they end. */
#ifndef TLSWATCH_TLS_RETURNS_BPF_H
#define TLSWATCH_TLS_RETURNS_BPF_H

#include "proof.bpf.h"
#include "socket_table.bpf.h"
#include "tls_calls.bpf.h"
#include <bpf/bpf_tracing.h>

/* Every fact, and the texts. */
static __noinline int read_facts(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				 __u32 done)
{
	struct tlswatch_call_return *record = &frames->record;
	__u64 at = (__u64)frame->steps * sizeof(struct tlswatch_step), object = frame->object, did;
	__u32 alpn, name;

	done = read_more(profile, frames, object, ~0U, done);
#pragma clang loop unroll(disable)
	for (__u32 slot = 0; slot < TLSWATCH_SLOTS; slot++)
		record->present |= take_field(profile, frames, done, slot, &record->scalar[slot]);
	did = (__u64)done << 32;
	alpn = read_text(profile, frames, object, did | TLSWATCH_ALPN, at);
	name = read_text(profile, frames, object, did | TLSWATCH_SERVER_NAME, at + alpn);
	if (!name)
		name = read_text(profile, frames, object, did | TLSWATCH_OTHER_NAME, at + alpn);
	record->alpn_length = alpn;
	record->sni_length = name;
	return 0;
}

/* How far a handshake is that has not ended by its state; returns whether it goes on. */
static __noinline bool read_progress(struct frames *frames, struct tlswatch_profile *profile, __u32 done)
{
	struct tlswatch_call_return *record = &frames->record;

#pragma clang loop unroll(disable)
	for (__u32 slot = 1; slot < TLSWATCH_STATE_SLOTS; slot++)
		record->present |= take_field(profile, frames, done, slot, &record->scalar[slot]);
	return !holds(profile, &profile->ended[0], frames, done) && !holds(profile, &profile->ended[1], frames, done);
}

/*
 * Whether a call that has come back with this result may leave the handshake going on: by its result, where the library's tell,
 * else by its state and by what the transport gave it.
 */
static __always_inline bool may_go_on(const struct tlswatch_profile *profile, const struct frame *frame, __u32 state,
				      __s32 result)
{
	if (!profile->wait_results[0])
		return result != profile->done_result && !contains(&profile->end, state) && !frame->failed &&
		       (frame->io_result > 0 || frame->io_result == -EAGAIN);
#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_WAIT_RESULTS; i++)
		if (profile->wait_results[i] && profile->wait_results[i] == result)
			return true;
	return false;
}

/* Whether the call left everything as it was: no byte moved, and no state. */
static __always_inline bool is_without_effect(struct tlswatch_call_return *record, struct frame *frame)
{
	if (frame->began || !frame->enter_ns || frame->steps || frame->first_send_ns ||
	    frame->input_ns != frame->enter_ns)
		return false;
	return frame->state == record->scalar[TLSWATCH_STATE] && frame->detail == record->scalar[TLSWATCH_DETAIL];
}

/* The same of a goroutine's call: what it waited, where its own socket is known. */
static __noinline int fill_waits(struct tlswatch_call_return *record, const struct frame *frame, __u64 now)
{
	record->unread_ns = frame->unread_ns;
	record->arrived_ns = frame->arrived_ns;
	if (frame->enter_ns && frame->socket)
		record->off_cpu_ns = frame->blocked_ns + (frame->waiting_ns ? now - frame->waiting_ns : 0);
	return 0;
}

/* Where the call's time went, as far as the thread is still the one that entered it. */
static __noinline int fill_times(struct tlswatch_call_return *record, struct frame *frame, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();

	record->off_cpu_ns = TLSWATCH_NO_TIME;
	record->run_delay_ns = TLSWATCH_NO_TIME;
	if (frame->goroutine)
		return fill_waits(record, frame, now);
	record->unread_ns = frame->unread_ns;
	record->arrived_ns = frame->arrived_ns;
	if (!frame->enter_ns || frame->tid != (__u32)bpf_get_current_pid_tgid())
		return 0;
	add_time_off(frame);
	record->off_cpu_ns = frame->off_cpu_ns;
	if (bpf_core_field_exists(task->sched_info))
		record->run_delay_ns = time_waiting(task) - frame->run_delay_ns;
	return 0;
}

/* What the kernel knows of the object's own connection by now. */
static __noinline int fill_connection(struct tlswatch_call_return *record, const struct frame *frame, bool goes_on)
{
	struct socket_state *state = frame->socket ? state_of(frame->socket) : NULL;

	record->rtt_us = 0;
	record->retransmits = TLSWATCH_NO_COUNT;
	/* Somebody else's, or gone: what stands at the address is another's memory. */
	if (!state || state->object != frame->object)
		return 0;
	if (state->flags & IS_TCP) {
		record->retransmits = retransmits_of(frame->socket);
		record->rtt_us = rtt_us_of(frame->socket);
	}
	if (!goes_on)
		state->flags &= ~IN_HANDSHAKE;
	return 0;
}

/*
 * The return has been told of. Where what it brought leaves no doubt that the handshake is done, nobody need be told that its
 * socket is closed.
 */
static __noinline int mark_done(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				__u32 done)
{
	const struct tlswatch_call_return *record = &frames->record;
	struct socket_state *state;

	if (!(record->present & 1U << TLSWATCH_STATE) || !contains(&profile->end, record->scalar[TLSWATCH_STATE]) ||
	    !is_after(profile, frames, done))
		return 0;
	state = frame->socket ? state_of(frame->socket) : NULL;
	if (state && state->object == frame->object)
		state->flags |= IS_DONE;
	return 0;
}

/* How the rest is to be taken. `done` is the set of reads that were done. */
static __always_inline int fill_flags(struct tlswatch_call_return *record, struct tlswatch_profile *profile,
				      struct frames *frames, struct frame *frame, __u32 done)
{
	record->flags = frame->goroutine ? TLSWATCH_CALL_WAITS : 0;
	/* What had a socket has a peer. */
	if (frame->io_result == TLSWATCH_NO_RESULT && frame->server && !frame->socket &&
	    record->result != profile->done_result && is_mute(profile, frames, frame->object, done))
		record->flags |= TLSWATCH_CALL_MUTE;
	return 0;
}

/* The return of a call, with the steps in it; with every fact if the handshake ended, or may have. */
__noinline int submit_return(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame, __u64 now,
			     __s32 result)
{
	struct tlswatch_call_return *record;
	bool goes_on = false;
	__u32 done;
	__u64 size;

	if (!frames || !profile || !frame)
		return 0;
	record = &frames->record;
	done = read_state(profile, frames, frame->object);
	fill_times(record, frame, now);
	record->alpn_length = 0;
	record->sni_length = 0;
	record->present = read_field(profile, frames, done, TLSWATCH_STATE, &record->scalar[TLSWATCH_STATE]);
	if (record->present && may_go_on(profile, frame, record->scalar[TLSWATCH_STATE], result))
		goes_on = read_progress(frames, profile, done);
	if (goes_on && is_without_effect(record, frame) &&
	    keep_idle_call(record, frame->object, now - frame->enter_ns, now)) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_NOTED);
		return 0;
	}
	if (!goes_on)
		read_facts(frames, profile, frame, done);
	if (result && profile->interfaces.known)
		read_errors(&profile->interfaces, frames, frame);
	take_idle_calls(record, frame->object, frame->began);
	fill_connection(record, frame, goes_on);
	record->enter_ns = frame->enter_ns;
	record->input_ns = frame->input_ns;
	record->first_send_ns = frame->first_send_ns;
	record->result = result;
	record->io_result = frame->io_result;
	record->steps = frame->steps;
	fill_flags(record, profile, frames, frame, done);
	size = sizeof(*record) + (__u64)frame->steps * sizeof(struct tlswatch_step) + record->alpn_length +
	       record->sni_length;
	fill_header(&record->header, now, frame->object, TLSWATCH_CALL_RETURN, frame->profile, size,
		    TLSWATCH_HOOK_CALL);
	_Static_assert(sizeof(frames->text) >= 2 * TLSWATCH_TEXT_SIZE, "room for both texts");
	barrier_var(size); /* the bound is for the verifier */
	if (size > RECORD_SIZE)
		return 0;
	if (output(record, size, TLSWATCH_PROGRAM_RETURN))
		mark_done(frames, profile, frame, done);
	return 0;
}

/* The call is over: its record, and what its steps' hits are counted as. */
static __always_inline int end_call(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				    __u64 now, __s32 result)
{
	if (!profile || !profile->enabled)
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_DISABLED);
	else if (frame->after)
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_NOTED);
	else
		submit_return(frames, profile, frame, now, result);
	settle_steps(frames, false);
	settle_uses(frame);
	/* Left in any case: a frame that stays would claim the thread's later I/O. */
	frames->depth--;
	return 0;
}

/* The return probe's end of a call, for builds without a known exit. */
static __noinline int return_call(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	struct frames *frames = frames_at(ctx, site, false);
	struct frame *frame = top_frame(frames);
	__u32 index = site->profile;

	if (!frame || frame->profile != index) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	end_call(frames, bpf_map_lookup_elem(&profiles, &index), frame, now, PT_REGS_RC(ctx));
	return leave_frames(ctx, site, frames);
}

/* What the call returns. */
static __always_inline __s32 result_of(struct pt_regs *ctx, const struct tlswatch_site *site, struct frames *frames)
{
	if (site->argument.kind == TLSWATCH_NOWHERE)
		return TLSWATCH_NO_RESULT;
	if (site->argument2.kind == TLSWATCH_NOWHERE || site->flags & TLSWATCH_SITE_STEPS)
		return value_at(ctx, &site->argument);
	frames->chain.table = value_at(ctx, &site->argument);
	frames->chain.data = value_at(ctx, &site->argument2);
	frames->chain.canceler = value_at(ctx, &site->argument3);
	return frames->chain.table != 0;
}

/* Whether a site that calls may leave by is passed without leaving one: by its flags. */
static __always_inline bool goes_on(struct pt_regs *ctx, const struct tlswatch_site *site, struct frame *frame,
				    __u64 object)
{
	if (site->flags & TLSWATCH_SITE_STEPS && !(__u32)value_at(ctx, &site->argument) &&
	    value_at(ctx, &site->argument2))
		return true;
	if (site->flags & TLSWATCH_SITE_TAKEN && !is_taken(ctx, site->flags >> TLSWATCH_SITE_CONDITION))
		return true;
	if (site->flags & TLSWATCH_SITE_STEP)
		return !frame || frame->object != object || !frame->stepped || !(__u32)value_at(ctx, &site->argument);
	return site->flags & TLSWATCH_SITE_INSIDE && (!frame || frame->object != object);
}

/* An exit from the call, at an instruction inside it. */
static __noinline int exit_call(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	__u64 object = object_of(ctx, site);
	struct frames *frames = frames_at(ctx, site, true);
	__u32 index = site->profile;
	struct frame *frame;

	if (!frames) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_NO_MEMORY);
		return 0;
	}
	frame = top_frame(frames);
	if (site->flags && goes_on(ctx, site, frame, object)) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_NOTED);
		return leave_frames(ctx, site, frames);
	}
	if (!frame || frame->object != object) {
		/* Entered on another thread, or in a job that was paused: no more is known of the call. */
		flush_steps(frames);
		drop_frame(frames, object);
		mark_next(ctx, site, frames);
		frame = push_frame(frames, object, index, now, 0);
		frame->enter_ns = 0;
	}
	end_call(frames, bpf_map_lookup_elem(&profiles, &index), frame, now, result_of(ctx, site, frames));
	return leave_frames(ctx, site, frames);
}

#endif
