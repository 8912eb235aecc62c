/* SPDX-License-Identifier: Apache-2.0 */
/* The two sides of a connection, and how their handshakes end. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "transports.h"
#include "witness.h"

struct side {
	/* The library's. */
	void *object;
	struct link link;
	struct witness witness;
	unsigned delay_ms;
	bool nonblocking, implicit, handoff, early;
	pthread_t thread;
};

/* Pairs are numbered in the order in which they are made. */
unsigned next_pair(void);

void open_pair(struct side *client, struct side *server);
void close_pair(struct side *client, struct side *server);

/* Sets up the object for its next handshake over its link. */
void prepare(struct side *side, bool server, unsigned pair);
void new_witness(struct side *side, bool server, unsigned pair);
/* Frees the object alone; the link stays open. */
void free_object(struct side *side);

void complete(struct side *side);
/* Given up by the application, now; nothing where it has ended. */
void abandon(struct side *side);
void note_facts(struct side *side);

void report_both(const struct side *client, const struct side *server);
