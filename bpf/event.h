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
#define TLSWATCH_WIRE_VERSION 5

#define TLSWATCH_TEXT_SIZE 256 /* 255 bytes of the peer's text, and room for a NUL */
#define TLSWATCH_COMM_SIZE 16  /* TASK_COMM_LEN */
#define TLSWATCH_MAX_PROFILES 1024
#define TLSWATCH_NO_TIME (~0ULL) /* a time that is not known */
#define TLSWATCH_NO_COUNT (~0U)

/* ---- records ---- */

enum tlswatch_kind {
	TLSWATCH_CALL_ENTER = 1,  /* the handshake state machine was entered */
	TLSWATCH_CALL_RETURN = 2, /* it returned; with every fact where the handshake ended or may have */
	TLSWATCH_STEP = 3,        /* something about a handshake: see tlswatch_hook */
	TLSWATCH_SOCKET = 4,      /* a TLS object's first send or receive on a socket */
	TLSWATCH_SOCKET_CLOSED = 5,
	TLSWATCH_PROCESS_EXEC = 6,
	TLSWATCH_PROCESS_EXIT = 7,
	TLSWATCH_NAME = 8,      /* a failure, with the server name of a ClientHello that the library has not stored */
	TLSWATCH_WIRE = 9,      /* a TCP segment of a handshake, seen by the programs on packets */
	TLSWATCH_DATAGRAM = 10, /* a datagram of a QUIC handshake, seen by them */
	TLSWATCH_MESSAGE = 11,  /* a library has received a handshake message, or sends one */
};

/* What a probe site stands for: see struct tlswatch_site. */
enum tlswatch_hook {
	TLSWATCH_HOOK_CALL = 1, /* the call begins; object, argument = the role, where the object does not tell it */
	TLSWATCH_HOOK_KEY_CHANGE = 2,    /* object, argument = which keys (change_cipher_state) */
	TLSWATCH_HOOK_KEY_AGREEMENT = 3, /* begins; object, argument = output buffer, 0 asks the size; or none */
	TLSWATCH_HOOK_ALPN_SELECT = 4,   /* a server chooses the protocol */
	TLSWATCH_HOOK_ALPN_ANSWER = 5,   /* a client processes the server's answer */
	TLSWATCH_HOOK_FATAL = 6,         /* object, argument = alert to send (-1 none), argument2 = reason */
	TLSWATCH_HOOK_OBJECT_FREE = 7,   /* object */
	/*
	 * The call ends: an instruction inside it; object, argument = its result. With argument2 the two are an error as an
	 * interface value, and the result is 0 where there is none, else 1; argument3 is then what may have canceled the call.
	 */
	TLSWATCH_HOOK_CALL_EXIT = 8,
	TLSWATCH_HOOK_KEY_AGREEMENT_EXIT = 9, /* behind it; object, argument = what it returned, or none */
	TLSWATCH_HOOK_PAUSE = 10,             /* the thread leaves the call without ending it (ASYNC_pause_job) */
	TLSWATCH_HOOK_MASTER_SECRET = 11,     /* object; below TLS 1.3: the peer's share has been read and used */
	TLSWATCH_HOOK_NEW_KEYS = 12, /* object; KEY_CHANGE below TLS 1.3 where phases are off: a handshake took place */
	TLSWATCH_HOOK_KEY_AGREEMENT_FAILED = 13, /* object; where its beginning and end have no probes */
	TLSWATCH_HOOK_GROUP = 14,                /* argument = the group of the key share that this side makes */
	TLSWATCH_HOOK_HELLO_RETRY = 15,          /* a HelloRetryRequest is sent or processed */
	/*
	 * Of libraries without one call that is the handshake, which work on its messages in plaintext: object, argument = the
	 * address of what describes the message, argument2 = that of the state that handles it, of as many bytes as the site says.
	 */
	TLSWATCH_HOOK_MESSAGE_RECEIVED = 16,
	TLSWATCH_HOOK_MESSAGE_SENT = 17,
	TLSWATCH_HOOK_STATE_DROPPED = 18, /* argument2 = the state: it will handle no message any more */
	/* The handshake of the object is complete whose message the thread is handling. */
	TLSWATCH_HOOK_COMPLETED = 19,
	TLSWATCH_HOOK_FAILED =
		20, /* object, as many bytes before its place as the site says; argument, argument2 = the error */
	TLSWATCH_HOOK_ALERT_SENT = 21, /* object, argument = the alert, argument2 = its level */
	TLSWATCH_HOOK_COUNT = 22,
};

