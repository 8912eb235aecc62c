/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens inside a call, a thread's leave of it for a while, and the end of an object. */
#ifndef TLSWATCH_TLS_STEPS_BPF_H
#define TLSWATCH_TLS_STEPS_BPF_H

#include "calls.bpf.h"
#include "facts.bpf.h"
#include "tls_returns.bpf.h"

/* The frame that a key agreement belongs to: that of its object, where the site tells it. */
static __always_inline struct frame *frame_of(struct frames *frames, struct pt_regs *ctx,
					      const struct tlswatch_site *site)
{
	struct frame *frame = top_frame(frames);

	if (frame && site->object.kind != TLSWATCH_NOWHERE && frame->object != object_of(ctx, site))
		return NULL;
	return frame;
}

static __noinline int enter_agreement(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frames *frames = frames_at(ctx, site, false);
	struct frame *frame = frame_of(frames, ctx, site);

	if (!frame) {
		count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 1;
	}
	if (site->argument.kind != TLSWATCH_NOWHERE && value_at(ctx, &site->argument) == 0) {
		count_drop(program, TLSWATCH_DROP_SIZE_QUERY);
		return 1;
	}
	frame->agreement_enter_ns = now;
	count_drop(program, TLSWATCH_DROP_NOTED);
	return 0;
}

static __noinline int exit_agreement(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	struct frames *frames = frames_at(ctx, site, false);
	struct frame *frame = frame_of(frames, ctx, site);
	struct tlswatch_step *step;
	__u64 duration;

	if (!frame || !frame->agreement_enter_ns) {
		count_drop(program, frame ? TLSWATCH_DROP_SIZE_QUERY : TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	step = next_step(frames, frame);
	duration = now - frame->agreement_enter_ns;
	step->time_ns = now;
	step->input_ns = frame->input_ns;
	step->argument = 0;
	/* Where it is not known what it returned, the handshake's end tells whether it failed. */
	step->argument2 = site->argument.kind == TLSWATCH_NOWHERE ? 1 : value_at(ctx, &site->argument);
	step->duration_ns = duration >> 32 ? ~0U : duration;
	step->hook = TLSWATCH_HOOK_KEY_AGREEMENT;
	step->detail = TLSWATCH_NO_STATE;
	frame->agreement_enter_ns = 0;
	frame->steps++; /* its hit is counted when it travels */
	return 0;
}

/*
 * A failure while a ClientHello is read that the library has not stored yet: the step goes out at once, with the server name.
 * Returns 1 if that was tried, which accounts for the hit.
 */
__noinline int submit_name(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
			   const struct tlswatch_step *step, __u32 done)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct tlswatch_name *record;
	__u64 address, length;
	__u8 head[8] = {};

	if (!frames || !profile || !frame || !step)
		return 0;
	done = read_more(profile, frames, frame->object, profile->name_reads, done);
	address = address_of(profile, frames, frame->object, done, TLSWATCH_HELLO_NAME);
	/* ServerNameList (RFC 6066 section 3): its length, host_name (0), the name's length, the name. */
	if (!address || bpf_probe_read_user(head, 5, (void *)address))
		return 0;
	length = head[3] << 8 | head[4];
	if (head[2] || !length || (__u64)(head[0] << 8 | head[1]) != length + 3)
		return 0;
	if (length > TLSWATCH_TEXT_SIZE - 1)
		length = TLSWATCH_TEXT_SIZE - 1;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 1;
	}
	fill_header(&record->header, step->time_ns, frame->object, TLSWATCH_NAME, frame->profile, sizeof(*record),
		    TLSWATCH_HOOK_FATAL);
	record->step = *step;
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
	__builtin_memset(record->text, 0, sizeof(record->text));
	BOUND(length, TLSWATCH_TEXT_SIZE - 1);
	record->length = bpf_probe_read_user(record->text, length, (void *)(address + 5)) ? 0 : length;
	submit(record, program);
	return 1;
}

/* What a step inside a call reads of its object besides its arguments. Returns 1 if it went out by itself. */
__noinline int step_facts(struct tlswatch_step *step, struct frames *frames, struct frame *frame)
{
	struct tlswatch_profile *profile;
	__u32 index, done, value;

	if (!step || !frames || !frame)
		return 0;
	index = frame->profile;
	profile = bpf_map_lookup_elem(&profiles, &index);
	/* A goroutine's call waits for its peer inside: without its socket nobody knows when the input came. */
	step->input_ns = frame->goroutine && !frame->socket ? 0 : frame->input_ns;
	if (!profile)
		return 0;
	if (step->hook == TLSWATCH_HOOK_ALPN_SELECT) {
		frame->alpn_looked = 1;
	} else if (step->hook == TLSWATCH_HOOK_FATAL) {
		frame->failed = 1;
		done = read_state(profile, frames, frame->object);
		if (read_field(profile, frames, done, TLSWATCH_DETAIL, &value))
			step->detail = value;
		return profile->name_reads ? submit_name(frames, profile, frame, step, done) : 0;
	} else if (step->hook == TLSWATCH_HOOK_KEY_CHANGE && !frame->alpn_looked &&
		   !(profile->alpn_hooked & (frame->server ? TLSWATCH_ALPN_OF_SERVER : TLSWATCH_ALPN_OF_CLIENT))) {
		/* A server decides before it changes keys: one look in a call is enough. */
		frame->alpn_looked = frame->server;
		frames->read_object = 0; /* the scratch may have another's until here */
		done = read_more(profile, frames, frame->object, profile->alpn_reads, 0);
		if (read_field(profile, frames, done, TLSWATCH_ALPN_LENGTH, &value) && value) {
			step->argument2 = value;
			frame->alpn_looked = 1;
		}
	}
	return 0;
}

