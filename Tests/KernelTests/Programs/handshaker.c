// SPDX-License-Identifier: Apache-2.0
/*
 * Makes TLS handshakes of every kind inside one process and prints what it knows of each, one JSON
 * object a line, so that a test can compare that with what an observer saw.
 *
 * libssl and libcrypto are loaded by path and declared here, so that one binary runs on every
 * OpenSSL from 1.1.1. A function that a version lacks ends the scenario with status 3.
 *
 * start_ns and end_ns are CLOCK_MONOTONIC right before the first and right after the last call into
 * the library: the true times lie inside. enter_ns and exit_ns come from the library's own callback,
 * and lie inside the true times.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the library, declared here ---- */

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;

typedef int alpn_select_callback(SSL *, const unsigned char **, unsigned char *, const unsigned char *, unsigned int,
				 void *);
typedef void info_callback(const SSL *, int, int);
typedef void message_callback(int, int, int, const void *, size_t, SSL *, void *);
typedef int certificate_callback(SSL *, void *);
typedef int client_hello_callback(SSL *, int *, void *);

#define LIBSSL(X)                                                                                      \
	X(const SSL_METHOD *, TLS_method, (void))                                                      \
	X(const SSL_METHOD *, TLS_client_method, (void))                                               \
	X(const SSL_METHOD *, TLS_server_method, (void))                                               \
	X(const SSL_METHOD *, DTLS_method, (void))                                                     \
	X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                                \
	X(void, SSL_CTX_free, (SSL_CTX *))                                                             \
	X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                          \
	X(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *, const char *))                          \
	X(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                            \
	X(int, SSL_CTX_load_verify_locations, (SSL_CTX *, const char *, const char *))                 \
	X(void, SSL_CTX_set_verify, (SSL_CTX *, int, void *))                                          \
	X(int, SSL_CTX_set_cipher_list, (SSL_CTX *, const char *))                                     \
	X(int, SSL_CTX_set_ciphersuites, (SSL_CTX *, const char *))                                    \
	X(int, SSL_CTX_set_alpn_protos, (SSL_CTX *, const unsigned char *, unsigned int))              \
	X(void, SSL_CTX_set_alpn_select_cb, (SSL_CTX *, alpn_select_callback *, void *))               \
	X(void, SSL_CTX_set_info_callback, (SSL_CTX *, info_callback *))                               \
	X(void, SSL_CTX_set_msg_callback, (SSL_CTX *, message_callback *))                             \
	X(uint64_t, SSL_CTX_set_options, (SSL_CTX *, uint64_t))                                        \
	X(void, SSL_CTX_set_cert_cb, (SSL_CTX *, certificate_callback *, void *))                      \
	X(void, SSL_CTX_set_client_hello_cb, (SSL_CTX *, client_hello_callback *, void *))             \
	X(int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned int))       \
	X(int, SSL_CTX_set_max_early_data, (SSL_CTX *, uint32_t))                                      \
	X(int, SSL_select_next_proto,                                                                  \
	  (unsigned char **, unsigned char *, const unsigned char *, unsigned int,                     \
	   const unsigned char *, unsigned int))                                                       \
	X(SSL *, SSL_new, (SSL_CTX *))                                                                 \
	X(void, SSL_free, (SSL *))                                                                     \
	X(int, SSL_up_ref, (SSL *))                                                                    \
	X(int, SSL_clear, (SSL *))                                                                     \
	X(long, SSL_ctrl, (SSL *, int, long, void *))                                                  \
	X(int, SSL_set_fd, (SSL *, int))                                                               \
	X(void, SSL_set_bio, (SSL *, BIO *, BIO *))                                                    \
	X(void, SSL_set_connect_state, (SSL *))                                                        \
	X(void, SSL_set_accept_state, (SSL *))                                                         \
	X(int, SSL_set1_host, (SSL *, const char *))                                                   \
	X(int, SSL_do_handshake, (SSL *))                                                              \
	X(int, SSL_read, (SSL *, void *, int))                                                         \
	X(int, SSL_write, (SSL *, const void *, int))                                                  \
	X(int, SSL_shutdown, (SSL *))                                                                  \
	X(int, SSL_get_error, (const SSL *, int))                                                      \
	X(int, SSL_is_init_finished, (const SSL *))                                                    \
	X(const char *, SSL_get_version, (const SSL *))                                                \
	X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *))                                   \
	X(const char *, SSL_CIPHER_standard_name, (const SSL_CIPHER *))                                \
	X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned int *))         \
	X(const char *, SSL_get_servername, (const SSL *, int))                                        \
	X(int, SSL_session_reused, (const SSL *))                                                      \
	X(SSL_SESSION *, SSL_get1_session, (SSL *))                                                    \
	X(int, SSL_set_session, (SSL *, SSL_SESSION *))                                                \
	X(void, SSL_SESSION_free, (SSL_SESSION *))                                                     \
	X(int, SSL_set_ex_data, (SSL *, int, void *))                                                  \
	X(void *, SSL_get_ex_data, (const SSL *, int))                                                 \
	X(int, SSL_write_early_data, (SSL *, const void *, size_t, size_t *))                          \
	X(int, SSL_read_early_data, (SSL *, void *, size_t, size_t *))                                 \
	X(int, SSL_get_early_data_status, (const SSL *))                                               \
	X(int, SSL_renegotiate, (SSL *))                                                               \
	X(int, SSL_key_update, (SSL *, int))                                                           \
	X(int, SSL_verify_client_post_handshake, (SSL *))                                              \
	X(void, SSL_set_post_handshake_auth, (SSL *, int))                                             \
	X(void, SSL_set_verify, (SSL *, int, void *))                                                  \
	X(const BIO_METHOD *, BIO_f_ssl, (void))                                                       \
	X(const char *, SSL_get0_group_name, (SSL *))                                                  \
	X(const SSL_METHOD *, OSSL_QUIC_client_method, (void))                                         \
	X(const SSL_METHOD *, OSSL_QUIC_server_method, (void))                                         \
	X(SSL *, SSL_new_listener, (SSL_CTX *, uint64_t))                                              \
	X(SSL *, SSL_accept_connection, (SSL *, uint64_t))                                             \
	X(int, SSL_listen, (SSL *))                                                                    \
	X(int, SSL_set1_initial_peer_addr, (SSL *, const void *))

#define LIBCRYPTO(X)                                                                                   \
	X(unsigned long, OpenSSL_version_num, (void))                                                  \
	X(const char *, OpenSSL_version, (int))                                                        \
	X(BIO *, BIO_new, (const BIO_METHOD *))                                                        \
	X(const BIO_METHOD *, BIO_s_mem, (void))                                                       \
	X(BIO *, BIO_new_fd, (int, int))                                                               \
	X(BIO_METHOD *, BIO_meth_new, (int, const char *))                                             \
	X(int, BIO_meth_set_write, (BIO_METHOD *, int (*)(BIO *, const char *, int)))                  \
	X(int, BIO_meth_set_read, (BIO_METHOD *, int (*)(BIO *, char *, int)))                         \
	X(int, BIO_meth_set_ctrl, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))                  \
	X(void, BIO_set_data, (BIO *, void *))                                                         \
	X(void *, BIO_get_data, (BIO *))                                                               \
	X(void, BIO_set_init, (BIO *, int))                                                            \
	X(void, BIO_set_flags, (BIO *, int))                                                           \
	X(void, BIO_clear_flags, (BIO *, int))                                                         \
	X(BIO *, BIO_new_dgram, (int, int))                                                            \
	X(int, BIO_read, (BIO *, void *, int))                                                         \
	X(int, BIO_write, (BIO *, const void *, int))                                                  \
	X(int, BIO_up_ref, (BIO *))                                                                    \
	X(long, BIO_ctrl, (BIO *, int, long, void *))                                                  \
	X(unsigned long, ERR_peek_error, (void))                                                       \
	X(void, ERR_clear_error, (void))                                                               \
	X(const char *, ERR_reason_error_string, (unsigned long))                                      \
	X(int, ASYNC_is_capable, (void))                                                               \
	X(int, ASYNC_pause_job, (void))                                                                \
	X(void *, ASYNC_get_current_job, (void))                                                       \
	X(void *, BIO_ADDR_new, (void))                                                                \
	X(void, BIO_ADDR_free, (void *))                                                               \
	X(int, BIO_ADDR_rawmake, (void *, int, const void *, size_t, unsigned short))

#define DECLARE(type, name, parameters) static type(*name) parameters;
LIBSSL(DECLARE)
LIBCRYPTO(DECLARE)

enum {
	SSL_ERROR_WANT_READ = 2,
	SSL_ERROR_WANT_WRITE = 3,
	SSL_ERROR_WANT_X509_LOOKUP = 4,
	SSL_ERROR_SYSCALL = 5,
	SSL_ERROR_WANT_ASYNC = 9,
	SSL_CTRL_MODE = 33,
	SSL_CTRL_SET_SESS_CACHE_MODE = 44,
	SSL_CTRL_SET_TLSEXT_HOSTNAME = 55,
	SSL_CTRL_SET_GROUPS_LIST = 92,
	SSL_CTRL_SET_MIN_PROTO_VERSION = 123,
	SSL_CTRL_SET_MAX_PROTO_VERSION = 124,
	SSL_CTRL_GET_NEGOTIATED_GROUP = 134,
	SSL_MODE_ASYNC = 0x100,
	SSL_VERIFY_PEER = 1,
	SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2,
	SSL_FILETYPE_PEM = 1,
	SSL_CB_EXIT = 0x02,
	SSL_CB_READ = 0x04,
	SSL_CB_WRITE = 0x08,
	SSL_CB_HANDSHAKE_START = 0x10,
	SSL_CB_ALERT = 0x4000,
	SSL_TLSEXT_ERR_OK = 0,
	SSL_TLSEXT_ERR_ALERT_FATAL = 2,
	SSL_TLSEXT_ERR_NOACK = 3,
	SSL_READ_EARLY_DATA_ERROR = 0,
	SSL_READ_EARLY_DATA_FINISH = 2,
	SSL_EARLY_DATA_REJECTED = 1,
	SSL_EARLY_DATA_ACCEPTED = 2,
	SSL_KEY_UPDATE_REQUESTED = 1,
	SSL_SESS_CACHE_BOTH = 3,
	BIO_CTRL_FLUSH = 11,
	BIO_CTRL_DGRAM_SET_CONNECTED = 32,
	BIO_C_SET_SSL = 109,
	BIO_C_SET_BUF_MEM_EOF_RETURN = 130,
	SSL_R_UNEXPECTED_EOF = 294,
	VERSION_TLS1_2 = 0x0303,
	VERSION_TLS1_3 = 0x0304,
	VERSION_DTLS1_2 = 0xfefd,
};

