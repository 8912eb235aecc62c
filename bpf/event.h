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
#define TLSWATCH_WIRE_VERSION 3

#define TLSWATCH_TEXT_SIZE 256  /* 255 bytes of the peer's text, and room for a NUL */
#define TLSWATCH_COMM_SIZE 16   /* TASK_COMM_LEN */
#define TLSWATCH_MAX_PROFILES 1024

/* ---- records ---- */

enum tlswatch_kind {
	TLSWATCH_CALL_ENTER = 1,  /* the handshake state machine was entered */
	TLSWATCH_CALL_RETURN = 2, /* it returned; with every fact where the handshake ended or may have */
	TLSWATCH_STEP = 3,        /* something about a handshake: see tlswatch_hook */
	TLSWATCH_SOCKET = 4,      /* a TLS object's first send or receive on a socket */
	TLSWATCH_SOCKET_CLOSED = 5,
	TLSWATCH_PROCESS_EXEC = 6,
	TLSWATCH_PROCESS_EXIT = 7,
	TLSWATCH_NAME = 8,        /* the server name in a ClientHello that is refused before the library has stored it */
};

/* What a probe site stands for. It travels in the attach cookie. */
enum tlswatch_hook {
	TLSWATCH_HOOK_STATE_MACHINE = 1, /* the call begins; object, argument = 1 on a server */
	TLSWATCH_HOOK_KEY_CHANGE = 2,    /* object, argument = which keys (change_cipher_state) */
	TLSWATCH_HOOK_KEY_AGREEMENT = 3, /* begins; object, argument = output buffer, 0 asks the size */
	TLSWATCH_HOOK_ALPN_SELECT = 4,   /* a server chooses the protocol */
	TLSWATCH_HOOK_ALPN_ANSWER = 5,   /* a client processes the server's answer */
	TLSWATCH_HOOK_FATAL = 6,         /* object, argument = alert to send (-1 none), argument2 = reason */
	TLSWATCH_HOOK_OBJECT_FREE = 7,   /* object */
	TLSWATCH_HOOK_STATE_MACHINE_EXIT = 8, /* the call ends: an instruction inside it; object */
	TLSWATCH_HOOK_KEY_AGREEMENT_EXIT = 9, /* the instruction behind it; object, argument = what it returned */
	TLSWATCH_HOOK_PAUSE = 10,        /* the thread leaves the call without ending it (ASYNC_pause_job) */
	TLSWATCH_HOOK_MASTER_SECRET = 11, /* object; below TLS 1.3: the peer's share has been read and used */
	TLSWATCH_HOOK_NEW_KEYS = 12,     /* object; KEY_CHANGE below TLS 1.3 where phases are off: a handshake took place */
	TLSWATCH_HOOK_COUNT = 13,
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
	TLSWATCH_FACT_EARLY_DATA,       /* 0 none, 1 rejected, 2 accepted */
	TLSWATCH_FACT_HELLO_RETRY,      /* 0 none, else a HelloRetryRequest was sent or received */
	TLSWATCH_FACT_FLAGS,            /* the library's own flags of the connection */
	TLSWATCH_FACT_VERIFY_MODE,      /* what a server asks of its clients */
	TLSWATCH_FACT_PEER_CERTIFICATE, /* low half of a pointer: 0 none */
	TLSWATCH_FACT_CERTIFICATE_REQUEST, /* on a client: 0 none, 1 asked, 2 asked and none to give */
	TLSWATCH_FACT_REFERENCES,       /* references to the object: freed when the last is dropped */
	TLSWATCH_FACT_REQUEST_STATE,    /* the state that a renegotiation begins with; 0 none is asked for */
	TLSWATCH_FACT_WANT,             /* what the library waits for: 1 nothing */
	TLSWATCH_FACT_SHUTDOWN,         /* 2: the peer's close_notify was received */
	TLSWATCH_FACT_VERIFY_RESULT,    /* what verifying the peer's certificate gave: X509_V_*, 0 is fine */
	TLSWATCH_FACT_SCALARS,
	/* addresses: of a text's first byte, or of another object */
	TLSWATCH_FACT_ALPN = TLSWATCH_FACT_SCALARS,
	TLSWATCH_FACT_SNI,
	TLSWATCH_FACT_SESSION_SNI,    /* host name kept in the session object */
	TLSWATCH_FACT_TRANSPORT,      /* what the object reads through (a BIO): see tlswatch_transport */
	TLSWATCH_FACT_HELLO_NAME,     /* the body of the server_name extension (RFC 6066) of the ClientHello being read */
	TLSWATCH_FACT_COUNT,
};

