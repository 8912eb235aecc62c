// SPDX-License-Identifier: Apache-2.0
/* The library's objects freed in the middle, used again, and kept. */
#include "../drive.h"
#include "../options.h"
#include "../support.h"
#include "all.h"
#include "complete.h"

static void give_up(struct side *client, struct side *server)
{
	abandon(client);
	free_object(client);
	abandon(server);
	free_object(server);
	report_both(client, server);
	close_link(&client->link);
	close_link(&server->link);
}

void run_free_mid_handshake(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		give_up(&client, &server);
	}
}

void run_close_fd_mid_handshake(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		/* The client has unread bytes, so that its close would reset the server's socket: it goes last. */
		close_link(&server.link);
		abandon(&server);
		sleep_ms(5);
		close_link(&client.link);
		abandon(&client);
		/* What the application closed beside a memory transport, the library's objects do not have. */
		if (options.io == MEMORY)
			client.witness.end = server.witness.end = 0;
		/* Long enough that the end cannot be taken for the object's. */
		sleep_ms(30);
		free_object(&client);
		free_object(&server);
		report_both(&client, &server);
	}
}

void run_clear_reuse(void)
{
	struct side client, server;

	NEED_OPERATION(clear);
	open_pair(&client, &server);
	for (unsigned i = 0; i < options.count; i++) {
		if (i) {
			unsigned pair = next_pair();

			close_link(&client.link);
			close_link(&server.link);
			if (!stack.clear(client.object) || !stack.clear(server.object))
				die("the object cannot be used again");
			connect_links(&client.link, &server.link);
			prepare(&client, false, pair);
			prepare(&server, true, pair);
		}
		run_both(&client, &server);
		report_both(&client, &server);
	}
	close_pair(&client, &server);
}

/* Unfinished and finished handshakes in turn, so that the allocator gives both the same addresses. */
void run_address_reuse(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		give_up(&client, &server);
		options.nonblocking = false;
		make_handshakes(1);
	}
}

/* As free-mid-handshake, but another reference lives on: the handshake goes on and completes. */
void run_up_ref(void)
{
	struct side client, server;

	NEED_OPERATION(up_ref);
	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		stack.up_ref(client.object);
		stack.up_ref(server.object);
		stack.free_object(client.object);
		stack.free_object(server.object);
		sleep_ms(2);
		finish_half(&client, &server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}
