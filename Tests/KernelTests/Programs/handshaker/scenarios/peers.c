// SPDX-License-Identifier: Apache-2.0
/* A peer that goes in the middle, or that does not speak TLS. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../drive.h"
#include "../options.h"
#include "../support.h"
#include "all.h"

static void expect_end(const struct side *server)
{
	if (!server->witness.ended)
		die("the server did not notice");
}

static void send_bytes(const struct side *side, const void *bytes, size_t length)
{
	if (write(side->link.out, bytes, length) != (ssize_t)length)
		die("write: %s", strerror(errno));
}

/* The peer ends the connection in TLS's own way before the handshake is over. */
void run_close_notify(void)
{
	static const char close_notify[] = { 21, 3, 3, 0, 2, 1, ALERT_CLOSE_NOTIFY };
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		send_bytes(&client, close_notify, sizeof(close_notify));
		abandon(&client);
		step(&server);
		expect_end(&server);
		snprintf(server.witness.reason, sizeof(server.witness.reason), "close_notify");
		server.witness.alert = ALERT_CLOSE_NOTIFY;
		server.witness.alert_sent = false;
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* The client sends its ClientHello; then `leave` makes it go, and the server finds out in its next calls. */
static void leave_after_hello(void (*leave)(struct side *client, struct side *server))
{
	struct side client, server;

	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&client, &server);
		step(&client);
		leave(&client, &server);
		/* What the application closed beside a memory transport, the library's objects do not have. */
		if (options.io == MEMORY)
			client.witness.end = 0;
		if (!server.witness.ended)
			step(&server);
		expect_end(&server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

static void go(struct side *client, void (*close_it)(struct link *))
{
	close_it(&client->link);
	abandon(client);
	/* The server's next call finds the peer gone, not going. */
	sleep_ms(5);
}

static void close_then_answer(struct side *client, struct side *server)
{
	go(client, close_link);
	step(server);
}

static void answer_then_reset(struct side *client, struct side *server)
{
	step(server);
	go(client, close_with_reset);
}

/* The ClientHello can still be read; the answer cannot be sent. */
static void reset_then_answer(struct side *client, struct side *server)
{
	go(client, close_with_reset);
	step(server);
}

void run_peer_closes(void)
{
	leave_after_hello(close_then_answer);
}

void run_reset(void)
{
	leave_after_hello(answer_then_reset);
}

void run_reset_before_answer(void)
{
	leave_after_hello(reset_then_answer);
}

/* As reset, while the server's call waits in the socket. */
void run_reset_in_call(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&client, &server);
		client.nonblocking = true;
		set_nonblocking(&client.link);
		start_thread(&server.thread, run_side, &server);
		step(&client);
		wait_for(client.link.in, POLLIN);
		sleep_ms(10);
		close_with_reset(&client.link);
		abandon(&client);
		pthread_join(server.thread, NULL);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* The client is a socket without a library. */
static void hear_stranger(const char *text)
{
	struct side client, server;

	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&client, &server);
		send_bytes(&client, text, strlen(text));
		step(&server);
		expect_end(&server);
		report(&server.witness);
		close_pair(&client, &server);
	}
}

void run_garbage(void)
{
	hear_stranger("\x01\x02\x03\x04\x05\x06\x07\x08\x09garbage garbage garbage");
}

void run_plain_http(void)
{
	hear_stranger("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

/* It does not speak at all. */
void run_silent_client(void)
{
	struct side client, server;

	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		struct call first;

		open_pair(&client, &server);
		first = call(&server, HANDSHAKE);
		if (!wants_more(&first))
			die("the server did not wait");
		sleep_ms(30);
		abandon(&server);
		free_object(&server);
		report(&server.witness);
		close_pair(&client, &server);
	}
}
