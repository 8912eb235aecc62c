/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's parser, one event at a time, in a plain struct: no unions, so that Swift reads it as values. */
#ifndef CYAML_H
#define CYAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tlswatch_yaml_kind {
	TLSWATCH_YAML_STREAM_START,
	TLSWATCH_YAML_STREAM_END,
	TLSWATCH_YAML_DOCUMENT_START,
	TLSWATCH_YAML_DOCUMENT_END,
	TLSWATCH_YAML_ALIAS,
	TLSWATCH_YAML_SCALAR,
	TLSWATCH_YAML_SEQUENCE_START,
	TLSWATCH_YAML_MAPPING_START,
	TLSWATCH_YAML_COLLECTION_END,
};

struct tlswatch_yaml_event {
	const uint8_t *text; /* a scalar's, UTF-8; may hold zero bytes */
	size_t length;
	const char *anchor; /* the node's, or the one that an alias names; NULL: none */
	size_t line;        /* where it starts, from 1 */
	uint8_t kind;       /* enum tlswatch_yaml_kind */
	bool plain;         /* a scalar without quotes, in no block */
};

struct tlswatch_yaml;

/* Copies the text, which is UTF-8. NULL without memory. */
struct tlswatch_yaml *tlswatch_yaml_create(const uint8_t *text, size_t count);
void tlswatch_yaml_destroy(struct tlswatch_yaml *yaml);

/* The next event, valid until the next call; false where the text is not YAML, or without memory. */
bool tlswatch_yaml_next(struct tlswatch_yaml *yaml, struct tlswatch_yaml_event *event);

/* After false: what is wrong; NULL where the library names nothing. */
const char *tlswatch_yaml_problem(const struct tlswatch_yaml *yaml);

/* After false: the line of what is wrong, from 1; 0 where the library tells none. */
size_t tlswatch_yaml_problem_line(const struct tlswatch_yaml *yaml);

#endif
