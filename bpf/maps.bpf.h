/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ring, frames, profiles, counters, knobs: everything the programs share. */
#ifndef TLSWATCH_MAPS_BPF_H
#define TLSWATCH_MAPS_BPF_H

#include "core_types.h"
#include "counters.h"
#include "profile.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

const volatile struct tlswatch_knobs knobs = { .wake_bytes = 256 * 1024, .call_lifetime_s = 120 };

/* A bound where the verifier sees it: what the compiler proves for itself it leaves out, and Linux 6.1 does not follow it. */
#define BOUND(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym __weak; /* Linux 6.2 */

/*
 * A member of a kernel's structure whose address is but a number: read as the kernel itself does, with its own handling of
 * faults, where that can be had; a helper takes 45 ns.
 */
#define KERNEL_MEMBER(type, address, member)                                                                           \
	(knobs.has_cast ? ((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)))->member :        \
			  BPF_CORE_READ((type *)(address), member))

/* Read by the consumer from mapped memory: all of .bss. */
struct tlswatch_shared shared = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} ring SEC(".maps");

/*
 * Processes that have begun a program, where knobs.tell_programs is set; else the map is not made. What does not fit is left
 * out.
 */
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

/* Types that interface values are of, by the profile of the file that has them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TLSWATCH_TYPES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tlswatch_type_key);
	__type(value, struct tlswatch_type);
} types SEC(".maps");

/*
 * The end of the random of the ClientHello that a process has sent last, by thread group: where the state has it that waits for
 * the answer is found by it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} last_hellos SEC(".maps");

#define STATE_BYTES 1024 /* that are looked at of a state */

/* A state, while it is looked at: nothing of it is told. Who finds another's in it finds nothing. */
struct state_bytes {
	__u8 byte[STATE_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state_bytes);
} states SEC(".maps");

/* Thread groups to observe when knobs.filter_processes is set; children join by themselves. */
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
	__u32 alpn_looked; /* no need to look in this call whether the protocol was decided */
	__u32 steps;       /* of this call, in frames->step */
	__u32 began;       /* a handshake began with this call */
	__u32 server;
	__u32 state; /* as found on entry; NO_STATE where they were not read */
	__u32 detail;
	__u32 after; /* the call comes after the handshake: nothing of it is told */
	__u32 tid;
	__u16 failed;     /* the library has raised a failure in this call */
	__u16 inferred;   /* nothing has proved yet that `socket` is the object's own */
	__u64 off_cpu_ns; /* so far: see add_time_off, whose marks of the last time are the next three */
	__u64 off_mark;
	__u64 arrived_mark;
	__u32 cpu;
	__u32 bias; /* low half of what an address of the target is above the file's own; 0 where it does not matter */
	__u64 waiting_ns; /* kept by goroutine: since when it has waited for its socket; 0: it does not */
	__u16 goroutine;
	__u16 stepped; /* the call began with a step: it ends with one that fails (TLSWATCH_SITE_STEP) */
	/* Sends and receives on the own socket that are in no count yet. */
	__u16 sends;
	__u16 receives;
	__u64 run_delay_ns; /* the thread's, as it stood at the entry */
	/* Neither run nor ready to run, from the entry to the last receive, and when that was. */
	__u64 blocked_ns;
	__u64 mark_ns;
	__u64 switches;  /* how often the thread had left its processor by then */
	__u64 unread_ns; /* TLSWATCH_NO_TIME while nothing was received from TCP */
	__u64 arrived_ns;
};

/* An interface value, and the innermost one in it whose type is known. */
struct chain {
	__u64 table;
	__u64 data;
	__u32 number; /* 0: none is known */
	__u32 detail;
	__u64 canceler; /* what may have canceled the call that failed with it; 0 not known */
};

#define RECORD_SIZE 1072 /* of a call's return with all its steps and texts, at most */

