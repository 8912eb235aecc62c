// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of TLS handshakes in one thread, over loopback TCP: `pair full|resumed|tcp 1.2|1.3 CPU CERTIFICATE KEY`.
 * Nothing else runs in between, so the CPU time of the client's and of the server's steps is each end's cost.
 *
 * ECDSA P-256, x25519, ALPN chosen by a callback, two tickets in TLS 1.3. `tcp` is a connection without TLS whose four
 * flights are as large as a handshake's. The server closes with a reset, or the ports would be used up in half a
 * minute.
 *
 * A handshake counts where the machine was quiet: a computation of fixed length before and behind it, which no observer
 * reaches, took about as long as it ever does. Where something else runs on the same core's other hyperthread, it and
 * handshakes take half as long again, for milliseconds or for seconds.
 *
 * It reads commands from standard input, a line each, and answers each with a line, `ok …` or `error …`:
 *
 *	round N			nanoseconds of CPU time, server and client: the lower quartiles of N handshakes; how
 *				many those were (fewer than N where the machine was hardly ever quiet), and of how many
 *	warm N			N handshakes of which nothing is told
 *	runs N			how often BPF programs ran for a handshake, the mean of N: at uprobes (server, client),
 *				at tracepoints (server, client)
 *	count			from now on runs are counted, for handshakes that another program makes
 *	counts			how often and for how many nanoseconds programs have run: runs at uprobes, at tracepoints,
 *				nanoseconds at uprobes, at tracepoints
 *	counted			the same for the last time
 *	known			the BPF programs that are loaded now are those of others: `runs` does not count them
 *	sites			where breakpoints stand in the loaded libssl and libcrypto: path:offset[,offset…] …
 *	programs		the ids of the BPF programs that trace
 *	library			the file of the loaded libssl, and its version
 *	empty PATH OFFSET…	attaches an empty program at hexadecimal offsets in a file
 *	tracepoints NAME…	attaches an empty program at each of these tracepoints
 *	detach			takes both off
 *	spin N			from now on each side spins for N nanoseconds in every handshake: an added cost that is known
 */
#define _GNU_SOURCE
#include "probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_HANDSHAKES = 5000, MOST_PROGRAMS = 1024, MOST_SITES = 256, LINE = 65536 };
enum { PATIENCE = 10, MOST_MADE = PATIENCE * MOST_HANDSHAKES };
enum side { SERVER, CLIENT };

/* How much longer than at best the computation may take beside a handshake that counts. */
static const double QUIET = 1.1;
static const uint64_t LONGEST_NS = 3000000000;

static const unsigned char PROTOCOLS[] = "\x02h2\x08http/1.1";

static SSL_CTX *server_context, *client_context;
static SSL_SESSION *session;
static int keep_sessions, plain_tcp, resume;
static uint64_t spin_ns;
static int listener;
static struct sockaddr_in address = { .sin_family = AF_INET };
static uint32_t known_programs[MOST_PROGRAMS];
static int known_count;

/* What is metered at the border of two steps, and how much of it each side has had in this handshake. */
static uint64_t (*meter)(void);
static uint64_t last;
static double spent[2];
static double figures[2][MOST_HANDSHAKES];

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* By the clock that needs no system call: the other one would add its own time. */
static void spin(void)
{
	uint64_t end;

	if (!spin_ns)
		return;
	end = clock_ns(CLOCK_MONOTONIC) + spin_ns;
	while (clock_ns(CLOCK_MONOTONIC) < end)
		;
}

/* What happened since the last border was done by this side. */
static void step_of(enum side side)
{
	uint64_t now = meter();

	spent[side] += now - last;
	last = now;
}

