// SPDX-License-Identifier: Apache-2.0
/* What comes after a handshake and is none in TLS 1.3; in TLS 1.2 a second one on the same connection. */
#include <stdio.h>

#include "../drive.h"
#include "../options.h"
#include "../scenarios.h"
#include "../support.h"
#include "all.h"

/* A connection whose handshake is complete, and over which bytes went both ways. */
static void open_used(struct side *client, struct side *server)
{
	options.nonblocking = true;
	open_pair(client, server);
	if (scenario->asks_client == CLIENT_ASKED_LATER)
		stack.allow_late_proof(client->object);
	step(client);
	step(server);
	finish_half(client, server);
	if (server->witness.outcome != COMPLETED || client->witness.outcome != COMPLETED)
		die("the handshake did not complete");
	converse(client, server);
	converse(server, client);
}

/* `ask` sets it off; both sides read until it is over, then go on as before. */
static void make_afterwards(void (*ask)(struct side *client, struct side *server))
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		uint64_t begin;

		open_used(&client, &server);
		begin = now();
		ask(&client, &server);
		for (int j = 0; j < 6; j++) {
			call(&client, READ);
			call(&server, READ);
		}
		converse(&client, &server);
		converse(&server, &client);
		report_both(&client, &server);
		report_event(scenario->name, false, begin, now());
		report_event(scenario->name, true, begin, now());
		close_pair(&client, &server);
	}
}

static void renegotiate(struct side *client, struct side *server)
{
	(void)client;
	stack.renegotiate(server->object);
	call(server, HANDSHAKE);
}

static void update_keys(struct side *client, struct side *server)
{
	(void)server;
	stack.update_keys(client->object);
	call(client, HANDSHAKE);
}

static void ask_for_proof(struct side *client, struct side *server)
{
	(void)client;
	if (!stack.ask_for_proof(server->object))
		die("the library does not ask for a certificate");
	call(server, HANDSHAKE);
}

void run_renegotiate(void)
{
	NEED_OPERATION(renegotiate);
	make_afterwards(renegotiate);
}

void run_key_update(void)
{
	NEED_OPERATION(update_keys);
	make_afterwards(update_keys);
}

void run_post_handshake_auth(void)
{
	NEED_OPERATION(allow_late_proof);
	NEED_OPERATION(ask_for_proof);
	make_afterwards(ask_for_proof);
}

/* The server goes on as before; the client takes the refusal for the end. */
static void report_refused(const struct side *client, uint64_t begin)
{
	struct witness refused = client->witness;

	refused.start = begin;
	refused.end = now();
	refused.enter = refused.exit = refused.calls = 0;
	refused.outcome = FAILED;
	refused.has_facts = false;
	refused.alert = ALERT_NO_RENEGOTIATION;
	refused.alert_sent = false;
	snprintf(refused.reason, sizeof(refused.reason), "no_renegotiation");
	report(&refused);
}

void run_refused_renegotiation(void)
{
	struct side client, server;

	NEED_OPERATION(renegotiate);
	for (unsigned i = 0; i < options.count; i++) {
		uint64_t begin;

		open_used(&client, &server);
		begin = now();
		stack.renegotiate(client.object);
		call(&client, HANDSHAKE);
		call(&server, READ);
		call(&client, READ);
		report_both(&client, &server);
		report_refused(&client, begin);
		close_pair(&client, &server);
	}
}
