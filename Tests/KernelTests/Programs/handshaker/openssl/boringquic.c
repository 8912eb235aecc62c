// SPDX-License-Identifier: Apache-2.0
/* QUIC's part of BoringSSL: the handshake's bytes come and go by encryption level, and packets are the application's. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../options.h"
#include "../support.h"
#include "boringssl.h"
#include "openssl.h"

enum { LEVELS = 4, ROOM = 16384 };

struct quic_method {
	int (*set_read_secret)(SSL *, int, const SSL_CIPHER *, const uint8_t *, size_t);
	int (*set_write_secret)(SSL *, int, const SSL_CIPHER *, const uint8_t *, size_t);
	int (*add_handshake_data)(SSL *, int, const uint8_t *, size_t);
	int (*flush_flight)(SSL *);
	int (*send_alert)(SSL *, int, uint8_t);
};

static struct {
	int (*SSL_set_quic_method)(SSL *, const struct quic_method *);
	int (*SSL_set_quic_transport_params)(SSL *, const uint8_t *, size_t);
	int (*SSL_provide_quic_data)(SSL *, int, const uint8_t *, size_t);
	int (*SSL_quic_read_level)(const SSL *);
} boring;

/* What a side has to say, by level. */
struct output {
	size_t length[LEVELS];
	uint8_t bytes[LEVELS][ROOM];
};

/* One pair at a time, and each in this thread. */
static struct output outputs[2];
static SSL *sides[2];

static struct output *output_of(const SSL *ssl)
{
	return &outputs[ssl == sides[true]];
}

static int take_secret(SSL *ssl, int level, const SSL_CIPHER *cipher, const uint8_t *secret, size_t length)
{
	(void)ssl;
	(void)level;
	(void)cipher;
	(void)secret;
	(void)length;
	return 1;
}

static int add_data(SSL *ssl, int level, const uint8_t *bytes, size_t length)
{
	struct output *output = output_of(ssl);

	if (level < 0 || level >= LEVELS || length > ROOM - output->length[level])
		return 0;
	memcpy(output->bytes[level] + output->length[level], bytes, length);
	output->length[level] += length;
	return 1;
}

static int flush(SSL *ssl)
{
	(void)ssl;
	return 1;
}

static int send_alert(SSL *ssl, int level, uint8_t alert)
{
	(void)level;
	stamp_fatal_alert(SSL_get_ex_data(ssl, 0), alert, true);
	return 1;
}

static const struct quic_method method = { take_secret, take_secret, add_data, flush, send_alert };

static void open_side(struct side *side, bool server, unsigned pair)
{
	static const uint8_t parameters[] = { 4, 1, 42 };

	*side = (struct side){ .object = new_object(server) };
	sides[server] = side->object;
	side->witness = (struct witness){ .server = server, .alert = -1, .transport = QUIC, .pair = pair };
	if (!server && options.sni)
		snprintf(side->witness.sni, sizeof(side->witness.sni), "%s", options.sni);
	set_witness(side->object, &side->witness);
	if (!boring.SSL_set_quic_method(side->object, &method) ||
	    !boring.SSL_set_quic_transport_params(side->object, parameters, sizeof(parameters)))
		die("SSL_set_quic_method");
	begin(side->object, server);
}

/* Gives a side what the other has written on the level that it reads, in two pieces as packets cut it; false: nothing. */
static bool hear(struct side *to, struct output *from)
{
	int level = boring.SSL_quic_read_level(to->object);
	size_t length = from->length[level], half = length / 2;

	if (!length || to->witness.ended)
		return false;
	from->length[level] = 0;
	if (!boring.SSL_provide_quic_data(to->object, level, from->bytes[level], half))
		die("SSL_provide_quic_data");
	step_now(to);
	if (to->witness.ended)
		return true;
	if (!boring.SSL_provide_quic_data(to->object, level, from->bytes[level] + half, length - half))
		die("SSL_provide_quic_data");
	step_now(to);
	return true;
}

static void make_pair(void)
{
	struct side client, server;
	unsigned pair = next_pair();

	memset(outputs, 0, sizeof(outputs));
	open_side(&client, false, pair);
	open_side(&server, true, pair);
	step_now(&client);
	while (hear(&server, &outputs[false]) || hear(&client, &outputs[true]))
		;
	report_both(&client, &server);
	free_object(&client);
	free_object(&server);
}

void run_boringssl_quic(void)
{
#define LOAD(name)                                                                                                     \
	*(void **)&boring.name = dlsym(boringssl_library(), #name);                                                    \
	if (!boring.name)                                                                                              \
		unsupported(#name);
	LOAD(SSL_set_quic_method)
	LOAD(SSL_set_quic_transport_params)
	LOAD(SSL_provide_quic_data)
	LOAD(SSL_quic_read_level)
	for (unsigned i = 0; i < options.count; i++)
		make_pair();
}