static int select_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
			   unsigned int offered_length, void *unused)
{
	(void)ssl;
	(void)unused;
	if (SSL_select_next_proto((unsigned char **)chosen, length, PROTOCOLS, sizeof(PROTOCOLS) - 1, offered,
				  offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static int keep_session(SSL *ssl, SSL_SESSION *offered)
{
	(void)ssl;
	if (!keep_sessions)
		return 0;
	SSL_SESSION_free(session);
	session = offered;
	return 1;
}

static int fail(const char *what)
{
	unsigned long code = ERR_get_error();

	printf("error %s: %s\n", what, code ? ERR_reason_error_string(code) : strerror(errno));
	return -1;
}

static int handshake_tls(int server_socket, int client_socket, SSL *server)
{
	int server_done = 0, client_done = 0, reused;
	SSL *client = SSL_new(client_context);
	char rest[64];

	if (!client)
		return fail("SSL_new");
	SSL_set_fd(client, client_socket);
	SSL_set_tlsext_host_name(client, "a.example");
	if (resume && session)
		SSL_set_session(client, session);
	SSL_set_connect_state(client);
	step_of(CLIENT);
	for (int turn = 0; turn < 10 && !(server_done == 1 && client_done == 1); turn++) {
		if (client_done != 1)
			client_done = SSL_do_handshake(client);
		step_of(CLIENT);
		if (server_done != 1)
			server_done = SSL_do_handshake(server);
		step_of(SERVER);
	}
	/* The tickets of TLS 1.3. */
	SSL_read(client, rest, sizeof(rest));
	step_of(CLIENT);
	reused = SSL_session_reused(client);
	/* Or SSL_free() would spoil the session that the next one resumes. */
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(server);
	close(server_socket);
	step_of(SERVER);
	SSL_free(client);
	close(client_socket);
	step_of(CLIENT);
	if (server_done != 1 || client_done != 1)
		return fail("handshake");
	if (reused != (resume && !keep_sessions)) {
		printf("error a handshake was %s\n", reused ? "resumed" : "not resumed");
		return -1;
	}
	return 0;
}

static int flight(int from, int to, size_t length)
{
	static char data[4096];

	return send(from, data, length, 0) == (ssize_t)length ? to : -1;
}

static int arrives(int at, size_t length)
{
	static char data[4096];
	size_t got = 0;

	while (got < length) {
		ssize_t part = recv(at, data, length - got, 0);

		if (part <= 0)
			return -1;
		got += part;
	}
	return 0;
}

/* Hello; the server's flight; Finished; tickets. */
static int exchange_tcp(int server_socket, int client_socket)
{
	int broken = 0;

	broken |= flight(client_socket, server_socket, 256) < 0;
	step_of(CLIENT);
	broken |= arrives(server_socket, 256) < 0 || flight(server_socket, client_socket, 896) < 0;
	step_of(SERVER);
	broken |= arrives(client_socket, 896) < 0 || flight(client_socket, server_socket, 80) < 0;
	step_of(CLIENT);
	broken |= arrives(server_socket, 80) < 0 || flight(server_socket, client_socket, 510) < 0;
	step_of(SERVER);
	broken |= arrives(client_socket, 510) < 0;
	step_of(CLIENT);
	close(server_socket);
	step_of(SERVER);
	close(client_socket);
	step_of(CLIENT);
	return broken ? fail("exchange") : 0;
}

static int handshake(void)
{
	const struct linger reset = { .l_onoff = 1 };
	int server_socket, client_socket;
	SSL *server = NULL;

	spent[SERVER] = spent[CLIENT] = 0;
	last = meter();
	client_socket = socket(AF_INET, SOCK_STREAM, 0);
	if (client_socket < 0 || connect(client_socket, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return fail("connect");
	fcntl(client_socket, F_SETFL, O_NONBLOCK);
	spin();
	step_of(CLIENT);
	server_socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (server_socket < 0)
		return fail("accept");
	setsockopt(server_socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (!plain_tcp) {
		server = SSL_new(server_context);
		if (!server)
			return fail("SSL_new");
		SSL_set_fd(server, server_socket);
		SSL_set_accept_state(server);
	}
	spin();
	step_of(SERVER);
	return plain_tcp ? exchange_tcp(server_socket, client_socket) :
			   handshake_tls(server_socket, client_socket, server);
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

static double lower_quartile(double *values, int count)
{
	qsort(values, count, sizeof(values[0]), ascending);
	return values[count / 4];
}

/* Some 20 µs of code that fills the core, as cryptography does; in nanoseconds of the clock on the wall. */
static double reference(void)
{
	enum { WORDS = 1024, TURNS = 45 };
	static uint64_t words[WORDS];
	uint64_t start = clock_ns(CLOCK_MONOTONIC), a = 1, b = 2, c = 3, d = 4;

	for (int turn = 0; turn < TURNS; turn++)
		for (int i = 0; i < WORDS; i += 4) {
			a = a * 0x9e3779b97f4a7c15 + words[i];
			b = b * 0xbf58476d1ce4e5b9 + words[i + 1];
			c = (c ^ words[i + 2]) + (c << 7 | c >> 57);
			d = (d ^ words[i + 3]) + (d << 9 | d >> 55);
			words[i] = a ^ d;
			words[i + 2] = b + c;
		}
	return clock_ns(CLOCK_MONOTONIC) - start;
}

/* What the computation takes on a quiet machine: the lowest 5th percentile of a round so far. */
static double quietest;

/* Handshakes until `count` of them were quiet, `most` were made or time is up; returns how many were quiet. */
static int measure_quiet(int count, int most, int *made)
{
	static double references[MOST_MADE];
	double before = reference(), after;
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + LONGEST_NS;
	int kept = 0, seen = 0;

	while (kept < count && seen < most && clock_ns(CLOCK_MONOTONIC) < end) {
		if (handshake() != 0)
			return -1;
		after = reference();
		references[seen++] = after;
		if (before <= QUIET * quietest && after <= QUIET * quietest) {
			figures[SERVER][kept] = spent[SERVER];
			figures[CLIENT][kept++] = spent[CLIENT];
		}
		before = after;
	}
	*made = seen;
	/* Of few, the 5th percentile would be the luckiest one. */
	if (seen < 40)
		return kept;
	qsort(references, seen, sizeof(references[0]), ascending);
	if (quietest == 0 || references[seen / 20] < quietest)
		quietest = references[seen / 20];
	return kept;
}

static int measure(int count)
{
	for (int i = 0; i < count; i++) {
		if (handshake() != 0)
			return -1;
		figures[SERVER][i] = spent[SERVER];
		figures[CLIENT][i] = spent[CLIENT];
	}
	return 0;
}

static double mean(const double *values, int count)
{
	double sum = 0;

	for (int i = 0; i < count; i++)
		sum += values[i];
	return sum / count;
}

static void command_round(int count)
{
	int kept, made;

	meter = cpu_ns;
	kept = measure_quiet(count, PATIENCE * count, &made);
	if (kept >= 0)
		printf("ok %.0f %.0f %d %d\n", kept ? lower_quartile(figures[SERVER], kept) : 0,
		       kept ? lower_quartile(figures[CLIENT], kept) : 0, kept, made);
}

static void command_warm(int count)
{
	meter = cpu_ns;
	if (measure(count) == 0)
		printf("ok\n");
}

static uint64_t uprobe_runs(void)
{
	return probes_uprobes().runs;
}

static uint64_t tracepoint_runs(void)
{
	return probes_tracepoints().runs;
}

static void command_runs(int count)
{
	double uprobes[2];
	int error = probes_count_begin(known_programs, known_count);

	if (error < 0) {
		printf("error the kernel's statistics of programs: %s\n", strerror(-error));
		return;
	}
	meter = uprobe_runs;
	if (measure(count) == 0) {
		uprobes[SERVER] = mean(figures[SERVER], count);
		uprobes[CLIENT] = mean(figures[CLIENT], count);
		meter = tracepoint_runs;
		if (measure(count) == 0)
			printf("ok %.2f %.2f %.2f %.2f\n", uprobes[SERVER], uprobes[CLIENT],
			       mean(figures[SERVER], count), mean(figures[CLIENT], count));
	}
	probes_count_end();
}

/* Differences between the code in memory and the file it is mapped from: what uprobes put there. */
static int differences(const char *path, unsigned long start, unsigned long end, unsigned long offset)
{
	FILE *file = fopen(path, "re");
	size_t length = end - start;
	unsigned char *code = malloc(length);
	const unsigned char *memory = (const unsigned char *)start;
	int found = 0;

	if (!file || !code || fseek(file, offset, SEEK_SET) != 0)
		length = 0;
	else
		length = fread(code, 1, length, file);
	for (size_t i = 0; i < length; i++)
		if (memory[i] != code[i])
			printf("%s%lx", found++ ? "," : "", offset + i);
	free(code);
	if (file)
		fclose(file);
	return found;
}

static void command_sites(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end, offset;
	char line[4096], path[4096], mode[5];

	printf("ok");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %4095s", &start, &end, mode, &offset, path) != 5 ||
		    mode[2] != 'x' || (!strstr(path, "/libssl.so") && !strstr(path, "/libcrypto.so")))
			continue;
		printf(" %s:", path);
		differences(path, start, end, offset);
	}
	printf("\n");
	if (maps)
		fclose(maps);
}

static void command_library(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4096], path[4096] = "";

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/libssl.so") && sscanf(line, "%*s %*s %*s %*s %*s %4095s", path) == 1)
			break;
	if (maps)
		fclose(maps);
	printf("ok %s %s\n", path, OpenSSL_version(OPENSSL_VERSION));
}

static void command_known(void)
{
	int count = probes_programs(known_programs, MOST_PROGRAMS);

	known_count = count < 0 ? 0 : count;
	if (count < 0)
		printf("error cannot list BPF programs: %s\n", strerror(-count));
	else
		printf("ok\n");
}

static void print_counts(void)
{
	struct probes_sum uprobes = probes_uprobes(), tracepoints = probes_tracepoints();

	printf("ok %llu %llu %llu %llu\n", (unsigned long long)uprobes.runs, (unsigned long long)tracepoints.runs,
	       (unsigned long long)uprobes.nanoseconds, (unsigned long long)tracepoints.nanoseconds);
}

static void command_count(void)
{
	int error = probes_count_begin(known_programs, known_count);

	if (error < 0)
		printf("error cannot count runs: %s\n", strerror(-error));
	else
		printf("ok\n");
}

static void command_programs(void)
{
	uint32_t ids[MOST_PROGRAMS];
	int count = probes_programs(ids, MOST_PROGRAMS);

	if (count < 0) {
		printf("error cannot list BPF programs: %s\n", strerror(-count));
		return;
	}
	printf("ok");
	for (int i = 0; i < count; i++)
		printf(" %u", ids[i]);
	printf("\n");
}

static void command_empty(void)
{
	const char *path = strtok(NULL, " "), *word;
	uint64_t offsets[MOST_SITES];
	size_t count = 0;
	int error;

	while (path && (word = strtok(NULL, " ")) && count < MOST_SITES)
		offsets[count++] = strtoull(word, NULL, 16);
	error = count > 0 ? probes_attach_uprobes(path, offsets, count) : -EINVAL;
	if (error < 0)
		printf("error cannot attach an empty program to %s: %s\n", path ? path : "nothing", strerror(-error));
	else
		printf("ok\n");
}

static void command_tracepoints(void)
{
	const char *name;

	while ((name = strtok(NULL, " "))) {
		int error = probes_attach_tracepoint(name);

		if (error < 0) {
			printf("error cannot attach an empty program to %s: %s\n", name, strerror(-error));
			return;
		}
	}
	printf("ok\n");
}

static void answer(char *line)
{
	const char *command = strtok(line, " \n"), *word;
	int count = 0;

	if (!command)
		command = "";
	if (strcmp(command, "round") == 0 || strcmp(command, "runs") == 0 || strcmp(command, "warm") == 0) {
		word = strtok(NULL, " \n");
		count = word ? atoi(word) : 0;
		if (count < 1 || count > MOST_HANDSHAKES)
			printf("error between 1 and %d handshakes\n", MOST_HANDSHAKES);
		else if (strcmp(command, "round") == 0)
			command_round(count);
		else if (strcmp(command, "warm") == 0)
			command_warm(count);
		else
			command_runs(count);
	} else if (strcmp(command, "known") == 0) {
		command_known();
	} else if (strcmp(command, "sites") == 0) {
		command_sites();
	} else if (strcmp(command, "programs") == 0) {
		command_programs();
	} else if (strcmp(command, "library") == 0) {
		command_library();
	} else if (strcmp(command, "empty") == 0) {
		command_empty();
	} else if (strcmp(command, "tracepoints") == 0) {
		command_tracepoints();
	} else if (strcmp(command, "count") == 0) {
		command_count();
	} else if (strcmp(command, "counts") == 0) {
		print_counts();
	} else if (strcmp(command, "counted") == 0) {
		print_counts();
		probes_count_end();
	} else if (strcmp(command, "spin") == 0) {
		word = strtok(NULL, " \n");
		spin_ns = word ? strtoull(word, NULL, 10) : 0;
		printf("ok\n");
	} else if (strcmp(command, "detach") == 0) {
		probes_detach();
		printf("ok\n");
	} else {
		printf("error unknown command\n");
	}
}

static int prepare(const char *version, const char *certificate, const char *key)
{
	int number = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	socklen_t length = sizeof(address);

	server_context = SSL_CTX_new(TLS_server_method());
	client_context = SSL_CTX_new(TLS_client_method());
	if (!server_context || !client_context ||
	    SSL_CTX_use_certificate_file(server_context, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server_context, key, SSL_FILETYPE_PEM) != 1)
		return fail("certificate and key");
	for (int side = SERVER; side <= CLIENT; side++) {
		SSL_CTX *context = side == SERVER ? server_context : client_context;

		SSL_CTX_set_min_proto_version(context, number);
		SSL_CTX_set_max_proto_version(context, number);
		/* The first is used; TLS 1.2 has the certificate's curve in this list as well. */
		SSL_CTX_set1_groups_list(context, "X25519:P-256");
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		/* One ticket is used for all handshakes that resume. */
		SSL_CTX_set_timeout(context, 7 * 24 * 3600);
	}
	SSL_CTX_set_alpn_select_cb(server_context, select_protocol, NULL);
	SSL_CTX_set_alpn_protos(client_context, PROTOCOLS, sizeof(PROTOCOLS) - 1);
	SSL_CTX_set_num_tickets(server_context, 2);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 64) != 0 || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		return fail("listen");
	if (resume) {
		meter = cpu_ns;
		SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(client_context, keep_session);
		keep_sessions = 1;
		if (handshake() != 0)
			return -1;
		keep_sessions = 0;
		SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_OFF);
		if (!session)
			return fail("no session was offered");
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char line[LINE];
	cpu_set_t processor;

	setvbuf(stdout, NULL, _IOLBF, LINE);
	if (argc != 6) {
		fprintf(stderr, "usage: pair full|resumed|tcp 1.2|1.3 CPU CERTIFICATE KEY\n");
		return 64;
	}
	resume = strcmp(argv[1], "resumed") == 0;
	plain_tcp = strcmp(argv[1], "tcp") == 0;
	CPU_ZERO(&processor);
	CPU_SET(atoi(argv[3]), &processor);
	if (sched_setaffinity(0, sizeof(processor), &processor) != 0) {
		fail("sched_setaffinity");
		return 1;
	}
	if (prepare(argv[2], argv[4], argv[5]) != 0)
		return 1;
	printf("ok\n");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		answer(line);
	}
	return 0;
}
