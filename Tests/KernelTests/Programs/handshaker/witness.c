// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "witness.h"

/* ---- stamps ---- */

enum message_type {
	CLIENT_HELLO = 1,
	SERVER_HELLO = 2,
	CERTIFICATE_REQUEST = 13,
	CERTIFICATE_VERIFY = 15,
	CLIENT_KEY_EXCHANGE = 16,
	FINISHED = 20,
};

void stamp_enter(struct witness *witness, uint64_t time)
{
	if (!witness->enter)
		witness->enter = time;
}

void stamp_exit(struct witness *witness, uint64_t time, bool completed)
{
	witness->exit = time;
	witness->calls++;
	if (witness->implicit && completed) {
		witness->end = time;
		if (witness->call_start)
			witness->busy += time - witness->call_start;
		witness->outcome = COMPLETED;
		witness->ended = true;
	}
}

void stamp_fatal_alert(struct witness *witness, int alert, bool sent)
{
	if (witness->alert >= 0)
		return;
	witness->alert = alert;
	witness->alert_sent = sent;
}

void stamp_message(struct witness *witness, unsigned char type, bool written, uint64_t time)
{
	bool from_client = witness->server ? !written : written;

	switch (type) {
	case CLIENT_HELLO:
		if (!witness->client_hello)
			witness->client_hello = time;
		witness->client_hellos++;
		break;
	case SERVER_HELLO:
		witness->server_hello = time;
		break;
	case CERTIFICATE_REQUEST:
		witness->certificate_requested = true;
		break;
	case CLIENT_KEY_EXCHANGE:
		if (!written)
			witness->key_share = time;
		break;
	case CERTIFICATE_VERIFY:
		/* Only who gave a certificate proves its key. */
		if (from_client)
			witness->certificate_given = true;
		break;
	case FINISHED:
		if (written)
			witness->finished_sent = time;
		else
			witness->finished_read = time;
		break;
	default:
		break;
	}
}

/* Those that say why; the others say only that. */
static const char *const alert_names[] = {
	[0] = "close_notify",
	[10] = "unexpected_message",
	[20] = "bad_record_mac",
	[22] = "record_overflow",
	[40] = "handshake_failure",
	[42] = "bad_certificate",
	[43] = "unsupported_certificate",
	[44] = "certificate_revoked",
	[45] = "certificate_expired",
	[46] = "certificate_unknown",
	[47] = "illegal_parameter",
	[48] = "unknown_ca",
	[49] = "access_denied",
	[50] = "decode_error",
	[51] = "decrypt_error",
	[70] = "protocol_version",
	[71] = "insufficient_security",
	[80] = "internal_error",
	[86] = "inappropriate_fallback",
	[90] = "user_canceled",
	[109] = "missing_extension",
	[110] = "unsupported_extension",
	[112] = "unrecognized_name",
	[116] = "certificate_required",
	[120] = "no_application_protocol",
	[121] = "ech_required",
};

const char *alert_name(int alert)
{
	return alert >= 0 && (size_t)alert < sizeof(alert_names) / sizeof(*alert_names) ? alert_names[alert] : NULL;
}

/* ---- lines ---- */

struct line {
	char text[4096];
	size_t length;
};

static __attribute__((format(printf, 2, 3))) void add(struct line *line, const char *format, ...)
{
	va_list arguments;
	size_t room = sizeof(line->text) - line->length;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line->text + line->length, room, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= room)
		die("a line is too long");
	line->length += (size_t)length;
}

