/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of OpenSSL's `struct stack_ops`. */
#pragma once

#include <stdbool.h>

#include "../drive.h"
#include "library.h"

/* callbacks.c: what the library calls. */
void set_callbacks(SSL_CTX *context);
void set_client_callbacks(SSL_CTX *client);
void set_server_callbacks(SSL_CTX *server);
void set_witness(void *object, struct witness *witness);
/* "h2,http/1.1" as the protocol writes it; returns the length. */
unsigned int wire_protocols(const char *list, unsigned char *wire, size_t room);

/* contexts.c */
void open_contexts(void);
void close_contexts(void);
void *new_object(bool server);
void use_certificate(SSL_CTX *context, const char *name);
void trust(SSL_CTX *context, const char *name, int mode);

/* bios.c: how an object is put on a transport. */
void attach(struct side *side);
void attach_inside(void *inner, void *outer);
int take_output(struct side *side, void *bytes, int room);
void give_input(struct side *side, const void *bytes, int length);
void end_input(struct side *side);

/* calls.c */
void begin(void *object, bool server);
void before_call(void);
int make_call(void *object, enum operation operation);
void after_call(void *object, struct call *call);

/* facts.c */
const char *server_name(void *object);
void note_object_facts(void *object, struct witness *witness);

/* quic.c */
void run_quic_pairs(void);
