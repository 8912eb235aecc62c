/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs on TLS-library functions: one enter and one return, whatever the library. The attach
 * cookie says what the site stands for and where its parameters are; the library's profile says
 * where its facts stand. Nothing here knows a library or a version.
 */

extern bool bpf_session_is_return(void) __ksym __weak; /* Linux 6.13 */

/*
 * Loads from the context are written out: the compiler would else choose between the offsets first
 * and load once, and the verifier refuses a context pointer with a variable offset.
 */
#define LOAD_REGISTER(value, ctx, offset) \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"(offset))

#if defined(__TARGET_ARCH_x86)
#define REGISTER_OFFSET(name) __builtin_offsetof(struct pt_regs, name)
#elif defined(__TARGET_ARCH_arm64)
/* Parameters alone: code is not read there yet. */
#define REGISTER_OFFSET(name) 0
#endif

#if defined(__TARGET_ARCH_x86)
#define PARAMETER_OFFSET(n, name) REGISTER_OFFSET(name)
#elif defined(__TARGET_ARCH_arm64)
#define PARAMETER_OFFSET(n, name) (8 * (n))
#endif

static __noinline __u64 parameter(struct pt_regs *ctx, __u32 place)
{
	__u64 value = 0;

	if (place == TLSWATCH_PARAMETER_0)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(0, di));
	else if (place == TLSWATCH_PARAMETER_1)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(1, si));
	else if (place == TLSWATCH_PARAMETER_2)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(2, dx));
	else if (place == TLSWATCH_PARAMETER_3)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(3, cx));
	else if (place == TLSWATCH_REGISTER_BX)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(bx));
	else if (place == TLSWATCH_REGISTER_BP)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(bp));
	else if (place == TLSWATCH_REGISTER_12)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r12));
	else if (place == TLSWATCH_REGISTER_13)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r13));
	else if (place == TLSWATCH_REGISTER_14)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r14));
	else if (place == TLSWATCH_REGISTER_15)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r15));
	else if (place == TLSWATCH_RESULT)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(ax));
	return value;
}

static __always_inline __u64 object_of(struct pt_regs *ctx, __u64 cookie)
{
	__u32 place = (cookie >> 24) & 15;

	return place == TLSWATCH_NO_PARAMETER ? 0 : parameter(ctx, place) + (__s64)(__s16)(cookie >> 36);
}

