// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drive.h"
#include "options.h"
#include "support.h"

/* ---- calls ---- */

/* What the error queue of the thread tells is read where the call was made. */
static void *run_call(void *argument)
{
	struct call *call = argument;
	struct side *side = call->side;
	struct witness *witness = &side->witness;
	bool counts = !witness->ended;
	uint64_t end, waited = thread_run_delay();

	stack.before_call();
	errno = 0;
	witness->call_start = now();
	if (counts && !witness->start)
		witness->start = witness->call_start;
	call->result = stack.make_call(side->object, call->operation);
	end = now();
	call->system_error = errno;
	stack.after_call(side->object, call);
	if (counts) {
		witness->waited += thread_run_delay() - waited;
		witness->api_calls++;
		if (!witness->ended) {
			witness->busy += end - witness->call_start;
			witness->end = end;
		} else {
			witness->returned = end;
		}
		witness->pauses += call->want == WANT_JOB;
	}
	return NULL;
}

void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
	if (pthread_create(thread, NULL, run, argument))
		die("pthread_create");
}

struct call call(struct side *side, enum operation operation)
{
	struct call call = { .side = side, .operation = operation };
	pthread_t thread;

	if (!side->handoff) {
		run_call(&call);
		return call;
	}
	start_thread(&thread, run_call, &call);
	pthread_join(thread, NULL);
	return call;
}

bool wants_more(const struct call *call)
{
	return call->want != WANT_NOTHING;
}

static const char *reason_of(const struct witness *witness, const struct call *call)
{
	if (call->is_system) {
		if (call->system_error == ECONNRESET)
			return "connection_reset";
		if (call->system_error == EPIPE)
			return "broken_pipe";
		return !call->system_error && !call->library_error ? "peer_closed" : NULL;
	}
	/* The library also tries an alert then; the cause is the peer's going. */
	if (call->is_end_of_input)
		return "peer_closed";
	if (witness->alert == ALERT_INTERNAL_ERROR)
		return NULL;
	if (witness->alert >= 0)
		return alert_name(witness->alert);
	return call->library_error ? stack.error_text(call->library_error) : NULL;
}

void fail(struct side *side, const struct call *call)
{
	struct witness *witness = &side->witness;
	const char *reason = reason_of(witness, call);

	witness->outcome = FAILED;
	witness->ended = true;
	snprintf(witness->reason, sizeof(witness->reason), "%s", reason ? reason : "");
	for (char *at = witness->reason; *at; at++) {
		if (*at == ' ')
			*at = '_';
	}
	note_facts(side);
}

/* ---- the memory transport ---- */

void carry_out(struct side *side)
{
	char bytes[16384];
	int length;

	if (options.io != MEMORY)
		return;
	while ((length = stack.take_output(side, bytes, sizeof(bytes))) > 0) {
		for (int sent = 0; sent < length;) {
			ssize_t result = send(side->link.out, bytes + sent, (size_t)(length - sent), MSG_NOSIGNAL);

			if (result < 0 && errno == EAGAIN)
				wait_for(side->link.out, POLLOUT);
			else if (result <= 0)
				return;
			else
				sent += (int)result;
		}
	}
}

void carry_in(struct side *side)
{
	char bytes[16384];
	ssize_t length;

	if (options.io != MEMORY)
		return;
	length = recv(side->link.in, bytes, sizeof(bytes), 0);
	if (length > 0)
		stack.give_input(side, bytes, (int)length);
	else if (length == 0)
		stack.end_input(side);
}

/* ---- a side by itself ---- */

static void delay(struct side *side)
{
	struct witness *witness = &side->witness;
	uint64_t slept;

	if (!side->delay_ms || witness->ended)
		return;
	slept = sleep_ms(side->delay_ms);
	if (!witness->start)
		witness->delay_before += slept;
	else if (witness->delay_count < MAX_DELAYS)
		witness->delays[witness->delay_count++] = slept;
}

struct call drive(struct side *side, enum operation operation)
{
	bool first = true;

