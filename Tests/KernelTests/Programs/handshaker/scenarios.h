/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the scenarios: each has one row, and no other place knows its name. */
#pragma once

#include <stdbool.h>

/* What the application does in a callback of the library, the server's unless it says otherwise. */
enum hold {
	HOLD_NOTHING,
	/* Asks another server, over a connection of its own. */
	HOLD_ASKS,
	/* The same, before the handshake has read or written anything. */
	HOLD_ASKS_FIRST,
	HOLD_SLEEPS,
	/* Computes for that long, whoever else wants the processor. */
	HOLD_COMPUTES,
	/* The client sleeps where it verifies the certificate: the rest of the server's flight lies in the socket. */
	HOLD_VERIFIES_LATE,
	/* Says "not yet": whoever drives the handshake waits, and calls again. */
	HOLD_SUSPENDS,
	/* The same of the server's private key, and of the client's verification. */
	HOLD_KEY,
	HOLD_VERIFY,
};

enum early_data_offer { EARLY_NEVER, EARLY_TAKEN, EARLY_REFUSED };

enum encrypted_hello { ECH_NEVER, ECH_TAKEN, ECH_REFUSED };

enum client_certificate { CLIENT_NOT_ASKED, CLIENT_MUST_PROVE, CLIENT_ASKED_LATER };

struct scenario {
	const char *name;
	void (*run)(void);

	/* Of the command line; `tls` wins over it, the others stand in for what it does not say. */
	const char *tls, *alpn, *server_alpn, *group, *server_group;
	bool nonblocking;
	unsigned threads;

	/* Of the two configurations. */
	const char *server_certificate, *client_certificate, *client_trust, *client_tls, *server_tls, *expected_host;
	bool no_common_cipher, no_renegotiation;
	enum client_certificate asks_client;

	/* Of what the application does meanwhile. */
	enum hold hold;
	enum early_data_offer early;
	enum encrypted_hello ech;
	/* The client writes before the server's Finished has come. */
	bool false_start;
	/* The server's job stops in the middle, as an accelerator's engine does while it computes. */
	bool pauses;
	/* The server refuses the name before its library has stored it. */
	bool refuses_hello;
	/* The server takes a client without a common protocol for a failure. */
	bool needs_protocol;
	/* Each call comes from a thread of its own. */
	bool hands_off;
};

/* The one that runs. */
extern const struct scenario *scenario;

void choose_scenario(const char *name);
void list_scenarios(void);
