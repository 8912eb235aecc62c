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
#define PARAMETER_OFFSET(n)                                 \
	((n) == 0   ? __builtin_offsetof(struct pt_regs, di) : \
	 (n) == 1   ? __builtin_offsetof(struct pt_regs, si) : \
	 (n) == 2   ? __builtin_offsetof(struct pt_regs, dx) : \
			 __builtin_offsetof(struct pt_regs, cx))
#elif defined(__TARGET_ARCH_arm64)
#define PARAMETER_OFFSET(n) (8 * (n))
#endif

static __always_inline __u64 parameter(struct pt_regs *ctx, __u32 index)
{
	__u64 value = 0;

	if (index == 0)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(0));
	else if (index == 1)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(1));
	else if (index == 2)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(2));
	else if (index == 3)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(3));
	return value;
}

/* The address of a fact, or 0. `scratch` is where pointers land on the way. */
static __noinline __u64 follow(const struct tlswatch_path *path, __u64 object, __u64 *scratch)
{
	__u64 address = object;
	__u32 depth = path->depth;

	if (depth == 0 || depth > TLSWATCH_PATH_DEPTH)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_PATH_DEPTH - 1; i++) {
		if (i + 1 >= (int)depth)
			break;
		if (bpf_probe_read_user(scratch, sizeof(*scratch), (void *)(address + path->offset[i])))
			return 0;
		address = *scratch;
		if (!address)
			return 0;
	}
	return address + path->offset[(depth - 1) & (TLSWATCH_PATH_DEPTH - 1)];
}

/* Reads a scalar fact into *value; returns its bit, or 0 where it is absent. */
static __noinline __u32 read_scalar(const struct tlswatch_profile *profile, __u64 object, __u32 fact,
					__u64 *scratch, __u32 *value)
{
	const struct tlswatch_path *path = &profile->fact[fact];
	__u64 address = follow(path, object, scratch);
	__u32 size = path->size;

	*value = 0;
	if (!address)
		return 0;
	if (size > sizeof(*value))
		size = sizeof(*value); /* little-endian: the low half of a size_t */
	if (size == 0 || bpf_probe_read_user(value, size, (void *)address))
		return 0;
	return 1U << fact;
}

static __always_inline struct frame *top_frame(struct frames *frames)
{
	__u64 index;

	if (!frames || frames->depth == 0)
		return 0;
	index = frames->depth - 1;
	asm volatile("%0 &= 3" : "+r"(index));
	return &frames->frame[index];
}

/*
 * The functions below are not inlined, so that each keeps its own small stack: a program whose
 * frame reaches 64 bytes gets a private stack since 6.13, which has crashed hosts under TLS load.
 */
static __noinline int submit_enter(struct frame *frame, struct tlswatch_profile *profile, __u32 server, __u32 present)
{
	struct tlswatch_call_enter *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, frame->enter_ns, frame->object, TLSWATCH_CALL_ENTER, frame->profile,
		    sizeof(*record), TLSWATCH_HOOK_STATE_MACHINE);
	record->flow_state = frame->flow_state;
	present |= read_scalar(profile, frame->object, TLSWATCH_FACT_HAND_STATE, &frame->scratch, &record->hand_state);
	present |= read_scalar(profile, frame->object, TLSWATCH_FACT_VERSION, &frame->scratch, &record->version);
	record->server = server;
	record->present = present;
	record->reserved = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* An entry into the handshake state machine. Returns 0 if its return is wanted. */
static __noinline int enter_call(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u32 index = cookie & 0xffff, present;
	__u64 slot;
	__u64 object = parameter(ctx, (cookie >> 24) & 15);
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);
	struct frames *frames;
	struct frame *frame;

	if (!profile || !profile->enabled) {
		count_drop(program, TLSWATCH_DROP_DISABLED);
		return 1;
	}
	frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!frames) {
		count_drop(program, TLSWATCH_DROP_NO_MEMORY);
		return 1;
	}
	slot = frames->depth;
	if (slot >= FRAMES)
		slot = FRAMES - 1;
	/* The same object on the thread already: its return was missed. Take its place. */
#pragma clang loop unroll(disable)
	for (int i = FRAMES - 1; i >= 0; i--)
		if (i < (int)frames->depth && frames->frame[i].object == object)
			slot = i;
	_Static_assert(FRAMES == 4, "the mask below and in top_frame");
	asm volatile("%0 &= 3" : "+r"(slot));
	frames->depth = slot + 1;
	frame = &frames->frame[slot];
	frame->object = object;
	frame->enter_ns = now;
	frame->input_ns = now;
	frame->agreement_enter_ns = 0;
	frame->io_result = NO_IO;
	frame->profile = index;
	frame->flow_state = 0;
	present = read_scalar(profile, object, TLSWATCH_FACT_FLOW_STATE, &frame->scratch, &frame->flow_state);
	if (present && profile->start_states && !((profile->start_states >> (frame->flow_state & 31)) & 1)) {
		count_drop(program, TLSWATCH_DROP_NOTED);
		return 0;
	}
	return submit_enter(frame, profile, parameter(ctx, (cookie >> 28) & 15), present);
}

