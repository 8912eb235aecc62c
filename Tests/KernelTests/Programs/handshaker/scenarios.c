// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "scenarios.h"
#include "scenarios/all.h"
#include "support.h"

static const struct scenario scenarios[] = {
	/* Handshakes from beginning to end. */
	{ .name = PLAIN_SCENARIO, .run = run_plain },
	{ .name = "no-alpn", .run = run_plain, .alpn = "h2", .server_alpn = "http/1.1", .needs_protocol = true },
	{ .name = "unknown-ca", .run = run_plain, .client_trust = "other-ca" },
	{ .name = "expired", .run = run_plain, .server_certificate = "expired" },
	{ .name = "wrong-host", .run = run_plain, .expected_host = "b.example" },
	{ .name = "version", .run = run_plain, .client_tls = "1.3", .server_tls = "1.2" },
	{ .name = "no-shared-cipher", .run = run_plain, .client_tls = "1.2", .no_common_cipher = true },
	{ .name = "client-cert-missing", .run = run_plain, .asks_client = CLIENT_MUST_PROVE },
	{ .name = "client-cert-bad",
	  .run = run_plain,
	  .asks_client = CLIENT_MUST_PROVE,
	  .client_certificate = "bad-client" },
	{ .name = "client-cert-good",
	  .run = run_plain,
	  .asks_client = CLIENT_MUST_PROVE,
	  .client_certificate = "client" },
	{ .name = "thread-handoff", .run = run_plain, .hands_off = true },
	{ .name = "dtls", .run = run_plain, .tls = "dtls1.2" },
	{ .name = "hrr", .run = run_plain, .group = "X25519:P-256", .server_group = "P-256" },
	{ .name = "early-data", .run = run_early_data, .early = EARLY_TAKEN },
	{ .name = "early-data-rejected", .run = run_early_data, .early = EARLY_REFUSED },
	{ .name = "many", .run = run_many, .threads = 8 },
	{ .name = "children", .run = run_children },
	{ .name = "callback-asks", .run = run_plain, .hold = HOLD_ASKS },
	{ .name = "callback-asks-first", .run = run_plain, .hold = HOLD_ASKS_FIRST },
	{ .name = "callback-sleeps", .run = run_plain, .hold = HOLD_SLEEPS },
	{ .name = "callback-computes", .run = run_plain, .hold = HOLD_COMPUTES },
	{ .name = "verifies-late", .run = run_plain, .hold = HOLD_VERIFIES_LATE },
	/* Only between calls can a handshake be held up. */
	{ .name = "callback-suspends", .run = run_plain, .hold = HOLD_SUSPENDS, .nonblocking = true },
	{ .name = "key-suspends", .run = run_plain, .hold = HOLD_KEY, .nonblocking = true },
	{ .name = "verify-suspends", .run = run_plain, .hold = HOLD_VERIFY, .nonblocking = true },
	{ .name = "false-start",
	  .run = run_plain,
	  .tls = "1.2",
	  .alpn = "h2",
	  .server_alpn = "h2",
	  .false_start = true },
	{ .name = "ech", .run = run_plain, .ech = ECH_TAKEN },
	{ .name = "ech-rejected", .run = run_plain, .ech = ECH_REFUSED },
	{ .name = "hello-refused", .run = run_plain, .refuses_hello = true },
	{ .name = "fast-open", .run = run_fast_open },
	{ .name = "full-queue", .run = run_full_queue },

	/* A peer that goes, or that was never one. */
	{ .name = "close-notify", .run = run_close_notify, .tls = "1.2" },
	{ .name = "peer-closes-after-hello", .run = run_peer_closes },
	{ .name = "reset", .run = run_reset },
	{ .name = "reset-before-answer", .run = run_reset_before_answer },
	{ .name = "reset-in-call", .run = run_reset_in_call },
	{ .name = "garbage", .run = run_garbage },
	{ .name = "plain-http", .run = run_plain_http },
	{ .name = "silent-client", .run = run_silent_client },

	/* Objects and processes that end, or live on, in the middle. */
	{ .name = "free-mid-handshake", .run = run_free_mid_handshake },
	{ .name = "close-fd-mid-handshake", .run = run_close_fd_mid_handshake },
	{ .name = "clear-reuse", .run = run_clear_reuse },
	{ .name = "address-reuse", .run = run_address_reuse },
	{ .name = "up-ref", .run = run_up_ref },
	{ .name = "kill", .run = run_kill },
	{ .name = "exec-mid", .run = run_exec_mid },
	{ .name = "fork-after-new", .run = run_fork_after_new },
	{ .name = "fork-mid", .run = run_fork_mid },

	/* Jobs that stop inside the library. */
	{ .name = "async", .run = run_async, .pauses = true },
	{ .name = "async-interleaved", .run = run_async_interleaved, .pauses = true },

	/* What comes after a handshake. */
	{ .name = "renegotiate", .run = run_renegotiate, .tls = "1.2" },
	{ .name = "refused-renegotiation", .run = run_refused_renegotiation, .tls = "1.2", .no_renegotiation = true },
	{ .name = "key-update", .run = run_key_update },
	{ .name = "post-handshake-auth",
	  .run = run_post_handshake_auth,
	  .asks_client = CLIENT_ASKED_LATER,
	  .client_certificate = "client" },

	/* Handshakes that carry each other, or that a packet protocol carries. */
	{ .name = "nested", .run = run_nested },
	{ .name = "quic", .run = run_quic },
};

const struct scenario *scenario;

void choose_scenario(const char *name)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (!strcmp(name, scenarios[i].name))
			scenario = &scenarios[i];
	}
	if (!scenario)
		die("no such scenario: %s", name);
}

void list_scenarios(void)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		puts(scenarios[i].name);
}