/* ---- options ---- */

enum transport { TCP, TCP6, MAPPED, UNIX, PIPE, MEMORY, UDP, QUIC, FASTOPEN, MPTCP, CUSTOM };
static const char *const transport_names[] = { "tcp", "tcp6", "mapped", "unix", "pipe", "memory", "udp", "quic",
					 "fastopen", "mptcp", "custom" };

static struct {
	const char *libssl, *libcrypto, *certificates, *cert, *key, *ca;
	const char *scenario, *tls, *alpn, *server_alpn, *sni, *group, *server_group, *cipher;
	enum transport io;
	bool nonblocking, resume, implicit, spin;
	unsigned count, threads, delay_ms[2], hold_ms;
} options = {
	.libssl = "libssl.so.3",
	.libcrypto = "libcrypto.so.3",
	.certificates = "certs",
	.scenario = "plain",
	.count = 1,
	.threads = 1,
};

static char **program_arguments;

static _Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("handshaker: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	_exit(2);
}

static _Noreturn void unsupported(const char *what)
{
	fprintf(stderr, "unsupported: %s\n", what);
	_exit(3);
}

#define NEED(function)                                \
	do {                                          \
		if (!(function))                      \
			unsupported(#function);       \
	} while (0)

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t sleep_ms(unsigned milliseconds)
{
	struct timespec time = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 };
	uint64_t begin = now();

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
	return now() - begin;
}

static void load_libraries(void)
{
	/* libssl asks for libcrypto by a name that may not be on the path: what is loaded already serves it. */
	void *crypto = dlopen(options.libcrypto, RTLD_NOW | RTLD_GLOBAL), *ssl;

	if (!crypto)
		die("%s", dlerror());
	ssl = dlopen(options.libssl, RTLD_NOW | RTLD_GLOBAL);
	if (!ssl)
		die("%s", dlerror());
#define LOAD_SSL(type, name, parameters) name = (type(*) parameters)dlsym(ssl, #name);
#define LOAD_CRYPTO(type, name, parameters) name = (type(*) parameters)dlsym(crypto, #name);
	LIBSSL(LOAD_SSL)
	LIBCRYPTO(LOAD_CRYPTO)
	/* 1.1.1 has what all the scenarios stand on. */
	NEED(TLS_method);
	NEED(SSL_CTX_set_ciphersuites);
	NEED(OpenSSL_version_num);
}

/* ---- what is known of one handshake ---- */

#define MAX_DELAYS 16

enum outcome { IN_FLIGHT, COMPLETED, FAILED, ABANDONED };

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
	int early_data;
	int alert;
	bool alert_sent;
	/* When messages of the handshake were written or read, by type; 0: never. */
	uint64_t client_hello, server_hello, finished_sent, finished_read, key_share;
	/* How long a callback of the application held the handshake up. */
	uint64_t held;
	const char *thread;
	uint64_t delays[MAX_DELAYS], delay_before;
	unsigned delay_count;
	uint64_t connect_begin, connect_end;
	enum transport transport;
	const char *note;
	unsigned pair;
};

static const char *alert_name(int alert)
{
	switch (alert) {
	case 0: return "close_notify";
	case 10: return "unexpected_message";
	case 20: return "bad_record_mac";
	case 22: return "record_overflow";
	case 40: return "handshake_failure";
	case 42: return "bad_certificate";
	case 43: return "unsupported_certificate";
	case 44: return "certificate_revoked";
	case 45: return "certificate_expired";
	case 46: return "certificate_unknown";
	case 47: return "illegal_parameter";
	case 48: return "unknown_ca";
	case 49: return "access_denied";
	case 50: return "decode_error";
	case 51: return "decrypt_error";
	case 70: return "protocol_version";
	case 71: return "insufficient_security";
	case 80: return "internal_error";
	case 86: return "inappropriate_fallback";
	case 90: return "user_canceled";
	case 109: return "missing_extension";
	case 110: return "unsupported_extension";
	case 112: return "unrecognized_name";
	case 116: return "certificate_required";
	case 120: return "no_application_protocol";
	default: return NULL;
	}
}

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

static void report(const struct witness *witness)
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
			    witness->early_data == SSL_EARLY_DATA_ACCEPTED ? "accepted" : "rejected");
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

/* What took place beside the handshakes, where the observer's rows are a question of definition. */
static void report_event(const char *event, bool server, uint64_t begin, uint64_t end)
{
	struct line line = { .length = 0 };

	add(&line, "{\"event\":\"%s\",\"role\":\"%s\",\"pid\":%d,\"start_ns\":%llu,\"end_ns\":%llu}", event,
	    server ? "server" : "client", getpid(), (unsigned long long)begin, (unsigned long long)end);
	write_line(&line);
}

/* ---- the library's callbacks ---- */

static struct witness *witness_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, 0);
}

static void ask_store(struct witness *witness);
static bool is_scenario(const char *name);

static void on_info(const SSL *ssl, int where, int value)
{
	struct witness *witness = witness_of(ssl);
	uint64_t time = now();

	if (witness && !witness->ended && (where & SSL_CB_HANDSHAKE_START) && is_scenario("callback-asks-first"))
		ask_store(witness);

	if (!witness || witness->ended)
		return;
	if ((where & SSL_CB_HANDSHAKE_START) && !witness->enter)
		witness->enter = time;
	if ((where & SSL_CB_ALERT) && witness->alert < 0) {
		/* Level 2 is fatal; a warning ends nothing. */
		if (value >> 8 == 2) {
			witness->alert = value & 255;
			witness->alert_sent = where & SSL_CB_WRITE;
		}
		return;
	}
	/* The exit of the state machine, once a call: SSL_CB_ACCEPT_EXIT, SSL_CB_CONNECT_EXIT. */
	if ((where & 0xf000) && (where & 0xfff) == SSL_CB_EXIT) {
		witness->exit = time;
		witness->calls++;
		if (witness->implicit && value == 1) {
			witness->end = time;
			if (witness->call_start)
				witness->busy += time - witness->call_start;
			witness->outcome = COMPLETED;
			witness->ended = true;
		}
	}
}

static void on_message(int written, int version, int type, const void *bytes, size_t length, SSL *ssl, void *argument)
{
	struct witness *witness = witness_of(ssl);
	const unsigned char *message = bytes;
	uint64_t time = now();
	bool from_client;

	(void)version;
	(void)argument;
	if (type != 22 || !length || !witness || witness->ended)
		return;
	from_client = witness->server ? !written : written;
	switch (message[0]) {
	case 1:
		if (!witness->client_hello)
			witness->client_hello = time;
		witness->client_hellos++;
		break;
	case 2:
		witness->server_hello = time;
		break;
	case 13:
		witness->certificate_requested = true;
		break;
	case 16:
		if (!written)
			witness->key_share = time;
		break;
	case 15:
		/* Only who gave a certificate proves its key. */
		if (from_client)
			witness->certificate_given = true;
		break;
	case 20:
		if (written)
			witness->finished_sent = time;
		else
			witness->finished_read = time;
		break;
	default:
		break;
	}
}

/* "h2,http/1.1" as the protocol writes it. */
static unsigned int wire_protocols(const char *list, unsigned char *wire, size_t room)
{
	unsigned int length = 0;

	while (list && *list) {
		size_t name = strcspn(list, ",");

		if (name > 255 || length + name + 1 > room)
			die("too many protocols");
		wire[length++] = (unsigned char)name;
		memcpy(wire + length, list, name);
		length += (unsigned int)name;
		list += name + (list[name] == ',');
	}
	return length;
}

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length, const unsigned char *offered,
		   unsigned int offered_length, void *argument)
{
	unsigned char wire[512];
	unsigned int length = wire_protocols(options.server_alpn, wire, sizeof(wire));
	unsigned char *result;

	(void)ssl;
	(void)argument;
	if (SSL_select_next_proto(&result, chosen_length, wire, length, offered, offered_length) != 1)
		return !strcmp(options.scenario, "no-alpn") ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
	/* The result may point into wire, which ends here: the same name stands in the offer. */
	for (unsigned int at = 0; at < offered_length; at += offered[at] + 1U) {
		if (offered[at] == *chosen_length && !memcmp(offered + at + 1, result, *chosen_length))
			*chosen = offered + at + 1;
	}
	return SSL_TLSEXT_ERR_OK;
}

/* ---- callbacks that the application spends time in ---- */

/* A server of another kind, which answers late and hangs up: where certificates are looked up, say. */
static struct {
	struct sockaddr_in address;
	int fd, datagrams;
	pthread_once_t once;
} store = { .once = PTHREAD_ONCE_INIT };

