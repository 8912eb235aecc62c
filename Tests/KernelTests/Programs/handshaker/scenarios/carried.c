// SPDX-License-Identifier: Apache-2.0
/* Handshakes that another one carries, or a packet protocol. */
#include "../drive.h"
#include "../options.h"
#include "../support.h"
#include "all.h"

struct nested {
	struct side outer, inner;
};

static void *run_inner(void *argument)
{
	struct nested *nested = argument;

	/* The inner handshake's first write or read makes the outer one, within the same call. */
	if (handshake(&nested->inner))
		exchange(&nested->inner);
	if (nested->outer.witness.outcome == COMPLETED)
		note_facts(&nested->outer);
	return NULL;
}

static void nest(struct nested *nested, bool server)
{
	nested->inner = (struct side){ .object = stack.new_object(server), .link = nested->outer.link };
	stack.attach_inside(nested->inner.object, nested->outer.object);
	new_witness(&nested->inner, server, nested->outer.witness.pair);
	nested->inner.witness.note = "inner";
	nested->outer.witness.note = "outer";
	nested->outer.witness.implicit = true;
	stack.begin(nested->inner.object, server);
}

/* TLS inside TLS. */
void run_nested(void)
{
	struct nested client, server;
	pthread_t thread;

	NEED_OPERATION(attach_inside);
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&client.outer, &server.outer);
		nest(&client, false);
		nest(&server, true);
		start_thread(&thread, run_inner, &server);
		run_inner(&client);
		pthread_join(thread, NULL);
		report_both(&client.outer, &server.outer);
		report_both(&client.inner, &server.inner);
		free_object(&client.inner);
		free_object(&server.inner);
		close_pair(&client.outer, &server.outer);
	}
}

void run_quic(void)
{
	NEED_OPERATION(run_quic);
	stack.run_quic();
}