/* Every record begins with this. */
struct tlswatch_header {
	__u64 time_ns;
	__u64 process_start_ns; /* of the thread group's leader, CLOCK_BOOTTIME: with pid, the process's identity */
	__u64 object;           /* the TLS object's address; 0 where there is none */
	__u32 pid;              /* thread group, in the initial pid namespace */
	__u32 tid;
	__u16 kind;    /* enum tlswatch_kind */
	__u16 profile; /* index of the library's profile; 0 where there is none */
	__u16 size;    /* of the whole record, in bytes */
	__u16 hook;    /* enum tlswatch_hook; 0 where there is none */
};

/*
 * Facts of a TLS object, by number. Those below TLSWATCH_SLOTS are scalars, of which an absent one has its bit in `present`
 * clear; what they mean is the stack's affair, but for the few that the programs look at themselves.
 */
enum tlswatch_fact {
	TLSWATCH_STATE = 0,  /* of the handshake state machine; see the sets of states in the profile */
	TLSWATCH_DETAIL = 1, /* what it is about in that state: moves with each message */
	TLSWATCH_ROLE = 2,   /* which side this is, by the profile's mask and value */
	/* Those below this come with entries and plain returns, if the first read brings them. */
	TLSWATCH_STATE_SLOTS = 8,
	TLSWATCH_ALPN_LENGTH = 8,
	TLSWATCH_REFERENCES = 9, /* to the object: it is freed when the last is dropped */
	/*
	 * Of a call that returned an error, where the profile tells how interface values are read (else the stack's own): of the
	 * error, of those of the two directions, and of the connection the number of the innermost type that is known, and
	 * above 8 bits its detail; of the connection, whether the call has used a socket (1 << 8) and was canceled (1 << 9).
	 */
	TLSWATCH_CARRIER = 20,
	TLSWATCH_ERROR = 21,
	TLSWATCH_INCOMING_ERROR = 22,
	TLSWATCH_OUTGOING_ERROR = 23,
	/* The last eight bytes of the ClientHello's random, which packets show as well: read where these are looked at. */
	TLSWATCH_RANDOM = 24,
	TLSWATCH_RANDOM_END = 25,
	TLSWATCH_SLOTS = 26,
	/* addresses: of a text (see tlswatch_shape), or of another object */
	TLSWATCH_ALPN = TLSWATCH_SLOTS,
	TLSWATCH_SERVER_NAME,
	TLSWATCH_OTHER_NAME, /* the server name, where the one before is not there */
	TLSWATCH_TEXTS,
	TLSWATCH_TRANSPORT = TLSWATCH_TEXTS, /* what the object reads through (a BIO): see tlswatch_transport */
	TLSWATCH_HELLO_NAME, /* the body of the server_name extension (RFC 6066) of the ClientHello being read */
	TLSWATCH_FACTS,
};

