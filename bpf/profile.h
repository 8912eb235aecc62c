/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the consumer tells the BPF programs: of each library its profile and where it is probed, and the knobs. Part of the wire
 * contract (event.h).
 */
#ifndef TLSWATCH_PROFILE_H
#define TLSWATCH_PROFILE_H

#include "event.h"

/* ---- profile ---- */

/*
 * How a library's facts are read. A read of user memory costs 85 ns, nearly whatever its length, so
 * neighbouring fields come with one copy: `reads` are done in order into the thread's scratch, and a
 * fact is a field of it. The first read, from the object itself, is the handshake's state: entries
 * and plain returns do that one alone, and those that a state elsewhere takes (`state_reads`).
 */
#define TLSWATCH_READS 12
#define TLSWATCH_SCRATCH_START 2048 /* a read begins below this in the scratch */
#define TLSWATCH_READ_SIZE 1024     /* and is shorter than this */
#define TLSWATCH_SCRATCH_SIZE (TLSWATCH_SCRATCH_START + TLSWATCH_READ_SIZE)
#define TLSWATCH_FROM_OBJECT 255 /* the read's base is the TLS object, not an earlier read */

struct tlswatch_read {
	__s32 offset; /* from the base */
	__u16 base;   /* where in the scratch the pointer is that is the base */
	__u16 to;     /* where in the scratch the bytes go */
	__u16 length; /* in bytes; 0: no read */
	__u8 after;   /* index of the read that brought the pointer, or TLSWATCH_FROM_OBJECT */
	/*
	 * Not 0: the base is the first element of a linked list, each of which has the next one's address at 8 * link. What is
	 * brought is the address of the element whose four bytes at `length` are `offset`.
	 */
	__u8 link;
};

#define TLSWATCH_LIST_LIMIT 32 /* elements that are looked at */

struct tlswatch_field {
	__u16 at;  /* where in the scratch: the scalar, or the pointer to the text */
	__u8 size; /* of a scalar 1, 2, 4; of a pointer 8; 0: the fact is absent */
	__u8 read; /* index of the read that brought it; TLSWATCH_FROM_OBJECT: an address inside the object itself */
	__s32 offset; /* added to a pointer, or to the object's address; of a scalar: the bits of which it is 1 if any is set, 0 all */
};

/* How long a text is. */
enum tlswatch_shape {
	TLSWATCH_NUL_TERMINATED = 0,
	TLSWATCH_COUNTED,   /* a slot has its length */
	TLSWATCH_PREFIX_8,  /* a byte before it has */
	TLSWATCH_PREFIX_16, /* two bytes before it have, in the machine's order */
};

struct tlswatch_text {
	__u16 shape; /* enum tlswatch_shape */
	__u16 slot;  /* COUNTED: with the length */
};

/* What an object has where it keeps the descriptor of its socket itself. */
enum tlswatch_own_shape {
	TLSWATCH_OWN_WORD = 1,   /* eight bytes, which may be a pointer of the application's instead */
	TLSWATCH_OWN_NUMBER = 2, /* four bytes */
	TLSWATCH_OWN_BEHIND = 3, /* four bytes behind a pointer */
};

/*
 * How a transport (OpenSSL's BIO) tells its descriptor: offsets in it, and what the numbers of its kinds mean. Filters
 * stand before the transport proper, which is the next one behind them. Applications make kinds of their own, under any
 * number; the library's own kinds are known by their names.
 */
#define TLSWATCH_KINDS 8
#define TLSWATCH_KIND_NAME 8 /* bytes of a kind's name that are compared, a NUL among them */

struct tlswatch_transport {
	__u16 kinds;          /* of the pointer to its kind's table */
	__u16 kind;           /* in that table, of the kind's number, 4 bytes */
	__u16 name;           /* in that table, of the pointer to the kind's name */
	__u16 descriptor;     /* 4 bytes */
	__u16 next;           /* of the pointer to the next one */
	__u16 known;          /* 0: nothing here is */
	__u32 has_descriptor; /* bits of a kind's number: it keeps a descriptor */
	__u32 is_filter;
	__u16 writer;              /* in the TLS object: of the pointer to what it writes through; 0 not known */
	__u16 memory;              /* the number of the kind that is a buffer in memory; 0 not known */
	__u16 own_descriptor;      /* in the TLS object, which keeps the descriptor itself; 0 it does not */
	__u16 own_shape;           /* enum tlswatch_own_shape */
	__u16 own_flag;            /* in the TLS object: of a byte that says whether it is there */
	__u16 own_bits;            /* of which any is set; 0: nothing says */
	__u64 own[TLSWATCH_KINDS]; /* how the names of the library's own kinds begin; 0 none */
};

/*
 * How interface values are read: pairs of a table, which has the address of the type at 8, and the value's address. Go's errors
 * and connections are such, one wrapping another. Offsets in bytes.
 */