struct tlswatch_call_enter {
	struct tlswatch_header header;
	__u32 flow_state; /* as found on entry; valid if `present` says so */
	__u32 hand_state;
	__u32 version;
	__u32 server;     /* the call's own argument */
	__u32 present;    /* 1 << TLSWATCH_FACT_* */
	__u32 request_state;
	__u32 parent_pid; /* of the parent, where the process runs the same executable file; else 0 */
	__u32 reserved;
	char comm[TLSWATCH_COMM_SIZE];   /* the process's name: its main thread's */
	char thread[TLSWATCH_COMM_SIZE]; /* the calling thread's */
};

/*
 * Something that happened inside a handshake, of which `hook` says what. Inside a call it waits in
 * the thread's memory and travels behind the record of the call's return: a record of its own costs
 * more than all the rest of the probe.
 */
struct tlswatch_step {
	__u64 time_ns;
	__u64 input_ns;    /* as in tlswatch_call_return; 0 outside a call. OBJECT_FREE: idle_ns, as there */
	__s32 argument;    /* OBJECT_FREE: idle_calls, as in tlswatch_call_return */
	__s32 argument2;   /* KEY_AGREEMENT: what it returned; KEY_CHANGE: the ALPN protocol's length, 0 if none yet */
	__u32 duration_ns; /* KEY_AGREEMENT: entry to return, 2^32 - 1 at most */
	__u16 hook;        /* enum tlswatch_hook */
	__u16 hand_state;  /* FATAL; TLSWATCH_NO_STATE where it was not read */
};

#define TLSWATCH_NO_STATE 0xffff
#define TLSWATCH_STEPS 10 /* of one call; more come as records of their own */

/* A step outside a call, or one too many in it. */
struct tlswatch_step_record {
	struct tlswatch_header header;
	struct tlswatch_step step;
};

/*
 * The handshake state machine returned. Followed by `steps` steps, then by the ALPN protocol and the
 * host name, without NUL and without padding.
 */
struct tlswatch_call_return {
	struct tlswatch_header header;
	__u64 enter_ns;      /* 0: the entry was not seen on this thread */
	__u64 input_ns;      /* last moment at which input became available: the entry, or a receive in the call */
	__u64 first_send_ns; /* first send in the call; 0 none */
	__u64 idle_ns;       /* time spent in `idle_calls` */
	__s32 result;        /* what the state machine returned: 1 done; 1 << 30 unknown */
	__s32 io_result;     /* the last receive in this call: bytes, 0 end of file, -errno; 1 << 30 none */
	__u32 present;       /* 1 << TLSWATCH_FACT_*: the state alone while the handshake goes on, else all there are */
	__u16 steps;
	__u16 alpn_length;   /* bytes, 255 at most; 0 none */
	__u16 sni_length;
	__u16 reserved;
	__u32 idle_calls;    /* calls before this one that changed nothing and made no record */
	__u32 scalar[TLSWATCH_FACT_SCALARS];
};

#define TLSWATCH_NO_RESULT (1 << 30)

enum tlswatch_direction { TLSWATCH_RECEIVE = 0, TLSWATCH_SEND = 1 };

/* How it is known that a socket is the TLS object's own. */
enum tlswatch_proof {
	TLSWATCH_NO_PROOF = 0,       /* it is not */
	TLSWATCH_PROOF_DESCRIPTOR,   /* the object's transport has its descriptor */
	TLSWATCH_PROOF_RECORD,       /* the ClientHello was sent or received on it in the call */
	TLSWATCH_INFERRED,           /* neither: a server's first receive, or a record on another object's connection */
};

