/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire contract between the BPF programs and their consumer: the one definition of every
 * record in the ring buffer, of the profile that drives the generic programs, and of the
 * counters. C includes it; Swift imports it.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns), unless a field says otherwise.
 * No packed structs: padding is explicit, and the sizes are asserted below.
 */
#ifndef TLSWATCH_EVENT_H
#define TLSWATCH_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Raised whenever a record or the profile changes its layout; recordings carry it. */
#define TLSWATCH_WIRE_VERSION 1

#define TLSWATCH_TEXT_SIZE 256  /* 255 bytes of the peer's text, and room for a NUL */
#define TLSWATCH_COMM_SIZE 16   /* TASK_COMM_LEN */
#define TLSWATCH_PATH_DEPTH 4   /* pointer steps of a fact */
#define TLSWATCH_MAX_PROFILES 1024

/* ---- records ---- */

enum tlswatch_kind {
	TLSWATCH_CALL_ENTER = 1,  /* the handshake state machine was entered */
	TLSWATCH_CALL_RETURN = 2, /* it returned, the handshake goes on */
	TLSWATCH_CALL_END = 3,    /* it returned, and the handshake ended or may have: with facts */
	TLSWATCH_STEP = 4,        /* something inside or about a handshake: see tlswatch_hook */
	TLSWATCH_SOCKET = 5,      /* first send or first receive of a TLS object on a socket */
	TLSWATCH_SOCKET_CLOSED = 6,
	TLSWATCH_PROCESS_EXEC = 7,
	TLSWATCH_PROCESS_EXIT = 8,
};

/* What a probe site stands for. It travels in the attach cookie. */
enum tlswatch_hook {
	TLSWATCH_HOOK_STATE_MACHINE = 1, /* enter and return; object, argument = 1 on a server */
	TLSWATCH_HOOK_KEY_CHANGE = 2,    /* enter; object, argument = which keys (change_cipher_state) */
	TLSWATCH_HOOK_KEY_AGREEMENT = 3, /* enter and return; argument = output buffer, 0 asks the size */
	TLSWATCH_HOOK_ALPN_SELECT = 4,   /* enter; a server chooses the protocol */
	TLSWATCH_HOOK_ALPN_ANSWER = 5,   /* enter; a client processes the server's answer */
	TLSWATCH_HOOK_FATAL = 6,         /* enter; object, argument = alert to send (-1 none), argument2 = reason */
	TLSWATCH_HOOK_OBJECT_FREE = 7,   /* enter; object */
	TLSWATCH_HOOK_COUNT = 8,
};

/* Every record begins with this. */
struct tlswatch_header {
	__u64 time_ns;
	__u64 process_start_ns; /* of the thread group's leader, CLOCK_BOOTTIME: with pid, the process's identity */
	__u64 object;           /* the TLS object's address; 0 where there is none */
	__u32 pid;              /* thread group, in the initial pid namespace */
	__u32 tid;
	__u16 kind;             /* enum tlswatch_kind */
	__u16 profile;          /* index of the library's profile; 0 where there is none */
	__u16 size;             /* of the whole record, in bytes */
	__u16 hook;             /* enum tlswatch_hook; 0 where there is none */
};

/* Scalar facts, by index. An absent one has its bit in `present` clear. */
enum tlswatch_fact {
	TLSWATCH_FACT_VERSION = 0,    /* protocol version on the wire, 0x0304 */
	TLSWATCH_FACT_ROLE,           /* 1 on a server */
	TLSWATCH_FACT_FLOW_STATE,     /* message-flow state: 0 uninitialised, 1 error, 2 reading, 3 writing, 4 finished */
	TLSWATCH_FACT_HAND_STATE,     /* OSSL_HANDSHAKE_STATE */
	TLSWATCH_FACT_RESUMED,
	TLSWATCH_FACT_CIPHER,         /* OpenSSL's id: 0x0300 in the upper half, IANA's in the lower */
	TLSWATCH_FACT_GROUP,          /* named group, IANA, of the connection */
	TLSWATCH_FACT_SESSION_GROUP,  /* the same, kept in the session object */
	TLSWATCH_FACT_ALPN_LENGTH,
	TLSWATCH_FACT_SCALARS,
	/* texts: the path ends at their first byte */
	TLSWATCH_FACT_ALPN = TLSWATCH_FACT_SCALARS,
	TLSWATCH_FACT_SNI,
	TLSWATCH_FACT_SESSION_SNI,    /* host name kept in the session object */
	TLSWATCH_FACT_COUNT,
};

struct tlswatch_call_enter {
	struct tlswatch_header header;
	__u32 flow_state; /* as found on entry; valid if `present` says so */
	__u32 hand_state;
	__u32 version;
	__u32 server;     /* the call's own argument */
	__u32 present;    /* 1 << TLSWATCH_FACT_* */
	__u32 reserved;
	char comm[TLSWATCH_COMM_SIZE];
};

struct tlswatch_call_return {
	struct tlswatch_header header;
	__u64 enter_ns;
	__u64 input_ns;   /* last moment at which input became available: the entry, or a receive in the call */
	__s32 result;     /* what the state machine returned: 1 done */
	__s32 io_result;  /* the last receive in this call: bytes, 0 end of file, -errno; 1 << 30 none */
	__u32 flow_state;
	__u32 hand_state;
	__u32 present;
	__u32 reserved;
};

