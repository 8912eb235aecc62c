// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "support.h"
#include "transports.h"
#include "witness.h"

const char *const transport_names[] = { "tcp", "tcp6", "mapped",   "unix",  "pipe",  "memory",
					"udp", "quic", "fastopen", "mptcp", "custom" };

enum transport transport_named(const char *name)
{
	for (size_t i = 0; i < sizeof(transport_names) / sizeof(*transport_names); i++) {
		if (!strcmp(name, transport_names[i]))
			return (enum transport)i;
	}
	die("no such transport: %s", name);
}

static struct {
	int fd;
	struct sockaddr_storage address;
	socklen_t length;
	pthread_mutex_t lock;
} listener = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

static socklen_t loopback(struct sockaddr_storage *address, enum transport io)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	struct sockaddr_in *four = (struct sockaddr_in *)address;

	memset(address, 0, sizeof(*address));
	if (io == TCP6 || io == MAPPED) {
		six->sin6_family = AF_INET6;
		six->sin6_addr = io == TCP6 ? in6addr_loopback : in6addr_any;
		return sizeof(*six);
	}
	four->sin_family = AF_INET;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*four);
}

static int protocol(void)
{
	return options.io == MPTCP ? 262 : 0; /* IPPROTO_MPTCP, which the C library's headers lack */
}

static void listen_once(void)
{
	int no = 0, queue = 16;

	if (listener.fd >= 0)
		return;
	listener.length = loopback(&listener.address, options.io);
	listener.fd = socket(listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, protocol());
	check(listener.fd, "socket");
	if (options.io == FASTOPEN)
		check(setsockopt(listener.fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)), "TCP_FASTOPEN");
	if (options.io == MAPPED)
		setsockopt(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	check(bind(listener.fd, (struct sockaddr *)&listener.address, listener.length), "bind");
	check(listen(listener.fd, 64), "listen");
	check(getsockname(listener.fd, (struct sockaddr *)&listener.address, &listener.length), "getsockname");
	if (options.io == MAPPED) {
		/* The client speaks IPv4 to the dual-stack socket. */
		in_port_t port = ((struct sockaddr_in6 *)&listener.address)->sin6_port;

		listener.length = loopback(&listener.address, TCP);
		((struct sockaddr_in *)&listener.address)->sin_port = port;
	}
}

static bool fast_open_ready;

/* A connection with a byte in it, so that the server's cookie is known. */
static void connect_plainly(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted, yes = 1;
	char byte;

	check(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof(yes)), "fastopen");
	check(connect(fd, (struct sockaddr *)&listener.address, listener.length), "connect");
	check((int)write(fd, "x", 1), "write");
	accepted = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(accepted, "accept");
	check((int)read(accepted, &byte, 1), "read");
	close(fd);
	close(accepted);
}