struct tlswatch_interfaces {
	/* In the object: its connection, the errors that its directions have ended with, and a mutex held in a call. */
	__u16 connection;
	__u16 incoming_error;
	__u16 outgoing_error;
	__u16 mutex;
	__u16 known;      /* 0: nothing here is */
	__u16 socket;     /* the number of connections that are sockets; 0 none is known */
	__u16 pointer;    /* in such a one, of the address of what has its descriptor */
	__u16 descriptor; /* in that, 4 bytes */
	__u16 canceled; /* in the exit's argument3, 8 bytes: 0 unless the call was canceled; TLSWATCH_NOTHING: not known */
	__u16 reserved[3];
};

#define TLSWATCH_NOTHING 0xffff
#define TLSWATCH_TYPES 65536 /* of all profiles */

/* A type by its address, as the file has it, of which the low half is enough. */
struct tlswatch_type_key {
	__u32 type;
	__u32 profile;
};

struct tlswatch_type {
	__u16 number;  /* the stack's; 1 to 255 */
	__u16 inner;   /* in the value, of the interface inside; TLSWATCH_NOTHING: none */
	__u16 pointed; /* `inner` is a pointer to a value with this number; 0: an interface */
	__u16 detail;  /* in the value, of what is told of it; TLSWATCH_NOTHING */
	__u16 size;    /* of that, 1 or 4; 0: a text, of which the length and the first two bytes are told */
	__u16 reserved;
};

/* A set of states; no state beyond 255 is in one. */
struct tlswatch_states {
	__u32 word[8];
};

/* (slot & mask) == value; never where the slot is absent, or with a mask of 0. */
struct tlswatch_test {
	__u32 slot; /* below TLSWATCH_STATE_SLOTS */
	__u32 mask;
	__u32 value;
};

#define TLSWATCH_TESTS 2
#define TLSWATCH_AFTER_TESTS 3
#define TLSWATCH_WAIT_RESULTS 4

enum tlswatch_alpn_hooked {
	TLSWATCH_ALPN_OF_SERVER = 1, /* TLSWATCH_HOOK_ALPN_SELECT, where it tells its object */
	TLSWATCH_ALPN_OF_CLIENT = 2, /* TLSWATCH_HOOK_ALPN_ANSWER */
};

struct tlswatch_profile {
	struct tlswatch_read reads[TLSWATCH_READS];
	struct tlswatch_field fact[TLSWATCH_FACTS];
	struct tlswatch_text text[TLSWATCH_TEXTS - TLSWATCH_SLOTS];
	__u32 enabled;                /* 0: hits of this library are counted and nothing is read */
	__u32 starts_in_any;          /* `start` does not tell */
	__u32 over_without_state;     /* an object freed without a state has no handshake in progress */
	struct tlswatch_states start; /* an entry in one of these may begin a handshake */
	struct tlswatch_states end;   /* a return in one of these may end it */
	struct tlswatch_states over;  /* an object freed in one of these has no handshake in progress */
	struct tlswatch_states dead;  /* an entry in one of these returns at once, past the exit's probe */
	/* Sets of reads, 1 << index, that bring one fact. */
	__u32 state_reads;                          /* those of the state that the first read does not bring */
	__u32 alpn_reads;                           /* TLSWATCH_ALPN_LENGTH */
	__u32 reference_reads;                      /* TLSWATCH_REFERENCES */
	__u32 transport_reads;                      /* TLSWATCH_TRANSPORT */
	__u32 name_reads;                           /* TLSWATCH_HELLO_NAME */
	struct tlswatch_test ended[TLSWATCH_TESTS]; /* a return that is no end by its state is one all the same */
	struct tlswatch_test
		after[TLSWATCH_AFTER_TESTS]; /* where all of these hold, an entry comes after the handshake */
	struct tlswatch_test server;         /* on TLSWATCH_ROLE, or on the call's argument: this is a server */
	__s32 done_result;                   /* what a call returns that has completed the handshake */
	/* What it returns where the handshake goes on, and in no other case; 0 no more. Without any the states tell. */
	__s32 wait_results[TLSWATCH_WAIT_RESULTS];
	__u32 exit_hooked; /* TLSWATCH_HOOK_CALL_EXIT has probes: no return probe is wanted */
	__u32 alpn_hooked; /* enum tlswatch_alpn_hooked: there are probes, so that key changes need no look for the protocol */
	struct tlswatch_transport transport;
	struct tlswatch_interfaces interfaces;
};

/* ---- probe sites ---- */

#define TLSWATCH_SITES 64 /* of one profile; those of profile n begin at n * TLSWATCH_SITES */
#define TLSWATCH_MAX_SITES (TLSWATCH_MAX_PROFILES * TLSWATCH_SITES)

