/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where calls in progress are kept, by thread or by goroutine, and the steps that wait in them. */
#ifndef TLSWATCH_FRAMES_BPF_H
#define TLSWATCH_FRAMES_BPF_H

#include "records.bpf.h"
#include "registers.bpf.h"

static __always_inline struct frame *top_frame(struct frames *frames)
{
	__u64 index;

	if (!frames || frames->depth == 0)
		return NULL;
	index = frames->depth - 1;
	BOUND(index, FRAMES - 1);
	return &frames->frame[index];
}

/* A step as a record of its own. */
__noinline int submit_step(const struct tlswatch_step *step, __u64 object, __u32 profile, __u32 program)
{
	struct tlswatch_step_record *record;

	if (!step)
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(program, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, step->time_ns, object, TLSWATCH_STEP, profile, sizeof(*record), step->hook);
	record->step = *step;
	submit(record, program);
	return 0;
}

static __always_inline __u32 program_of(const struct tlswatch_step *step)
{
	return step->hook == TLSWATCH_HOOK_KEY_AGREEMENT ? TLSWATCH_PROGRAM_RETURN : TLSWATCH_PROGRAM_ENTER;
}

/* The hits of steps that will not be told of. */
static __always_inline void forget_steps(const struct frames *frames)
{
	__u64 top = frames->depth - 1;

	if (!frames->depth)
		return;
	BOUND(top, FRAMES - 1);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < TLSWATCH_STEPS; i++)
		if (i < frames->frame[top].steps)
			count_drop(program_of(&frames->step[i]), TLSWATCH_DROP_NOTED);
}

/*
 * Accounts for the hits of the innermost call's steps: each goes out as a record of its own (`alone`), or is noted in a later
 * one, or nowhere. Until then a step's hit is in no count.
 */
__noinline int settle_steps(struct frames *frames, bool alone)
{
	struct frame *frame = top_frame(frames);

	if (!frame)
		return 0;
	if (!alone) {
		forget_steps(frames);
		frame->steps = 0;
		return 0;
	}
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < TLSWATCH_STEPS; i++)
		if (i < frame->steps)
			submit_step(&frames->step[i], frame->object, frame->profile, program_of(&frames->step[i]));
	frame->steps = 0;
	return 0;
}

/* Which goroutines are to be forgotten: those of a process, or those whose call began before. */
struct sweep {
	__u64 before;
	__u32 pid; /* thread group; 0: of all */
	__u32 reserved;
};

static long drop_goroutine(void *map, const struct goroutine_key *key, struct frames *frames, const struct sweep *sweep)
{
	/* One without an entry is in the middle of its exit. */
	if (sweep->pid ? key->pid != sweep->pid :
			 !frames->depth || !frames->frame[0].enter_ns || frames->frame[0].enter_ns >= sweep->before)
		return 0;
	forget_steps(frames);
	if (!bpf_map_delete_elem(&goroutine_frames, key))
		__sync_fetch_and_add(&shared.goroutines, -1);
	return 0;
}

/* Forgets the calls of a process that ends, or begins another program. */
static __noinline int drop_goroutines_of(__u32 pid)
{
	struct sweep sweep = { .pid = pid };

	if (shared.goroutines)
		bpf_for_each_map_elem(&goroutine_frames, drop_goroutine, &sweep, 0);
	return 0;
}

/*
 * Forgets calls that are older than `age_ns`, unless that was done just before: a goroutine that ends in a call (Goexit, a panic
 * that is caught above) leaves it behind, and while there is one, sockets are looked at for nothing.
 */
__noinline int drop_old_goroutines(__u64 age_ns, __u64 interval_ns)
{
	__u64 now = bpf_ktime_get_ns();
	struct sweep sweep = { .before = now - age_ns };

	if (now - shared.goroutines_swept_ns < interval_ns)
		return 0;
	shared.goroutines_swept_ns = now;
	bpf_for_each_map_elem(&goroutine_frames, drop_goroutine, &sweep, 0);
	return 0;
}

