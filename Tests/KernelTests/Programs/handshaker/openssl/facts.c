// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "openssl.h"

const char *server_name(void *object)
{
	return SSL_get_servername(object, 0);
}

static const char *group_of_nid(long nid)
{
	switch (nid) {
	case 415:
		return "secp256r1";
	case 715:
		return "secp384r1";
	case 716:
		return "secp521r1";
	case 1034:
		return "x25519";
	case 1035:
		return "x448";
	case 1126:
		return "ffdhe2048";
	case 1127:
		return "ffdhe3072";
	default:
		return "";
	}
}

static const char *group_of(SSL *ssl)
{
	const char *name = "";

	if (SSL_get0_group_name)
		name = SSL_get0_group_name(ssl);
	else if (is_openssl_3())
		name = group_of_nid(SSL_ctrl(ssl, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, NULL));
	return name ? name : "";
}

_Static_assert((int)EARLY_DATA_REJECTED == SSL_EARLY_DATA_REJECTED, "the witness's number is OpenSSL's");
_Static_assert((int)EARLY_DATA_ACCEPTED == SSL_EARLY_DATA_ACCEPTED, "the witness's number is OpenSSL's");

void note_object_facts(void *object, struct witness *witness)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(object);
	const char *version = SSL_get_version(object);
	const unsigned char *alpn = NULL;

	/* RFC 9001: the handshake inside QUIC version 1 is TLS 1.3's. */
	if (!strcmp(version, "QUICv1"))
		version = "TLSv1.3";
	snprintf(witness->version, sizeof(witness->version), "%s", version);
	if (cipher)
		snprintf(witness->cipher, sizeof(witness->cipher), "%s", SSL_CIPHER_standard_name(cipher));
	snprintf(witness->group, sizeof(witness->group), "%s", group_of(object));
	SSL_get0_alpn_selected(object, &alpn, &witness->alpn_length);
	if (alpn)
		memcpy(witness->alpn, alpn, witness->alpn_length);
	witness->resumed = SSL_session_reused(object);
	witness->early_data = (enum early_data)SSL_get_early_data_status(object);
}
