// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "scenarios.h"
#include "support.h"

struct options options = {
	.libssl = "libssl.so.3",
	.libcrypto = "libcrypto.so.3",
	.certificates = "certs",
	.scenario = PLAIN_SCENARIO,
	.count = 1,
	.threads = 1,
};

char **program_arguments;

/* The options, each with where its value goes. */
static const struct setting {
	const char *name;
	const char **text;
	unsigned *number;
	bool *set, *unset;
	enum transport *transport;
	void (*run)(void);
} settings[] = {
	{ .name = "libssl", .text = &options.libssl },
	{ .name = "libcrypto", .text = &options.libcrypto },
	{ .name = "certificates", .text = &options.certificates },
	{ .name = "cert", .text = &options.cert },
	{ .name = "key", .text = &options.key },
	{ .name = "ca", .text = &options.ca },
	{ .name = "scenario", .text = &options.scenario },
	{ .name = "count", .number = &options.count },
	{ .name = "threads", .number = &options.threads },
	{ .name = "tls", .text = &options.tls },
	{ .name = "blocking", .unset = &options.nonblocking },
	{ .name = "nonblocking", .set = &options.nonblocking },
	{ .name = "io", .transport = &options.io },
	{ .name = "alpn", .text = &options.alpn },
	{ .name = "server-alpn", .text = &options.server_alpn },
	{ .name = "sni", .text = &options.sni },
	{ .name = "resume", .set = &options.resume },
	{ .name = "group", .text = &options.group },
	{ .name = "server-group", .text = &options.server_group },
	{ .name = "cipher", .text = &options.cipher },
	{ .name = "delay-client-ms", .number = &options.delay_ms[false] },
	{ .name = "delay-server-ms", .number = &options.delay_ms[true] },
	{ .name = "implicit", .set = &options.implicit },
	{ .name = "spin", .set = &options.spin },
	{ .name = "hold-ms", .number = &options.hold_ms },
	{ .name = "list", .run = list_scenarios },
};

#define SETTINGS (sizeof(settings) / sizeof(*settings))

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > 1000000)
		die("not a number: %s", text);
	return (unsigned)value;
}

static void apply(const struct setting *setting, const char *value)
{
	if (setting->text)
		*setting->text = value;
	if (setting->number)
		*setting->number = number(value);
	if (setting->transport)
		*setting->transport = transport_named(value);
	if (setting->set)
		*setting->set = true;
	if (setting->unset)
		*setting->unset = false;
	if (setting->run) {
		setting->run();
		exit(0);
	}
}

void parse_options(int count, char **arguments)
{
	struct option known[SETTINGS + 1] = { 0 };
	int index = 0, code;

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *setting = &settings[i];

		known[i].name = setting->name;
		known[i].has_arg =
			setting->text || setting->number || setting->transport ? required_argument : no_argument;
	}
	program_arguments = arguments;
	while ((code = getopt_long(count, arguments, "", known, &index)) != -1) {
		if (code)
			exit(64);
		apply(&settings[index], optarg);
	}
	if (optind != count)
		die("unexpected argument: %s", arguments[optind]);
	/* To ask again and again takes calls that come back. */
	if (options.spin)
		options.nonblocking = true;
}

bool is_version(const char *asked, const char *version)
{
	return asked && !strcmp(asked, version);
}

static void fill(const char **option, const char *value)
{
	if (!*option)
		*option = value;
}

/* "none" offers and selects no protocol. */
static const char *unless_none(const char *protocols)
{
	return protocols && !strcmp(protocols, "none") ? NULL : protocols;
}

void complete_options(void)
{
	if (is_version(options.tls, "dtls1.2") || is_version(scenario->tls, "dtls1.2"))
		options.io = UDP;
	if (scenario->tls)
		options.tls = scenario->tls;
	fill(&options.alpn, scenario->alpn);
	fill(&options.server_alpn, scenario->server_alpn);
	fill(&options.group, scenario->group);
	fill(&options.server_group, scenario->server_group);
	if (scenario->nonblocking)
		options.nonblocking = true;
	fill(&options.server_alpn, options.alpn);
	options.server_alpn = unless_none(options.server_alpn);
	options.alpn = unless_none(options.alpn);
	if (scenario->threads && options.threads == 1)
		options.threads = scenario->threads;
	if (!options.threads || options.threads > 256)
		die("--threads: 1 to 256");
}
