/* SPDX-License-Identifier: Apache-2.0 */
/* Calls into the library, and the loops that bring a handshake about. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "sides.h"
#include "stack.h"

/* What a call waits for before it can be made again. */
enum want {
	WANT_NOTHING,
	WANT_READ,
	WANT_WRITE,
	WANT_JOB,
	WANT_CALLBACK,
	/* What was written before the handshake was over is lost. */
	WANT_ALL_AGAIN,
};

struct call {
	struct side *side;
	enum operation operation;
	int result;
	enum want want;
	int system_error;
	unsigned long library_error;
	/* It failed in the system's call; because the peer's bytes have ended. */
	bool is_system, is_end_of_input;
};

struct call call(struct side *side, enum operation operation);
bool wants_more(const struct call *call);
void fail(struct side *side, const struct call *call);

/* Makes the call until it needs no more; waits in poll where the transport does not. */
struct call drive(struct side *side, enum operation operation);

/* Memory transport: carries out what the library wrote, and in what it is to read. */
void carry_out(struct side *side);
void carry_in(struct side *side);

/* ---- a side by itself ---- */

bool handshake(struct side *side);
/* One byte each way. Where the handshake is implicit, these make it. */
bool exchange(struct side *side);
/* A thread's function, of a `struct side *`: the handshake, a byte each way, the end. */
void *run_side(void *side);
void run_both(struct side *client, struct side *server);
void start_thread(pthread_t *thread, void *(*run)(void *), void *argument);

/* ---- both sides in this thread ---- */

/* One handshake call, and its end if it is one. */
void step_now(struct side *side);
/* The same, once the side's input is there. */
void step(struct side *side);
/* A pair with the ClientHello out, then the server's flight out; neither is done. */
void open_half(struct side *client, struct side *server);
void finish_half(struct side *client, struct side *server);
/* Until the bytes that the reader waits for have come. */
void converse(struct side *writer, struct side *reader);
