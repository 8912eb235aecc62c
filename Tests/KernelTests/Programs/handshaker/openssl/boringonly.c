// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../hold.h"
#include "../options.h"
#include "../scenarios.h"
#include "../support.h"
#include "boringssl.h"
#include "openssl.h"

enum { KEY_DONE = 0, KEY_LATER = 1, KEY_FAILED = 2, VERIFIED = 0, VERIFY_LATER = 2 };
enum { SSL_MODE_ENABLE_FALSE_START = 0x80 };

struct key_method {
	int (*sign)(SSL *, uint8_t *, size_t *, size_t, uint16_t, const uint8_t *, size_t);
	int (*decrypt)(SSL *, uint8_t *, size_t *, size_t, const uint8_t *, size_t);
	int (*complete)(SSL *, uint8_t *, size_t *, size_t);
};

/* clang-format off */
#define FUNCTIONS(X)                                                                      \
	X(uint32_t, SSL_CTX_set_mode, (SSL_CTX *, uint32_t))                             \
	X(void, SSL_set_early_data_enabled, (SSL *, int))                                \
	X(void, SSL_reset_early_data_reject, (SSL *))                                    \
	X(void, SSL_CTX_set_custom_verify, (SSL_CTX *, int, int (*)(SSL *, uint8_t *)))  \
	X(void, SSL_CTX_set_private_key_method, (SSL_CTX *, const struct key_method *))  \
	X(void *, SSL_CTX_get0_privatekey, (const SSL_CTX *))                            \
	X(int, EVP_PKEY_up_ref, (void *))                                                \
	X(const void *, SSL_get_signature_algorithm_digest, (uint16_t))                  \
	X(void *, EVP_MD_CTX_new, (void))                                                \
	X(void, EVP_MD_CTX_free, (void *))                                               \
	X(int, EVP_DigestSignInit, (void *, void *, const void *, void *, void *))       \
	X(int, EVP_DigestSign, (void *, uint8_t *, size_t *, const uint8_t *, size_t))   \
	X(void *, EVP_HPKE_KEY_new, (void))                                              \
	X(void, EVP_HPKE_KEY_free, (void *))                                             \
	X(int, EVP_HPKE_KEY_generate, (void *, const void *))                            \
	X(const void *, EVP_hpke_x25519_hkdf_sha256, (void))                             \
	X(int, SSL_marshal_ech_config,                                                   \
	  (uint8_t **, size_t *, uint8_t, const void *, const char *, size_t))           \
	X(void *, SSL_ECH_KEYS_new, (void))                                              \
	X(void, SSL_ECH_KEYS_free, (void *))                                             \
	X(int, SSL_ECH_KEYS_add, (void *, int, const uint8_t *, size_t, const void *))   \
	X(int, SSL_ECH_KEYS_marshal_retry_configs, (void *, uint8_t **, size_t *))       \
	X(int, SSL_CTX_set1_ech_keys, (SSL_CTX *, void *))                               \
	X(int, SSL_set1_ech_config_list, (SSL *, const uint8_t *, size_t))
/* clang-format on */

static struct {
#define MEMBER(type, name, parameters) type(*name) parameters;
	FUNCTIONS(MEMBER)
	void *library;
} boring;

/* What a connection's key is to sign. */
static int pending_index;

struct pending {
	uint16_t algorithm;
	size_t length;
	uint8_t bytes[512];
};

/* The configuration that clients know of the server's. */
static uint8_t *ech_list;
static size_t ech_length;

bool boringssl_is_loaded(void)
{
	return boring.library != NULL;
}

void *boringssl_library(void)
{
	return boring.library;
}