static void *run_store(void *argument)
{
	char bytes[16];
	int fd;

	(void)argument;
	while ((fd = accept4(store.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (recv(fd, bytes, sizeof(bytes), 0) > 0) {
			sleep_ms(options.hold_ms);
			send(fd, "\x16\x03\x03\x00\x05\x02hello", 11, MSG_NOSIGNAL);
		}
		close(fd);
	}
	return NULL;
}

static void open_store(void)
{
	socklen_t length = sizeof(store.address);
	pthread_t thread;

	store.address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	store.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	store.datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (store.fd < 0 || store.datagrams < 0 || bind(store.fd, (struct sockaddr *)&store.address, length) ||
	    listen(store.fd, 64) || getsockname(store.fd, (struct sockaddr *)&store.address, &length))
		die("store: %s", strerror(errno));
	if (pthread_create(&thread, NULL, run_store, NULL))
		die("pthread_create");
	pthread_detach(thread);
}

/*
 * Asks it over a connection of its own, to the end of file, and tells a counter of it. Both speak as a TLS client and its
 * server begin, which is what a look-up over TLS looks like.
 */
static void ask_store(struct witness *witness)
{
	uint64_t begin = now();
	char bytes[16];
	int fd;

	pthread_once(&store.once, open_store);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&store.address, sizeof(store.address)))
		die("store: %s", strerror(errno));
	sendto(store.datagrams, "lookups:1|c", 11, MSG_DONTWAIT, (struct sockaddr *)&store.address,
	       sizeof(store.address));
	send(fd, "\x16\x03\x01\x00\x05\x01hello", 11, MSG_NOSIGNAL);
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	close(fd);
	witness->held += now() - begin;
}

static int on_certificate_hold(SSL *ssl, void *argument)
{
	struct witness *witness = witness_of(ssl);

	(void)argument;
	if (!strcmp(options.scenario, "callback-asks")) {
		ask_store(witness);
	} else if (!strcmp(options.scenario, "callback-sleeps")) {
		witness->held += sleep_ms(options.hold_ms);
	} else if (!witness->held) {
		/* Not yet: whoever drives the handshake waits, and calls again. */
		witness->held = 1;
		return -1;
	}
	return 1;
}

/* A virtual server that does not exist: refused before the library has stored the name. */
static int on_client_hello_refuse(SSL *ssl, int *alert, void *argument)
{
	(void)ssl;
	(void)argument;
	*alert = 112;
	return 0;
}

/* Stops the job that the handshake runs in, as an accelerator's engine does while it computes. */
static int on_certificate_pause(SSL *ssl, void *argument)
{
	(void)ssl;
	(void)argument;
	if (ASYNC_get_current_job())
		ASYNC_pause_job();
	return 1;
}

/* ---- contexts ---- */

struct contexts {
	SSL_CTX *client, *server;
};

static const char *certificate_file(const char *name, const char *suffix)
{
	static _Thread_local char paths[4][512];
	static _Thread_local unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s.%s", options.certificates, name, suffix);
	return path;
}

static void use_certificate(SSL_CTX *context, const char *name)
{
	const char *cert = certificate_file(name, "pem"), *key = certificate_file(name, "key");

	if (!strcmp(name, "server")) {
		cert = options.cert ? options.cert : cert;
		key = options.key ? options.key : key;
	}
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("cannot use certificate %s", cert);
}

static void trust(SSL_CTX *context, const char *name, int mode)
{
	const char *path = !strcmp(name, "ca") && options.ca ? options.ca : certificate_file(name, "pem");

	if (SSL_CTX_load_verify_locations(context, path, NULL) != 1)
		die("cannot use %s", path);
	SSL_CTX_set_verify(context, mode, NULL);
}

static void limit_version(SSL_CTX *context, long lowest, long highest)
{
	if (SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, lowest, NULL) != 1 ||
	    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, highest, NULL) != 1)
		unsupported("protocol version");
}

static void set_groups(SSL_CTX *context, const char *list)
{
	if (list && SSL_CTX_ctrl(context, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)list) != 1)
		unsupported("group");
}

static void set_ciphers(SSL_CTX *context, const char *list)
{
	if (!list)
		return;
	if (!strncmp(list, "TLS_", 4) ? SSL_CTX_set_ciphersuites(context, list) != 1 :
					SSL_CTX_set_cipher_list(context, list) != 1)
		unsupported("cipher");
}

static bool is_scenario(const char *name)
{
	return !strcmp(options.scenario, name);
}

static SSL_CTX *new_context(bool server)
{
	const SSL_METHOD *method = server ? TLS_server_method() : TLS_client_method();
	SSL_CTX *context;

	if (options.io == UDP)
		method = DTLS_method();
	context = SSL_CTX_new(method);
	if (!context)
		die("SSL_CTX_new");
	if (options.tls && !strcmp(options.tls, "1.2"))
		limit_version(context, VERSION_TLS1_2, VERSION_TLS1_2);
	if (options.tls && !strcmp(options.tls, "1.3"))
		limit_version(context, VERSION_TLS1_3, VERSION_TLS1_3);
	set_ciphers(context, options.cipher);
	SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_BOTH, NULL);
	SSL_CTX_set_info_callback(context, on_info);
	SSL_CTX_set_msg_callback(context, on_message);
	return context;
}

static void configure_client(SSL_CTX *client)
{
	unsigned char wire[512];
	unsigned int length = wire_protocols(options.alpn, wire, sizeof(wire));

	set_groups(client, options.group);
	if (length)
		SSL_CTX_set_alpn_protos(client, wire, length);
	trust(client, is_scenario("unknown-ca") ? "other-ca" : "ca", SSL_VERIFY_PEER);
	if (is_scenario("version"))
		limit_version(client, VERSION_TLS1_3, VERSION_TLS1_3);
	if (is_scenario("client-cert-good") || is_scenario("post-handshake-auth"))
		use_certificate(client, "client");
	if (is_scenario("client-cert-bad"))
		use_certificate(client, "bad-client");
	if (is_scenario("no-shared-cipher")) {
		limit_version(client, VERSION_TLS1_2, VERSION_TLS1_2);
		set_ciphers(client, "ECDHE-ECDSA-AES128-GCM-SHA256");
	}
}

static void configure_server(SSL_CTX *server)
{
	set_groups(server, options.server_group ? options.server_group : options.group);
	use_certificate(server, is_scenario("expired") ? "expired" : "server");
	if (options.server_alpn)
		SSL_CTX_set_alpn_select_cb(server, on_alpn, NULL);
	SSL_CTX_set_session_id_context(server, (const unsigned char *)"handshaker", 10);
	if (is_scenario("version"))
		limit_version(server, VERSION_TLS1_2, VERSION_TLS1_2);
	if (is_scenario("no-shared-cipher"))
		set_ciphers(server, "ECDHE-ECDSA-AES256-GCM-SHA384");
	if (!strncmp(options.scenario, "client-cert-", 12))
		trust(server, "ca", SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	if (is_scenario("post-handshake-auth"))
		trust(server, "ca", 0);
	if (!strncmp(options.scenario, "early-data", 10))
		SSL_CTX_set_max_early_data(server, 16384);
	if (!strncmp(options.scenario, "async", 5))
		SSL_CTX_set_cert_cb(server, on_certificate_pause, NULL);
	if (!strncmp(options.scenario, "callback-", 9) && !is_scenario("callback-asks-first"))
		SSL_CTX_set_cert_cb(server, on_certificate_hold, NULL);
	if (is_scenario("refused-renegotiation"))
		SSL_CTX_set_options(server, 1U << 30); /* SSL_OP_NO_RENEGOTIATION: what 3.0 and later do anyway */
	if (is_scenario("hello-refused"))
		SSL_CTX_set_client_hello_cb(server, on_client_hello_refuse, NULL);
}

static struct contexts new_contexts(void)
{
	struct contexts contexts = { new_context(false), new_context(true) };

	configure_client(contexts.client);
	configure_server(contexts.server);
	return contexts;
}

/* ---- transports ---- */

struct link {
	int in, out;
	/* Of the memory transport: the application carries the bytes between these and the socket. */
	BIO *received, *to_send;
	uint64_t connect_begin, connect_end;
};

static struct {
	int fd;
	struct sockaddr_storage address;
	socklen_t length;
	pthread_mutex_t lock;
} listener = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

static void check(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, strerror(errno));
}

static socklen_t loopback(struct sockaddr_storage *address, enum transport io)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	struct sockaddr_in *four = (struct sockaddr_in *)address;

	memset(address, 0, sizeof(*address));
	if (io == TCP6 || io == MAPPED) {
		six->sin6_family = AF_INET6;
		six->sin6_addr = io == TCP6 ? in6addr_loopback : in6addr_any;
		return sizeof(*six);
	}
	four->sin_family = AF_INET;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*four);
}

static int protocol(void)
{
	return options.io == MPTCP ? 262 : 0; /* IPPROTO_MPTCP */
}

static void listen_once(void)
{
	int no = 0, queue = 16;

	if (listener.fd >= 0)
		return;
	listener.length = loopback(&listener.address, options.io);
	listener.fd = socket(listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, protocol());
	check(listener.fd, "socket");
	if (options.io == FASTOPEN)
		check(setsockopt(listener.fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)), "TCP_FASTOPEN");
	if (options.io == MAPPED)
		setsockopt(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	check(bind(listener.fd, (struct sockaddr *)&listener.address, listener.length), "bind");
	check(listen(listener.fd, 64), "listen");
	check(getsockname(listener.fd, (struct sockaddr *)&listener.address, &listener.length), "getsockname");
	if (options.io == MAPPED) {
		/* The client speaks IPv4 to the dual-stack socket. */
		in_port_t port = ((struct sockaddr_in6 *)&listener.address)->sin6_port;

		listener.length = loopback(&listener.address, TCP);
		((struct sockaddr_in *)&listener.address)->sin_port = port;
	}
}

static bool fast_open_ready;

/* A connection with a byte in it, so that the server's cookie is known. */
static void connect_plainly(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted, yes = 1;
	char byte;

	check(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof(yes)), "fastopen");
	check(connect(fd, (struct sockaddr *)&listener.address, listener.length), "connect");
	check((int)write(fd, "x", 1), "write");
	accepted = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(accepted, "accept");
	check((int)read(accepted, &byte, 1), "read");
	close(fd);
	close(accepted);
}

