/* SPDX-License-Identifier: Apache-2.0 */
#include "CYAML.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct tlswatch_yaml {
	yaml_parser_t parser;
	yaml_event_t event;
	uint8_t text[];
};

struct tlswatch_yaml *tlswatch_yaml_create(const uint8_t *text, size_t count)
{
	struct tlswatch_yaml *yaml = calloc(1, sizeof(*yaml) + count);

	if (!yaml)
		return NULL;
	if (!yaml_parser_initialize(&yaml->parser)) {
		free(yaml);
		return NULL;
	}
	if (count)
		memcpy(yaml->text, text, count);
	yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&yaml->parser, yaml->text, count);
	return yaml;
}

void tlswatch_yaml_destroy(struct tlswatch_yaml *yaml)
{
	if (!yaml)
		return;
	yaml_event_delete(&yaml->event);
	yaml_parser_delete(&yaml->parser);
	free(yaml);
}

static void fill(struct tlswatch_yaml_event *out, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_STREAM_END_EVENT:
		out->kind = TLSWATCH_YAML_STREAM_END;
		break;
	case YAML_DOCUMENT_START_EVENT:
		out->kind = TLSWATCH_YAML_DOCUMENT_START;
		break;
	case YAML_DOCUMENT_END_EVENT:
		out->kind = TLSWATCH_YAML_DOCUMENT_END;
		break;
	case YAML_ALIAS_EVENT:
		out->kind = TLSWATCH_YAML_ALIAS;
		out->anchor = (const char *)event->data.alias.anchor;
		break;
	case YAML_SCALAR_EVENT:
		out->kind = TLSWATCH_YAML_SCALAR;
		out->anchor = (const char *)event->data.scalar.anchor;
		out->text = event->data.scalar.value;
		out->length = event->data.scalar.length;
		out->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		break;
	case YAML_SEQUENCE_START_EVENT:
		out->kind = TLSWATCH_YAML_SEQUENCE_START;
		out->anchor = (const char *)event->data.sequence_start.anchor;
		break;
	case YAML_MAPPING_START_EVENT:
		out->kind = TLSWATCH_YAML_MAPPING_START;
		out->anchor = (const char *)event->data.mapping_start.anchor;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		out->kind = TLSWATCH_YAML_COLLECTION_END;
		break;
	default:
		out->kind = TLSWATCH_YAML_STREAM_START;
		break;
	}
}

bool tlswatch_yaml_next(struct tlswatch_yaml *yaml, struct tlswatch_yaml_event *event)
{
	yaml_event_delete(&yaml->event);
	memset(event, 0, sizeof(*event));
	if (!yaml_parser_parse(&yaml->parser, &yaml->event))
		return false;
	event->line = yaml->event.start_mark.line + 1;
	fill(event, &yaml->event);
	return true;
}

const char *tlswatch_yaml_problem(const struct tlswatch_yaml *yaml)
{
	return yaml->parser.problem;
}

size_t tlswatch_yaml_problem_line(const struct tlswatch_yaml *yaml)
{
	switch (yaml->parser.error) {
	case YAML_SCANNER_ERROR:
	case YAML_PARSER_ERROR:
		return yaml->parser.problem_mark.line + 1;
	default:
		return 0;
	}
}