struct tlswatch_call_enter {
	struct tlswatch_header header;
	__u32 server;                      /* 1: the object is a server's */
	__u32 present;                     /* 1 << tlswatch_fact, of those in `state` */
	__u32 state[TLSWATCH_STATE_SLOTS]; /* as found on entry */
	__u32 parent_pid;                  /* of the parent, where the process runs the same executable file; else 0 */
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
	__u16 detail;      /* FATAL: TLSWATCH_DETAIL; TLSWATCH_NO_STATE where it was not read */
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
	/* Of the call and of `idle_calls`; TLSWATCH_NO_TIME: not known. */
	__u64 off_cpu_ns;   /* the thread was on no processor */
	__u64 run_delay_ns; /* of that: it was ready to run and waited for one */
	__u64 unread_ns;    /* of off_cpu_ns - run_delay_ns: the peer's bytes lay in its own socket, which is TCP's */
	__u64 arrived_ns; /* when the bytes of the call's first receive had arrived (the newest packet); 0 none, or not known */
	__s32 result;    /* what the call returned; 1 << 30 unknown */
	__s32 io_result; /* the last receive in this call: bytes, 0 end of file, -errno; 1 << 30 none */
	__u32 present;   /* 1 << tlswatch_fact: the state alone while the handshake goes on, else all there are */
	__u16 steps;
	__u16 alpn_length; /* bytes, 255 at most; 0 none */
	__u16 sni_length;
	__u16 flags;       /* enum tlswatch_call_flag */
	__u32 idle_calls;  /* calls before this one that changed nothing and made no record */
	__u32 rtt_us;      /* smoothed, of its own socket at the call's end; 0 not known */
	__u32 retransmits; /* segments that this side sent again since that was made; TLSWATCH_NO_COUNT not known */
	__u32 scalar[TLSWATCH_SLOTS];
};

enum tlswatch_call_flag {
	/* off_cpu_ns is what it waited for its socket, whatever the threads did that it ran on */
	TLSWATCH_CALL_WAITS = 1 << 0,
	/* it did not complete a server's handshake, and what the object has written could not have gone to any peer */
	TLSWATCH_CALL_MUTE = 1 << 1,
};

#define TLSWATCH_NO_RESULT (1 << 30)
#define TLSWATCH_NO_TIME (~0ULL)
#define TLSWATCH_NO_COUNT (~0U)

enum tlswatch_direction { TLSWATCH_RECEIVE = 0, TLSWATCH_SEND = 1 };

/* How it is known that a socket is the TLS object's own. */
enum tlswatch_proof {
	TLSWATCH_NO_PROOF = 0,     /* it is not */
	TLSWATCH_PROOF_DESCRIPTOR, /* the object's transport has its descriptor */
	TLSWATCH_PROOF_RECORD,     /* the ClientHello was sent or received on it in the call */
	TLSWATCH_INFERRED,         /* neither: a server's first receive, or a record on another object's connection */
};

struct tlswatch_socket {
	struct tlswatch_header header;
	__u64 number;         /* the socket's: counted up with each that a TLS object uses */
	__u64 connecting_ns;  /* the SYN was sent, or SYN_RECV entered; 0 not seen */
	__u64 established_ns; /* ESTABLISHED entered; 0 not seen, or not yet: another record of the socket follows */
	__u16 family;         /* AF_INET, AF_INET6, AF_UNIX, … */
	__u16 protocol;       /* IPPROTO_TCP, IPPROTO_UDP, … */
	__u16 local_port;     /* host order */
	__u16 remote_port;
	__u8 local[16]; /* network order; IPv4 in the first four */
	__u8 remote[16];
	__u16 direction;   /* enum tlswatch_direction */
	__u16 proof;       /* enum tlswatch_proof */
	__u32 retransmits; /* so far, as in tlswatch_call_return */
};

struct tlswatch_socket_closed {
	struct tlswatch_header header;
	__u64 number;    /* as in tlswatch_socket */
	__u32 old_state; /* TCP_* */
	__u32 new_state;
};

struct tlswatch_process {
	struct tlswatch_header header;
	char comm[TLSWATCH_COMM_SIZE];
	char path[TLSWATCH_TEXT_SIZE]; /* TLSWATCH_PROCESS_EXEC: the program as execve resolved it, NUL-terminated */
};

/* A failure, with the server name in the ClientHello that is refused: later the library has it no more. */
struct tlswatch_name {
	struct tlswatch_header header;
	struct tlswatch_step step; /* FATAL */
	__u16 length;              /* bytes, 255 at most */
	__u16 reserved[3];
	char text[TLSWATCH_TEXT_SIZE];
};

/* ---- packets ---- */

