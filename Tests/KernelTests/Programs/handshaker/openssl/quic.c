// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../options.h"
#include "../support.h"
#include "openssl.h"

static const unsigned char quic_protocol[] = { 2, 'h', '3' };

static int on_quic_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
			unsigned int offered_length, void *argument)
{
	(void)ssl;
	(void)argument;
	if (offered_length < sizeof(quic_protocol) || memcmp(offered, quic_protocol, sizeof(quic_protocol)))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = offered + 1;
	*length = 2;
	return SSL_TLSEXT_ERR_OK;
}

struct quic_server {
	SSL *listener;
	struct side side;
};

static void *run_quic_server(void *argument)
{
	struct quic_server *server = argument;

	server->side.object = SSL_accept_connection(server->listener, 0);
	if (!server->side.object)
		die("SSL_accept_connection");
	/* How much of the handshake the listener has made already is its own affair: no times of ours. */
	server->side.witness = (struct witness){ .server = true, .alert = -1, .transport = QUIC };
	server->side.witness.end = 0;
	if (handshake(&server->side)) {
		server->side.witness.end = 0;
		server->side.witness.busy = 0;
	}
	return NULL;
}

static SSL_CTX *new_quic_context(bool server)
{
	SSL_CTX *context = SSL_CTX_new(server ? OSSL_QUIC_server_method() : OSSL_QUIC_client_method());

	if (!context)
		die("SSL_CTX_new for QUIC");
	if (server) {
		use_certificate(context, "server");
		SSL_CTX_set_alpn_select_cb(context, on_quic_alpn, NULL);
	} else {
		trust(context, "ca", SSL_VERIFY_PEER);
		SSL_CTX_set_alpn_protos(context, quic_protocol, sizeof(quic_protocol));
	}
	return context;
}

/* The library's event handling wants a socket that does not block. */
static struct link open_link(struct sockaddr_storage *address)
{
	int fd = bind_udp(address);
	struct link link = { .in = fd, .out = fd };

	set_nonblocking(&link);
	return link;
}

static void begin_client(struct side *client, const struct sockaddr_in *peer)
{
	void *address = BIO_ADDR_new();

	if (!address)
		die("BIO_ADDR_new");
	SSL_set_fd(client->object, client->link.in);
	BIO_ADDR_rawmake(address, AF_INET, &peer->sin_addr, sizeof(peer->sin_addr), peer->sin_port);
	if (SSL_set1_initial_peer_addr(client->object, address) != 1)
		die("SSL_set1_initial_peer_addr");
	BIO_ADDR_free(address);
	begin(client->object, false);
	client->witness = (struct witness){ .alert = -1, .transport = QUIC };
	if (options.sni)
		snprintf(client->witness.sni, sizeof(client->witness.sni), "%s", options.sni);
}

static void make_pair(SSL_CTX *client_context, SSL_CTX *server_context)
{
	struct sockaddr_storage client_address, server_address;
	struct side client = { .object = SSL_new(client_context), .link = open_link(&client_address) };
	struct link server_link = open_link(&server_address);
	struct quic_server server = { .listener = SSL_new_listener(server_context, 0) };
	pthread_t thread;

	if (!server.listener || !client.object)
		die("QUIC objects");
	SSL_set_fd(server.listener, server_link.in);
	if (SSL_listen(server.listener) != 1)
		die("SSL_listen");
	begin_client(&client, (const struct sockaddr_in *)&server_address);
	start_thread(&thread, run_quic_server, &server);
	handshake(&client);
	pthread_join(thread, NULL);
	report_both(&client, &server.side);
	free_object(&client);
	free_object(&server.side);
	SSL_free(server.listener);
	close_link(&client.link);
	close_link(&server_link);
}

void run_quic_pairs(void)
{
	SSL_CTX *client, *server;

	NEED(OSSL_QUIC_client_method);
	NEED(OSSL_QUIC_server_method);
	NEED(SSL_new_listener);
	options.io = UDP;
	client = new_quic_context(false);
	server = new_quic_context(true);
	for (unsigned i = 0; i < options.count; i++)
		make_pair(client, server);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}
