/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls of the handshake state machine: how they begin, end, and are left for a while. */
#ifndef TLSWATCH_TLS_CALLS_H
#define TLSWATCH_TLS_CALLS_H

/*
 * Who calls. A short-lived child may be gone before anybody has read what it runs: the parent tells, as long as both run the
 * same file.
 */
static __noinline int fill_process(struct tlswatch_call_enter *record)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = leader->real_parent;
	struct inode *own = leader->mm->exe_file->f_inode;

	record->parent_pid = own && parent->mm->exe_file->f_inode == own ? parent->tgid : 0;
	bpf_get_current_comm(record->thread, sizeof(record->thread));
	bpf_probe_read_kernel(record->comm, sizeof(record->comm), &leader->comm);
	return 0;
}

__noinline int submit_enter(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame, __u32 done)
{
	struct tlswatch_call_enter *record;
	__u32 present;

	if (!frames || !profile || !frame)
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, frame->enter_ns, frame->object, TLSWATCH_CALL_ENTER, frame->profile,
		    sizeof(*record), TLSWATCH_HOOK_STATE_MACHINE);
	present = field(profile, frames, done, TLSWATCH_FACT_FLOW_STATE, &record->flow_state);
	present |= field(profile, frames, done, TLSWATCH_FACT_HAND_STATE, &record->hand_state);
	present |= field(profile, frames, done, TLSWATCH_FACT_VERSION, &record->version);
	present |= field(profile, frames, done, TLSWATCH_FACT_REQUEST_STATE, &record->request_state);
	record->server = frame->server;
	record->present = present;
	record->reserved = 0;
	fill_process(record);
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* A call begins. `what` is the profile's index and, above 32 bits, whether it is a server's. */
static __noinline int begin_call(struct frames *frames, struct tlswatch_profile *profile, __u64 object, __u64 now,
				 __u64 what)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u32 done = read_state(profile, frames, object), state, known;
	struct frame *frame;

	known = field(profile, frames, done, TLSWATCH_FACT_FLOW_STATE, &state);
	if (known && profile->exit_hooked && ((profile->dead_states >> (state & 31)) & 1)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	flush_steps(frames);
	frame = push_frame(frames, object, what, now, what >> 32);
	if (known) {
		frame->flow_state = state;
		field(profile, frames, done, TLSWATCH_FACT_HAND_STATE, &frame->hand_state);
	}
	if (known && profile->start_states && !((profile->start_states >> (state & 31)) & 1)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	frame->began = 1;
	return submit_enter(frames, profile, frame, done);
}

/* An entry into the handshake state machine. Returns 0 if its return is wanted. */
static __noinline int enter_call(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u32 index = cookie & 0xffff;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;
	bool exit_hooked;

	if (!profile || !profile->enabled) {
		count_drop(program, TLSWATCH_DROP_DISABLED);
		return 1;
	}
	frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 1;
	}
	exit_hooked = profile->exit_hooked != 0;
	begin_call(frames, profile, object_of(ctx, cookie), now, index | parameter(ctx, (cookie >> 28) & 15) << 32);
	return exit_hooked;
}

/* Every fact, and the texts; returns how many bytes of text there are. */
static __noinline __u32 read_facts(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				   __u32 done)
{
	struct tlswatch_call_return *record = &frames->record;
	__u64 at = (__u64)frame->steps * sizeof(struct tlswatch_step);
	__u32 alpn, sni;

	done = read_more(profile, frames, frame->object, ~0U, done);
#pragma clang loop unroll(disable)
	for (__u32 fact = 0; fact < TLSWATCH_FACT_SCALARS; fact++)
		record->present |= field(profile, frames, done, fact, &record->scalar[fact]);
	alpn = read_bytes(profile, frames, done, TLSWATCH_FACT_ALPN, at, record->scalar[TLSWATCH_FACT_ALPN_LENGTH]);
	sni = read_text(profile, frames, done, TLSWATCH_FACT_SNI, at + alpn);
	if (!sni)
		sni = read_text(profile, frames, done, TLSWATCH_FACT_SESSION_SNI, at + alpn);
	record->alpn_length = alpn;
	record->sni_length = sni;
	return alpn + sni;
}

/* How far a handshake is that has not ended by its message-flow state; returns whether it goes on. */
static __noinline bool read_progress(struct frames *frames, struct tlswatch_profile *profile, __u32 done)
{
	struct tlswatch_call_return *record = &frames->record;
	__u32 *want = &record->scalar[TLSWATCH_FACT_WANT], *shutdown = &record->scalar[TLSWATCH_FACT_SHUTDOWN];
	__u32 waits = field(profile, frames, done, TLSWATCH_FACT_WANT, want);
	__u32 closes = field(profile, frames, done, TLSWATCH_FACT_SHUTDOWN, shutdown);

	record->present |= field(profile, frames, done, TLSWATCH_FACT_HAND_STATE,
				 &record->scalar[TLSWATCH_FACT_HAND_STATE]) |
			   waits | closes;
	return !(waits && *want == profile->idle_want) && !(closes && *shutdown & profile->over_shutdown);
}