static void add_text(struct line *line, const char *key, const void *bytes, size_t length)
{
	const unsigned char *text = bytes;

	add(line, ",\"%s\":\"", key);
	for (size_t i = 0; i < length; i++) {
		if (text[i] < 0x20 || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\')
			add(line, "\\u%04x", text[i]);
		else
			add(line, "%c", text[i]);
	}
	add(line, "\"");
}

static void add_time(struct line *line, const char *key, uint64_t time)
{
	if (time)
		add(line, ",\"%s\":%llu", key, (unsigned long long)time);
}

static void add_name(struct line *line, const char *key, const char *text)
{
	if (text && *text)
		add_text(line, key, text, strlen(text));
}

static void write_line(struct line *line)
{
	add(line, "\n");
	/* One write a line: the lines of threads, and of a forked child, stay whole. */
	if (write(STDOUT_FILENO, line->text, line->length) < 0)
		die("standard output: %s", strerror(errno));
}

/* The process's name, which is its main thread's. */
static const char *own_name(void)
{
	static _Thread_local char name[32];
	FILE *file = fopen("/proc/self/comm", "r");

	if (!file || !fgets(name, sizeof(name), file))
		die("/proc/self/comm: %s", strerror(errno));
	fclose(file);
	name[strcspn(name, "\n")] = 0;
	return name;
}

void report(const struct witness *witness)
{
	static const char *const outcomes[] = { "in_flight", "completed", "failed", "abandoned" };
	struct line line = { .length = 0 };

	if (!witness->start && !witness->enter)
		return;
	add(&line, "{\"role\":\"%s\",\"outcome\":\"%s\"", witness->server ? "server" : "client",
	    outcomes[witness->outcome]);
	add(&line, ",\"pid\":%d,\"pair\":%u", getpid(), witness->pair);
	add_time(&line, "start_ns", witness->start ? witness->start : witness->enter);
	if (witness->end)
		add_time(&line, "end_ns", witness->end);
	else
		add(&line, ",\"end_ns\":null");
	add_time(&line, "enter_ns", witness->enter);
	add_time(&line, "exit_ns", witness->exit);
	add_time(&line, "returned_ns", witness->returned);
	/* A stopped job is inside the state machine and outside the call: whether that is busy is not ours to say. */
	if (!witness->pauses)
		add_time(&line, "busy_ns", witness->busy);
	else
		add(&line, ",\"pauses\":%u", witness->pauses);
	if (witness->calls)
		add(&line, ",\"calls\":%u", witness->calls);
	add(&line, ",\"api_calls\":%u", witness->api_calls);
	add_name(&line, "reason", witness->reason);
	if (witness->alert >= 0)
		add(&line, ",\"alert\":%d,\"alert_direction\":\"%s\"", witness->alert,
		    witness->alert_sent ? "sent" : "received");
	add_name(&line, "sni", witness->sni);
	if (witness->has_facts) {
		add_name(&line, "tls_version", witness->version);
		add_name(&line, "cipher", witness->cipher);
		add_name(&line, "group", witness->group);
		if (witness->alpn_length)
			add_text(&line, "alpn", witness->alpn, witness->alpn_length);
		add(&line, ",\"resumed\":%s", witness->resumed ? "true" : "false");
		if (witness->early_data)
			add(&line, ",\"early_data\":\"%s\"",
			    witness->early_data == EARLY_DATA_ACCEPTED ? "accepted" : "rejected");
		if (!strcmp(witness->version, "TLSv1.3") && witness->client_hellos)
			add(&line, ",\"hello_retry_request\":%s", witness->client_hellos > 1 ? "true" : "false");
		if (witness->client_hellos)
			add(&line, ",\"client_certificate_requested\":%s,\"client_certificate_given\":%s",
			    witness->certificate_requested ? "true" : "false",
			    witness->certificate_given ? "true" : "false");
	}
	add_time(&line, "client_hello_ns", witness->client_hello);
	add_time(&line, "server_hello_ns", witness->server_hello);
	add_time(&line, "finished_sent_ns", witness->finished_sent);
	add_time(&line, "finished_read_ns", witness->finished_read);
	/* Below TLS 1.3: ClientKeyExchange read. */
	add_time(&line, "key_share_ns", witness->key_share);
	add_time(&line, "held_ns", witness->held);
	add_time(&line, "computed_ns", witness->computed);
	add_time(&line, "run_delay_ns", witness->run_delay);
	add(&line, ",\"waited_ns\":%llu", (unsigned long long)witness->waited);
	if (witness->has_connection)
		add(&line, ",\"retransmits\":%u,\"rtt_ns\":%llu", witness->retransmits,
		    (unsigned long long)witness->rtt);
	add_name(&line, "comm", own_name());
	add_name(&line, "thread", witness->thread);
	add_time(&line, "connect_begin_ns", witness->connect_begin);
	add_time(&line, "connect_end_ns", witness->connect_end);
	add_time(&line, "delay_before_start_ns", witness->delay_before);
	if (witness->delay_count) {
		add(&line, ",\"delays_ns\":[");
		for (unsigned i = 0; i < witness->delay_count; i++)
			add(&line, "%s%llu", i ? "," : "", (unsigned long long)witness->delays[i]);
		add(&line, "]");
	}
	add_name(&line, "transport",
		 witness->transport == TCP6 || witness->transport == MAPPED ? "tcp" :
									      transport_names[witness->transport]);
	add_name(&line, "local", witness->local);
	add_name(&line, "remote", witness->remote);
	add_name(&line, "note", witness->note);
	add(&line, "}");
	write_line(&line);
}

void report_event(const char *event, bool server, uint64_t begin, uint64_t end)
{
	struct line line = { .length = 0 };

	add(&line, "{\"event\":\"%s\",\"role\":\"%s\",\"pid\":%d,\"start_ns\":%llu,\"end_ns\":%llu}", event,
	    server ? "server" : "client", getpid(), (unsigned long long)begin, (unsigned long long)end);
	write_line(&line);
}