static __always_inline void fill_return(struct tlswatch_call_return *record, struct frame *frame, __u64 now,
					__u16 kind, __u16 size, __s32 result)
{
	fill_header(&record->header, now, frame->object, kind, frame->profile, size, TLSWATCH_HOOK_STATE_MACHINE);
	record->enter_ns = frame->enter_ns;
	record->input_ns = frame->input_ns;
	record->result = result;
	record->io_result = frame->io_result;
	record->flow_state = frame->flow_state;
	record->hand_state = 0;
	record->reserved = 0;
}

/* Reads a text of `length` bytes, 255 at most; returns how many were read. */
static __always_inline __u16 read_bytes(const struct tlswatch_path *path, __u64 object, __u64 *scratch, __u8 *to,
				       __u32 length)
{
	__u64 address = follow(path, object, scratch);

	if (!address || length == 0)
		return 0;
	if (length > TLSWATCH_TEXT_SIZE - 1)
		length = TLSWATCH_TEXT_SIZE - 1;
	asm volatile("%0 &= 255" : "+r"(length)); /* the bound, where the verifier sees it */
	return bpf_probe_read_user(to, length, (void *)address) ? 0 : length;
}

/* Reads a NUL-terminated text; returns its length. */
static __always_inline __u16 read_text(const struct tlswatch_path *path, __u64 object, __u64 *scratch, __u8 *to)
{
	__u64 address = follow(path, object, scratch);
	long length;

	if (!address)
		return 0;
	length = bpf_probe_read_user_str(to, TLSWATCH_TEXT_SIZE, (void *)address);
	return length > 1 ? length - 1 : 0;
}

static __noinline int read_texts(struct frame *frame, struct tlswatch_profile *profile,
				 struct tlswatch_call_end *record)
{
	/* The ring holds what earlier records left: nothing of it may pass for a text. */
	__builtin_memset(record->alpn, 0, sizeof(record->alpn));
	__builtin_memset(record->sni, 0, sizeof(record->sni));
	record->alpn_length = read_bytes(&profile->fact[TLSWATCH_FACT_ALPN], frame->object, &frame->scratch,
					 record->alpn, record->scalar[TLSWATCH_FACT_ALPN_LENGTH]);
	record->sni_length = read_text(&profile->fact[TLSWATCH_FACT_SNI], frame->object, &frame->scratch, record->sni);
	if (!record->sni_length)
		record->sni_length = read_text(&profile->fact[TLSWATCH_FACT_SESSION_SNI], frame->object,
					       &frame->scratch, record->sni);
	return 0;
}

/* The return of a call that ended the handshake, or may have: with every fact. */
static __noinline int submit_end(struct frame *frame, struct tlswatch_profile *profile, __u64 now, __s32 result)
{
	__u32 fact;
	struct tlswatch_call_end *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_return(&record->call, frame, now, TLSWATCH_CALL_END, sizeof(*record), result);
	record->call.present = 0;
#pragma clang loop unroll(disable)
	for (fact = 0; fact < TLSWATCH_FACT_SCALARS; fact++)
		record->call.present |=
			read_scalar(profile, frame->object, fact, &frame->scratch, &record->scalar[fact]);
	record->call.hand_state = record->scalar[TLSWATCH_FACT_HAND_STATE];
	read_texts(frame, profile, record);
	submit(record, TLSWATCH_PROGRAM_RETURN);
	return 0;
}

static __noinline int submit_return(struct frame *frame, struct tlswatch_profile *profile, __u64 now, __s32 result,
				    __u32 present)
{
	struct tlswatch_call_return *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_drop(TLSWATCH_PROGRAM_RETURN, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_return(record, frame, now, TLSWATCH_CALL_RETURN, sizeof(*record), result);
	present |= read_scalar(profile, frame->object, TLSWATCH_FACT_HAND_STATE, &frame->scratch, &record->hand_state);
	record->present = present;
	submit(record, TLSWATCH_PROGRAM_RETURN);
	return 0;
}

static __noinline int return_call(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	__s32 result = PT_REGS_RC(ctx);
	struct frames *frames = bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0);
	struct frame *frame = top_frame(frames);
	struct tlswatch_profile *profile;
	__u32 present, index = cookie & 0xffff;

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
	present = read_scalar(profile, frame->object, TLSWATCH_FACT_FLOW_STATE, &frame->scratch, &frame->flow_state);
	if (present && result != 1 && !((profile->end_states >> (frame->flow_state & 31)) & 1) &&
	    (frame->io_result > 0 || frame->io_result == -EAGAIN))
		return submit_return(frame, profile, now, result, present);
	return submit_end(frame, profile, now, result);
}