static void connect_tcp(struct link *client, struct link *server)
{
	int yes = 1;

	/* One at a time, so that what is accepted is what was connected. */
	pthread_mutex_lock(&listener.lock);
	listen_once();
	client->in = socket(listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, protocol());
	check(client->in, "socket");
	if (options.io == FASTOPEN) {
		check(setsockopt(client->in, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof(yes)), "fastopen");
		/* The first connection fetches the cookie; from then on the SYN goes out with the first bytes. */
		if (!fast_open_ready) {
			connect_plainly();
			fast_open_ready = true;
		}
	}
	client->connect_begin = now();
	check(connect(client->in, (struct sockaddr *)&listener.address, listener.length), "connect");
	client->connect_end = now();
	if (options.io == FASTOPEN) {
		/* There is nobody to accept before the first send. */
		pthread_mutex_unlock(&listener.lock);
		server->in = -1;
		return;
	}
	server->in = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(server->in, "accept");
	pthread_mutex_unlock(&listener.lock);
	setsockopt(client->in, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(server->in, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static void connect_udp(struct link *client, struct link *server)
{
	struct sockaddr_storage address[2];
	socklen_t length = 0;
	int fd[2];

	for (int i = 0; i < 2; i++) {
		length = loopback(&address[i], TCP);
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		check(fd[i], "socket");
		check(bind(fd[i], (struct sockaddr *)&address[i], length), "bind");
		check(getsockname(fd[i], (struct sockaddr *)&address[i], &length), "getsockname");
	}
	for (int i = 0; i < 2; i++)
		check(connect(fd[i], (struct sockaddr *)&address[1 - i], length), "connect");
	client->in = fd[0];
	server->in = fd[1];
}

static void connect_links(struct link *client, struct link *server)
{
	int pair[2], back[2];

	*client = *server = (struct link){ .in = -1, .out = -1 };
	switch (options.io) {
	case UNIX:
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
		client->in = pair[0];
		server->in = pair[1];
		break;
	case PIPE:
		check(pipe2(pair, O_CLOEXEC), "pipe");
		check(pipe2(back, O_CLOEXEC), "pipe");
		*client = (struct link){ .in = back[0], .out = pair[1] };
		*server = (struct link){ .in = pair[0], .out = back[1] };
		return;
	case UDP:
		connect_udp(client, server);
		break;
	default:
		connect_tcp(client, server);
		break;
	}
	client->out = client->in;
	server->out = server->in;
}

static void close_link(struct link *link)
{
	if (link->in >= 0)
		close(link->in);
	if (link->out >= 0 && link->out != link->in)
		close(link->out);
	link->in = link->out = -1;
}

static void set_nonblocking(struct link *link)
{
	check(fcntl(link->in, F_SETFL, fcntl(link->in, F_GETFL) | O_NONBLOCK), "fcntl");
	check(fcntl(link->out, F_SETFL, fcntl(link->out, F_GETFL) | O_NONBLOCK), "fcntl");
}

static void name_address(char *text, size_t room, const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;
	char host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(text, room, "%s:%u", host, ntohs(four->sin_port));
	} else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(text, room, "%s:%u", host, ntohs(six->sin6_port));
	} else if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(text, room, "[%s]:%u", host, ntohs(six->sin6_port));
	}
}

static void note_addresses(struct witness *witness, const struct link *link)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(link->in, (struct sockaddr *)&address, &length) == 0)
		name_address(witness->local, sizeof(witness->local), &address);
	length = sizeof(address);
	if (getpeername(link->in, (struct sockaddr *)&address, &length) == 0)
		name_address(witness->remote, sizeof(witness->remote), &address);
	witness->connect_begin = link->connect_begin;
	witness->connect_end = link->connect_end;
}

/* ---- one side of a connection ---- */

struct side {
	SSL *ssl;
	struct link link;
	struct witness witness;
	unsigned delay_ms;
	bool nonblocking, implicit, handoff, early;
	pthread_t thread;
};

static void new_witness(struct side *side, bool server, unsigned pair)
{
	side->witness = (struct witness){ .server = server,
					  .implicit = side->implicit,
					  .alert = -1,
					  .transport = options.io,
					  .pair = pair };
	note_addresses(&side->witness, &side->link);
	if (!server && options.sni)
		snprintf(side->witness.sni, sizeof(side->witness.sni), "%s", options.sni);
	SSL_set_ex_data(side->ssl, 0, &side->witness);
}

/* A transport of the application's own, under a number that says it is memory, as curl's does. */
static int custom_result(BIO *bio, ssize_t result, int flag)
{
	BIO_clear_flags(bio, 0x0f);
	if (result < 0 && errno == EAGAIN)
		BIO_set_flags(bio, flag | 0x08); /* BIO_FLAGS_SHOULD_RETRY */
	return (int)result;
}

static int custom_write(BIO *bio, const char *bytes, int length)
{
	return custom_result(bio, send((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)length, MSG_NOSIGNAL), 0x02);
}

static int custom_read(BIO *bio, char *bytes, int length)
{
	return custom_result(bio, recv((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)length, 0), 0x01);
}

static long custom_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO *new_custom(int fd)
{
	BIO_METHOD *method = BIO_meth_new(0x401, "the application's own");
	BIO *bio;

	if (!method || !BIO_meth_set_write(method, custom_write) || !BIO_meth_set_read(method, custom_read) ||
	    !BIO_meth_set_ctrl(method, custom_ctrl))
		die("BIO_meth_new");
	bio = BIO_new(method);
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	return bio;
}

static void attach(struct side *side)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);
	BIO *in, *out;

	switch (options.io) {
	case PIPE:
		SSL_set_bio(side->ssl, BIO_new_fd(side->link.in, 0), BIO_new_fd(side->link.out, 0));
		break;
	case MEMORY:
		in = side->link.received = BIO_new(BIO_s_mem());
		out = side->link.to_send = BIO_new(BIO_s_mem());
		SSL_set_bio(side->ssl, in, out);
		break;
	case CUSTOM:
		in = new_custom(side->link.in);
		SSL_set_bio(side->ssl, in, in);
		break;
	case UDP:
		in = BIO_new_dgram(side->link.in, 0);
		check(getpeername(side->link.in, (struct sockaddr *)&peer, &length), "getpeername");
		BIO_ctrl(in, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer);
		SSL_set_bio(side->ssl, in, in);
		break;
	default:
		if (SSL_set_fd(side->ssl, side->link.in) != 1)
			die("SSL_set_fd");
		break;
	}
}

/* Sets up the object for its next handshake over its link. */
static void prepare(struct side *side, bool server, unsigned pair)
{
	side->delay_ms = options.delay_ms[server];
	/* Only between calls can a known time be slept. */
	side->nonblocking = options.nonblocking || side->handoff || side->delay_ms;
	side->implicit = options.implicit;
	if (side->nonblocking || options.io == MEMORY)
		set_nonblocking(&side->link);
	attach(side);
	new_witness(side, server, pair);
	if (server) {
		SSL_set_accept_state(side->ssl);
	} else {
		SSL_set_connect_state(side->ssl);
		if (options.sni)
			SSL_ctrl(side->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)options.sni);
		if (is_scenario("wrong-host"))
			SSL_set1_host(side->ssl, "b.example");
	}
}

static void open_pair(struct contexts *contexts, struct side *client, struct side *server, unsigned pair)
{
	struct link links[2];
	bool handoff = is_scenario("thread-handoff");

	connect_links(&links[0], &links[1]);
	*client = (struct side){ .ssl = SSL_new(contexts->client), .link = links[0], .handoff = handoff };
	*server = (struct side){ .ssl = SSL_new(contexts->server), .link = links[1], .handoff = handoff };
	if (!client->ssl || !server->ssl)
		die("SSL_new");
	prepare(client, false, pair);
	prepare(server, true, pair);
}

static void close_pair(struct side *client, struct side *server)
{
	SSL_free(client->ssl);
	SSL_free(server->ssl);
	close_link(&client->link);
	close_link(&server->link);
}

static const char *group_of_nid(long nid)
{
	switch (nid) {
	case 415: return "secp256r1";
	case 715: return "secp384r1";
	case 716: return "secp521r1";
	case 1034: return "x25519";
	case 1035: return "x448";
	case 1126: return "ffdhe2048";
	case 1127: return "ffdhe3072";
	default: return "";
	}
}

static void note_group(struct side *side)
{
	const char *name = "";

	if (SSL_get0_group_name)
		name = SSL_get0_group_name(side->ssl);
	else if (OpenSSL_version_num() >= 0x30000000UL)
		name = group_of_nid(SSL_ctrl(side->ssl, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, NULL));
	snprintf(side->witness.group, sizeof(side->witness.group), "%s", name ? name : "");
}

static void note_facts(struct side *side)
{
	struct witness *witness = &side->witness;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(side->ssl);
	const char *sni = SSL_get_servername(side->ssl, 0);
	const unsigned char *alpn = NULL;

	if (witness->server && is_scenario("hello-refused") && options.sni)
		sni = options.sni;
	if (witness->server && sni)
		snprintf(witness->sni, sizeof(witness->sni), "%s", sni);
	if (witness->outcome != COMPLETED)
		return;
	witness->has_facts = true;
	snprintf(witness->version, sizeof(witness->version), "%s", SSL_get_version(side->ssl));
	/* RFC 9001: the handshake inside QUIC version 1 is TLS 1.3's. */
	if (!strcmp(witness->version, "QUICv1"))
		snprintf(witness->version, sizeof(witness->version), "TLSv1.3");
	if (cipher)
		snprintf(witness->cipher, sizeof(witness->cipher), "%s", SSL_CIPHER_standard_name(cipher));
	note_group(side);
	SSL_get0_alpn_selected(side->ssl, &alpn, &witness->alpn_length);
	if (alpn)
		memcpy(witness->alpn, alpn, witness->alpn_length);
	witness->resumed = SSL_session_reused(side->ssl);
	witness->early_data = SSL_get_early_data_status(side->ssl);
}

/* ---- calls into the library ---- */

enum operation { HANDSHAKE, READ, WRITE, SHUTDOWN, READ_EARLY, WRITE_EARLY };

struct call {
	struct side *side;
	enum operation operation;
	int result, error, system_error;
	unsigned long library_error;
};

static int make_call(struct side *side, enum operation operation)
{
	char bytes[16] = "x";
	size_t done;

	switch (operation) {
	case HANDSHAKE: return SSL_do_handshake(side->ssl);
	case READ: return SSL_read(side->ssl, bytes, sizeof(bytes));
	case WRITE: return SSL_write(side->ssl, bytes, 1);
	case SHUTDOWN: return SSL_shutdown(side->ssl);
	case READ_EARLY: return SSL_read_early_data(side->ssl, bytes, sizeof(bytes), &done);
	case WRITE_EARLY: return SSL_write_early_data(side->ssl, bytes, 1, &done);
	}
	return -1;
}

