// SPDX-License-Identifier: Apache-2.0
/*
 * BoringSSL has OpenSSL's interface, but for what OpenSSL does by number (SSL_ctrl and SSL_CTX_ctrl) or has got since 1.1.1:
 * those functions are made here of BoringSSL's own. What it has no counterpart of stays NULL.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>

#include "../options.h"
#include "../support.h"
#include "boringssl.h"

/* clang-format off */
#define BORINGSSL(X)                                                                     \
	X(int, SSL_CTX_set_min_proto_version, (SSL_CTX *, uint16_t))                     \
	X(int, SSL_CTX_set_max_proto_version, (SSL_CTX *, uint16_t))                     \
	X(int, SSL_CTX_set_session_cache_mode, (SSL_CTX *, int))                         \
	X(int, SSL_CTX_set1_curves_list, (SSL_CTX *, const char *))                      \
	X(void, SSL_CTX_set_select_certificate_cb, (SSL_CTX *, int (*)(const void *)))   \
	X(int, SSL_set_tlsext_host_name, (SSL *, const char *))                          \
	X(uint16_t, SSL_get_curve_id, (const SSL *))                                     \
	X(void, SSL_CTX_sess_set_new_cb, (SSL_CTX *, int (*)(SSL *, SSL_SESSION *)))     \
	X(int, SSL_get_ex_new_index, (long, void *, void *, void *, void *))             \
	X(int, SSL_early_data_accepted, (const SSL *))                                   \
	X(BIO *, BIO_new_socket, (int, int))                                             \
	X(int, BIO_set_mem_eof_return, (BIO *, int))
/* clang-format on */

static struct {
#define MEMBER(type, name, parameters) type(*name) parameters;
	BORINGSSL(MEMBER)
	const char *(*ERR_reason_error_string)(unsigned long);
	void (*BIO_ctrl)(void);
} boring;

/* Where a connection keeps the session that it was given last: TLS 1.3's come behind the handshake. */
static int session_index;
/* Not NULL on a client whose early data the server did not take. */
static int rejected_index;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION *earlier = SSL_get_ex_data(ssl, session_index);

	if (earlier)
		SSL_SESSION_free(earlier);
	SSL_set_ex_data(ssl, session_index, session);
	return 1;
}

static SSL_SESSION *last_session(SSL *ssl)
{
	SSL_SESSION *session = SSL_get_ex_data(ssl, session_index);

	SSL_set_ex_data(ssl, session_index, NULL);
	return session;
}

static long control_context(SSL_CTX *context, int command, long number, void *pointer)
{
	switch (command) {
	case SSL_CTRL_SET_MIN_PROTO_VERSION:
		return boring.SSL_CTX_set_min_proto_version(context, (uint16_t)number);
	case SSL_CTRL_SET_MAX_PROTO_VERSION:
		return boring.SSL_CTX_set_max_proto_version(context, (uint16_t)number);
	case SSL_CTRL_SET_GROUPS_LIST:
		return boring.SSL_CTX_set1_curves_list(context, pointer);
	case SSL_CTRL_SET_SESS_CACHE_MODE:
		boring.SSL_CTX_sess_set_new_cb(context, keep_session);
		return boring.SSL_CTX_set_session_cache_mode(context, (int)number);
	default:
		unsupported("SSL_CTX_ctrl");
	}
	return 0;
}

static long control_connection(SSL *ssl, int command, long number, void *pointer)
{
	(void)number;
	if (command != SSL_CTRL_SET_TLSEXT_HOSTNAME)
		unsupported("SSL_ctrl");
	return boring.SSL_set_tlsext_host_name(ssl, pointer);
}

static int no_suites_by_name(SSL_CTX *context, const char *list)
{
	(void)context;
	(void)list;
	return 0;
}

static const char *group_name(SSL *ssl)
{
	switch (boring.SSL_get_curve_id(ssl)) {
	case 23:
		return "secp256r1";
	case 24:
		return "secp384r1";
	case 25:
		return "secp521r1";
	case 29:
		return "x25519";
	case 0x11ec:
		return "X25519MLKEM768";
	default:
		return NULL;
	}
}