/* A thread's own memory: frames, a landing place for reads of user memory, off the stack, and the record in the making. */
struct frames {
	__u32 depth;
	__u32 owner;      /* the thread that has it; 0 nobody, DISPLACED where it is not in thread_slots */
	__u64 arrival_ns; /* of what the thread is just receiving on `arrival`: its newest packet's */
	__u64 arrival;
	struct chain chain;
	/* Of the next frame: its object, its bias, and whether it is a goroutine's, or begins with a step. */
	__u64 next_object;
	__u32 next_bias;
	__u16 next_goroutine;
	__u16 next_stepped;
	/* Whose state the scratch has, and the reads that were done of it. */
	__u64 read_object;
	__u32 read_done;
	__u32 next_continues; /* of the next frame: with it no handshake begins */
	struct frame frame[FRAMES];
	struct tlswatch_call_return record;
	struct tlswatch_step step[TLSWATCH_STEPS]; /* of the innermost call */
	__u8 text[RECORD_SIZE - sizeof(struct tlswatch_call_return) - TLSWATCH_STEPS * sizeof(struct tlswatch_step)];
	__u8 scratch[TLSWATCH_SCRATCH_SIZE]; /* last: most of it is seldom touched */
};

/*
 * By thread: few are in a handshake call at one time, so that two of them seldom want the same place. Whoever finds it
 * taken has its calls in the storage of its task.
 */
#define THREAD_SLOTS 256 /* a power of two */
#define DISPLACED (~0U)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREAD_SLOTS);
	__type(key, __u32);
	__type(value, struct frames);
} thread_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct frames);
} thread_frames SEC(".maps");

/*
 * The same by goroutine: it may go on on another thread in the middle of a call. One may end in a call, and a process may: see
 * frames.bpf.h.
 */
#define GOROUTINES 1024

struct goroutine_key {
	__u64 g;
	__u64 pid; /* thread group */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GOROUTINES);
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

/* What is kept of a socket. */
struct socket_state {
	__u64 sk; /* whose it is; 0 nobody's */
	__u64 connecting_ns;
	__u64 established_ns;
	__u64 used_ns; /* when it was made, or first used by the object */
	__u64 object;
	__u64 process_start_ns;
	__u32 pid;
	__u32 tid;
	__u32 number; /* shared.sockets when it was first used; 0: by no TLS object yet */
	__u16 profile;
	__u8 proof; /* enum tlswatch_proof: how it is known that it is the object's */
	__u8 flags; /* see socket_table.bpf.h */
};

_Static_assert(sizeof(struct socket_state) == 64, "one cache line");

/*
 * By the socket's address, each with one place: a storage of the socket's own would cost every TCP connection of the host 1 to
 * 4 us. A socket that begins to connect takes the place of one whose time is over, and of no other: then its connect time is
 * lost, and that is counted. A TLS object's socket that finds its place taken is kept in displaced_sockets.
 */
#define SOCKET_SLOTS 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOCKET_SLOTS);
	__type(key, __u32);
	__type(value, struct socket_state);
} socket_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct socket_state);
} displaced_sockets SEC(".maps");

/* What such a one begins with. Never written to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct socket_state);
} no_socket SEC(".maps");

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
	/* In all of them. */
	__u64 spent_ns;
	__u64 off_cpu_ns;
	__u64 run_delay_ns;
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

static __noinline int count_drop(__u32 program, enum tlswatch_drop why)
{
	struct tlswatch_counters *counter = bpf_map_lookup_elem(&counters, &program);
	__u64 reason = why;

	if (why <= TLSWATCH_DROP_NO_MEMORY) {
		/* The time first: whoever sees the count sees a time that is not too early. */
		shared.losses.last_ns = bpf_ktime_get_ns();
		__sync_fetch_and_add(&shared.losses.count, 1);
	}
	barrier_var(reason); /* the bound is for the verifier */
	if (counter && reason < TLSWATCH_DROP_COUNT)
		__sync_fetch_and_add(&counter->dropped[reason], 1);
	return 0;
}

/* Both at once, where hits are that cheap. */
static __always_inline void count_skipped_hits(__u32 program, enum tlswatch_drop why, __u64 number)
{
	struct tlswatch_counters *counter = bpf_map_lookup_elem(&counters, &program);

	if (!counter)
		return;
	__sync_fetch_and_add(&counter->hits, number);
	__sync_fetch_and_add(&counter->dropped[why], number);
}

static __always_inline void count_skipped_hit(__u32 program, enum tlswatch_drop why)
{
	count_skipped_hits(program, why, 1);
}

static __always_inline void count_library_hit(__u32 profile)
{
	__u64 *hits = bpf_map_lookup_elem(&library_hits, &profile);

	if (hits)
		__sync_fetch_and_add(hits, 1);
}

#endif
