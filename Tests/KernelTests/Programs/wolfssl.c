/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wolfSSL's handshakes, one after the other, as a program makes them that uses the library directly.
 *
 *   wolfssl client PORT CA OPTION...          connects once for each CALLS option (else once)
 *   wolfssl server PORT CERTIFICATE KEY CA COUNT OPTION...
 *
 * A line for each handshake: when its first call began and its last one returned (CLOCK_MONOTONIC, nanoseconds), what
 * was called, and what the library says of it.
 *
 * OPTIONS: 12, 13 (that version alone); calls, reads (wolfSSL_connect and accept, or the first read or write makes the
 * handshake); nonblocking; alpn=LIST, insist (a failed negotiation of it is fatal); cipher=LIST; verify (the peer needs
 * a certificate), own (the client has one); group=NUMBER; resume (a second connection with the first one's session);
 * update (a key update behind the handshake); name=NAME, check=NAME (the peer's certificate is for it); again (the call once
 * more when it is done).
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int is_server, count_of_options;
static char **options;

static const char *option(const char *name)
{
	size_t length = strlen(name);

	for (int i = 0; i < count_of_options; i++)
		if (!strncmp(options[i], name, length) && (!options[i][length] || options[i][length] == '='))
			return options[i][length] ? options[i] + length + 1 : options[i];
	return NULL;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(2);
}

static WOLFSSL_CTX *context(char **files)
{
	WOLFSSL_METHOD *method;
	WOLFSSL_CTX *ctx;

	if (is_server)
		method = option("12") ? wolfTLSv1_2_server_method() :
			 option("13") ? wolfTLSv1_3_server_method() :
					wolfSSLv23_server_method();
	else
		method = option("12") ? wolfTLSv1_2_client_method() :
			 option("13") ? wolfTLSv1_3_client_method() :
					wolfSSLv23_client_method();
	ctx = wolfSSL_CTX_new(method);
	if (!ctx)
		die("no context");
	if (is_server && (wolfSSL_CTX_use_certificate_file(ctx, files[0], SSL_FILETYPE_PEM) != 1 ||
			  wolfSSL_CTX_use_PrivateKey_file(ctx, files[1], SSL_FILETYPE_PEM) != 1))
		die("no certificate");
	if (wolfSSL_CTX_load_verify_locations(ctx, files[is_server ? 2 : 0], NULL) != 1)
		die("no authority");
	wolfSSL_CTX_set_verify(ctx,
			       !is_server       ? WOLFSSL_VERIFY_PEER :
			       option("verify") ? WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT :
						  WOLFSSL_VERIFY_NONE,
			       NULL);
	if (option("cipher") && wolfSSL_CTX_set_cipher_list(ctx, option("cipher")) != 1)
		die("no such cipher");
	return ctx;
}

static WOLFSSL *connection(WOLFSSL_CTX *ctx, int fd)
{
	WOLFSSL *ssl = wolfSSL_new(ctx);
	const char *list = option("alpn"), *name = option("name");
	char protocols[64];

	if (!ssl)
		die("no connection");
	wolfSSL_set_fd(ssl, fd);
	if (option("nonblocking"))
		fcntl(fd, F_SETFL, O_NONBLOCK);
	if (list) {
		snprintf(protocols, sizeof(protocols), "%s", list);
		wolfSSL_UseALPN(ssl, protocols, strlen(protocols),
				option("insist") ? WOLFSSL_ALPN_FAILED_ON_MISMATCH : WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
	}
	if (!is_server) {
		if (name)
			wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name, strlen(name));
		if (option("check") && wolfSSL_check_domain_name(ssl, option("check")) != 1)
			die("no name");
		if (option("group"))
			wolfSSL_UseKeyShare(ssl, atoi(option("group")));
	}
	return ssl;
}

/* One call that may make the handshake, or go on with it. */
static int go_on(WOLFSSL *ssl)
{
	char page[256];

	if (!option("reads"))
		return is_server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
	return is_server ? wolfSSL_read(ssl, page, sizeof(page)) : wolfSSL_write(ssl, "GET / HTTP/1.0\r\n\r\n", 18);
}

static void await(int fd, int error)
{
	struct pollfd entry = { .fd = fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN };

	if (poll(&entry, 1, 10000) != 1)
		die("nothing came");
}

/* What comes behind the handshake: a request, a page, and with TLS 1.3 a client's tickets. */
static void talk(WOLFSSL *ssl, int fd)
{
	char page[4096];
	int got, error;

	if (option("again"))
		is_server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
	if (option("update"))
		wolfSSL_update_keys(ssl);
	if (!is_server && !option("reads"))
		wolfSSL_write(ssl, "GET / HTTP/1.0\r\n\r\n", 18);
	if (!is_server || !option("reads"))
		while ((got = wolfSSL_read(ssl, page, sizeof(page))) <= 0) {
			error = wolfSSL_get_error(ssl, got);
			if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
				break;
			await(fd, error);
		}
	if (is_server)
		wolfSSL_write(ssl, "HTTP/1.0 200 OK\r\n\r\n", 19);
	else
		wolfSSL_read(ssl, page, sizeof(page));
}

static WOLFSSL_SESSION *handshake(WOLFSSL_CTX *ctx, int fd, WOLFSSL_SESSION *session)
{
	WOLFSSL *ssl = connection(ctx, fd);
	WOLFSSL_SESSION *made = NULL;
	WOLFSSL_ALERT_HISTORY alerts;
	int result, error = 0, calls = 0;
	long long start, end;
	unsigned short length = 0;
	char *protocol = NULL;
	void *name = NULL;

	if (session)
		wolfSSL_set_session(ssl, session);
	start = now();
	for (;;) {
		calls++;
		result = go_on(ssl);
		if (result > 0)
			break;
		error = wolfSSL_get_error(ssl, result);
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
			break;
		await(fd, error);
	}
	end = now();
	wolfSSL_ALPN_GetProtocol(ssl, &protocol, &length);
	if (is_server)
		wolfSSL_SNI_GetRequest(ssl, WOLFSSL_SNI_HOST_NAME, &name);
	wolfSSL_get_alert_history(ssl, &alerts);
	printf("start=%lld end=%lld calls=%d result=%d error=%d version=%s cipher=%s curve=%s resumed=%d alpn=%.*s "
	       "sni=%s "
	       "sent=%d received=%d\n",
	       start, end, calls, result > 0, result > 0 ? 0 : error, wolfSSL_get_version(ssl),
	       result > 0 ? wolfSSL_get_cipher_name(ssl) : "-",
	       result > 0 && wolfSSL_get_curve_name(ssl) ? wolfSSL_get_curve_name(ssl) : "-",
	       wolfSSL_session_reused(ssl), length ? length : 1, length ? protocol : "-", name ? (char *)name : "-",
	       alerts.last_tx.level == alert_fatal ? alerts.last_tx.code : -1,
	       alerts.last_rx.level == alert_fatal ? alerts.last_rx.code : -1);
	fflush(stdout);
	if (result > 0)
		talk(ssl, fd);
	if (result > 0 && !is_server && option("resume"))
		made = wolfSSL_get1_session(ssl);
	wolfSSL_shutdown(ssl);
	wolfSSL_free(ssl);
	close(fd);
	return made;
}

static int open_socket(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (is_server ? bind(fd, (void *)&address, sizeof(address)) || listen(fd, 16) :
			connect(fd, (void *)&address, sizeof(address)))
		die("no socket");
	return fd;
}

int main(int argc, char **argv)
{
	WOLFSSL_SESSION *session;
	WOLFSSL_CTX *ctx;
	int fd, port;

	if (argc < 4)
		die("wolfssl client|server PORT FILE...");
	alarm(60);
	is_server = !strcmp(argv[1], "server");
	port = atoi(argv[2]);
	if (is_server && argc < 7)
		die("wolfssl server PORT CERTIFICATE KEY CA COUNT");
	options = argv + (is_server ? 7 : 4);
	count_of_options = argc - (is_server ? 7 : 4);
	wolfSSL_Init();
	ctx = context(argv + 3);
	if (is_server) {
		fd = open_socket(port);
		for (int left = atoi(argv[6]); left > 0; left--)
			handshake(ctx, accept(fd, NULL, NULL), NULL);
		return 0;
	}
	session = handshake(ctx, open_socket(port), NULL);
	if (session)
		handshake(ctx, open_socket(port), session);
	return 0;
}