struct tlswatch_call_end {
	struct tlswatch_call_return call;
	__u32 scalar[TLSWATCH_FACT_SCALARS];
	__u16 alpn_length; /* bytes in alpn; 0 none */
	__u16 sni_length;
	__u8 alpn[TLSWATCH_TEXT_SIZE];
	__u8 sni[TLSWATCH_TEXT_SIZE];
};

struct tlswatch_step {
	struct tlswatch_header header; /* .hook says which */
	__u64 enter_ns;  /* with a return: the entry's time; else the same as time_ns */
	__u64 input_ns;  /* as in tlswatch_call_return; 0 outside a call */
	__s64 argument;
	__s64 argument2;
	__s64 result;    /* with a return: what the function returned; TLSWATCH_HOOK_KEY_CHANGE: ALPN's length */
	__u32 hand_state; /* for TLSWATCH_HOOK_FATAL */
	__u32 present;
};

enum tlswatch_direction { TLSWATCH_RECEIVE = 0, TLSWATCH_SEND = 1 };

struct tlswatch_socket {
	struct tlswatch_header header;
	__u64 cookie;         /* the socket, by address: an identity within its life */
	__u64 connecting_ns;  /* SYN_SENT or SYN_RECV entered; 0 not seen */
	__u64 established_ns; /* ESTABLISHED entered; 0 not seen */
	__u16 family;         /* AF_INET, AF_INET6, AF_UNIX, … */
	__u16 protocol;       /* IPPROTO_TCP, IPPROTO_UDP, … */
	__u16 local_port;     /* host order */
	__u16 remote_port;
	__u8 local[16];       /* network order; IPv4 in the first four */
	__u8 remote[16];
	__u32 direction;      /* enum tlswatch_direction */
	__s32 length;         /* bytes of this send or receive */
};

struct tlswatch_socket_closed {
	struct tlswatch_header header;
	__u64 cookie;
	__u32 old_state; /* TCP_* */
	__u32 new_state;
};

struct tlswatch_process {
	struct tlswatch_header header;
	char comm[TLSWATCH_COMM_SIZE];
	char path[TLSWATCH_TEXT_SIZE]; /* TLSWATCH_PROCESS_EXEC: the program as execve resolved it, NUL-terminated */
};

/* ---- profile ---- */

/*
 * Where a fact stands: address = object; for every offset but the last, address = *(address + offset);
 * the fact is the `size` bytes at address + the last offset. depth 0: the fact is absent.
 */
struct tlswatch_path {
	__s32 offset[TLSWATCH_PATH_DEPTH];
	__u16 depth;
	__u16 size; /* 1, 2, 4 or 8 for a scalar; 0 for a text */
};

struct tlswatch_profile {
	struct tlswatch_path fact[TLSWATCH_FACT_COUNT];
	__u32 enabled; /* 0: hits of this library are counted and nothing is read */
	/* Sets of message-flow states, 1 << state. */
	__u32 start_states; /* an entry in one of these may begin a handshake; 0: any may */
	__u32 end_states;   /* a return in one of these may end it */
};

/*
 * Attach cookie: bits 0-15 profile, 16-23 hook, 24-27 parameter that holds the object (15 none),
 * 28-31 parameter that holds the argument (15 none), 32-35 argument2 (15 none).
 */
#define TLSWATCH_NO_PARAMETER 15

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
	TLSWATCH_PROGRAM_COUNT,
};

/* Why a hit made no record of its own. The first two are losses; behind the others nothing is missing. */
enum tlswatch_drop {
	TLSWATCH_DROP_RING_FULL = 0,
	TLSWATCH_DROP_NO_MEMORY,         /* no task or socket storage */
	TLSWATCH_DROP_OUTSIDE_HANDSHAKE, /* key agreement or ALPN choice with no handshake on the thread */
	TLSWATCH_DROP_SIZE_QUERY,        /* key agreement that only asks for the size */
	TLSWATCH_DROP_OTHER_PROCESS,     /* filtered by process */
	TLSWATCH_DROP_DISABLED,          /* the library's probes failed their checks */
	TLSWATCH_DROP_NOTED,             /* kept for a later record: the entry of a call, a socket's state */
	TLSWATCH_DROP_COUNT,
};

struct tlswatch_counters {
	__u64 hits;
	__u64 submitted;
	__u64 dropped[TLSWATCH_DROP_COUNT];
};

_Static_assert(sizeof(struct tlswatch_header) == 40, "header");
_Static_assert(sizeof(struct tlswatch_call_enter) == 80, "call_enter");
_Static_assert(sizeof(struct tlswatch_call_return) == 80, "call_return");
_Static_assert(sizeof(struct tlswatch_call_end) == 80 + 4 * TLSWATCH_FACT_SCALARS + 4 + 512, "call_end");
_Static_assert(sizeof(struct tlswatch_call_end) % 8 == 0, "call_end is a multiple of eight");
_Static_assert(sizeof(struct tlswatch_step) == 88, "step");
_Static_assert(sizeof(struct tlswatch_socket) == 112, "socket");
_Static_assert(sizeof(struct tlswatch_socket_closed) == 56, "socket_closed");
_Static_assert(sizeof(struct tlswatch_process) == 312, "process");
_Static_assert(sizeof(struct tlswatch_path) == 20, "path");
_Static_assert(sizeof(struct tlswatch_counters) == 72, "counters");

#endif