/* The error queue is the thread's: what it tells is read where the call was made. */
static void *run_call(void *argument)
{
	struct call *call = argument;
	struct side *side = call->side;
	struct witness *witness = &side->witness;
	bool counts = !witness->ended;
	uint64_t end;

	ERR_clear_error();
	errno = 0;
	witness->call_start = now();
	if (counts && !witness->start)
		witness->start = witness->call_start;
	call->result = make_call(side, call->operation);
	end = now();
	call->system_error = errno;
	call->error = SSL_get_error(side->ssl, call->result);
	call->library_error = ERR_peek_error();
	if (counts) {
		witness->api_calls++;
		if (!witness->ended) {
			witness->busy += end - witness->call_start;
			witness->end = end;
		} else {
			witness->returned = end;
		}
		witness->pauses += call->error == SSL_ERROR_WANT_ASYNC;
	}
	return NULL;
}

static struct call call(struct side *side, enum operation operation)
{
	struct call call = { .side = side, .operation = operation };
	pthread_t thread;

	if (!side->handoff) {
		run_call(&call);
		return call;
	}
	if (pthread_create(&thread, NULL, run_call, &call))
		die("pthread_create");
	pthread_join(thread, NULL);
	return call;
}

static bool wants_more(const struct call *call)
{
	return call->error == SSL_ERROR_WANT_READ || call->error == SSL_ERROR_WANT_WRITE ||
	       call->error == SSL_ERROR_WANT_ASYNC || call->error == SSL_ERROR_WANT_X509_LOOKUP;
}

static void note_reason(struct witness *witness, const struct call *call)
{
	unsigned long error = call->library_error;
	unsigned long reason = OpenSSL_version_num() >= 0x30000000UL ? error & 0x7fffff : error & 0xfff;
	bool is_system = OpenSSL_version_num() >= 0x30000000UL && (error & 0x80000000UL);
	const char *text = NULL;

	if (call->error == SSL_ERROR_SYSCALL || is_system) {
		if (call->system_error == ECONNRESET)
			text = "connection_reset";
		else if (call->system_error == EPIPE)
			text = "broken_pipe";
		else if (!call->system_error && !error)
			text = "peer_closed";
	} else if (reason == SSL_R_UNEXPECTED_EOF) {
		/* The library also tries an alert then; the cause is the peer's going. */
		text = "peer_closed";
	} else if (witness->alert == 80) {
		text = NULL;
	} else if (witness->alert >= 0) {
		text = alert_name(witness->alert);
	} else if (error) {
		text = ERR_reason_error_string(error);
	}
	snprintf(witness->reason, sizeof(witness->reason), "%s", text ? text : "");
	for (char *at = witness->reason; *at; at++) {
		if (*at == ' ')
			*at = '_';
	}
}

static void fail(struct side *side, const struct call *call)
{
	struct witness *witness = &side->witness;

	witness->outcome = FAILED;
	witness->ended = true;
	note_reason(witness, call);
	note_facts(side);
}

static void complete(struct side *side)
{
	side->witness.outcome = COMPLETED;
	side->witness.ended = true;
	note_facts(side);
}

static void abandon(struct side *side)
{
	if (side->witness.ended)
		return;
	side->witness.outcome = ABANDONED;
	side->witness.ended = true;
	side->witness.end = now();
}

/* ---- driving ---- */

static bool wait_for(int fd, short events)
{
	struct pollfd one = { fd, events, 0 };
	int result;

	do {
		result = poll(&one, 1, 5000);
	} while (result < 0 && errno == EINTR);
	return result > 0;
}

/* Memory transport: carries out what the library wrote. */
static void carry_out(struct side *side)
{
	char bytes[16384];
	int length;

	if (options.io != MEMORY)
		return;
	while ((length = BIO_read(side->link.to_send, bytes, sizeof(bytes))) > 0) {
		for (int sent = 0; sent < length;) {
			ssize_t result = send(side->link.out, bytes + sent, (size_t)(length - sent), MSG_NOSIGNAL);

			if (result < 0 && errno == EAGAIN)
				wait_for(side->link.out, POLLOUT);
			else if (result <= 0)
				return;
			else
				sent += (int)result;
		}
	}
}

static void carry_in(struct side *side)
{
	char bytes[16384];
	ssize_t length;

	if (options.io != MEMORY)
		return;
	length = recv(side->link.in, bytes, sizeof(bytes), 0);
	if (length > 0)
		BIO_write(side->link.received, bytes, (int)length);
	else if (length == 0)
		BIO_ctrl(side->link.received, BIO_C_SET_BUF_MEM_EOF_RETURN, 0, NULL);
}

static void delay(struct side *side)
{
	struct witness *witness = &side->witness;
	uint64_t slept;

	if (!side->delay_ms || witness->ended)
		return;
	slept = sleep_ms(side->delay_ms);
	if (!witness->start)
		witness->delay_before += slept;
	else if (witness->delay_count < MAX_DELAYS)
		witness->delays[witness->delay_count++] = slept;
}

/* Makes the call until it needs no more; waits in poll where the transport does not. */
static struct call drive(struct side *side, enum operation operation)
{
	bool first = true;

