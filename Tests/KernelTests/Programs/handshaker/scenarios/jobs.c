// SPDX-License-Identifier: Apache-2.0
/* Calls that run in jobs, which stop inside the library while the calling thread does something else. */
#include "../drive.h"
#include "../options.h"
#include "../support.h"
#include "all.h"

static void need_jobs(void)
{
	NEED_OPERATION(can_pause);
	if (!stack.can_pause())
		unsupported("async");
}

void run_async(void)
{
	struct side client, server;

	need_jobs();
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&client, &server);
		stack.allow_pauses(server.object);
		stack.allow_pauses(client.object);
		run_both(&client, &server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* Both servers stop in their jobs, one after the other; then each goes on. */
static void interleave(struct side client[2], struct side server[2])
{
	bool open[2] = { true, true };

	for (int round = 0; round < 10 && (open[0] || open[1]); round++) {
		for (int j = 0; j < 2; j++) {
			if (!server[j].witness.ended)
				step_now(&server[j]);
		}
		for (int j = 0; j < 2; j++) {
			if (!client[j].witness.ended && round)
				step(&client[j]);
			open[j] = !client[j].witness.ended || !server[j].witness.ended;
		}
	}
}

/* While one server's job is stopped, its thread begins another handshake, as an event loop does. */
void run_async_interleaved(void)
{
	struct side client[2], server[2];

	need_jobs();
	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		for (int j = 0; j < 2; j++) {
			open_pair(&client[j], &server[j]);
			stack.allow_pauses(server[j].object);
			step(&client[j]);
		}
		interleave(client, server);
		for (int j = 0; j < 2; j++) {
			report_both(&client[j], &server[j]);
			close_pair(&client[j], &server[j]);
		}
	}
}
