// SPDX-License-Identifier: Apache-2.0
#include <stdatomic.h>
#include <stdio.h>

#include "options.h"
#include "scenarios.h"
#include "sides.h"
#include "stack.h"
#include "support.h"

unsigned next_pair(void)
{
	static atomic_uint next;

	return next++;
}

void new_witness(struct side *side, bool server, unsigned pair)
{
	side->witness = (struct witness){
		.server = server,
		.implicit = side->implicit,
		.alert = -1,
		.transport = options.io,
		.pair = pair,
	};
	note_addresses(&side->witness, &side->link);
	if (!server && options.sni)
		snprintf(side->witness.sni, sizeof(side->witness.sni), "%s", options.sni);
	stack.set_witness(side->object, &side->witness);
}

void prepare(struct side *side, bool server, unsigned pair)
{
	side->delay_ms = options.delay_ms[server];
	/* Only between calls can a known time be slept. */
	side->nonblocking = options.nonblocking || side->handoff || side->delay_ms;
	side->implicit = options.implicit;
	if (side->nonblocking || options.io == MEMORY)
		set_nonblocking(&side->link);
	stack.attach(side);
	new_witness(side, server, pair);
	stack.begin(side->object, server);
}

void open_pair(struct side *client, struct side *server)
{
	struct link links[2];
	unsigned pair = next_pair();

	connect_links(&links[0], &links[1]);
	*client = (struct side){
		.object = stack.new_object(false),
		.link = links[0],
		.handoff = scenario->hands_off,
	};
	*server = (struct side){
		.object = stack.new_object(true),
		.link = links[1],
		.handoff = scenario->hands_off,
	};
	prepare(client, false, pair);
	prepare(server, true, pair);
}

void free_object(struct side *side)
{
	stack.free_object(side->object);
	side->object = NULL;
}

void close_pair(struct side *client, struct side *server)
{
	free_object(client);
	free_object(server);
	close_link(&client->link);
	close_link(&server->link);
}

void note_facts(struct side *side)
{
	struct witness *witness = &side->witness;
	const char *sni = stack.server_name(side->object);

	note_connection(witness, &side->link);
	if (witness->server && scenario->refuses_hello && options.sni)
		sni = options.sni;
	if (witness->server && sni)
		snprintf(witness->sni, sizeof(witness->sni), "%s", sni);
	if (witness->outcome != COMPLETED)
		return;
	witness->has_facts = true;
	stack.note_facts(side->object, witness);
}

void complete(struct side *side)
{
	side->witness.outcome = COMPLETED;
	side->witness.ended = true;
	note_facts(side);
}

void abandon(struct side *side)
{
	if (side->witness.ended)
		return;
	side->witness.outcome = ABANDONED;
	side->witness.ended = true;
	side->witness.end = now();
}

void report_both(const struct side *client, const struct side *server)
{
	report(&client->witness);
	report(&server->witness);
}