static __noinline int submit_enter(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				   __u32 done)
{
	struct tlswatch_call_enter *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	__u32 present;

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
	bpf_get_current_comm(record->comm, sizeof(record->comm));
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

/* The return of a call, with the steps in it; with every fact if the handshake ended, or may have. */
static __noinline int submit_return(struct frames *frames, struct tlswatch_profile *profile, struct frame *frame,
				    __u64 now, __s32 result)
{
	struct tlswatch_call_return *record = &frames->record;
	__u32 done = read_state(profile, frames, frame->object);
	__u32 *state = &record->scalar[TLSWATCH_FACT_FLOW_STATE];
	__u64 size = sizeof(*record) + (__u64)frame->steps * sizeof(struct tlswatch_step);

	record->alpn_length = 0;
	record->sni_length = 0;
	record->present = field(profile, frames, done, TLSWATCH_FACT_FLOW_STATE, state);
	if (record->present && result != 1 && !((profile->end_states >> (*state & 31)) & 1) &&
	    (frame->io_result > 0 || frame->io_result == -EAGAIN))
		record->present |= field(profile, frames, done, TLSWATCH_FACT_HAND_STATE,
					 &record->scalar[TLSWATCH_FACT_HAND_STATE]) |
				   field(profile, frames, done, TLSWATCH_FACT_WANT,
					 &record->scalar[TLSWATCH_FACT_WANT]) |
				   field(profile, frames, done, TLSWATCH_FACT_SHUTDOWN,
					 &record->scalar[TLSWATCH_FACT_SHUTDOWN]);
	else
		size += read_facts(frames, profile, frame, done);
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
	step->input_ns = 0;
	step->argument = 0;
	step->argument2 = 0;
	step->duration_ns = 0;
	step->hook = TLSWATCH_HOOK_PAUSE;
	step->hand_state = TLSWATCH_NO_STATE;
	submit_step(step, frame->object, frame->profile, program);
	frames->depth--;
	return 0;
}

/* The frame that a key agreement belongs to: that of its object, where the site tells it. */
static __always_inline struct frame *frame_of(struct frames *frames, struct pt_regs *ctx, __u64 cookie)
{
	struct frame *frame = top_frame(frames);

	if (frame && ((cookie >> 24) & 15) != TLSWATCH_NO_PARAMETER && frame->object != object_of(ctx, cookie))
		return 0;
	return frame;
}

static __noinline int enter_agreement(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = frame_of(frames, ctx, cookie);

	if (!frame) {
		count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 1;
	}
	if (parameter(ctx, (cookie >> 28) & 15) == 0) {
		count_drop(program, TLSWATCH_DROP_SIZE_QUERY);
		return 1;
	}
	frame->agreement_enter_ns = now;
	count_drop(program, TLSWATCH_DROP_NOTED);
	return 0;
}

static __noinline int exit_agreement(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = frame_of(frames, ctx, cookie);
	struct tlswatch_step *step;
	__u64 duration;

	if (!frame || !frame->agreement_enter_ns) {
		count_drop(program, frame ? TLSWATCH_DROP_SIZE_QUERY : TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	step = next_step(frames, frame);
	if (!step) {
		flush_steps(frames);
		step = &frames->step[0];
	}
	duration = now - frame->agreement_enter_ns;
	step->time_ns = now;
	step->input_ns = frame->input_ns;
	step->argument = 0;
	step->argument2 = parameter(ctx, (cookie >> 28) & 15);
	step->duration_ns = duration >> 32 ? ~0U : duration;
	step->hook = TLSWATCH_HOOK_KEY_AGREEMENT;
	step->hand_state = TLSWATCH_NO_STATE;
	frame->agreement_enter_ns = 0;
	frame->steps++;
	count_drop(program, TLSWATCH_DROP_NOTED);
	return 0;
}

/* What a step inside a call reads of its object besides its arguments. */
static __noinline int step_facts(struct tlswatch_step *step, struct frames *frames, struct frame *frame)
{
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &frame->profile);
	__u32 done, value;

	step->input_ns = frame->input_ns;
	if (!profile)
		return 0;
	if (step->hook == TLSWATCH_HOOK_ALPN_SELECT) {
		frame->alpn_looked = 1;
	} else if (step->hook == TLSWATCH_HOOK_FATAL) {
		done = read_state(profile, frames, frame->object);
		if (field(profile, frames, done, TLSWATCH_FACT_HAND_STATE, &value))
			step->hand_state = value;
	} else if (step->hook == TLSWATCH_HOOK_KEY_CHANGE && !frame->alpn_looked &&
		   (frame->server || !profile->answer_hooked)) {
		/* A server decides before it changes keys: one look in a call is enough. */
		frame->alpn_looked = frame->server;
		done = read_more(profile, frames, frame->object, profile->alpn_reads, 0);
		if (field(profile, frames, done, TLSWATCH_FACT_ALPN_LENGTH, &value) && value) {
			step->argument2 = value;
			frame->alpn_looked = 1;
		}
	}
	return 0;
}

static __always_inline void fill_step(struct tlswatch_step *step, struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	step->time_ns = now;
	step->input_ns = 0;
	step->argument = parameter(ctx, (cookie >> 28) & 15);
	step->argument2 = parameter(ctx, (cookie >> 32) & 15);
	step->duration_ns = 0;
	step->hook = (cookie >> 16) & 0xff;
	step->hand_state = TLSWATCH_NO_STATE;
}

/* A step that belongs to no call, or for which the call has no room. */
static __noinline int step_alone(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	struct tlswatch_step_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, object_of(ctx, cookie), TLSWATCH_STEP, cookie & 0xffff,
		    sizeof(*record), (cookie >> 16) & 0xff);
	fill_step(&record->step, ctx, cookie, now);
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

static __noinline int step(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = top_frame(frames);
	struct tlswatch_step *step;

	if (((cookie >> 24) & 15) == TLSWATCH_NO_PARAMETER) {
		if (!frame) {
			count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
			return 0;
		}
	} else if (!frame || frame->object != object_of(ctx, cookie)) {
		return step_alone(ctx, cookie, now);
	}
	step = next_step(frames, frame);
	if (!step) {
		flush_steps(frames);
		step = &frames->step[0];
	}
	fill_step(step, ctx, cookie, now);
	step_facts(step, frames, frame);
	frame->steps++;
	count_drop(program, TLSWATCH_DROP_NOTED);
	return 0;
}

/* A reference to the object is dropped: told only where it is the last and a handshake may be in progress. */
static __noinline int object_free(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u64 object = object_of(ctx, cookie);
	__u32 index = cookie & 0xffff, done, value;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;

	if (!object || !profile || !profile->enabled) {
		count_drop(program, object ? TLSWATCH_DROP_DISABLED : TLSWATCH_DROP_NOTED);
		return 0;
	}
	frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 0;
	}
	done = read_state(profile, frames, object);
	if (field(profile, frames, done, TLSWATCH_FACT_FLOW_STATE, &value) &&
	    ((profile->over_states >> (value & 31)) & 1)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	done = read_more(profile, frames, object, profile->reference_reads, done);
	if (field(profile, frames, done, TLSWATCH_FACT_REFERENCES, &value) && value > 1) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	return step_alone(ctx, cookie, now);
}

static __always_inline int enter(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 hook = (cookie >> 16) & 0xff;
	bool exits = hook == TLSWATCH_HOOK_STATE_MACHINE_EXIT || hook == TLSWATCH_HOOK_KEY_AGREEMENT_EXIT;
	__u32 program = exits ? TLSWATCH_PROGRAM_RETURN : TLSWATCH_PROGRAM_ENTER;

	count_hit(program);
	count_library_hit(cookie & 0xffff);
	if (filter_processes && !is_observed(bpf_get_current_pid_tgid() >> 32)) {
		count_drop(program, TLSWATCH_DROP_OTHER_PROCESS);
		return 1;
	}
	switch (hook) {
	case TLSWATCH_HOOK_STATE_MACHINE:
		return enter_call(ctx, cookie, now) != 0;
	case TLSWATCH_HOOK_STATE_MACHINE_EXIT:
		exit_call(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT:
		enter_agreement(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT_EXIT:
		exit_agreement(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_OBJECT_FREE:
		object_free(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_PAUSE:
		pause(now);
		break;
	default:
		step(ctx, cookie, now);
		break;
	}
	return 1;
}

static __always_inline void leave(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);

	count_hit(TLSWATCH_PROGRAM_RETURN);
	count_library_hit(cookie & 0xffff);
	return_call(ctx, cookie, now);
}

/* Entry and return in one program; a nonzero entry leaves the return alone. Linux 6.13. */
SEC("uprobe")
int tls_session(struct pt_regs *ctx)
{
	if (bpf_session_is_return()) {
		leave(ctx);
		return 0;
	}
	return enter(ctx);
}

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	enter(ctx);
	return 0;
}

SEC("uretprobe")
int tls_return(struct pt_regs *ctx)
{
	leave(ctx);
	return 0;
}
