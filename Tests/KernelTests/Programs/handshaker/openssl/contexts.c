// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "../options.h"
#include "../scenarios.h"
#include "../support.h"
#include "boringssl.h"
#include "openssl.h"

static SSL_CTX *contexts[2];

static const char *certificate_file(const char *name, const char *suffix)
{
	static _Thread_local char paths[4][512];
	static _Thread_local unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s.%s", options.certificates, name, suffix);
	return path;
}

void use_certificate(SSL_CTX *context, const char *name)
{
	const char *cert = certificate_file(name, "pem"), *key = certificate_file(name, "key");

	if (!strcmp(name, "server")) {
		cert = options.cert ? options.cert : cert;
		key = options.key ? options.key : key;
	}
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("cannot use certificate %s", cert);
}

void trust(SSL_CTX *context, const char *name, int mode)
{
	const char *path = !strcmp(name, "ca") && options.ca ? options.ca : certificate_file(name, "pem");

	if (SSL_CTX_load_verify_locations(context, path, NULL) != 1)
		die("cannot use %s", path);
	SSL_CTX_set_verify(context, mode, NULL);
}

/* Nothing where no version is asked for; DTLS's is the only one that its method makes. */
static void set_version(SSL_CTX *context, const char *asked)
{
	long version;

	if (is_version(asked, "1.2"))
		version = VERSION_TLS1_2;
	else if (is_version(asked, "1.3"))
		version = VERSION_TLS1_3;
	else
		return;
	if (SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL) != 1 ||
	    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, version, NULL) != 1)
		unsupported("protocol version");
}

static void set_groups(SSL_CTX *context, const char *list)
{
	if (list && SSL_CTX_ctrl(context, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)list) != 1)
		unsupported("group");
}

static void set_ciphers(SSL_CTX *context, const char *list)
{
	if (!list)
		return;
	if (!strncmp(list, "TLS_", 4) ? SSL_CTX_set_ciphersuites(context, list) != 1 :
					SSL_CTX_set_cipher_list(context, list) != 1)
		unsupported("cipher");
}

static SSL_CTX *new_context(bool server)
{
	const SSL_METHOD *method = server ? TLS_server_method() : TLS_client_method();
	SSL_CTX *context;

	if (options.io == UDP)
		method = DTLS_method();
	context = SSL_CTX_new(method);
	if (!context)
		die("SSL_CTX_new");
	set_version(context, options.tls);
	set_ciphers(context, options.cipher);
	SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_BOTH, NULL);
	set_callbacks(context);
	return context;
}

static void configure_client(SSL_CTX *client)
{
	unsigned char wire[512];
	unsigned int length = wire_protocols(options.alpn, wire, sizeof(wire));

	set_groups(client, options.group);
	if (length)
		SSL_CTX_set_alpn_protos(client, wire, length);
	trust(client, scenario->client_trust ? scenario->client_trust : "ca", SSL_VERIFY_PEER);
	set_client_callbacks(client);
	set_version(client, scenario->client_tls);
	if (scenario->client_certificate)
		use_certificate(client, scenario->client_certificate);
	if (scenario->no_common_cipher)
		set_ciphers(client, "ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void configure_server(SSL_CTX *server)
{
	set_groups(server, options.server_group ? options.server_group : options.group);
	use_certificate(server, scenario->server_certificate ? scenario->server_certificate : "server");
	SSL_CTX_set_session_id_context(server, (const unsigned char *)"handshaker", 10);
	set_version(server, scenario->server_tls);
	if (scenario->no_common_cipher)
		set_ciphers(server, "ECDHE-ECDSA-AES256-GCM-SHA384");
	if (scenario->asks_client == CLIENT_MUST_PROVE)
		trust(server, "ca", SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	if (scenario->asks_client == CLIENT_ASKED_LATER)
		trust(server, "ca", 0);
	if (scenario->early)
		SSL_CTX_set_max_early_data(server, 16384);
	/* What 3.0 and later do anyway. */
	if (scenario->no_renegotiation)
		SSL_CTX_set_options(server, SSL_OP_NO_RENEGOTIATION);
	set_server_callbacks(server);
}

void open_contexts(void)
{
	contexts[false] = new_context(false);
	contexts[true] = new_context(true);
	configure_client(contexts[false]);
	configure_server(contexts[true]);
	configure_boringssl(contexts[false], contexts[true]);
}

void close_contexts(void)
{
	SSL_CTX_free(contexts[false]);
	SSL_CTX_free(contexts[true]);
}

void *new_object(bool server)
{
	SSL *ssl = SSL_new(contexts[server]);

	if (!ssl)
		die("SSL_new");
	return ssl;
}