static __noinline int enter_agreement(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frame *frame = top_frame(bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0));

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

static __noinline int return_agreement(struct pt_regs *ctx, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	struct frame *frame = top_frame(bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0));
	struct tlswatch_step *record;

	if (!frame || !frame->agreement_enter_ns) {
		/* A pair's return after an entry that was not noted. */
		count_drop(program, frame ? TLSWATCH_DROP_SIZE_QUERY : TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, frame->object, TLSWATCH_STEP, frame->profile, sizeof(*record),
		    TLSWATCH_HOOK_KEY_AGREEMENT);
	record->enter_ns = frame->agreement_enter_ns;
	frame->agreement_enter_ns = 0;
	record->input_ns = frame->input_ns;
	record->argument = 0;
	record->argument2 = 0;
	record->result = (__s32)PT_REGS_RC(ctx);
	record->hand_state = 0;
	record->present = 0;
	submit(record, program);
	return 0;
}

static __noinline int step(struct pt_regs *ctx, __u64 cookie, __u64 now)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	struct frame *frame = top_frame(bpf_task_storage_get(&thread_frames, bpf_get_current_task_btf(), 0, 0));
	struct tlswatch_profile *profile;
	struct tlswatch_step *record;
	__u32 index = cookie & 0xffff;

	if (!frame && ((cookie >> 24) & 15) == TLSWATCH_NO_PARAMETER) {
		count_drop(program, TLSWATCH_DROP_OUTSIDE_HANDSHAKE);
		return 0;
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	record->argument = parameter(ctx, (cookie >> 28) & 15);
	record->argument2 = parameter(ctx, (cookie >> 32) & 15);
	record->input_ns = 0;
	record->result = 0;
	record->hand_state = 0;
	record->present = 0;
	fill_header(&record->header, now, parameter(ctx, (cookie >> 24) & 15), TLSWATCH_STEP, index, sizeof(*record),
		    (cookie >> 16) & 0xff);
	if (((cookie >> 24) & 15) == TLSWATCH_NO_PARAMETER && frame) {
		record->header.object = frame->object;
		record->header.profile = frame->profile;
	}
	if (frame && frame->object == record->header.object)
		record->input_ns = frame->input_ns;
	if (record->header.hook == TLSWATCH_HOOK_FATAL || record->header.hook == TLSWATCH_HOOK_KEY_CHANGE) {
		profile = bpf_map_lookup_elem(&profiles, &index);
		/* enter_ns serves as the landing place of the pointers. */
		if (profile && record->header.hook == TLSWATCH_HOOK_FATAL)
			record->present = read_scalar(profile, record->header.object, TLSWATCH_FACT_HAND_STATE,
						      &record->enter_ns, &record->hand_state);
		else if (profile)
			record->present = read_scalar(profile, record->header.object, TLSWATCH_FACT_ALPN_LENGTH,
						      &record->enter_ns, (__u32 *)&record->result);
	}
	record->enter_ns = now;
	submit(record, program);
	return 0;
}

static __always_inline int enter(struct pt_regs *ctx)
{
	const __u32 program = TLSWATCH_PROGRAM_ENTER;
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);

	count_hit(program);
	count_library_hit(cookie & 0xffff);
	if (filter_processes && !is_observed(bpf_get_current_pid_tgid() >> 32)) {
		count_drop(program, TLSWATCH_DROP_OTHER_PROCESS);
		return 1;
	}
	switch ((cookie >> 16) & 0xff) {
	case TLSWATCH_HOOK_STATE_MACHINE:
		return enter_call(ctx, cookie, now);
	case TLSWATCH_HOOK_KEY_AGREEMENT:
		return enter_agreement(ctx, cookie, now);
	default:
		step(ctx, cookie, now);
		return 1;
	}
}

static __always_inline void leave(struct pt_regs *ctx)
{
	const __u32 program = TLSWATCH_PROGRAM_RETURN;
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);

	count_hit(program);
	count_library_hit(cookie & 0xffff);
	if (((cookie >> 16) & 0xff) == TLSWATCH_HOOK_STATE_MACHINE)
		return_call(ctx, cookie, now);
	else
		return_agreement(ctx, now);
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