/* Where a value is when a probe is hit. */
enum tlswatch_place_kind {
	TLSWATCH_NOWHERE = 0,
	TLSWATCH_IN_REGISTER, /* the register plus the offset */
	TLSWATCH_IN_MEMORY,   /* eight bytes at that address: a stack slot, or behind a pointer */
};

struct tlswatch_place {
	__s32 offset;
	__u8 kind; /* enum tlswatch_place_kind */
	/* As the instruction set numbers it. x86-64: 0 rax, rcx, rdx, rbx, rsp, rbp, rsi, 7 rdi, 8 to 15. arm64: 0 to 7. */
	__u8 number;
	__u16 reserved;
};

/* What a call in progress is kept by. */
enum tlswatch_context {
	TLSWATCH_THREAD = 0,
	TLSWATCH_GOROUTINE, /* Go's g: in R14 on x86-64, in R28 on arm64 (its internal ABI) */
};

/* How calls of a library begin and end that has no one function for its handshakes. */
enum tlswatch_site_flag {
	/* CALL: a handshake goes on, and none begins, whatever the state. */
	TLSWATCH_SITE_CONTINUES = 1 << 0,
	/* CALL_EXIT: it tells nothing where no call of its object is in progress on the thread: the call has ended before. */
	TLSWATCH_SITE_INSIDE = 1 << 1,
	/*
	 * CALL, CALL_EXIT: the call is a loop of steps. argument2 is the next step, 0 none: without one the call does not begin;
	 * behind a step that has returned 0 (argument) it does not end as long as there is one.
	 */
	TLSWATCH_SITE_STEPS = 1 << 2,
	/* CALL: functions that go over into one another; inside a call of its object on the thread the site begins none. */
	TLSWATCH_SITE_JOINS = 1 << 3,
	/* CALL_EXIT: a conditional jump, by which a call leaves where it is taken. Its condition is in the upper four bits. */
	TLSWATCH_SITE_TAKEN = 1 << 4,
	/*
	 * A program may work through the handshake itself, step by step: those between which its thread does not wait are one
	 * call. CALL: a step begins. On a thread with a call of the object that call goes on, unless the state is one in which
	 * handshakes begin; argument is what sending the rest of an earlier step has given: the call ends with it, but for 0.
	 * CALL_EXIT: a step fails, or has to wait: it ends a call that began with a step, and no other. ALERT_SENT: so does a
	 * fatal one, and is the call's result.
	 */
	TLSWATCH_SITE_STEP = 1 << 5,
};

#define TLSWATCH_SITE_CONDITION 12 /* the flags shifted so: the low four bits of the jump's opcode */

/* The attach cookie is the index of one of these. */
struct tlswatch_site {
	__u16 hook; /* enum tlswatch_hook */
	__u16 profile;
	__u16 context; /* enum tlswatch_context */
	/*
	 * MESSAGE_RECEIVED, STATE_DROPPED: of the state; FAILED: from the object to its place; MESSAGE_SENT: a number, which two
	 * bytes at argument2 are counted from
	 */
	__u16 bytes;
	struct tlswatch_place object;
	struct tlswatch_place argument;
	struct tlswatch_place argument2;
	struct tlswatch_place argument3;
	__u64 address; /* of the instruction in the file's own numbering; 0: it does not matter */
	/* Where the state has the end of its ClientHello's random, plus 1: found by the programs; 0: not yet. */
	__u32 random_at;
	__u16 flags; /* enum tlswatch_site_flag */
	__u16 reserved;
};

/* ---- knobs: set by the consumer before the object is loaded, constants from then on ---- */

struct tlswatch_knobs {
	__u32 wake_bytes;      /* the consumer is woken at this fill of the ring; else it polls */
	__u8 filter_processes; /* only processes in observed_processes */
	__u8 tell_programs;    /* which programs begin, in `programs` */
	__u8 has_cast;         /* the kernel has bpf_rdonly_cast (Linux 6.2) */
	__u8 reserved;
	__u16 call_lifetime_s; /* a goroutine's call that is older has not come back, and will not */
	__u16 unused;
	__u32 tick_ns; /* the kernel's tick, in which it keeps when a socket's data came */
};

_Static_assert(sizeof(struct tlswatch_transport) == 96, "transport");
_Static_assert(sizeof(struct tlswatch_read) == 12, "read");
_Static_assert(sizeof(struct tlswatch_field) == 8, "field");
_Static_assert(sizeof(struct tlswatch_place) == 8, "place");
_Static_assert(sizeof(struct tlswatch_site) == 56, "site");
_Static_assert(sizeof(struct tlswatch_interfaces) == 24, "interfaces");
_Static_assert(sizeof(struct tlswatch_type) == 12, "type");
_Static_assert(sizeof(struct tlswatch_test) == 12, "test");
_Static_assert(sizeof(struct tlswatch_knobs) == 16, "knobs");

#endif
