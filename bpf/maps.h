/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ring, frames, profiles, counters, knobs: everything the programs share. */
#ifndef TLSWATCH_MAPS_H
#define TLSWATCH_MAPS_H

/* Knobs, set before load. */
const volatile __u8 filter_processes = 0;          /* only processes in observed_processes */
const volatile __u8 sockets_by_address = 0;        /* sockets are known by address alone: before 6.3 */
const volatile __u8 tell_programs = 0;             /* which programs begin, in `programs` */
const volatile __u32 wake_bytes = 256 * 1024;      /* the consumer is woken at this fill; else it polls */

/* Read by the consumer from mapped memory: all of .bss. */
struct tlswatch_shared shared = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} ring SEC(".maps");

/* Processes that have begun a program, where tell_programs is set; else the map is not made. What does not fit is left out. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024); /* a multiple of any page's size */
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TLSWATCH_MAX_PROFILES);
	__type(key, __u32);
	__type(value, struct tlswatch_profile);
} profiles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TLSWATCH_MAX_SITES);
	__type(key, __u32);
	__type(value, struct tlswatch_site);
} sites SEC(".maps");

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
	__u64 first_send_ns;
	__u64 agreement_enter_ns; /* key agreement in progress; 0 none */
	__u64 socket;             /* the object's own socket, once it was used in this call; 0 none */
	__u64 stranger;           /* another one that was used in it last; 0 none */
	__s32 io_result;          /* on the own socket */
	__u32 profile;
	__u32 alpn_looked;        /* no need to look in this call whether the protocol was decided */
	__u32 steps;              /* of this call, in frames->step */
	__u32 began;              /* a handshake began with this call */
	__u32 server;
	__u32 state;              /* as found on entry; NO_STATE where they were not read */
	__u32 detail;
};

/* A thread's own memory: frames, a landing place for reads of user memory, off the stack, and the record in the making. */
struct frames {
	__u32 depth;
	__u32 reserved;
	struct frame frame[FRAMES];
	__u8 scratch[TLSWATCH_SCRATCH_SIZE];
	struct tlswatch_call_return record;
	struct tlswatch_step step[TLSWATCH_STEPS]; /* of the innermost call */
	__u8 text[1072 - sizeof(struct tlswatch_call_return) - TLSWATCH_STEPS * sizeof(struct tlswatch_step)];
};

/* One allocation a thread, below a page with what the kernel adds to it. */
_Static_assert(sizeof(struct frames) <= 4000, "frames");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct frames);
} thread_frames SEC(".maps");

/*
 * The same by goroutine: it may go on on another thread in the middle of a call. The one used longest ago makes room.
 */
struct goroutine_key {
	__u64 g;
	__u64 pid; /* thread group */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct goroutine_key);
	__type(value, struct frames);
} goroutine_frames SEC(".maps");

/* What a goroutine begins with. Never written to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frames);
} no_frames SEC(".maps");

struct socket_state {
	__u64 connecting_ns;
	__u64 established_ns;
	__u64 object;
	__u64 process_start_ns;
	__u32 pid;
	__u32 tid;
	__u16 profile;
	__u16 proof;  /* enum tlswatch_proof: how it is known that it is the object's */
	__u32 number; /* shared.sockets when it was first used; 0: by no TLS object yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* The same by the socket's address, where sockets_by_address is set; else the map is not made. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct socket_state);
} socket_table SEC(".maps");

/* When a TCP socket last got into SYN_RECV on this processor. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last_syn_recv SEC(".maps");

#define NO_IO (1 << 30)
#define NO_STATE (~0U)

/*
 * Calls that changed nothing, by object: a program that spins on an unready transport makes some hundred thousand of them
 * a second. They are told of with the next record of the object.
 */
struct idle_key {
	__u64 object;
	__u64 pid; /* thread group */
};

struct idle_calls {
	__u64 since_ns; /* the first one's return */
	__u64 spent_ns; /* in all of them */
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct idle_key);
	__type(value, struct idle_calls);
} idle SEC(".maps");

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
	if (why <= TLSWATCH_DROP_NO_MEMORY) {
		/* The time first: whoever sees the count sees a time that is not too early. */
		shared.losses.last_ns = bpf_ktime_get_ns();
		__sync_fetch_and_add(&shared.losses.count, 1);
	}
	count(program, __builtin_offsetof(struct tlswatch_counters, dropped) + 8 * why);
}

/* Both at once, where a hit is that cheap. */
static __always_inline void count_skipped_hit(__u32 program, enum tlswatch_drop why)
{
	struct tlswatch_counters *counter = bpf_map_lookup_elem(&counters, &program);

	if (!counter)
		return;
	__sync_fetch_and_add(&counter->hits, 1);
	__sync_fetch_and_add(&counter->dropped[why], 1);
}

static __always_inline void count_library_hit(__u32 profile)
{
	__u64 *hits = bpf_map_lookup_elem(&library_hits, &profile);

	if (hits)
		__sync_fetch_and_add(hits, 1);
}

#endif