	for (;;) {
		struct call one;

		/* What is delayed is the answer to the ClientHello, so that has to be there first. */
		if (first && side->delay_ms && side->witness.server && !side->witness.ended)
			wait_for(side->link.in, POLLIN);
		first = false;
		delay(side);
		one = call(side, operation);
		carry_out(side);
		if (!wants_more(&one))
			return one;
		if (one.error == SSL_ERROR_WANT_ASYNC) {
			sleep_ms(1);
			continue;
		}
		if (one.error == SSL_ERROR_WANT_X509_LOOKUP) {
			side->witness.held = sleep_ms(options.hold_ms);
			continue;
		}
		if (options.spin && one.error == SSL_ERROR_WANT_READ)
			continue;
		if (!side->nonblocking && options.io != MEMORY && options.io != UDP)
			return one;
		if (!wait_for(one.error == SSL_ERROR_WANT_READ ? side->link.in : side->link.out,
			      one.error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) {
			one.error = SSL_ERROR_SYSCALL;
			return one;
		}
		carry_in(side);
	}
}

static bool handshake(struct side *side)
{
	struct call last = drive(side, HANDSHAKE);

	if (last.result == 1)
		complete(side);
	else
		fail(side, &last);
	return last.result == 1;
}

/* One byte each way. Where the handshake is implicit, these make it. */
static bool exchange(struct side *side)
{
	enum operation order[2] = { side->witness.server ? READ : WRITE, side->witness.server ? WRITE : READ };

	for (int i = 0; i < 2; i++) {
		struct call last = drive(side, order[i]);

		if (side->implicit && !side->witness.has_facts && side->witness.outcome == COMPLETED)
			note_facts(side);
		if (last.result <= 0) {
			if (!side->witness.ended)
				fail(side, &last);
			return false;
		}
	}
	return true;
}

static bool early_data(struct side *side)
{
	struct call last;

	if (!side->witness.server) {
		last = drive(side, WRITE_EARLY);
		if (last.result != 1)
			fail(side, &last);
		return last.result == 1;
	}
	do {
		last = drive(side, READ_EARLY);
	} while (last.result != SSL_READ_EARLY_DATA_ERROR && last.result != SSL_READ_EARLY_DATA_FINISH);
	if (last.result == SSL_READ_EARLY_DATA_ERROR)
		fail(side, &last);
	return last.result != SSL_READ_EARLY_DATA_ERROR;
}

static void *run_side(void *argument)
{
	struct side *side = argument;

	side->witness.thread = side->witness.server ? "tls-server" : "tls-client";
	prctl(PR_SET_NAME, side->witness.thread);
	if (side->early && !early_data(side))
		goto out;
	if (side->implicit ? exchange(side) : handshake(side) && exchange(side))
		call(side, SHUTDOWN);
	carry_out(side);
out:
	/* A peer that still waits must hear of the end. */
	if (options.io == PIPE) {
		close(side->link.out);
		side->link.out = -1;
	} else if (side->witness.outcome == FAILED) {
		shutdown(side->link.out, SHUT_WR);
	}
	return NULL;
}

static void run_both(struct side *client, struct side *server)
{
	if (pthread_create(&server->thread, NULL, run_side, server) ||
	    pthread_create(&client->thread, NULL, run_side, client))
		die("pthread_create");
	pthread_join(client->thread, NULL);
	pthread_join(server->thread, NULL);
}

static void report_both(const struct side *client, const struct side *server)
{
	report(&client->witness);
	report(&server->witness);
}

/* ---- scenarios ---- */

static struct contexts contexts;
static atomic_uint next_pair;

static void plain(unsigned count)
{
	struct side client, server;
	SSL_SESSION *session = NULL;
	bool early = !strncmp(options.scenario, "early-data", 10);

	for (unsigned i = 0; i < count; i++) {
		open_pair(&contexts, &client, &server, next_pair++);
		if (session)
			SSL_set_session(client.ssl, session);
		client.early = early && session;
		/* A server that never asks for early data rejects it. */
		server.early = client.early && is_scenario("early-data");
		run_both(&client, &server);
		report_both(&client, &server);
		if (session)
			SSL_SESSION_free(session);
		session = options.resume && client.witness.outcome == COMPLETED ? SSL_get1_session(client.ssl) : NULL;
		close_pair(&client, &server);
	}
	if (session)
		SSL_SESSION_free(session);
}

static void scenario_plain(void)
{
	plain(options.count);
}

/* A process each: gone before anybody has looked what it runs. */
static void scenario_children(void)
{
	for (unsigned i = 0; i < options.count; i++) {
		pid_t child = fork();
		int status;

		check(child, "fork");
		if (!child) {
			plain(1);
			_exit(0);
		}
		waitpid(child, &status, 0);
		if (status)
			die("a child ended with %d", status);
	}
}

/* The SYN waits for the first bytes, and those for a while: the server comes about meanwhile. */
static void *run_fast_open_server(void *argument)
{
	struct side *server = argument;

	server->link.in = server->link.out = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	check(server->link.in, "accept");
	prepare(server, true, next_pair);
	return run_side(server);
}

static void scenario_fast_open(void)
{
	struct side client, server;

	options.io = FASTOPEN;
	for (unsigned i = 0; i < options.count; i++) {
		struct link links[2];

		connect_links(&links[0], &links[1]);
		client = (struct side){ .ssl = SSL_new(contexts.client), .link = links[0] };
		server = (struct side){ .ssl = SSL_new(contexts.server), .link = links[1] };
		prepare(&client, false, next_pair);
		if (pthread_create(&server.thread, NULL, run_fast_open_server, &server))
			die("pthread_create");
		sleep_ms(options.hold_ms);
		if (pthread_create(&client.thread, NULL, run_side, &client))
			die("pthread_create");
		pthread_join(client.thread, NULL);
		pthread_join(server.thread, NULL);
		/* Only now it has addresses. */
		note_addresses(&client.witness, &client.link);
		report_both(&client, &server);
		close_pair(&client, &server);
		next_pair++;
	}
}

static void scenario_early_data(void)
{
	options.resume = true;
	plain(options.count < 2 ? 2 : options.count);
}

static void *worker(void *argument)
{
	plain(*(unsigned *)argument);
	return NULL;
}

static void scenario_many(void)
{
	unsigned share = options.count / options.threads;
	pthread_t *threads = calloc(options.threads, sizeof(*threads));

	if (!threads)
		die("calloc");
	for (unsigned i = 0; i < options.threads; i++) {
		if (pthread_create(&threads[i], NULL, worker, &share))
			die("pthread_create");
	}
	for (unsigned i = 0; i < options.threads; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* Both sides are driven by this thread: ClientHello out, then the server's flight out; neither is done. */
static void step(struct side *side)
{
	struct call one;

	if (side->witness.start)
		wait_for(side->link.in, POLLIN);
	else if (side->witness.server)
		wait_for(side->link.in, POLLIN);
	carry_in(side);
	one = call(side, HANDSHAKE);
	carry_out(side);
	if (one.result == 1)
		complete(side);
	else if (!wants_more(&one))
		fail(side, &one);
}

static void open_half(struct side *client, struct side *server)
{
	options.nonblocking = true;
	open_pair(&contexts, client, server, next_pair++);
	step(client);
	step(server);
}

static void finish_half(struct side *client, struct side *server)
{
	for (int i = 0; i < 10 && !(client->witness.ended && server->witness.ended); i++) {
		if (!client->witness.ended)
			step(client);
		if (!server->witness.ended)
			step(server);
	}
}

/* The peer ends the connection in TLS's own way before the handshake is over. */
static void scenario_close_notify(void)
{
	static const char close_notify[] = { 21, 3, 3, 0, 2, 1, 0 };
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		if (write(client.link.out, close_notify, sizeof(close_notify)) != sizeof(close_notify))
			die("write: %s", strerror(errno));
		abandon(&client);
		step(&server);
		if (!server.witness.ended)
			die("the server did not notice");
		snprintf(server.witness.reason, sizeof(server.witness.reason), "close_notify");
		server.witness.alert = 0;
		server.witness.alert_sent = false;
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

static void scenario_free_mid_handshake(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		abandon(&client);
		SSL_free(client.ssl);
		abandon(&server);
		SSL_free(server.ssl);
		report_both(&client, &server);
		close_link(&client.link);
		close_link(&server.link);
	}
}

static void scenario_close_fd_mid_handshake(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		/* The client has unread bytes, so that its close would reset the server's socket: it goes last. */
		close_link(&server.link);
		abandon(&server);
		sleep_ms(5);
		close_link(&client.link);
		abandon(&client);
		/* What the application closed beside a memory transport, the library's objects do not have. */
		if (options.io == MEMORY)
			client.witness.end = server.witness.end = 0;
		/* Long enough that the end cannot be taken for the object's. */
		sleep_ms(30);
		SSL_free(client.ssl);
		SSL_free(server.ssl);
		report_both(&client, &server);
	}
}

static void scenario_peer_leaves(void)
{
	struct side client, server;
	struct linger linger = { 1, 0 };

	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&contexts, &client, &server, next_pair++);
		step(&client);
		if (is_scenario("reset")) {
			step(&server);
			setsockopt(client.link.in, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			close_link(&client.link);
			abandon(&client);
			sleep_ms(5);
		} else if (is_scenario("reset-before-answer")) {
			/* The ClientHello can still be read; the answer cannot be sent. */
			setsockopt(client.link.in, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			close_link(&client.link);
			abandon(&client);
			sleep_ms(5);
			step(&server);
		} else {
			close_link(&client.link);
			abandon(&client);
			sleep_ms(5);
			step(&server);
		}
		if (options.io == MEMORY)
			client.witness.end = 0;
		if (!server.witness.ended)
			step(&server);
		if (!server.witness.ended)
			die("the server did not notice");
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* As reset, while the server's call waits in the socket. */
static void scenario_reset_in_call(void)
{
	struct side client, server;
	struct linger linger = { 1, 0 };

	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&contexts, &client, &server, next_pair++);
		client.nonblocking = true;
		set_nonblocking(&client.link);
		if (pthread_create(&server.thread, NULL, run_side, &server))
			die("pthread_create");
		step(&client);
		wait_for(client.link.in, POLLIN);
		sleep_ms(10);
		setsockopt(client.link.in, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close_link(&client.link);
		abandon(&client);
		pthread_join(server.thread, NULL);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* A peer that does not speak TLS, or does not speak at all. */
static void scenario_stranger(void)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const char garbage[] = "\x01\x02\x03\x04\x05\x06\x07\x08\x09garbage garbage garbage";
	struct side client, server;

	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&contexts, &client, &server, next_pair++);
		if (is_scenario("silent-client")) {
			struct call first = call(&server, HANDSHAKE);

			if (!wants_more(&first))
				die("the server did not wait");
			sleep_ms(30);
			abandon(&server);
			SSL_free(server.ssl);
			server.ssl = NULL;
		} else {
			const char *text = is_scenario("garbage") ? garbage : http;

			if (write(client.link.out, text, strlen(text)) < 0)
				die("write: %s", strerror(errno));
			step(&server);
			if (!server.witness.ended)
				die("the server did not notice");
		}
		report(&server.witness);
		close_pair(&client, &server);
	}
}

static void scenario_kill(void)
{
	struct side client, server;

	open_half(&client, &server);
	client.witness.outcome = server.witness.outcome = ABANDONED;
	client.witness.end = server.witness.end = 0;
	report_both(&client, &server);
	kill(getpid(), SIGKILL);
}

static void scenario_exec_mid(void)
{
	struct side client, server;
	char *arguments[64];
	int count = 0;

	open_half(&client, &server);
	client.witness.outcome = server.witness.outcome = ABANDONED;
	client.witness.end = server.witness.end = 0;
	report_both(&client, &server);
	/* The same again, with the plain scenario: the last --scenario counts. */
	for (char **at = program_arguments; *at && count < 60; at++)
		arguments[count++] = *at;
	arguments[count++] = "--scenario";
	arguments[count++] = "plain";
	arguments[count] = NULL;
	execv("/proc/self/exe", arguments);
	die("exec: %s", strerror(errno));
}

static void scenario_clear_reuse(void)
{
	struct side client, server;

	open_pair(&contexts, &client, &server, next_pair++);
	for (unsigned i = 0; i < options.count; i++) {
		if (i) {
			close_link(&client.link);
			close_link(&server.link);
			if (SSL_clear(client.ssl) != 1 || SSL_clear(server.ssl) != 1)
				die("SSL_clear");
			connect_links(&client.link, &server.link);
			prepare(&client, false, next_pair);
			prepare(&server, true, next_pair++);
		}
		run_both(&client, &server);
		report_both(&client, &server);
	}
	close_pair(&client, &server);
}

/* Unfinished and finished handshakes in turn, so that the allocator gives both the same addresses. */
static void scenario_address_reuse(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		abandon(&client);
		SSL_free(client.ssl);
		abandon(&server);
		SSL_free(server.ssl);
		report_both(&client, &server);
		close_link(&client.link);
		close_link(&server.link);
		options.nonblocking = false;
		plain(1);
	}
}

/* As free-mid-handshake, but another reference lives on: the handshake goes on and completes. */
static void scenario_up_ref(void)
{
	struct side client, server;

	for (unsigned i = 0; i < options.count; i++) {
		open_half(&client, &server);
		SSL_up_ref(client.ssl);
		SSL_up_ref(server.ssl);
		SSL_free(client.ssl);
		SSL_free(server.ssl);
		sleep_ms(2);
		finish_half(&client, &server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* Parent and child each make a handshake on objects that stand at the same addresses. */
static void scenario_fork_after_new(void)
{
	struct side client[2], server[2];
	pid_t child;
	int status;

	for (int i = 0; i < 2; i++) {
		struct link links[2];

		if (i) {
			/* The child's connections: another link for the objects that it inherits. */
			client[1] = client[0];
			server[1] = server[0];
			connect_links(&links[0], &links[1]);
			client[1].link = links[0];
			server[1].link = links[1];
		} else {
			open_pair(&contexts, &client[0], &server[0], next_pair++);
		}
	}
	child = fork();
	check(child, "fork");
	if (!child) {
		prepare(&client[1], false, next_pair);
		prepare(&server[1], true, next_pair);
		run_both(&client[1], &server[1]);
		report_both(&client[1], &server[1]);
		_exit(0);
	}
	run_both(&client[0], &server[0]);
	report_both(&client[0], &server[0]);
	waitpid(child, &status, 0);
	close_pair(&client[0], &server[0]);
	close_link(&client[1].link);
	close_link(&server[1].link);
}

/* A child goes on with its copies of the objects; the parent gives its own up. */
static void scenario_fork_mid(void)
{
	struct side client, server;
	pid_t child;
	int status;

	open_half(&client, &server);
	child = fork();
	check(child, "fork");
	if (!child) {
		finish_half(&client, &server);
		report_event("completed by a child", false, client.witness.start, client.witness.end);
		report_event("completed by a child", true, server.witness.start, server.witness.end);
		_exit(0);
	}
	waitpid(child, &status, 0);
	abandon(&client);
	SSL_free(client.ssl);
	abandon(&server);
	SSL_free(server.ssl);
	report_both(&client, &server);
	close_link(&client.link);
	close_link(&server.link);
}

static void scenario_async(void)
{
	struct side client, server;

	NEED(ASYNC_pause_job);
	if (!ASYNC_is_capable())
		unsupported("async");
	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&contexts, &client, &server, next_pair++);
		SSL_ctrl(server.ssl, SSL_CTRL_MODE, SSL_MODE_ASYNC, NULL);
		SSL_ctrl(client.ssl, SSL_CTRL_MODE, SSL_MODE_ASYNC, NULL);
		run_both(&client, &server);
		report_both(&client, &server);
		close_pair(&client, &server);
	}
}

/* While one server's job is stopped, its thread begins another handshake, as an event loop does. */
static void scenario_async_interleaved(void)
{
	struct side client[2], server[2];
	bool open[2] = { true, true };

	NEED(ASYNC_pause_job);
	if (!ASYNC_is_capable())
		unsupported("async");
	options.nonblocking = true;
	for (unsigned i = 0; i < options.count; i++) {
		for (int j = 0; j < 2; j++) {
			open_pair(&contexts, &client[j], &server[j], next_pair++);
			SSL_ctrl(server[j].ssl, SSL_CTRL_MODE, SSL_MODE_ASYNC, NULL);
			step(&client[j]);
		}
		/* Both stop in their jobs, one after the other; then each goes on. */
		for (int round = 0; round < 10 && (open[0] || open[1]); round++) {
			for (int j = 0; j < 2; j++) {
				struct call one;

				if (!server[j].witness.ended) {
					carry_in(&server[j]);
					one = call(&server[j], HANDSHAKE);
					carry_out(&server[j]);
					if (one.result == 1)
						complete(&server[j]);
					else if (!wants_more(&one))
						fail(&server[j], &one);
				}
			}
			for (int j = 0; j < 2; j++) {
				if (!client[j].witness.ended && round)
					step(&client[j]);
				open[j] = !client[j].witness.ended || !server[j].witness.ended;
			}
		}
		for (int j = 0; j < 2; j++) {
			report_both(&client[j], &server[j]);
			close_pair(&client[j], &server[j]);
			open[j] = true;
		}
	}
}

/* Drives both sides from this thread until the bytes that the reader waits for have come. */
static void converse(struct side *writer, struct side *reader)
{
	for (int i = 0; i < 20; i++) {
		struct call wrote = call(writer, WRITE);
		struct call read;

		if (wrote.result > 0)
			break;
		wait_for(reader->link.in, POLLIN);
		read = call(reader, READ);
		if (!wants_more(&read))
			break;
	}
	for (int i = 0; i < 20; i++) {
		struct call read;

		wait_for(reader->link.in, POLLIN);
		read = call(reader, READ);
		if (!wants_more(&read))
			break;
		/* What the reader answered (a key update, a certificate) is read by the writer. */
		call(writer, READ);
	}
}

/* What comes after a handshake and is none in TLS 1.3; in TLS 1.2 a second one on the same connection. */
static void scenario_after_handshake(void)
{
	struct side client, server;
	struct witness refused;
	uint64_t begin;

	if (is_scenario("post-handshake-auth"))
		NEED(SSL_verify_client_post_handshake);
	for (unsigned i = 0; i < options.count; i++) {
		options.nonblocking = true;
		open_pair(&contexts, &client, &server, next_pair++);
		if (is_scenario("post-handshake-auth"))
			SSL_set_post_handshake_auth(client.ssl, 1);
		step(&client);
		step(&server);
		finish_half(&client, &server);
		if (server.witness.outcome != COMPLETED || client.witness.outcome != COMPLETED)
			die("the handshake did not complete");
		converse(&client, &server);
		converse(&server, &client);
		begin = now();
		if (is_scenario("renegotiate")) {
			SSL_renegotiate(server.ssl);
			call(&server, HANDSHAKE);
		} else if (is_scenario("refused-renegotiation")) {
			SSL_renegotiate(client.ssl);
			call(&client, HANDSHAKE);
			call(&server, READ);
			call(&client, READ);
			report_both(&client, &server);
			/* The server goes on as before; the client takes the refusal for the end. */
			refused = client.witness;
			refused.start = begin;
			refused.end = now();
			refused.enter = refused.exit = refused.calls = 0;
			refused.outcome = FAILED;
			refused.has_facts = false;
			refused.alert = 100;
			refused.alert_sent = false;
			snprintf(refused.reason, sizeof(refused.reason), "no_renegotiation");
			report(&refused);
			close_pair(&client, &server);
			continue;
		} else if (is_scenario("key-update")) {
			SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED);
			call(&client, HANDSHAKE);
		} else {
			SSL_set_verify(server.ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
			if (SSL_verify_client_post_handshake(server.ssl) != 1)
				die("SSL_verify_client_post_handshake");
			call(&server, HANDSHAKE);
		}
		for (int j = 0; j < 6; j++) {
			call(&client, READ);
			call(&server, READ);
		}
		converse(&client, &server);
		converse(&server, &client);
		report_both(&client, &server);
		report_event(options.scenario, false, begin, now());
		report_event(options.scenario, true, begin, now());
		close_pair(&client, &server);
	}
}

/* ---- TLS inside TLS ---- */

struct nested {
	struct side outer, inner;
};

static void *run_nested(void *argument)
{
	struct nested *nested = argument;

	/* The inner handshake's first write or read makes the outer one, within the same call. */
	if (handshake(&nested->inner))
		exchange(&nested->inner);
	if (nested->outer.witness.outcome == COMPLETED)
		note_facts(&nested->outer);
	return NULL;
}

static void nest(struct nested *nested, bool server)
{
	BIO *bio = BIO_new(BIO_f_ssl());

	BIO_ctrl(bio, BIO_C_SET_SSL, 0, nested->outer.ssl);
	nested->inner = (struct side){ .ssl = SSL_new(server ? contexts.server : contexts.client),
				       .link = nested->outer.link };
	SSL_set_bio(nested->inner.ssl, bio, bio);
	new_witness(&nested->inner, server, nested->outer.witness.pair);
	nested->inner.witness.note = "inner";
	nested->outer.witness.note = "outer";
	nested->outer.witness.implicit = true;
	if (server) {
		SSL_set_accept_state(nested->inner.ssl);
	} else {
		SSL_set_connect_state(nested->inner.ssl);
		if (options.sni)
			SSL_ctrl(nested->inner.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)options.sni);
	}
}

static void scenario_nested(void)
{
	struct nested client, server;
	pthread_t thread;

	for (unsigned i = 0; i < options.count; i++) {
		open_pair(&contexts, &client.outer, &server.outer, next_pair++);
		nest(&client, false);
		nest(&server, true);
		if (pthread_create(&thread, NULL, run_nested, &server))
			die("pthread_create");
		run_nested(&client);
		pthread_join(thread, NULL);
		report_both(&client.outer, &server.outer);
		report_both(&client.inner, &server.inner);
		SSL_free(client.inner.ssl);
		SSL_free(server.inner.ssl);
		close_pair(&client.outer, &server.outer);
	}
}

/* ---- QUIC ---- */

static const unsigned char quic_protocol[] = { 2, 'h', '3' };

static int on_quic_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
			unsigned int offered_length, void *argument)
{
	(void)ssl;
	(void)argument;
	if (offered_length < sizeof(quic_protocol) || memcmp(offered, quic_protocol, sizeof(quic_protocol)))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = offered + 1;
	*length = 2;
	return SSL_TLSEXT_ERR_OK;
}