static int early_data_status(const SSL *ssl)
{
	if (boring.SSL_early_data_accepted(ssl))
		return SSL_EARLY_DATA_ACCEPTED;
	return SSL_get_ex_data(ssl, rejected_index) ? SSL_EARLY_DATA_REJECTED : 0;
}

void note_rejection(SSL *ssl)
{
	SSL_set_ex_data(ssl, rejected_index, &rejected_index);
}

/* Early data is what a call writes, or reads, before the handshake is over: `--implicit` makes none but such calls. */
static int no_call_before(void)
{
	if (!options.implicit)
		unsupported("early data in calls of its own");
	return 1;
}

static int write_nothing_before(SSL *ssl, const void *bytes, size_t length, size_t *written)
{
	(void)ssl;
	(void)bytes;
	(void)length;
	(void)written;
	return no_call_before();
}

static int read_nothing_before(SSL *ssl, void *bytes, size_t length, size_t *read)
{
	(void)ssl;
	(void)bytes;
	(void)length;
	(void)read;
	return no_call_before() ? SSL_READ_EARLY_DATA_FINISH : 0;
}

/* Each connection is asked for it, not the context. */
static int no_limit(SSL_CTX *context, uint32_t bytes)
{
	(void)context;
	(void)bytes;
	return 1;
}

/* A connected socket's reads and writes are datagrams. */
static BIO *new_datagrams(int fd, int closes)
{
	return boring.BIO_new_socket(fd, closes);
}

/* The names of the reasons are constants' there. */
static const char *reason_string(unsigned long error)
{
	static _Thread_local char text[96];
	const char *name = boring.ERR_reason_error_string(error);

	snprintf(text, sizeof(text), "%s", name ? name : "");
	for (char *at = text; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	return name ? text : NULL;
}

/* struct ssl_early_callback_ctx begins with the connection; -1 refuses it (ssl_select_cert_error). */
static int refuse(const void *hello)
{
	(void)hello;
	return -1;
}

static void set_client_hello_callback(SSL_CTX *context, client_hello_callback *callback, void *argument)
{
	(void)callback;
	(void)argument;
	boring.SSL_CTX_set_select_certificate_cb(context, refuse);
}

static long control_bio(BIO *bio, int command, long number, void *pointer)
{
	if (command == BIO_CTRL_DGRAM_SET_CONNECTED)
		return 1;
	if (command == BIO_C_SET_BUF_MEM_EOF_RETURN)
		return boring.BIO_set_mem_eof_return(bio, (int)number);
	return ((long (*)(BIO *, int, long, void *))boring.BIO_ctrl)(bio, command, number, pointer);
}

bool is_boringssl(void *libcrypto)
{
	return dlsym(libcrypto, "BORINGSSL_self_test") != NULL;
}

void adapt_boringssl(void *libssl, void *libcrypto)
{
#define LOAD(type, name, parameters)                                                                                   \
	boring.name = (type(*) parameters)dlsym(libssl, #name);                                                        \
	if (!boring.name)                                                                                              \
		boring.name = (type(*) parameters)dlsym(libcrypto, #name);                                             \
	if (!boring.name)                                                                                              \
		die("this BoringSSL has no %s", #name);
	BORINGSSL(LOAD)
	boring.ERR_reason_error_string = ERR_reason_error_string;
	boring.BIO_ctrl = (void (*)(void))BIO_ctrl;
	session_index = boring.SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	rejected_index = boring.SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	load_boringssl(libssl, libcrypto, boring.SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL));

	SSL_CTX_ctrl = control_context;
	SSL_ctrl = control_connection;
	SSL_CTX_set_ciphersuites = no_suites_by_name;
	SSL_CTX_set_client_hello_cb = set_client_hello_callback;
	SSL_get1_session = last_session;
	SSL_get0_group_name = group_name;
	SSL_get_early_data_status = early_data_status;
	SSL_write_early_data = write_nothing_before;
	SSL_read_early_data = read_nothing_before;
	SSL_CTX_set_max_early_data = no_limit;
	BIO_new_dgram = new_datagrams;
	ERR_reason_error_string = reason_string;
	BIO_ctrl = control_bio;
}
