/* SPDX-License-Identifier: Apache-2.0 */
/* What BoringSSL has and OpenSSL has not. Nothing here does anything on OpenSSL, but for ending what needs it with status 3. */
#pragma once

#include <stdbool.h>

#include "library.h"

enum {
	SSL_ERROR_WANT_PRIVATE_KEY_OPERATION = 13,
	SSL_ERROR_EARLY_DATA_REJECTED = 15,
	SSL_ERROR_WANT_CERTIFICATE_VERIFY = 16,
};

bool boringssl_is_loaded(void);
void load_boringssl(void *libssl, void *libcrypto, int pending_index);

/* By the scenario: of the two configurations, then of a connection. */
void configure_boringssl(SSL_CTX *client, SSL_CTX *server);
void begin_boringssl(SSL *ssl, bool server);

/* The server has not taken the early data: the client's handshake goes on without it. */
void go_on_without_early_data(SSL *ssl);
/* boringssl.c */
void note_rejection(SSL *ssl);

/* boringquic.c */
void run_boringssl_quic(void);
void *boringssl_library(void);
