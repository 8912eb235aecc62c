/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one handshake, and the lines that say it.
 *
 * start_ns and end_ns are CLOCK_MONOTONIC right before the first and right after the last call into
 * the library: the true times lie inside. enter_ns and exit_ns come from the library's own callback,
 * and lie inside the true times.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transports.h"

#define MAX_DELAYS 16

enum outcome { IN_FLIGHT, COMPLETED, FAILED, ABANDONED };

enum early_data { EARLY_DATA_NONE, EARLY_DATA_REJECTED, EARLY_DATA_ACCEPTED };

enum alert {
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_NO_RENEGOTIATION = 100,
	ALERT_UNRECOGNIZED_NAME = 112,
};

struct witness {
	bool server, implicit, ended;
	enum outcome outcome;
	uint64_t start, end, busy, enter, exit;
	/* Inside the API call that is running now. */
	uint64_t call_start;
	/* Of an implicit handshake: the return of the call in which it ended, which may have waited for data since. */
	uint64_t returned;
	unsigned api_calls, calls, pauses;
	char version[16], cipher[64], group[64], sni[256], reason[96], local[80], remote[80];
	unsigned char alpn[255];
	unsigned int alpn_length;
	bool has_facts, resumed, certificate_requested, certificate_given;
	unsigned client_hellos;
	enum early_data early_data;
	/* -1: none. */
	int alert;
	bool alert_sent;
	/* When messages of the handshake were written or read, by type; 0: never. */
	uint64_t client_hello, server_hello, finished_sent, finished_read, key_share;
	/* How long a callback of the application held the handshake up. */
	uint64_t held;
	/* What the thread computed there, and waited for a processor. */
	uint64_t computed, run_delay;
	/* How long the thread waited for a processor around its calls, so at least what it waited in them. */
	uint64_t waited;
	/* TCP_INFO behind the handshake: segments sent again, and the smoothed round-trip time. */
	bool has_connection;
	unsigned retransmits;
	uint64_t rtt;
	const char *thread;
	uint64_t delays[MAX_DELAYS], delay_before;
	unsigned delay_count;
	uint64_t connect_begin, connect_end;
	enum transport transport;
	const char *note;
	unsigned pair;
};

/* ---- stamps, from the library's callbacks; `time` is the callback's ---- */

void stamp_enter(struct witness *witness, uint64_t time);
/* The library's handshake code returns; `completed`: with the handshake made. */
void stamp_exit(struct witness *witness, uint64_t time, bool completed);
void stamp_fatal_alert(struct witness *witness, int alert, bool sent);
/* A handshake message of the type that the protocol numbers so. */
void stamp_message(struct witness *witness, unsigned char type, bool written, uint64_t time);

/* The reason's name for an alert; NULL: not one that says why. */
const char *alert_name(int alert);

/* ---- lines ---- */

void report(const struct witness *witness);

/* What took place beside the handshakes, where the observer's rows are a question of definition. */
void report_event(const char *event, bool server, uint64_t begin, uint64_t end);
