/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS library as the driver, the witness and the transports know it. Each library's folder
 * (openssl/) defines `stack`, and a program is linked with one of them: what a library lacks is
 * NULL here, and ends the scenarios that need it with status 3.
 *
 * An object is what the library calls a session or a connection; a side has one.
 */
#pragma once

#include <stdbool.h>

#include "witness.h"

struct call;
struct side;

enum operation { HANDSHAKE, READ, WRITE, SHUTDOWN, READ_EARLY, WRITE_EARLY };

/* A call's result: positive where it did what was asked for. READ_EARLY has three. */
enum { EARLY_READ_FAILED = 0, EARLY_READ_SOME = 1, EARLY_READ_ALL = 2 };

struct stack_ops {
	/* Once, before anything else. */
	void (*load)(void);

	/* The client's and the server's configuration, by options and scenario. */
	void (*open_contexts)(void);
	void (*close_contexts)(void);

	void *(*new_object)(bool server);
	void (*free_object)(void *object);

	/* Puts side->object on side->link, by side->witness.transport's way. */
	void (*attach)(struct side *side);
	/* What the library's callbacks stamp from now on. */
	void (*set_witness)(void *object, struct witness *witness);
	/* The next handshake is the client's with the options' server name, or the server's. */
	void (*begin)(void *object, bool server);

	/* A call: what is between the first and the last is timed. */
	void (*before_call)(void);
	int (*make_call)(void *object, enum operation operation);
	/* Fills in what the call tells of its result. The error queue is the calling thread's. */
	void (*after_call)(void *object, struct call *call);
	/* A library's error in words; NULL: it has none. */
	const char *(*error_text)(unsigned long error);

	/* The name that the client asked for; NULL: none. */
	const char *(*server_name)(void *object);
	/* Everything that is settled with a completed handshake. */
	void (*note_facts)(void *object, struct witness *witness);

	/* The memory transport's bytes: what the library wrote (0: nothing more), what it is to read, the end of that. */
	int (*take_output)(struct side *side, void *bytes, int room);
	void (*give_input)(struct side *side, const void *bytes, int length);
	void (*end_input)(struct side *side);

	/* ---- what a library may lack ---- */

	/* To resume; the session lives on by itself. */
	void *(*get_session)(void *object);
	void (*set_session)(void *object, void *session);
	void (*free_session)(void *session);

	/* The same object for another handshake. */
	bool (*clear)(void *object);
	/* Another reference: the next free_object() frees nothing. */
	void (*up_ref)(void *object);

	/* Calls run in jobs that can stop. */
	bool (*can_pause)(void);
	void (*allow_pauses)(void *object);

	/* Asked for now; the next calls carry it out. */
	void (*renegotiate)(void *object);
	void (*update_keys)(void *object);
	void (*allow_late_proof)(void *client);
	bool (*ask_for_proof)(void *server);

	/* Puts the inner object on the outer one, as its transport. */
	void (*attach_inside)(void *inner, void *outer);

	/* A whole scenario: each library has QUIC in a way of its own. */
	void (*run_quic)(void);
};

/* Ends the program with status 3 where the library lacks the operation. */
#define NEED_OPERATION(operation)                                                                                      \
	do {                                                                                                           \
		if (!stack.operation)                                                                                  \
			unsupported(#operation);                                                                       \
	} while (0)

extern const struct stack_ops stack;
