/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF programs count, which the consumer reads. Part of the wire contract (event.h). */
#ifndef TLSWATCH_COUNTERS_H
#define TLSWATCH_COUNTERS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* ---- counters: one struct a program, one a CPU ---- */

enum tlswatch_program {
	TLSWATCH_PROGRAM_ENTER = 0,
	TLSWATCH_PROGRAM_RETURN,
	TLSWATCH_PROGRAM_SOCKET_STATE,
	TLSWATCH_PROGRAM_SOCKET_SEND,
	TLSWATCH_PROGRAM_SOCKET_RECEIVE,
	TLSWATCH_PROGRAM_PROCESS_EXEC,
	TLSWATCH_PROGRAM_PROCESS_EXIT,
	TLSWATCH_PROGRAM_PROCESS_FORK,
	TLSWATCH_PROGRAM_WIRE, /* a hit is a segment of which a record is to be made */
	TLSWATCH_PROGRAM_COUNT,
};

/* Why a hit made no record of its own. The first two are losses; behind the others nothing is missing. */
enum tlswatch_drop {
	TLSWATCH_DROP_RING_FULL = 0,
	TLSWATCH_DROP_NO_MEMORY,         /* for a thread's calls */
	TLSWATCH_DROP_OUTSIDE_HANDSHAKE, /* key agreement, ALPN choice or socket I/O that is of no handshake on the thread */
	TLSWATCH_DROP_SIZE_QUERY,        /* key agreement that only asks for the size */
	TLSWATCH_DROP_OTHER_PROCESS, /* filtered by process */
	TLSWATCH_DROP_DISABLED,      /* the library's probes failed their checks */
	TLSWATCH_DROP_NOTED, /* kept for a later record: the entry of a call, a call without effect, a socket's state */
	TLSWATCH_DROP_COLLISION, /* a socket's state whose place another socket has: its connect time is lost */
	TLSWATCH_DROP_COUNT,
};

struct tlswatch_counters {
	__u64 hits; /* of tracepoints: those of a library are counted by its profile */
	__u64 submitted;
	__u64 dropped[TLSWATCH_DROP_COUNT];
};

/* Losses of all programs. */
struct tlswatch_losses {
	__u64 count;
	__u64 last_ns;
};

/* The object's .bss, which the consumer maps. */
struct tlswatch_shared {
	struct tlswatch_losses losses;
	/* Objects of which calls without effect are kept, at least: at 0 there is no need to look for an object's. */
	__u64 idle_objects;
	/* Sockets that were given a number. */
	__u64 sockets;
	/* Goroutines whose calls in progress are kept. */
	__u64 goroutines;
	/* When those were last looked at that may never come back. */
	__u64 goroutines_swept_ns;
	/* Threads whose calls in progress, and sockets whose states, found their place taken and are kept elsewhere, at least. */
	__u64 displaced_threads;
	__u64 displaced_sockets;
};

_Static_assert(sizeof(struct tlswatch_counters) == 80, "counters");
_Static_assert(sizeof(struct tlswatch_shared) == 64, "shared");

#endif