#define SECOND_NS 1000000000ULL

/* A goroutine's first call. Where there is no room those make some that have lasted long. */
static __always_inline int new_goroutine(struct goroutine_key *key)
{
	struct frames *none;
	__u32 zero = 0;

	none = bpf_map_lookup_elem(&no_frames, &zero);
	if (!none)
		return 0;
	/* Counted first: who sees its calls must not see that there are none. */
	__sync_fetch_and_add(&shared.goroutines, 1);
	if (!bpf_map_update_elem(&goroutine_frames, key, none, BPF_NOEXIST))
		return 0;
	drop_old_goroutines(SECOND_NS, SECOND_NS / 100);
	if (bpf_map_update_elem(&goroutine_frames, key, none, BPF_NOEXIST))
		__sync_fetch_and_add(&shared.goroutines, -1);
	return 0;
}

/* A goroutine's calls in progress, by thread group and g. */
static __noinline struct frames *frames_of_goroutine(__u64 g, bool create)
{
	struct goroutine_key key = { .g = g, .pid = bpf_get_current_pid_tgid() >> 32 };
	struct frames *frames = bpf_map_lookup_elem(&goroutine_frames, &key);

	if (frames)
		return frames;
	if (!create) {
		drop_old_goroutines(knobs.call_lifetime_s * SECOND_NS, SECOND_NS);
		return NULL;
	}
	new_goroutine(&key);
	return bpf_map_lookup_elem(&goroutine_frames, &key);
}

/* The calling thread's calls in progress. With `create` there are some, but for want of memory. */
static __always_inline struct frames *frames_of_thread(bool create)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tid = task->pid, index = tid & (THREAD_SLOTS - 1);
	struct frames *slot = bpf_map_lookup_elem(&thread_slots, &index), *displaced;

	if (!slot || slot->owner == tid)
		return slot;
	if (shared.displaced_threads) {
		displaced = bpf_task_storage_get(&thread_frames, task, 0, 0);
		if (displaced)
			return displaced;
	}
	if (!create)
		return NULL;
	if (!slot->owner && !__sync_val_compare_and_swap(&slot->owner, 0, tid))
		return slot;
	displaced = bpf_task_storage_get(&thread_frames, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (displaced) {
		displaced->owner = DISPLACED;
		__sync_fetch_and_add(&shared.displaced_threads, 1);
	}
	return displaced;
}

/* Those of whatever the site's calls are kept by. */
static __always_inline struct frames *frames_at(struct pt_regs *ctx, const struct tlswatch_site *site, bool create)
{
	if (site->context == TLSWATCH_GOROUTINE)
		return frames_of_goroutine(register_value(ctx, GOROUTINE_REGISTER), create);
	return frames_of_thread(create);
}

/* Lets go of a thread's memory that holds no call; nothing of it may be used behind this. */
static __always_inline int release_thread(struct frames *frames)
{
	if (frames->owner != DISPLACED) {
		frames->owner = 0;
	} else if (!bpf_task_storage_delete(&thread_frames, bpf_get_current_task_btf())) {
		__sync_fetch_and_add(&shared.displaced_threads, -1);
	}
	return 0;
}

/* The same at the end of a hit, whatever its site's calls are kept by. */
static __always_inline int leave_frames(struct pt_regs *ctx, const struct tlswatch_site *site, struct frames *frames)
{
	struct goroutine_key key = { .pid = bpf_get_current_pid_tgid() >> 32 };

	if (frames->depth)
		return 0;
	if (site->context != TLSWATCH_GOROUTINE)
		return release_thread(frames);
	key.g = register_value(ctx, GOROUTINE_REGISTER);
	if (!bpf_map_delete_elem(&goroutine_frames, &key))
		__sync_fetch_and_add(&shared.goroutines, -1);
	return 0;
}

#endif
