// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hold.h"
#include "options.h"
#include "scenarios.h"
#include "support.h"

/* A server of another kind, which answers late and hangs up: where certificates are looked up, say. */
static struct {
	struct sockaddr_in address;
	int fd, datagrams;
	pthread_once_t once;
} store = { .once = PTHREAD_ONCE_INIT };

static void *run_store(void *argument)
{
	char bytes[16];
	int fd;

	(void)argument;
	while ((fd = accept4(store.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (recv(fd, bytes, sizeof(bytes), 0) > 0) {
			sleep_ms(options.hold_ms);
			send(fd, "\x16\x03\x03\x00\x05\x02hello", 11, MSG_NOSIGNAL);
		}
		close(fd);
	}
	return NULL;
}

static void open_store(void)
{
	socklen_t length = sizeof(store.address);
	pthread_t thread;

	store.address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	store.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	store.datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (store.fd < 0 || store.datagrams < 0 || bind(store.fd, (struct sockaddr *)&store.address, length) ||
	    listen(store.fd, 64) || getsockname(store.fd, (struct sockaddr *)&store.address, &length))
		die("store: %s", strerror(errno));
	if (pthread_create(&thread, NULL, run_store, NULL))
		die("pthread_create");
	pthread_detach(thread);
}

/*
 * Asks it over a connection of its own, to the end of file, and tells a counter of it. Both speak as a TLS client and its
 * server begin, which is what a look-up over TLS looks like.
 */
void ask_store(struct witness *witness)
{
	uint64_t begin = now();
	char bytes[16];
	int fd;

	pthread_once(&store.once, open_store);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&store.address, sizeof(store.address)))
		die("store: %s", strerror(errno));
	sendto(store.datagrams, "lookups:1|c", 11, MSG_DONTWAIT, (struct sockaddr *)&store.address,
	       sizeof(store.address));
	send(fd, "\x16\x03\x01\x00\x05\x01hello", 11, MSG_NOSIGNAL);
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	close(fd);
	witness->held += now() - begin;
}

/* Until the thread has computed for so long; what it got and what it waited for are in the witness. */
static void compute_ms(struct witness *witness, unsigned milliseconds)
{
	uint64_t begin = now(), computed = thread_cpu(), waited = thread_run_delay(), did;

	do {
		did = thread_cpu() - computed;
	} while (did < (uint64_t)milliseconds * 1000000);
	witness->computed += did;
	witness->run_delay += thread_run_delay() - waited;
	witness->held += now() - begin;
}

bool hold_handshake(struct witness *witness)
{
	switch (scenario->hold) {
	case HOLD_ASKS:
		ask_store(witness);
		return true;
	case HOLD_COMPUTES:
		compute_ms(witness, options.hold_ms);
		return true;
	case HOLD_SLEEPS:
	case HOLD_VERIFIES_LATE:
		witness->held += sleep_ms(options.hold_ms);
		return true;
	case HOLD_SUSPENDS:
	case HOLD_VERIFY:
		if (witness->held)
			return true;
		/* Whoever drives the handshake waits, and tells how long. */
		witness->held = 1;
		return false;
	case HOLD_NOTHING:
	case HOLD_ASKS_FIRST:
	case HOLD_KEY:
		break;
	}
	return true;
}