/* Whether the call left everything as it was: no byte moved, and no state. */
static __noinline bool is_without_effect(struct tlswatch_call_return *record, struct frame *frame)
{
	if (frame->began || !frame->enter_ns || frame->steps || frame->first_send_ns ||
	    frame->input_ns != frame->enter_ns)
		return false;
	return frame->flow_state == record->scalar[TLSWATCH_FACT_FLOW_STATE] &&
	       frame->hand_state == record->scalar[TLSWATCH_FACT_HAND_STATE];
}

/* The return of a call, with the steps in it; with every fact if the handshake ended, or may have. */
static __noinline int submit_return(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				    __u64 now, __s32 result)
{
	struct tlswatch_call_return *record = &frames->record;
	__u32 done = read_state(profile, frames, frame->object);
	__u32 *state = &record->scalar[TLSWATCH_FACT_FLOW_STATE];
	__u64 size = sizeof(*record) + (__u64)frame->steps * sizeof(struct tlswatch_step);
	bool goes_on = false;

	record->alpn_length = 0;
	record->sni_length = 0;
	record->present = field(profile, frames, done, TLSWATCH_FACT_FLOW_STATE, state);
	if (record->present && result != 1 && !((profile->end_states >> (*state & 31)) & 1) &&
	    (frame->io_result > 0 || frame->io_result == -EAGAIN))
		goes_on = read_progress(frames, profile, done);
	if (goes_on && is_without_effect(record, frame) &&
	    keep_idle_call(frame->object, now - frame->enter_ns, now)) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_NOTED);
		return 0;
	}
	if (!goes_on)
		size += read_facts(frames, profile, frame, done);
	take_idle_calls(record, frame->object);
	if (frame->began) {
		/* Of an object that stood there before. */
		record->idle_calls = 0;
		record->idle_ns = 0;
	}
	record->enter_ns = frame->enter_ns;
	record->input_ns = frame->input_ns;
	record->first_send_ns = frame->first_send_ns;
	record->result = result;
	record->io_result = frame->io_result;
	record->steps = frame->steps;
	record->reserved = 0;
	fill_header(&record->header, now, frame->object, TLSWATCH_CALL_RETURN, frame->profile, size,
		    TLSWATCH_HOOK_STATE_MACHINE);
	frame->steps = 0;
	_Static_assert(sizeof(frames->text) >= 2 * TLSWATCH_TEXT_SIZE, "room for both texts, and the mask below");
	asm volatile("%0 &= 1023" : "+r"(size)); /* the bound, where the verifier sees it */
	output(record, size, TLSWATCH_PROGRAM_RETURN);
	return 0;
}

/* The return probe's end of a call, for builds without a known exit. */
static __noinline int return_call(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = top_frame(frames);
	struct tlswatch_profile *profile;
	__u32 index = cookie & 0xffff;

	if (!frame || frame->profile != index) {
		count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	frames->depth--;
	profile = bpf_map_lookup_elem(&profiles, &index);
	if (!profile || !profile->enabled) {
		count_drop(program, TLSWATCH_DROP_DISABLED);
		return 0;
	}
	return submit_return(frames, profile, frame, now, PT_REGS_RC(ctx));
}

/* An exit from the state machine, at an instruction inside it. */
static __noinline int exit_call(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	__u32 index = cookie & 0xffff;
	__u64 object = object_of(ctx, cookie);
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;
	struct frame *frame;

	frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 0;
	}
	frame = top_frame(frames);
	if (!frame || frame->object != object) {
		/* Entered on another thread, or in a job that was paused: no more is known of the call. */
		flush_steps(frames);
		drop_frame(frames, object);
		frame = push_frame(frames, object, index, now, 0);
		frame->enter_ns = 0;
	}
	/* Left in any case: a frame that stays would claim the thread's later I/O. */
	frames->depth--;
	if (!profile || !profile->enabled) {
		count_drop(program, TLSWATCH_DROP_DISABLED);
		return 0;
	}
	return submit_return(frames, profile, frame, now, TLSWATCH_NO_RESULT);
}

/* The thread leaves the call, and may come back to it: what happens meanwhile does not belong to it. */
static __noinline int pause(__u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = top_frame(frames);
	struct tlswatch_step *step;

	if (!frame) {
		count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
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
	step->hand_state = TLSWATCH_NO_STATE;
	submit_step(step, frame->object, frame->profile, program);
	frames->depth--;
	return 0;
}

#endif
