/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ring, frames, profiles, counters, knobs: everything the programs share. */
#ifndef TLSWATCH_MAPS_H
#define TLSWATCH_MAPS_H

/* Knobs, set before load. */
const volatile __u8 filter_processes = 0;          /* only processes in observed_processes */
const volatile __u32 wake_bytes = 256 * 1024;      /* the consumer is woken at this fill; else it polls */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TLSWATCH_MAX_PROFILES);
	__type(key, __u32);
	__type(value, struct tlswatch_profile);
} profiles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TLSWATCH_PROGRAM_COUNT);
	__type(key, __u32);
	__type(value, struct tlswatch_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TLSWATCH_MAX_PROFILES);
	__type(key, __u32);
	__type(value, __u64);
} library_hits SEC(".maps");

/* Thread groups to observe when filter_processes is set; children join by themselves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u8);
} observed_processes SEC(".maps");

/*
 * A thread's handshake calls in progress, innermost last. They nest when a TLS connection runs
 * inside another (an HTTPS proxy) and a post-handshake message of the outer one arrives.
 */
#define FRAMES 4 /* a power of two: the verifier is shown the bound as a mask */

struct frame {
	__u64 object;
	__u64 enter_ns;
	__u64 input_ns;
	__u64 agreement_enter_ns; /* key agreement in progress; 0 none */
	__s32 io_result;
	__u32 profile;
	__u32 flow_state;
	__u32 reserved;
	__u64 scratch; /* a landing place for reads of user memory, off the stack */
};

struct frames {
	__u32 depth;
	__u32 reserved;
	struct frame frame[FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct frames);
} thread_frames SEC(".maps");

struct socket_state {
	__u64 connecting_ns;
	__u64 established_ns;
	__u64 object;
	__u64 process_start_ns;
	__u32 pid;
	__u32 tid;
	__u16 profile;
	__u8 sent;
	__u8 received;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

#define NO_IO (1 << 30)

static __always_inline bool is_observed(__u32 pid)
{
	return bpf_map_lookup_elem(&observed_processes, &pid) != 0;
}

/*
 * Counters are added to atomically although they are one a CPU: programs on uprobes are
 * preemptible since 6.13, and conservation must hold to the unit.
 */
static __always_inline void count(__u32 program, __u32 offset)
{
	void *counter = bpf_map_lookup_elem(&counters, &program);

	if (counter)
		__sync_fetch_and_add((__u64 *)(counter + offset), 1);
}

static __always_inline void count_hit(__u32 program)
{
	count(program, __builtin_offsetof(struct tlswatch_counters, hits));
}

static __always_inline void count_drop(__u32 program, enum tlswatch_drop why)
{
	count(program, __builtin_offsetof(struct tlswatch_counters, dropped) + 8 * why);
}

static __always_inline void count_library_hit(__u32 profile)
{
	__u64 *hits = bpf_map_lookup_elem(&library_hits, &profile);

	if (hits)
		__sync_fetch_and_add(hits, 1);
}

/* Submits without a wake-up (67 ns against 8 µs): the consumer polls, and is woken when much waits. */
static __always_inline void submit(void *record, __u32 program)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > wake_bytes)
		flags = 0;
	bpf_ringbuf_submit(record, flags);
	count(program, __builtin_offsetof(struct tlswatch_counters, submitted));
}

/* Not inlined: see the note on stacks in tls.bpf.c. `what` packs kind, profile, size and hook, 16 bits each. */
static __noinline int write_header(struct tlswatch_header *header, __u64 now, __u64 object, __u64 what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 pid_tgid = bpf_get_current_pid_tgid();

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
