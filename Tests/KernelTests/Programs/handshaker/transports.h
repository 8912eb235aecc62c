/* SPDX-License-Identifier: Apache-2.0 */
/* What carries the bytes of a handshake. Sockets and pipes only: how a library is put on top is its stack's. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

enum transport { TCP, TCP6, MAPPED, UNIX, PIPE, MEMORY, UDP, QUIC, FASTOPEN, MPTCP, CUSTOM };

extern const char *const transport_names[];

enum transport transport_named(const char *name);

struct link {
	int in, out;
	/* Of the memory transport, the library's: the application carries the bytes between these and the socket. */
	void *received, *to_send;
	uint64_t connect_begin, connect_end;
};

struct witness;

/* Connected to each other, by the transport that the options name. */
void connect_links(struct link *client, struct link *server);
void close_link(struct link *link);
void set_nonblocking(struct link *link);

/* Closing resets the connection: the peer cannot read what it was sent. */
void close_with_reset(struct link *link);

/* TCP; the server accepts only once the client has sent its SYN again, for want of a place in the queue. */
void connect_to_full_queue(struct link *client, struct link *server);

/* Of the transport that has nobody to accept before the first send. */
void accept_fast_open(struct link *server);

/* A UDP socket on loopback, with a port that the kernel chose. */
int bind_udp(struct sockaddr_storage *address);

void note_addresses(struct witness *witness, const struct link *link);

/* What TCP tells of the connection now. */
void note_connection(struct witness *witness, const struct link *link);