struct quic_server {
	SSL *listener;
	struct side side;
};

static void *run_quic_server(void *argument)
{
	struct quic_server *server = argument;

	server->side.ssl = SSL_accept_connection(server->listener, 0);
	if (!server->side.ssl)
		die("SSL_accept_connection");
	/* How much of the handshake the listener has made already is its own affair: no times of ours. */
	server->side.witness = (struct witness){ .server = true, .alert = -1, .transport = QUIC };
	server->side.witness.end = 0;
	if (handshake(&server->side)) {
		server->side.witness.end = 0;
		server->side.witness.busy = 0;
	}
	return NULL;
}

static SSL_CTX *new_quic_context(bool server)
{
	SSL_CTX *context = SSL_CTX_new(server ? OSSL_QUIC_server_method() : OSSL_QUIC_client_method());

	if (!context)
		die("SSL_CTX_new for QUIC");
	if (server) {
		use_certificate(context, "server");
		SSL_CTX_set_alpn_select_cb(context, on_quic_alpn, NULL);
	} else {
		trust(context, "ca", SSL_VERIFY_PEER);
		SSL_CTX_set_alpn_protos(context, quic_protocol, sizeof(quic_protocol));
	}
	return context;
}

static int bind_udp(struct sockaddr_storage *address)
{
	socklen_t length = loopback(address, TCP);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	check(fd, "socket");
	check(bind(fd, (struct sockaddr *)address, length), "bind");
	check(getsockname(fd, (struct sockaddr *)address, &length), "getsockname");
	return fd;
}

