/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. */
#pragma once

#include <stdbool.h>

#include "transports.h"

/* The handshakes as they are where nothing is asked for; the table has it under this name too. */
#define PLAIN_SCENARIO "plain"

struct options {
	/* Paths: the library's two files, and where the certificates are. */
	const char *libssl, *libcrypto, *certificates, *cert, *key, *ca;
	const char *scenario, *tls, *alpn, *server_alpn, *sni, *group, *server_group, *cipher;
	enum transport io;
	bool nonblocking, resume, implicit, spin;
	/* delay_ms: by "is it the server?". */
	unsigned count, threads, delay_ms[2], hold_ms;
};

extern struct options options;

/* As main() got them, for a scenario that starts the program anew. */
extern char **program_arguments;

void parse_options(int count, char **arguments);

/* What the scenario needs unless the command line says otherwise. */
void complete_options(void);

/* Whether what was asked for is this protocol version ("1.2", "1.3", "dtls1.2"). */
bool is_version(const char *asked, const char *version);
