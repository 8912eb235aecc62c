// SPDX-License-Identifier: Apache-2.0
/*
 * Full TLS 1.3 handshakes against a loopback port, one after the other, for a number of milliseconds or a
 * count: `handshakes PORT WORKER ms 600`, `handshakes PORT WORKER count 1000`; of TLS 1.2 with `1.2` behind that.
 * Nothing is resumed. Prints how many were made, and the CPU nanoseconds of one in the server's process WORKER, all
 * threads: over slices of 20 handshakes, their lower quartile, since what else runs on a shared machine only ever adds,
 * and adds in bursts.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static clockid_t worker_clock;

/* The server's CPU time. Exact between handshakes: it is asleep then. */
static double cpu_ns(void)
{
	struct timespec time = { 0 };

	if (clock_gettime(worker_clock, &time) < 0) {
		perror("handshakes: the server's clock");
		exit(1);
	}
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return difference < 0 ? -1 : difference > 0;
}

static int handshake(SSL_CTX *context, const struct sockaddr_in *address)
{
	int descriptor = socket(AF_INET, SOCK_STREAM, 0), done = 0;
	char rest[4096];
	SSL *ssl = SSL_new(context);

	if (descriptor >= 0 && ssl && connect(descriptor, (const struct sockaddr *)address, sizeof(*address)) == 0) {
		SSL_set_fd(ssl, descriptor);
		done = SSL_connect(ssl) == 1;
		/*
		 * The server's last step is to read our Finished: end the stream behind it and wait for the
		 * server's own end, so that every handshake counted was completed on both sides.
		 */
		shutdown(descriptor, SHUT_WR);
		while (read(descriptor, rest, sizeof(rest)) > 0)
			;
	}
	SSL_free(ssl);
	if (descriptor >= 0)
		close(descriptor);
	return done;
}

int main(int argc, char **argv)
{
	enum { SLICE = 20, SLICES = 65536 };
	static double slice[SLICES];
	struct sockaddr_in address = { .sin_family = AF_INET };
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	unsigned long made = 0, slices = 0;
	double end, spent;
	int by_time, version;

	if (argc < 5 || argc > 6 || !context || clock_getcpuclockid(atoi(argv[2]), &worker_clock) != 0) {
		fprintf(stderr, "usage: handshakes PORT WORKER ms|count NUMBER [1.2|1.3]\n");
		return 64;
	}
	version = argc == 6 && strcmp(argv[5], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	SSL_CTX_set_min_proto_version(context, version);
	SSL_CTX_set_max_proto_version(context, version);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	by_time = strcmp(argv[3], "ms") == 0;
	end = now_ms() + atof(argv[4]);
	spent = cpu_ns();
	while (slices < SLICES && (by_time ? now_ms() < end : made < strtoul(argv[4], NULL, 10))) {
		if (!handshake(context, &address)) {
			fprintf(stderr, "handshakes: a handshake failed after %lu\n", made);
			return 1;
		}
		if (++made % SLICE == 0) {
			double now = cpu_ns();

			slice[slices++] = (now - spent) / SLICE;
			spent = now;
		}
	}
	qsort(slice, slices, sizeof(slice[0]), ascending);
	printf("%lu %.0f\n", made, slices ? slice[slices / 4] : 0);
	SSL_CTX_free(context);
	return 0;
}