void load_boringssl(void *libssl, void *libcrypto, int index)
{
	boring.library = libssl;
	pending_index = index;
#define LOAD(type, name, parameters)                                                                                   \
	boring.name = (type(*) parameters)dlsym(libssl, #name);                                                        \
	if (!boring.name)                                                                                              \
		boring.name = (type(*) parameters)dlsym(libcrypto, #name);
	FUNCTIONS(LOAD)
}

/* ---- operations that are made elsewhere, and late ---- */

static int sign_later(SSL *ssl, uint8_t *out, size_t *length, size_t room, uint16_t algorithm, const uint8_t *bytes,
		      size_t count)
{
	struct pending *pending = malloc(sizeof(*pending));

	(void)out;
	(void)length;
	(void)room;
	if (!pending || count > sizeof(pending->bytes))
		die("too much to sign");
	pending->algorithm = algorithm;
	pending->length = count;
	memcpy(pending->bytes, bytes, count);
	SSL_set_ex_data(ssl, pending_index, pending);
	return KEY_LATER;
}

static int decrypt_never(SSL *ssl, uint8_t *out, size_t *length, size_t room, const uint8_t *bytes, size_t count)
{
	(void)ssl;
	(void)out;
	(void)length;
	(void)room;
	(void)bytes;
	(void)count;
	return KEY_FAILED;
}

/* The server's own, which AWS-LC gives up once there is a method in its place. */
static void *server_key;

static int sign_now(SSL *ssl, uint8_t *out, size_t *length, size_t room)
{
	struct pending *pending = SSL_get_ex_data(ssl, pending_index);
	void *context = boring.EVP_MD_CTX_new();
	int good;

	if (!pending || !server_key || !context)
		die("nothing to sign");
	*length = room;
	good = boring.EVP_DigestSignInit(context, NULL, boring.SSL_get_signature_algorithm_digest(pending->algorithm),
					 NULL, server_key) &&
	       boring.EVP_DigestSign(context, out, length, pending->bytes, pending->length);
	boring.EVP_MD_CTX_free(context);
	free(pending);
	SSL_set_ex_data(ssl, pending_index, NULL);
	return good ? KEY_DONE : KEY_FAILED;
}

static const struct key_method key_elsewhere = { sign_later, decrypt_never, sign_now };

static int verify_later(SSL *ssl, uint8_t *alert)
{
	(void)alert;
	return hold_handshake(SSL_get_ex_data(ssl, 0)) ? VERIFIED : VERIFY_LATER;
}

/* ---- an encrypted ClientHello ---- */

static void make_ech_keys(SSL_CTX *server)
{
	void *key = boring.EVP_HPKE_KEY_new(), *keys = boring.SSL_ECH_KEYS_new();
	uint8_t *config;
	size_t length;

	if (!boring.EVP_HPKE_KEY_generate(key, boring.EVP_hpke_x25519_hkdf_sha256()) ||
	    !boring.SSL_marshal_ech_config(&config, &length, 1, key, "public.example", 32) ||
	    !boring.SSL_ECH_KEYS_add(keys, 1, config, length, key) ||
	    !boring.SSL_ECH_KEYS_marshal_retry_configs(keys, &ech_list, &ech_length))
		die("ECH keys");
	/* A server that does not know them goes on with the outer name. */
	if (scenario->ech == ECH_TAKEN && !boring.SSL_CTX_set1_ech_keys(server, keys))
		die("SSL_CTX_set1_ech_keys");
	boring.SSL_ECH_KEYS_free(keys);
	boring.EVP_HPKE_KEY_free(key);
}

/* ---- by the scenario ---- */

void configure_boringssl(SSL_CTX *client, SSL_CTX *server)
{
	bool needs = scenario->hold == HOLD_KEY || scenario->hold == HOLD_VERIFY || scenario->false_start ||
		     scenario->ech != ECH_NEVER;

	if (needs && !boringssl_is_loaded())
		unsupported("what BoringSSL alone has");
	if (!needs)
		return;
	if (scenario->hold == HOLD_KEY) {
		server_key = boring.SSL_CTX_get0_privatekey(server);
		if (!server_key || !boring.EVP_PKEY_up_ref(server_key))
			die("no key of the server's");
		boring.SSL_CTX_set_private_key_method(server, &key_elsewhere);
	}
	if (scenario->hold == HOLD_VERIFY)
		boring.SSL_CTX_set_custom_verify(client, SSL_VERIFY_PEER, verify_later);
	if (scenario->false_start)
		boring.SSL_CTX_set_mode(client, SSL_MODE_ENABLE_FALSE_START);
	if (scenario->ech != ECH_NEVER)
		make_ech_keys(server);
}

void begin_boringssl(SSL *ssl, bool server)
{
	static atomic_uint servers;

	if (!boringssl_is_loaded())
		return;
	/* The first server's tickets allow early data; one that then does not know of it refuses it. */
	if (scenario->early)
		boring.SSL_set_early_data_enabled(ssl, !server || scenario->early == EARLY_TAKEN || !servers++);
	if (!server && scenario->ech != ECH_NEVER && !boring.SSL_set1_ech_config_list(ssl, ech_list, ech_length))
		die("SSL_set1_ech_config_list");
}

void go_on_without_early_data(SSL *ssl)
{
	note_rejection(ssl);
	boring.SSL_reset_early_data_reject(ssl);
}