enum tlswatch_wire_flag {
	TLSWATCH_WIRE_SENT = 1,      /* by this side; else received */
	TLSWATCH_WIRE_BEGINS = 2,    /* the ClientHello begins in it */
	TLSWATCH_WIRE_IS_SERVER = 4, /* this side is the server */
	TLSWATCH_WIRE_GAP = 8,       /* records before these may have been missed */
	TLSWATCH_WIRE_NOT_TLS = 16,  /* what comes next in this direction is no TLS record */
	TLSWATCH_WIRE_FIN = 32,
	TLSWATCH_WIRE_RESET = 64,
	TLSWATCH_WIRE_CLOSED = 128, /* the socket was closed; no segment */
	TLSWATCH_WIRE_UNWATCHED =
		256, /* no further ones are looked at: it is over, or has more segments than a handshake */
	TLSWATCH_WIRE_CONTINUES = 512, /* its last record ends in a later segment, which may not be told */
};

#define TLSWATCH_WIRE_RECORDS 12 /* of one segment */
#define TLSWATCH_WIRE_CONTENT 8
#define TLSWATCH_WIRE_BYTES 4096 /* of plaintext handshake records, of each direction and of one segment */

/* The header of a TLS record. */
struct tlswatch_wire_record {
	__u16 length;
	__u8 type;
	__u8 held;                           /* of `content`; 0 unless it is a plaintext alert or handshake record */
	__u8 content[TLSWATCH_WIRE_CONTENT]; /* its first bytes */
};

/*
 * What a TCP segment shows of a handshake: the record headers in it, and the plaintext handshake records themselves, of
 * which `byte_count` bytes follow. The header's object is the connection's number; pid, tid and process_start_ns are 0
 * while it is not known who owns the socket.
 */
struct tlswatch_wire {
	struct tlswatch_header header;
	__u64 start_ns;      /* of the ClientHello's first segment */
	__u64 connecting_ns; /* as in tlswatch_socket; with the first record of a connection alone */
	__u64 established_ns;
	__u32 sequence;    /* TCP's, of the first of the bytes that follow */
	__u32 rtt_us;      /* as in tlswatch_call_return */
	__u32 retransmits; /* of this side's, since the connection was made */
	__u16 flags;       /* enum tlswatch_wire_flag */
	__u16 byte_count;
	__u16 family; /* AF_INET, AF_INET6; 0 where the addresses are not known yet */
	__u16 local_port;
	__u16 remote_port;
	__u16 records;
	__u8 local[16]; /* as in tlswatch_socket */
	__u8 remote[16];
	char comm[TLSWATCH_COMM_SIZE]; /* the owner's name: its main thread's */
	struct tlswatch_wire_record record[TLSWATCH_WIRE_RECORDS];
};

#define TLSWATCH_DATAGRAM_BYTES 2048

/*
 * A datagram with long headers of QUIC (RFC 9000), of which `byte_count` bytes follow: all of it where it begins with an Initial
 * packet, whose keys are on the wire, else the headers. The header's object is the socket's number; pid, tid and
 * process_start_ns are 0 in one that was received.
 */
struct tlswatch_datagram {
	struct tlswatch_header header;
	__u16 flags; /* TLSWATCH_WIRE_SENT; TLSWATCH_WIRE_GAP: some before it were left out */
	__u16 byte_count;
	__u16 length; /* of the whole datagram, in bytes */
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 local_port;
	__u16 remote_port;
	__u32 reserved;
	__u8 local[16]; /* as in tlswatch_socket */
	__u8 remote[16];
	char comm[TLSWATCH_COMM_SIZE]; /* of the process that sent it: its main thread's */
};

#define TLSWATCH_MESSAGE_BYTES 4095
#define TLSWATCH_ENVELOPE_BYTES 32

/*
 * A message of a handshake in the library's memory, in plaintext, of which `byte_count` bytes follow, and of what is sent
 * together with it: 0 where what the envelope describes is no handshake message.
 */