	for (;;) {
		struct call one;

		/* What is delayed is the answer to the ClientHello, so that has to be there first. */
		if (first && side->delay_ms && side->witness.server && !side->witness.ended)
			wait_for(side->link.in, POLLIN);
		first = false;
		delay(side);
		one = call(side, operation);
		carry_out(side);
		if (!wants_more(&one) || one.want == WANT_ALL_AGAIN)
			return one;
		if (one.want == WANT_JOB) {
			sleep_ms(1);
			continue;
		}
		if (one.want == WANT_CALLBACK) {
			side->witness.held = sleep_ms(options.hold_ms);
			continue;
		}
		if (options.spin && one.want == WANT_READ)
			continue;
		if (!side->nonblocking && options.io != MEMORY && options.io != UDP)
			return one;
		if (!wait_for(one.want == WANT_READ ? side->link.in : side->link.out,
			      one.want == WANT_READ ? POLLIN : POLLOUT)) {
			one.want = WANT_NOTHING;
			one.is_system = true;
			return one;
		}
		carry_in(side);
	}
}

bool handshake(struct side *side)
{
	struct call last = drive(side, HANDSHAKE);

	if (last.result == 1)
		complete(side);
	else
		fail(side, &last);
	return last.result == 1;
}

bool exchange(struct side *side)
{
	enum operation order[2] = { side->witness.server ? READ : WRITE, side->witness.server ? WRITE : READ };

	for (int i = 0; i < 2; i++) {
		struct call last = drive(side, order[i]);

		if (last.want == WANT_ALL_AGAIN) {
			i = -1;
			continue;
		}
		if (side->implicit && !side->witness.has_facts && side->witness.outcome == COMPLETED)
			note_facts(side);
		if (last.result <= 0) {
			if (!side->witness.ended)
				fail(side, &last);
			return false;
		}
	}
	/* A server may have answered early data: the client's end comes behind the rest of the handshake. */
	if (!side->witness.ended) {
		drive(side, READ);
		if (side->witness.outcome == COMPLETED)
			note_facts(side);
	}
	return true;
}

static bool early_data(struct side *side)
{
	struct call last;

	if (!side->witness.server) {
		last = drive(side, WRITE_EARLY);
		if (last.result != 1)
			fail(side, &last);
		return last.result == 1;
	}
	do {
		last = drive(side, READ_EARLY);
	} while (last.result != EARLY_READ_FAILED && last.result != EARLY_READ_ALL);
	if (last.result == EARLY_READ_FAILED)
		fail(side, &last);
	return last.result != EARLY_READ_FAILED;
}

void *run_side(void *argument)
{
	struct side *side = argument;

	side->witness.thread = side->witness.server ? "tls-server" : "tls-client";
	prctl(PR_SET_NAME, side->witness.thread);
	if (side->early && !early_data(side))
		goto out;
	if (side->implicit ? exchange(side) : handshake(side) && exchange(side))
		call(side, SHUTDOWN);
	carry_out(side);
out:
	/* A peer that still waits must hear of the end. */
	if (options.io == PIPE) {
		close(side->link.out);
		side->link.out = -1;
	} else if (side->witness.outcome == FAILED) {
		shutdown(side->link.out, SHUT_WR);
	}
	return NULL;
}

void run_both(struct side *client, struct side *server)
{
	start_thread(&server->thread, run_side, server);
	start_thread(&client->thread, run_side, client);
	pthread_join(client->thread, NULL);
	pthread_join(server->thread, NULL);
}

/* ---- both sides in this thread ---- */

void step_now(struct side *side)
{
	struct call one;

	carry_in(side);
	one = call(side, HANDSHAKE);
	carry_out(side);
	if (one.result == 1)
		complete(side);
	else if (!wants_more(&one))
		fail(side, &one);
}

void step(struct side *side)
{
	if (side->witness.start || side->witness.server)
		wait_for(side->link.in, POLLIN);
	step_now(side);
}

void open_half(struct side *client, struct side *server)
{
	options.nonblocking = true;
	open_pair(client, server);
	step(client);
	step(server);
}

void finish_half(struct side *client, struct side *server)
{
	for (int i = 0; i < 10 && !(client->witness.ended && server->witness.ended); i++) {
		if (!client->witness.ended)
			step(client);
		if (!server->witness.ended)
			step(server);
	}
}

void converse(struct side *writer, struct side *reader)
{
	for (int i = 0; i < 20; i++) {
		struct call wrote = call(writer, WRITE);
		struct call read;

		if (wrote.result > 0)
			break;
		wait_for(reader->link.in, POLLIN);
		read = call(reader, READ);
		if (!wants_more(&read))
			break;
	}
	for (int i = 0; i < 20; i++) {
		struct call read;

		wait_for(reader->link.in, POLLIN);
		read = call(reader, READ);
		if (!wants_more(&read))
			break;
		/* What the reader answered (a key update, a certificate) is read by the writer. */
		call(writer, READ);
	}
}
