// SPDX-License-Identifier: Apache-2.0
/* Handshakes that both sides bring to an end. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../drive.h"
#include "../options.h"
#include "../scenarios.h"
#include "../support.h"
#include "all.h"
#include "complete.h"

void make_handshakes(unsigned count)
{
	struct side client, server;
	void *session = NULL;

	if (options.resume)
		NEED_OPERATION(get_session);
	for (unsigned i = 0; i < count; i++) {
		open_pair(&client, &server);
		if (session)
			stack.set_session(client.object, session);
		client.early = scenario->early && session;
		/* A server that never asks for early data rejects it. */
		server.early = client.early && scenario->early == EARLY_TAKEN;
		run_both(&client, &server);
		report_both(&client, &server);
		if (session)
			stack.free_session(session);
		session = NULL;
		if (options.resume && client.witness.outcome == COMPLETED)
			session = stack.get_session(client.object);
		close_pair(&client, &server);
	}
	if (session)
		stack.free_session(session);
}

void run_plain(void)
{
	make_handshakes(options.count);
}

void run_early_data(void)
{
	options.resume = true;
	make_handshakes(options.count < 2 ? 2 : options.count);
}

static void *work(void *argument)
{
	make_handshakes(*(unsigned *)argument);
	return NULL;
}

void run_many(void)
{
	unsigned share = options.count / options.threads;
	pthread_t *threads = calloc(options.threads, sizeof(*threads));

	if (!threads)
		die("calloc");
	for (unsigned i = 0; i < options.threads; i++)
		start_thread(&threads[i], work, &share);
	for (unsigned i = 0; i < options.threads; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* A process each: gone before anybody has looked what it runs. */
void run_children(void)
{
	for (unsigned i = 0; i < options.count; i++) {
		pid_t child = fork();
		int status;

		check(child, "fork");
		if (!child) {
			make_handshakes(1);
			_exit(0);
		}
		waitpid(child, &status, 0);
		if (status)
			die("a child ended with %d", status);
	}
}

/* The server's queue of connections is full: it has no answer for the client's first SYN. */
void run_full_queue(void)
{
	for (unsigned i = 0; i < options.count; i++) {
		struct side client = { .object = stack.new_object(false) };
		struct side server = { .object = stack.new_object(true) };
		unsigned pair = next_pair();

		connect_to_full_queue(&client.link, &server.link);
		prepare(&client, false, pair);
		prepare(&server, true, pair);
		run_both(&client, &server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* The SYN waits for the first bytes, and those for a while: the server comes about meanwhile. */
static void *run_fast_open_server(void *argument)
{
	struct side *server = argument;

	accept_fast_open(&server->link);
	prepare(server, true, server->witness.pair);
	return run_side(server);
}

void run_fast_open(void)
{
	options.io = FASTOPEN;
	for (unsigned i = 0; i < options.count; i++) {
		struct side client = { .object = stack.new_object(false) };
		struct side server = { .object = stack.new_object(true) };

		connect_links(&client.link, &server.link);
		server.witness.pair = next_pair();
		prepare(&client, false, server.witness.pair);
		start_thread(&server.thread, run_fast_open_server, &server);
		sleep_ms(options.hold_ms);
		start_thread(&client.thread, run_side, &client);
		pthread_join(client.thread, NULL);
		pthread_join(server.thread, NULL);
		/* Only now it has addresses. */
		note_addresses(&client.witness, &client.link);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}
