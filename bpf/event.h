/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire contract between the BPF programs and their consumer: the one definition of every
 * record in the ring buffer; with profile.h, of what drives the generic programs, and counters.h,
 * of what they count. C includes it; Swift imports it.
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
	__u16 new_state;
	__u16 error; /* of the socket, an errno: how its connection was lost; 0 it was not, or not known */
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

#endif
