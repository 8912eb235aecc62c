// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "../options.h"
#include "../support.h"
#include "openssl.h"

/* A transport of the application's own, under a number that says it is memory, as curl's does. */
static int custom_result(BIO *bio, ssize_t result, int flag)
{
	BIO_clear_flags(bio, BIO_FLAGS_ALL_RETRY);
	if (result < 0 && errno == EAGAIN)
		BIO_set_flags(bio, flag | BIO_FLAGS_SHOULD_RETRY);
	return (int)result;
}

static int descriptor_of(BIO *bio)
{
	return (int)(intptr_t)BIO_get_data(bio);
}

static int custom_write(BIO *bio, const char *bytes, int length)
{
	return custom_result(bio, send(descriptor_of(bio), bytes, (size_t)length, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static int custom_read(BIO *bio, char *bytes, int length)
{
	return custom_result(bio, recv(descriptor_of(bio), bytes, (size_t)length, 0), BIO_FLAGS_READ);
}

static long custom_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO *new_custom(int fd)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_MEM, "the application's own");
	BIO *bio;

	if (!method || !BIO_meth_set_write(method, custom_write) || !BIO_meth_set_read(method, custom_read) ||
	    !BIO_meth_set_ctrl(method, custom_ctrl))
		die("BIO_meth_new");
	bio = BIO_new(method);
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	return bio;
}

static BIO *new_datagram(int fd)
{
	BIO *bio = BIO_new_dgram(fd, 0);
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);

	check(getpeername(fd, (struct sockaddr *)&peer, &length), "getpeername");
	BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer);
	return bio;
}

void attach(struct side *side)
{
	SSL *ssl = side->object;
	struct link *link = &side->link;
	BIO *both;

	switch (options.io) {
	case PIPE:
		SSL_set_bio(ssl, BIO_new_fd(link->in, 0), BIO_new_fd(link->out, 0));
		break;
	case MEMORY:
		link->received = BIO_new(BIO_s_mem());
		link->to_send = BIO_new(BIO_s_mem());
		SSL_set_bio(ssl, link->received, link->to_send);
		break;
	case CUSTOM:
		both = new_custom(link->in);
		SSL_set_bio(ssl, both, both);
		break;
	case UDP:
		both = new_datagram(link->in);
		SSL_set_bio(ssl, both, both);
		break;
	default:
		if (SSL_set_fd(ssl, link->in) != 1)
			die("SSL_set_fd");
		break;
	}
}

void attach_inside(void *inner, void *outer)
{
	BIO *bio = BIO_new(BIO_f_ssl());

	BIO_ctrl(bio, BIO_C_SET_SSL, 0, outer);
	SSL_set_bio(inner, bio, bio);
}

int take_output(struct side *side, void *bytes, int room)
{
	return BIO_read(side->link.to_send, bytes, room);
}

void give_input(struct side *side, const void *bytes, int length)
{
	BIO_write(side->link.received, bytes, length);
}

void end_input(struct side *side)
{
	BIO_ctrl(side->link.received, BIO_C_SET_BUF_MEM_EOF_RETURN, 0, NULL);
}
