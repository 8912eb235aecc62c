/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbed server COUNT CERTIFICATE KEY AUTHORITY FLAGS
 * mbed client PORT COUNT CERTIFICATE KEY AUTHORITY FLAGS
 * Makes handshakes with Mbed TLS on 127.0.0.1, one after the other. The server prints "port N" first. For each handshake one
 * line: result start end version cipher protocol fd, the times in nanoseconds of CLOCK_MONOTONIC around its calls; "-" for what
 * there is not. FLAGS, or "-":
 *   s  step by step; else by mbedtls_ssl_handshake
 *   n  without blocking; else the calls wait
 *   a  offers or has the protocols h2 and http/1.1; x  offers another
 *   c  has a certificate (client), demands one (server)
 *   R  resumes the first connection's session
 *   r  renegotiates after the first handshake, with a line of its own
 *   2  (server) has one cipher, which its certificate is not for
 *   b  writes and reads a few bytes on each connection
 */
#include <arpa/inet.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *flags;
static mbedtls_ssl_config configuration;
static mbedtls_ssl_session kept;
static mbedtls_ssl_cache_context cache;
static int has_kept;

static int has(char flag)
{
	return strchr(flags, flag) != NULL;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int wait_for(int fd, int result)
{
	struct pollfd set = { .fd = fd, .events = result == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN };

	return poll(&set, 1, 10000) == 1;
}

static int shake(mbedtls_ssl_context *ssl, int fd)
{
	int result;

	for (;;) {
		result = has('s') ? mbedtls_ssl_handshake_step(ssl) : mbedtls_ssl_handshake(ssl);
		if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
			if (!wait_for(fd, result))
				return result;
		} else if (result || ssl->state == MBEDTLS_SSL_HANDSHAKE_OVER) {
			return result;
		}
	}
}

static const char *or_none(const char *text)
{
	return text ? text : "-";
}

static void tell(mbedtls_ssl_context *ssl, int fd, int result, long long start, long long end)
{
	printf("%d %lld %lld %s %s %s %d\n", result, start, end, result ? "-" : mbedtls_ssl_get_version(ssl),
	       result ? "-" : or_none(mbedtls_ssl_get_ciphersuite(ssl)),
	       result ? "-" : or_none(mbedtls_ssl_get_alpn_protocol(ssl)), fd);
	fflush(stdout);
}

static void talk(mbedtls_ssl_context *ssl, int server)
{
	unsigned char bytes[8] = "hello";
	int left = 10000, result;

	/* Non-blocking, and the peer is another process: a second at most. */
	for (int turn = 0; turn < 2; turn++) {
		do
			result = turn == server ? mbedtls_ssl_write(ssl, bytes, 5) : mbedtls_ssl_read(ssl, bytes, 5);
		while ((result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) && left-- &&
		       !usleep(100));
	}
}

static void handle(int fd, int server)
{
	mbedtls_net_context net = { .fd = fd };
	mbedtls_ssl_context ssl;
	long long start;
	int result;

	mbedtls_ssl_init(&ssl);
	if (mbedtls_ssl_setup(&ssl, &configuration))
		exit(2);
	if (!server)
		mbedtls_ssl_set_hostname(&ssl, "a.example");
	if (!server && has('R') && has_kept)
		mbedtls_ssl_set_session(&ssl, &kept);
	if (has('n'))
		mbedtls_net_set_nonblock(&net);
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
	start = now();
	result = shake(&ssl, fd);
	tell(&ssl, fd, result, start, now());
	if (!result && !server && has('R') && !has_kept)
		has_kept = !mbedtls_ssl_get_session(&ssl, &kept);
	if (!result && has('b'))
		talk(&ssl, server);
	if (!result && has('r') && !server) {
		start = now();
		do
			result = mbedtls_ssl_renegotiate(&ssl);
		while (result == MBEDTLS_ERR_SSL_WANT_READ && wait_for(fd, result));
		tell(&ssl, fd, result, start, now());
	} else if (!result && has('r')) {
		/* It happens while reading. */
		unsigned char byte;

		start = now();
		do
			result = mbedtls_ssl_read(&ssl, &byte, 1);
		while (result == MBEDTLS_ERR_SSL_WANT_READ && wait_for(fd, result));
	}
	mbedtls_ssl_close_notify(&ssl);
	/* The peer's is awaited, so that nothing of it is reset. */
	shutdown(fd, SHUT_WR);
	while (wait_for(fd, 0) && recv(fd, &(char[64]){ 0 }, 64, 0) > 0)
		;
	mbedtls_ssl_free(&ssl);
	close(fd);
}

static int listen_on_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 64) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		exit(2);
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int connect_to(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		exit(2);
	return fd;
}

int main(int count, char **arguments)
{
	static const char *protocols[] = { "h2", "http/1.1", NULL }, *strange[] = { "strange", NULL };
	static const int ciphers[] = { MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0 };
	int server = count > 1 && !strcmp(arguments[1], "server"), listener = -1;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt own, authority;
	mbedtls_entropy_context entropy;
	mbedtls_pk_context key;
	char **rest = arguments + (server ? 2 : 3);

	if (count != (server ? 7 : 8))
		return 64;
	flags = rest[4];
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_x509_crt_init(&own);
	mbedtls_x509_crt_init(&authority);
	mbedtls_pk_init(&key);
	mbedtls_ssl_config_init(&configuration);
	mbedtls_ssl_session_init(&kept);
	mbedtls_ssl_cache_init(&cache);
	if (mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) ||
	    mbedtls_x509_crt_parse_file(&own, rest[1]) || mbedtls_pk_parse_keyfile(&key, rest[2], NULL) ||
	    mbedtls_x509_crt_parse_file(&authority, rest[3]) ||
	    mbedtls_ssl_config_defaults(&configuration, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
					MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT))
		return 2;
	mbedtls_ssl_conf_rng(&configuration, mbedtls_ctr_drbg_random, &random);
	mbedtls_ssl_conf_ca_chain(&configuration, &authority, NULL);
	mbedtls_ssl_conf_authmode(&configuration,
				  !server || has('c') ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
	if (server || has('c'))
		mbedtls_ssl_conf_own_cert(&configuration, &own, &key);
	if (has('a') || has('x'))
		mbedtls_ssl_conf_alpn_protocols(&configuration, has('a') ? protocols : strange);
	if (has('r'))
		mbedtls_ssl_conf_renegotiation(&configuration, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
	if (has('2'))
		mbedtls_ssl_conf_ciphersuites(&configuration, ciphers);
	if (server)
		mbedtls_ssl_conf_session_cache(&configuration, &cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
	if (server)
		listener = listen_on_loopback();
	for (int left = atoi(rest[0]); left > 0; left--)
		handle(server ? accept(listener, NULL, NULL) : connect_to(atoi(arguments[2])), server);
	return 0;
}