static __always_inline void fill_step(struct tlswatch_step *step, struct pt_regs *ctx, const struct tlswatch_site *site,
				      __u64 now)
{
	step->time_ns = now;
	step->input_ns = 0;
	step->argument = value_at(ctx, &site->argument);
	step->argument2 = value_at(ctx, &site->argument2);
	step->duration_ns = 0;
	step->hook = site->hook;
	step->detail = TLSWATCH_NO_STATE;
}

/* A step that belongs to no call, or for which the call has no room. */
static __noinline int step_alone(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	struct tlswatch_step_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, object_of(ctx, site), TLSWATCH_STEP, site->profile, sizeof(*record),
		    site->hook);
	fill_step(&record->step, ctx, site, now);
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* An alert's level (RFC 8446 section 6). */
#define FATAL 2

static __noinline int step_call(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frames *frames = frames_at(ctx, site, false);
	struct frame *frame = top_frame(frames);
	struct tlswatch_step *step;
	__u32 index;

	if (site->object.kind == TLSWATCH_NOWHERE) {
		if (!frame) {
			count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
			return 0;
		}
	} else if (!frame || frame->object != object_of(ctx, site)) {
		/* close_notify, with which every connection ends. */
		if (site->hook == TLSWATCH_HOOK_ALERT_SENT && !value_at(ctx, &site->argument)) {
			count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
			return 0;
		}
		return step_alone(ctx, site, now);
	}
	if (site->flags & TLSWATCH_SITE_STEP && frame->stepped && (__u8)value_at(ctx, &site->argument2) == FATAL) {
		index = site->profile;
		end_call(frames, bpf_map_lookup_elem(&profiles, &index), frame, now,
			 (__u8)value_at(ctx, &site->argument));
		return leave_frames(ctx, site, frames);
	}
	step = next_step(frames, frame);
	fill_step(step, ctx, site, now);
	if (!step_facts(step, frames, frame))
		frame->steps++; /* its hit is counted when it travels */
	return 0;
}

/* The object's end, with the calls that nothing was told of. */
__noinline int submit_free(struct frames *frames, __u64 object, __u32 profile, __u64 now)
{
	struct tlswatch_step_record *record;

	if (!frames)
		return 0;
	take_idle_calls(&frames->record, object, false);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, object, TLSWATCH_STEP, profile, sizeof(*record), TLSWATCH_HOOK_OBJECT_FREE);
	record->step.time_ns = now;
	record->step.input_ns = frames->record.idle_ns;
	record->step.argument = frames->record.idle_calls;
	record->step.argument2 = 0;
	record->step.duration_ns = 0;
	record->step.hook = TLSWATCH_HOOK_OBJECT_FREE;
	record->step.detail = TLSWATCH_NO_STATE;
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* A reference to the object is dropped: told only where it is the last and a handshake may be in progress. */
static __noinline int object_free(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u64 object = object_of(ctx, site);
	__u32 index = site->profile, done, value;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;
	struct frame *frame;

	if (!object || !profile || !profile->enabled) {
		count_drop(program, object ? TLSWATCH_DROP_DISABLED : TLSWATCH_DROP_NOTED);
		return 0;
	}
	frames = frames_at(ctx, site, true);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 0;
	}
	frame = top_frame(frames);
	if (frame && frame->stepped && frame->object == object)
		leave_steps(frames, frame);
	done = read_state(profile, frames, object);
	if (read_field(profile, frames, done, TLSWATCH_STATE, &value) ? contains(&profile->over, value) :
									profile->over_without_state) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return leave_frames(ctx, site, frames);
	}
	done = read_more(profile, frames, object, profile->reference_reads, done);
	if (read_field(profile, frames, done, TLSWATCH_REFERENCES, &value) && value > 1) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return leave_frames(ctx, site, frames);
	}
	submit_free(frames, object, index, now);
	return leave_frames(ctx, site, frames);
}

/* The thread leaves the call, and may come back to it: what happens meanwhile does not belong to it. */
static __noinline int pause_call(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	struct frames *frames = frames_at(ctx, site, false);
	struct frame *frame = top_frame(frames);
	struct tlswatch_step *step;

	if (!frame) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	flush_steps(frames);
	step = &frames->step[0];
	step->time_ns = now;
	step->input_ns = frame->input_ns;
	step->argument = 0;
	step->argument2 = 0;
	step->duration_ns = 0;
	step->hook = TLSWATCH_HOOK_PAUSE;
	step->detail = TLSWATCH_NO_STATE;
	submit_step(step, frame->object, frame->profile, TLSWATCH_PROGRAM_ENTER);
	settle_uses(frame);
	frames->depth--;
	return leave_frames(ctx, site, frames);
}

#endif