static void quic_once(SSL_CTX *client_context, SSL_CTX *server_context)
{
	struct sockaddr_storage addresses[2];
	struct sockaddr_in *peer = (struct sockaddr_in *)&addresses[1];
	int fd[2] = { bind_udp(&addresses[0]), bind_udp(&addresses[1]) };
	struct quic_server server = { .listener = SSL_new_listener(server_context, 0) };
	struct side client = { .ssl = SSL_new(client_context), .link = { fd[0], fd[0], NULL, NULL, 0, 0 } };
	void *address = BIO_ADDR_new();
	pthread_t thread;

	if (!server.listener || !client.ssl || !address)
		die("QUIC objects");
	SSL_set_fd(server.listener, fd[1]);
	if (SSL_listen(server.listener) != 1)
		die("SSL_listen");
	SSL_set_fd(client.ssl, fd[0]);
	BIO_ADDR_rawmake(address, AF_INET, &peer->sin_addr, sizeof(peer->sin_addr), peer->sin_port);
	if (SSL_set1_initial_peer_addr(client.ssl, address) != 1)
		die("SSL_set1_initial_peer_addr");
	SSL_set_connect_state(client.ssl);
	if (options.sni)
		SSL_ctrl(client.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)options.sni);
	client.witness = (struct witness){ .alert = -1, .transport = QUIC };
	if (options.sni)
		snprintf(client.witness.sni, sizeof(client.witness.sni), "%s", options.sni);
	if (pthread_create(&thread, NULL, run_quic_server, &server))
		die("pthread_create");
	handshake(&client);
	pthread_join(thread, NULL);
	report_both(&client, &server.side);
	SSL_free(client.ssl);
	SSL_free(server.side.ssl);
	SSL_free(server.listener);
	BIO_ADDR_free(address);
	close(fd[0]);
	close(fd[1]);
}

static void scenario_quic(void)
{
	SSL_CTX *client, *server;

	NEED(OSSL_QUIC_client_method);
	NEED(OSSL_QUIC_server_method);
	NEED(SSL_new_listener);
	options.io = UDP;
	client = new_quic_context(false);
	server = new_quic_context(true);
	for (unsigned i = 0; i < options.count; i++)
		quic_once(client, server);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

/* ---- the command line ---- */

static const struct scenario {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "plain", scenario_plain },
	{ "no-alpn", scenario_plain },
	{ "unknown-ca", scenario_plain },
	{ "expired", scenario_plain },
	{ "wrong-host", scenario_plain },
	{ "version", scenario_plain },
	{ "no-shared-cipher", scenario_plain },
	{ "client-cert-missing", scenario_plain },
	{ "client-cert-bad", scenario_plain },
	{ "client-cert-good", scenario_plain },
	{ "thread-handoff", scenario_plain },
	{ "dtls", scenario_plain },
	{ "hrr", scenario_plain },
	{ "early-data", scenario_early_data },
	{ "early-data-rejected", scenario_early_data },
	{ "many", scenario_many },
	{ "children", scenario_children },
	{ "callback-asks", scenario_plain },
	{ "callback-asks-first", scenario_plain },
	{ "callback-sleeps", scenario_plain },
	{ "callback-suspends", scenario_plain },
	{ "hello-refused", scenario_plain },
	{ "fast-open", scenario_fast_open },
	{ "close-notify", scenario_close_notify },
	{ "refused-renegotiation", scenario_after_handshake },
	{ "peer-closes-after-hello", scenario_peer_leaves },
	{ "reset", scenario_peer_leaves },
	{ "reset-before-answer", scenario_peer_leaves },
	{ "reset-in-call", scenario_reset_in_call },
	{ "garbage", scenario_stranger },
	{ "plain-http", scenario_stranger },
	{ "silent-client", scenario_stranger },
	{ "free-mid-handshake", scenario_free_mid_handshake },
	{ "close-fd-mid-handshake", scenario_close_fd_mid_handshake },
	{ "kill", scenario_kill },
	{ "exec-mid", scenario_exec_mid },
	{ "clear-reuse", scenario_clear_reuse },
	{ "address-reuse", scenario_address_reuse },
	{ "up-ref", scenario_up_ref },
	{ "fork-after-new", scenario_fork_after_new },
	{ "fork-mid", scenario_fork_mid },
	{ "async", scenario_async },
	{ "async-interleaved", scenario_async_interleaved },
	{ "renegotiate", scenario_after_handshake },
	{ "key-update", scenario_after_handshake },
	{ "post-handshake-auth", scenario_after_handshake },
	{ "nested", scenario_nested },
	{ "quic", scenario_quic },
};

enum option_code {
	LIBSSL_PATH = 256, LIBCRYPTO_PATH, CERTIFICATES, CERT, KEY, CA, SCENARIO, COUNT, THREADS, TLS, BLOCKING,
	NONBLOCKING, IO, ALPN, SERVER_ALPN, SNI, RESUME, GROUP, SERVER_GROUP, CIPHER, DELAY_CLIENT, DELAY_SERVER,
	IMPLICIT, SPIN, HOLD, LIST,
};

static const struct option long_options[] = {
	{ "libssl", required_argument, NULL, LIBSSL_PATH },
	{ "libcrypto", required_argument, NULL, LIBCRYPTO_PATH },
	{ "certificates", required_argument, NULL, CERTIFICATES },
	{ "cert", required_argument, NULL, CERT },
	{ "key", required_argument, NULL, KEY },
	{ "ca", required_argument, NULL, CA },
	{ "scenario", required_argument, NULL, SCENARIO },
	{ "count", required_argument, NULL, COUNT },
	{ "threads", required_argument, NULL, THREADS },
	{ "tls", required_argument, NULL, TLS },
	{ "blocking", no_argument, NULL, BLOCKING },
	{ "nonblocking", no_argument, NULL, NONBLOCKING },
	{ "io", required_argument, NULL, IO },
	{ "alpn", required_argument, NULL, ALPN },
	{ "server-alpn", required_argument, NULL, SERVER_ALPN },
	{ "sni", required_argument, NULL, SNI },
	{ "resume", no_argument, NULL, RESUME },
	{ "group", required_argument, NULL, GROUP },
	{ "server-group", required_argument, NULL, SERVER_GROUP },
	{ "cipher", required_argument, NULL, CIPHER },
	{ "delay-client-ms", required_argument, NULL, DELAY_CLIENT },
	{ "delay-server-ms", required_argument, NULL, DELAY_SERVER },
	{ "implicit", no_argument, NULL, IMPLICIT },
	{ "spin", no_argument, NULL, SPIN },
	{ "hold-ms", required_argument, NULL, HOLD },
	{ "list", no_argument, NULL, LIST },
	{ NULL, 0, NULL, 0 },
};

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > 1000000)
		die("not a number: %s", text);
	return (unsigned)value;
}

static enum transport transport_named(const char *name)
{
	for (size_t i = 0; i < sizeof(transport_names) / sizeof(*transport_names); i++) {
		if (!strcmp(name, transport_names[i]))
			return (enum transport)i;
	}
	die("no such transport: %s", name);
}

static void list_scenarios(void)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		puts(scenarios[i].name);
}

static void parse(int count, char **arguments)
{
	int code;

	while ((code = getopt_long(count, arguments, "", long_options, NULL)) != -1) {
		switch (code) {
		case LIBSSL_PATH: options.libssl = optarg; break;
		case LIBCRYPTO_PATH: options.libcrypto = optarg; break;
		case CERTIFICATES: options.certificates = optarg; break;
		case CERT: options.cert = optarg; break;
		case KEY: options.key = optarg; break;
		case CA: options.ca = optarg; break;
		case SCENARIO: options.scenario = optarg; break;
		case COUNT: options.count = number(optarg); break;
		case THREADS: options.threads = number(optarg); break;
		case TLS: options.tls = optarg; break;
		case BLOCKING: options.nonblocking = false; break;
		case NONBLOCKING: options.nonblocking = true; break;
		case IO: options.io = transport_named(optarg); break;
		case ALPN: options.alpn = optarg; break;
		case SERVER_ALPN: options.server_alpn = optarg; break;
		case SNI: options.sni = optarg; break;
		case RESUME: options.resume = true; break;
		case GROUP: options.group = optarg; break;
		case SERVER_GROUP: options.server_group = optarg; break;
		case CIPHER: options.cipher = optarg; break;
		case DELAY_CLIENT: options.delay_ms[0] = number(optarg); break;
		case DELAY_SERVER: options.delay_ms[1] = number(optarg); break;
		case IMPLICIT: options.implicit = true; break;
		case SPIN: options.spin = options.nonblocking = true; break;
		case HOLD: options.hold_ms = number(optarg); break;
		case LIST: list_scenarios(); exit(0);
		default: exit(64);
		}
	}
	if (optind != count)
		die("unexpected argument: %s", arguments[optind]);
}

/* What a scenario needs unless the command line says otherwise. */
static void fill_options(void)
{
	if (is_scenario("dtls") || (options.tls && !strcmp(options.tls, "dtls1.2"))) {
		options.io = UDP;
		options.tls = "dtls1.2";
	}
	if (is_scenario("no-alpn")) {
		options.alpn = options.alpn ? options.alpn : "h2";
		options.server_alpn = options.server_alpn ? options.server_alpn : "http/1.1";
	}
	if (is_scenario("hrr")) {
		options.group = options.group ? options.group : "X25519:P-256";
		options.server_group = options.server_group ? options.server_group : "P-256";
	}
	if (is_scenario("renegotiate") || is_scenario("refused-renegotiation") || is_scenario("close-notify"))
		options.tls = "1.2";
	/* Only between calls can a handshake be held up. */
	if (is_scenario("callback-suspends"))
		options.nonblocking = true;
	if (!options.server_alpn)
		options.server_alpn = options.alpn;
	if (options.server_alpn && !strcmp(options.server_alpn, "none"))
		options.server_alpn = NULL;
	if (options.alpn && !strcmp(options.alpn, "none"))
		options.alpn = NULL;
	if (is_scenario("many") && options.threads == 1)
		options.threads = 8;
	if (!options.threads || options.threads > 256)
		die("--threads: 1 to 256");
}

int main(int count, char **arguments)
{
	program_arguments = arguments;
	parse(count, arguments);
	fill_options();
	signal(SIGPIPE, SIG_IGN);
	load_libraries();
	contexts = new_contexts();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (!is_scenario(scenarios[i].name))
			continue;
		scenarios[i].run();
		SSL_CTX_free(contexts.client);
		SSL_CTX_free(contexts.server);
		return 0;
	}
	die("no such scenario: %s", options.scenario);
}
