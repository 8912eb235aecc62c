// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "../hold.h"
#include "../options.h"
#include "../scenarios.h"
#include "../support.h"
#include "openssl.h"

enum { CONTENT_HANDSHAKE = 22, ALERT_LEVEL_FATAL = 2 };

void set_witness(void *object, struct witness *witness)
{
	SSL_set_ex_data(object, 0, witness);
}

static struct witness *witness_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, 0);
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct witness *witness = witness_of(ssl);
	uint64_t time = now();

	if (!witness || witness->ended)
		return;
	if (where & SSL_CB_HANDSHAKE_START) {
		if (scenario->hold == HOLD_ASKS_FIRST)
			ask_store(witness);
		stamp_enter(witness, time);
	}
	/* A warning ends nothing. */
	if ((where & SSL_CB_ALERT) && value >> 8 == ALERT_LEVEL_FATAL)
		stamp_fatal_alert(witness, value & 255, where & SSL_CB_WRITE);
	/*
	 * The exit of the state machine, once a call: SSL_CB_ACCEPT_EXIT, SSL_CB_CONNECT_EXIT. BoringSSL's may come back with
	 * the handshake still to be made, for data to be written or read.
	 */
	if ((where & SSL_ST_MASK) && (where & ~SSL_ST_MASK) == SSL_CB_EXIT)
		stamp_exit(witness, time, value == 1 && SSL_is_init_finished(ssl));
}

static void on_message(int written, int version, int type, const void *bytes, size_t length, SSL *ssl, void *argument)
{
	struct witness *witness = witness_of(ssl);
	uint64_t time = now();

	(void)version;
	(void)argument;
	if (type == CONTENT_HANDSHAKE && length && witness && !witness->ended)
		stamp_message(witness, *(const unsigned char *)bytes, written, time);
}

unsigned int wire_protocols(const char *list, unsigned char *wire, size_t room)
{
	unsigned int length = 0;

	while (list && *list) {
		size_t name = strcspn(list, ",");

		if (name > 255 || length + name + 1 > room)
			die("too many protocols");
		wire[length++] = (unsigned char)name;
		memcpy(wire + length, list, name);
		length += (unsigned int)name;
		list += name + (list[name] == ',');
	}
	return length;
}

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length, const unsigned char *offered,
		   unsigned int offered_length, void *argument)
{
	unsigned char wire[512];
	unsigned int length = wire_protocols(options.server_alpn, wire, sizeof(wire));
	unsigned char *result;

	(void)ssl;
	(void)argument;
	if (SSL_select_next_proto(&result, chosen_length, wire, length, offered, offered_length) != 1)
		return scenario->needs_protocol ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
	/* The result may point into wire, which ends here: the same name stands in the offer. */
	for (unsigned int at = 0; at < offered_length; at += offered[at] + 1U) {
		if (offered[at] == *chosen_length && !memcmp(offered + at + 1, result, *chosen_length))
			*chosen = offered + at + 1;
	}
	return SSL_TLSEXT_ERR_OK;
}

static int on_certificate_hold(SSL *ssl, void *argument)
{
	(void)argument;
	return hold_handshake(witness_of(ssl)) ? 1 : -1;
}

/* Once for each certificate of the chain. */
static int on_verify(int good, void *store)
{
	struct witness *witness = witness_of(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));

	if (!witness->held)
		hold_handshake(witness);
	return good;
}

void set_client_callbacks(SSL_CTX *client)
{
	if (scenario->hold == HOLD_VERIFIES_LATE)
		SSL_CTX_set_verify(client, SSL_VERIFY_PEER, on_verify);
}

/* A virtual server that does not exist: refused before the library has stored the name. */
static int on_client_hello_refuse(SSL *ssl, int *alert, void *argument)
{
	(void)ssl;
	(void)argument;
	*alert = ALERT_UNRECOGNIZED_NAME;
	return 0;
}

/* Stops the job that the handshake runs in, as an accelerator's engine does while it computes. */
static int on_certificate_pause(SSL *ssl, void *argument)
{
	(void)ssl;
	(void)argument;
	if (ASYNC_get_current_job())
		ASYNC_pause_job();
	return 1;
}

void set_callbacks(SSL_CTX *context)
{
	SSL_CTX_set_info_callback(context, on_info);
	SSL_CTX_set_msg_callback(context, on_message);
}

void set_server_callbacks(SSL_CTX *server)
{
	if (options.server_alpn)
		SSL_CTX_set_alpn_select_cb(server, on_alpn, NULL);
	if (scenario->pauses)
		SSL_CTX_set_cert_cb(server, on_certificate_pause, NULL);
	switch (scenario->hold) {
	case HOLD_NOTHING:
	case HOLD_ASKS_FIRST:
	case HOLD_VERIFIES_LATE:
	case HOLD_KEY:
	case HOLD_VERIFY:
		break;
	default:
		SSL_CTX_set_cert_cb(server, on_certificate_hold, NULL);
	}
	if (scenario->refuses_hello)
		SSL_CTX_set_client_hello_cb(server, on_client_hello_refuse, NULL);
}