struct tlswatch_socket {
	struct tlswatch_header header;
	__u64 cookie;         /* the socket, by address: an identity within its life */
	__u64 connecting_ns;  /* the SYN was sent, or SYN_RECV entered; 0 not seen */
	__u64 established_ns; /* ESTABLISHED entered; 0 not seen, or not yet: another record of the socket follows */
	__u16 family;         /* AF_INET, AF_INET6, AF_UNIX, … */
	__u16 protocol;       /* IPPROTO_TCP, IPPROTO_UDP, … */
	__u16 local_port;     /* host order */
	__u16 remote_port;
	__u8 local[16];       /* network order; IPv4 in the first four */
	__u8 remote[16];
	__u16 direction;      /* enum tlswatch_direction */
	__u16 proof;          /* enum tlswatch_proof */
	__u32 reserved;
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

struct tlswatch_name {
	struct tlswatch_header header;
	__u16 length;         /* bytes, 255 at most */
	__u16 reserved[3];
	char text[TLSWATCH_TEXT_SIZE];
};

/* ---- what processes map ---- */

/* A file that a process maps as code, from list_mappings. Not in the ring. */
struct tlswatch_mapping {
	__u64 start;
	__u64 end;
	__u64 inode;
	__u64 size;        /* of the file, bytes */
	__u32 generation;  /* tells a file from an earlier one with its inode number */
	__u32 device;      /* the kernel's dev_t: major << 20 | minor */
	__u32 pid;         /* thread group */
	__u32 reserved;
};

/* A socket of a process that listens or is connected on a port of TLS, from list_connections. Not in the ring. */
struct tlswatch_connection {
	__u32 pid;  /* thread group */
	__u16 port; /* the one of TLS: the socket's own, or its peer's */
	__u16 listening;
};

/* ---- profile ---- */

/*
 * How a library's facts are read. A read of user memory costs 85 ns, nearly whatever its length, so
 * neighbouring fields come with one copy: `reads` are done in order into the thread's scratch, and a
 * fact is a field of it. The first read, from the object itself, is the handshake's state: entries
 * and plain returns do that one alone.
 */
#define TLSWATCH_READS 8
#define TLSWATCH_SCRATCH_START 1584 /* a read begins below this in the scratch; a thread's memory is then one page */
#define TLSWATCH_READ_SIZE 1024     /* and is shorter than this */
#define TLSWATCH_SCRATCH_SIZE (TLSWATCH_SCRATCH_START + TLSWATCH_READ_SIZE)
#define TLSWATCH_FROM_OBJECT 255    /* the read's base is the TLS object, not an earlier read */

struct tlswatch_read {
	__s32 offset; /* from the base */
	__u16 base;   /* where in the scratch the pointer is that is the base */
	__u16 to;     /* where in the scratch the bytes go */
	__u16 length; /* in bytes; 0: no read */
	__u8 after;   /* index of the read that brought the pointer, or TLSWATCH_FROM_OBJECT */
	__u8 reserved;
};

struct tlswatch_field {
	__u16 at;     /* where in the scratch: the scalar, or the pointer to the text */
	__u8 size;    /* of a scalar 1, 2, 4; of a pointer to a text 8; 0: the fact is absent */
	__u8 read;    /* index of the read that brought it */
	__s32 offset; /* added to a text's pointer */
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
	__u32 reserved;
	__u64 own[TLSWATCH_KINDS]; /* how the names of the library's own kinds begin; 0 none */
};

struct tlswatch_profile {
	struct tlswatch_read reads[TLSWATCH_READS];
	struct tlswatch_field fact[TLSWATCH_FACT_COUNT];
	__u32 enabled; /* 0: hits of this library are counted and nothing is read */
	/* Sets of message-flow states, 1 << state. */
	__u32 start_states; /* an entry in one of these may begin a handshake; 0: any may */
	__u32 end_states;   /* a return in one of these may end it */
	__u32 over_states;  /* an object freed in one of these has no handshake in progress */
	__u32 dead_states;  /* an entry in one of these returns at once, past the exit's probe */
	/* Sets of reads, 1 << index, that bring one fact. */
	__u32 alpn_reads;      /* TLSWATCH_FACT_ALPN_LENGTH */
	__u32 reference_reads; /* TLSWATCH_FACT_REFERENCES */
	__u32 transport_reads; /* TLSWATCH_FACT_TRANSPORT */
	__u32 name_reads;      /* TLSWATCH_FACT_HELLO_NAME */
	/* A return that is no end by its message-flow state is one all the same with these values. */
	__u32 idle_want;       /* TLSWATCH_FACT_WANT: it waits for nothing */
	__u32 over_shutdown;   /* bits of TLSWATCH_FACT_SHUTDOWN: the peer has ended the connection */
	__u32 exit_hooked;     /* TLSWATCH_HOOK_STATE_MACHINE_EXIT has probes: no return probe is wanted */
	__u32 answer_hooked;   /* TLSWATCH_HOOK_ALPN_ANSWER has a probe: a client's key changes need no look */
	struct tlswatch_transport transport;
};

/*
 * Attach cookie: bits 0-15 profile, 16-23 hook, 24-27 where the object is (a tlswatch_place), 28-31 where
 * the argument is, 32-35 argument2, 36-51 signed: added to what is where the object is.
 */
enum tlswatch_place {
	TLSWATCH_PARAMETER_0 = 0,
	TLSWATCH_PARAMETER_1,
	TLSWATCH_PARAMETER_2,
	TLSWATCH_PARAMETER_3,
	/* Inside a function: the registers that calls leave alone, and the one with a call's result (x86-64). */
	TLSWATCH_REGISTER_BX,
	TLSWATCH_REGISTER_BP,
	TLSWATCH_REGISTER_12,
	TLSWATCH_REGISTER_13,
	TLSWATCH_REGISTER_14,
	TLSWATCH_REGISTER_15,
	TLSWATCH_RESULT,
	TLSWATCH_NO_PARAMETER = 15,
};

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
	TLSWATCH_DROP_OUTSIDE_HANDSHAKE, /* key agreement, ALPN choice or socket I/O that is of no handshake on the thread */
	TLSWATCH_DROP_SIZE_QUERY,        /* key agreement that only asks for the size */
	TLSWATCH_DROP_OTHER_PROCESS,     /* filtered by process */
	TLSWATCH_DROP_DISABLED,          /* the library's probes failed their checks */
	TLSWATCH_DROP_NOTED,             /* kept for a later record: the entry of a call, a call without effect, a socket's state */
	TLSWATCH_DROP_COUNT,
};

struct tlswatch_counters {
	__u64 hits;
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
};

_Static_assert(sizeof(struct tlswatch_header) == 40, "header");
_Static_assert(sizeof(struct tlswatch_call_enter) == 104, "call_enter");
_Static_assert(sizeof(struct tlswatch_call_return) == 176, "call_return");
_Static_assert(sizeof(struct tlswatch_step) == 32, "step");
_Static_assert(sizeof(struct tlswatch_step_record) == 72, "step_record");
_Static_assert(sizeof(struct tlswatch_socket) == 112, "socket");
_Static_assert(sizeof(struct tlswatch_socket_closed) == 56, "socket_closed");
_Static_assert(sizeof(struct tlswatch_process) == 312, "process");
_Static_assert(sizeof(struct tlswatch_name) == 304, "name");
_Static_assert(sizeof(struct tlswatch_transport) == 88, "transport");
_Static_assert(sizeof(struct tlswatch_read) == 12, "read");
_Static_assert(sizeof(struct tlswatch_field) == 8, "field");
_Static_assert(sizeof(struct tlswatch_counters) == 72, "counters");
_Static_assert(sizeof(struct tlswatch_shared) == 24, "shared");

#endif