static void connect_tcp(struct link *client, struct link *server)
{
	int yes = 1;

	/* One at a time, so that what is accepted is what was connected. */
	pthread_mutex_lock(&listener.lock);
	listen_once();
	client->in = socket(listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, protocol());
	check(client->in, "socket");
	if (options.io == FASTOPEN) {
		check(setsockopt(client->in, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof(yes)), "fastopen");
		/* The first connection fetches the cookie; from then on the SYN goes out with the first bytes. */
		if (!fast_open_ready) {
			connect_plainly();
			fast_open_ready = true;
		}
	}
	client->connect_begin = now();
	check(connect(client->in, (struct sockaddr *)&listener.address, listener.length), "connect");
	client->connect_end = now();
	if (options.io == FASTOPEN) {
		/* There is nobody to accept before the first send. */
		pthread_mutex_unlock(&listener.lock);
		server->in = -1;
		return;
	}
	server->in = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(server->in, "accept");
	pthread_mutex_unlock(&listener.lock);
	setsockopt(client->in, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(server->in, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

int bind_udp(struct sockaddr_storage *address)
{
	socklen_t length = loopback(address, TCP);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(fd, "socket");
	check(bind(fd, (struct sockaddr *)address, length), "bind");
	check(getsockname(fd, (struct sockaddr *)address, &length), "getsockname");
	return fd;
}

static void connect_udp(struct link *client, struct link *server)
{
	struct sockaddr_storage address[2];
	int fd[2];

	for (int i = 0; i < 2; i++)
		fd[i] = bind_udp(&address[i]);
	for (int i = 0; i < 2; i++)
		check(connect(fd[i], (struct sockaddr *)&address[1 - i], sizeof(struct sockaddr_in)), "connect");
	client->in = fd[0];
	server->in = fd[1];
}

void connect_links(struct link *client, struct link *server)
{
	int pair[2], back[2];

	*client = *server = (struct link){ .in = -1, .out = -1 };
	switch (options.io) {
	case UNIX:
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
		client->in = pair[0];
		server->in = pair[1];
		break;
	case PIPE:
		check(pipe2(pair, O_CLOEXEC), "pipe");
		check(pipe2(back, O_CLOEXEC), "pipe");
		*client = (struct link){ .in = back[0], .out = pair[1] };
		*server = (struct link){ .in = pair[0], .out = back[1] };
		return;
	case UDP:
		connect_udp(client, server);
		break;
	default:
		connect_tcp(client, server);
		break;
	}
	client->out = client->in;
	server->out = server->in;
}

void close_link(struct link *link)
{
	if (link->in >= 0)
		close(link->in);
	if (link->out >= 0 && link->out != link->in)
		close(link->out);
	link->in = link->out = -1;
}

void close_with_reset(struct link *link)
{
	struct linger linger = { 1, 0 };

	setsockopt(link->in, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_link(link);
}

void accept_fast_open(struct link *server)
{
	server->in = server->out = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(server->in, "accept");
}

void set_nonblocking(struct link *link)
{
	check(fcntl(link->in, F_SETFL, fcntl(link->in, F_GETFL) | O_NONBLOCK), "fcntl");
	check(fcntl(link->out, F_SETFL, fcntl(link->out, F_GETFL) | O_NONBLOCK), "fcntl");
}

static void name_address(char *text, size_t room, const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;
	char host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(text, room, "%s:%u", host, ntohs(four->sin_port));
	} else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(text, room, "%s:%u", host, ntohs(six->sin6_port));
	} else if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(text, room, "[%s]:%u", host, ntohs(six->sin6_port));
	}
}

void note_addresses(struct witness *witness, const struct link *link)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(link->in, (struct sockaddr *)&address, &length) == 0)
		name_address(witness->local, sizeof(witness->local), &address);
	length = sizeof(address);
	if (getpeername(link->in, (struct sockaddr *)&address, &length) == 0)
		name_address(witness->remote, sizeof(witness->remote), &address);
	witness->connect_begin = link->connect_begin;
	witness->connect_end = link->connect_end;
}

static bool connection_of(const struct link *link, struct tcp_info *info)
{
	socklen_t length = sizeof(*info);

	return link->in >= 0 && !getsockopt(link->in, IPPROTO_TCP, TCP_INFO, info, &length);
}

void note_connection(struct witness *witness, const struct link *link)
{
	struct tcp_info info;

	if (options.io == MEMORY || !connection_of(link, &info))
		return;
	witness->has_connection = true;
	witness->retransmits = info.tcpi_total_retrans;
	witness->rtt = info.tcpi_rtt * 1000ULL;
}

void connect_to_full_queue(struct link *client, struct link *server)
{
	struct sockaddr *address = (struct sockaddr *)&listener.address;
	struct tcp_info info = { 0 };
	int filler, accepted;

	listen_once();
	/* One connection waits, and there is no room for another. */
	check(listen(listener.fd, 0), "listen");
	filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(filler, "socket");
	check(connect(filler, address, listener.length), "connect");
	client->in = client->out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	check(client->in, "socket");
	client->connect_begin = now();
	if (!connect(client->in, address, listener.length) || errno != EINPROGRESS)
		die("connect: the queue has room");
	for (uint64_t begin = now(); !info.tcpi_total_retrans; sleep_ms(1)) {
		if (!connection_of(client, &info) || now() - begin > 10000000000)
			die("the SYN was not sent again");
	}
	accepted = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(accepted, "accept");
	if (!wait_for(client->in, POLLOUT))
		die("connect: the queue stays full");
	client->connect_end = now();
	check(fcntl(client->in, F_SETFL, fcntl(client->in, F_GETFL) & ~O_NONBLOCK), "fcntl");
	server->in = server->out = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(server->in, "accept");
	close(filler);
	close(accepted);
}