struct tlswatch_message {
	struct tlswatch_header header;
	__u8 envelope
		[TLSWATCH_ENVELOPE_BYTES]; /* of what describes the message: how it begins, in the library's own layout */
	/*
	 * With a ServerHello that a client receives, and with a state: the last eight bytes of the random of the ClientHello
	 * that the state was made for; 0 not known.
	 */
	__u64 random_end;
	__u32 length;     /* of all that is described, in bytes */
	__u32 parent_pid; /* as in tlswatch_call_enter; of a ClientHello, else 0 */
	__u16 byte_count;
	__u16 variant; /* of what is sent: the site's argument2, counted from its bytes on, plus 1; 0: the site has none */
	__u16 reserved[2];
	char comm[TLSWATCH_COMM_SIZE]; /* both of a ClientHello, else empty */
	char thread[TLSWATCH_COMM_SIZE];
};

/* Packets by how far the programs looked at them: the cheapest first. */
enum tlswatch_wire_path {
	TLSWATCH_WIRE_PATH_OTHER = 0, /* neither TCP's nor of QUIC's handshake, or of no full socket */
	TLSWATCH_WIRE_PATH_OLD,       /* its connection has carried 64 KB both ways, or 256 segments with data */
	TLSWATCH_WIRE_PATH_DONE,  /* its connection has had so many segments that none begins a handshake any more */
	TLSWATCH_WIRE_PATH_PLAIN, /* its connection is in no handshake */
	TLSWATCH_WIRE_PATH_HANDSHAKE,
	TLSWATCH_WIRE_PATH_COUNT,
};

/* ---- what processes map ---- */

/* A file that a process maps as code, from list_mappings. Not in the ring. */
struct tlswatch_mapping {
	__u64 start;
	__u64 end;
	__u64 inode;
	__u64 size;       /* of the file, bytes */
	__u32 generation; /* tells a file from an earlier one with its inode number */
	__u32 device;     /* the kernel's dev_t: major << 20 | minor */
	__u32 pid;        /* thread group */
	__u32 reserved;
};

/* A socket of a process that listens or is connected on a port of TLS, from list_connections. Not in the ring. */
struct tlswatch_connection {
	__u32 pid;  /* thread group */
	__u16 port; /* the one of TLS: the socket's own, or its peer's */
	__u16 listening;
	__u64 group; /* the socket's control group: its directory's inode; 0 where the kernel does not tell */
};

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

_Static_assert(sizeof(struct tlswatch_header) == 40, "header");
_Static_assert(sizeof(struct tlswatch_call_enter) == 120, "call_enter");
_Static_assert(sizeof(struct tlswatch_call_return) == 240, "call_return");
_Static_assert(sizeof(struct tlswatch_step) == 32, "step");
_Static_assert(sizeof(struct tlswatch_step_record) == 72, "step_record");
_Static_assert(sizeof(struct tlswatch_socket) == 112, "socket");
_Static_assert(sizeof(struct tlswatch_socket_closed) == 56, "socket_closed");
_Static_assert(sizeof(struct tlswatch_process) == 312, "process");
_Static_assert(sizeof(struct tlswatch_name) == 336, "name");
_Static_assert(sizeof(struct tlswatch_connection) == 16, "connection");
_Static_assert(sizeof(struct tlswatch_wire_record) == 12, "wire_record");
_Static_assert(sizeof(struct tlswatch_wire) == 280, "wire");
_Static_assert(sizeof(struct tlswatch_datagram) == 104, "datagram");
_Static_assert(sizeof(struct tlswatch_message) == 128, "message");
_Static_assert(sizeof(struct tlswatch_transport) == 96, "transport");
_Static_assert(sizeof(struct tlswatch_read) == 12, "read");
_Static_assert(sizeof(struct tlswatch_field) == 8, "field");
_Static_assert(sizeof(struct tlswatch_place) == 8, "place");
_Static_assert(sizeof(struct tlswatch_site) == 56, "site");
_Static_assert(sizeof(struct tlswatch_interfaces) == 24, "interfaces");
_Static_assert(sizeof(struct tlswatch_type) == 12, "type");
_Static_assert(sizeof(struct tlswatch_test) == 12, "test");
_Static_assert(sizeof(struct tlswatch_knobs) == 12, "knobs");
_Static_assert(sizeof(struct tlswatch_counters) == 80, "counters");
_Static_assert(sizeof(struct tlswatch_shared) == 64, "shared");

#endif
