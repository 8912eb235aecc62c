/*
 * packets EMPTY.o TLSWATCH.o GROUP OTHER [ROUNDS]: what programs on packets cost a TCP connection.
 *
 * Both ends are in this one thread, which is in the control group GROUP, and its CPU time is what is measured: of round trips
 * of 64 bytes (two packets each way: the data and nothing else, or its acknowledgement). Parts without a program lie around
 * those with one (A B B A), and each round has all variants, so that what drifts cancels. Run it in a network namespace of its
 * own, whose loopback is up. Prints nanoseconds a packet: the median of the paired differences and its quartiles, and ratios
 * of those medians. Exit status 1 where the goals are missed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "profile.h"

#define ROUND_TRIPS 4000
#define FEW_ROUND_TRIPS 40 /* of a connection that is new */
#define PACKETS 4          /* of a round trip: each end's 64 bytes leave and arrive */
#define MOST_ROUNDS 200

static int ends[2];
static char buffer[1 << 16];

static void fail(const char *what)
{
	perror(what);
	exit(71);
}

static double cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void receive(int socket, size_t count)
{
	while (count > 0) {
		ssize_t got = recv(socket, buffer, count < sizeof(buffer) ? count : sizeof(buffer), 0);

		if (got <= 0)
			fail("recv");
		count -= got;
	}
}

static void exchange(size_t count)
{
	if (send(ends[0], buffer, count, 0) < 0)
		fail("send");
	receive(ends[1], count);
	if (send(ends[1], buffer, count, 0) < 0)
		fail("send");
	receive(ends[0], count);
}

/* A connection that has carried `bytes` each way. */
static void connect_ends(size_t bytes)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	for (int i = 0; i < 2; i++)
		if (ends[i])
			close(ends[i]);
	if (bind(listener, (void *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (void *)&address, &length))
		fail("listen");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ends[0], (void *)&address, length))
		fail("connect");
	ends[1] = accept(listener, NULL, NULL);
	close(listener);
	for (int i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (size_t sent = 0; sent < bytes; sent += 4096)
		exchange(4096);
	exchange(64);
}

static double round_trips(int count)
{
	double start = cpu_ns();

	for (int i = 0; i < count; i++)
		exchange(64);
	return cpu_ns() - start;
}

struct variant {
	const char *name;
	const char *prefix; /* of the programs' names; NULL none */
	size_t bytes;       /* that the connection has carried */
	bool is_new;        /* connections of a few round trips */
	bool elsewhere;     /* they are on the other group */
	double cost[MOST_ROUNDS];
	double bare[MOST_ROUNDS];
};

/* Nanoseconds of a round trip. */
static double part(const struct variant *variant)
{
	int each = variant->is_new ? FEW_ROUND_TRIPS : ROUND_TRIPS;
	double time = 0;

	for (int done = 0; done < ROUND_TRIPS; done += each) {
		/* The programs see a connection that is made while they are there. */
		connect_ends(variant->bytes);
		for (int i = 0; i < (variant->is_new ? 1 : 100); i++)
			exchange(64);
		time += round_trips(each);
	}
	return time / ROUND_TRIPS;
}

/* As tlswatch sets it before it loads its programs: what the kernel has. */
static void set_knobs(struct bpf_object *object)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_map *constants = bpf_object__find_map_by_name(object, ".rodata");
	struct tlswatch_knobs *knobs;
	size_t size = 0;

	if (!constants)
		return;
	knobs = (void *)bpf_map__initial_value(constants, &size);
	if (!knobs || size != sizeof(*knobs))
		fail("the programs have other constants than knobs");
	knobs->has_cast = btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	btf__free(kernel);
}

static struct bpf_object *load(const char *path, const char *prefix)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;

	if (!object)
		fail(path);
	set_knobs(object);
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, !strncmp(bpf_program__name(program), prefix, strlen(prefix)));
	if (bpf_object__load(object))
		fail(path);
	return object;
}

static int attach(struct bpf_object *object, int group, struct bpf_link **links)
{
	struct bpf_program *program;
	int count = 0;

	bpf_object__for_each_program(program, object)
	{
		if (!bpf_program__autoload(program))
			continue;
		links[count] = strncmp(bpf_program__section_name(program), "cgroup_skb", 10) ?
				       bpf_program__attach(program) :
				       bpf_program__attach_cgroup(program, group);
		if (!links[count])
			fail(bpf_program__name(program));
		count++;
	}
	return count;
}

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return (difference > 0) - (difference < 0);
}

static double median(double *values, int count)
{
	qsort(values, count, sizeof(double), compare);
	return values[count / 2];
}

static void measure(struct variant *variant, struct bpf_object *object, int group, int round)
{
	struct bpf_link *links[8];
	double time[4];
	int count;

	for (int i = 0; i < 4; i++) {
		count = (i == 1 || i == 2) && object ? attach(object, group, links) : 0;
		time[i] = part(variant);
		for (int link = 0; link < count; link++)
			bpf_link__destroy(links[link]);
	}
	variant->cost[round] = (time[1] + time[2] - time[0] - time[3]) / 2 / PACKETS;
	variant->bare[round] = (time[0] + time[3]) / 2;
}

static double cost(const struct variant *variant, int rounds)
{
	double cost[MOST_ROUNDS];

	memcpy(cost, variant->cost, sizeof(cost));
	return median(cost, rounds);
}

/* Of the medians: a round's own ratio is one of two small differences, and says little. */
static double ratio(const struct variant *variant, const struct variant *to, int rounds)
{
	return cost(variant, rounds) / cost(to, rounds);
}

static void print(struct variant *variant, int rounds)
{
	double cost[MOST_ROUNDS];

	memcpy(cost, variant->cost, sizeof(cost));
	qsort(cost, rounds, sizeof(double), compare);
	printf("%-52s %7.1f ns a packet (%.1f to %.1f), on a round trip of %.0f ns\n", variant->name, cost[rounds / 2],
	       cost[rounds / 4], cost[rounds * 3 / 4], median(variant->bare, rounds));
}

static int enter(const char *group)
{
	char path[4096];
	int file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	file = open(path, O_WRONLY);
	if (file < 0 || write(file, "0", 1) != 1)
		fail(path);
	close(file);
	file = open(group, O_RDONLY | O_DIRECTORY);
	if (file < 0)
		fail(group);
	return file;
}

int main(int count, char **arguments)
{
	static struct variant variants[] = {
		{ .name = "nothing (A/A)" },
		{ .name = "empty programs", .prefix = "empty_" },
		{ .name = "wire, past 64 KB", .prefix = "wire_", .bytes = 80000 },
		{ .name = "wire, past 256 segments", .prefix = "wire_", .bytes = 16384 },
		{ .name = "wire, on another group", .prefix = "wire_", .bytes = 16384, .elsewhere = true },
		{ .name = "nothing, connections of 40 round trips (A/A)", .is_new = true },
		{ .name = "empty programs, connections of 40 round trips", .prefix = "empty_", .is_new = true },
		{ .name = "wire, connections of 40 round trips without TLS", .prefix = "wire_", .is_new = true },
	};
	const struct variant *base = &variants[1], *base_new = &variants[6];
	const int last = sizeof(variants) / sizeof(variants[0]);
	double old, fresh;
	struct bpf_object *empty, *wire;
	int group, other, rounds = count > 5 ? atoi(arguments[5]) : 15;
	cpu_set_t set;

	if (count < 5) {
		fprintf(stderr, "usage: packets EMPTY.o TLSWATCH.o GROUP OTHER [ROUNDS]\n");
		return 64;
	}
	if (rounds < 1 || rounds > MOST_ROUNDS)
		rounds = 15;
	libbpf_set_print(NULL);
	empty = load(arguments[1], "empty_");
	wire = load(arguments[2], "wire_");
	other = open(arguments[4], O_RDONLY | O_DIRECTORY);
	group = enter(arguments[3]);
	CPU_ZERO(&set);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < last; i++) {
			struct variant *variant = &variants[i];
			struct bpf_object *object = !variant->prefix                 ? NULL :
						    strcmp(variant->prefix, "wire_") ? empty :
										       wire;

			measure(variant, object, variant->elsewhere ? other : group, round);
		}
	}
	old = ratio(&variants[2], base, rounds);
	fresh = ratio(&variants[7], base_new, rounds);
	for (int i = 0; i < last; i++)
		print(&variants[i], rounds);
	printf("ratio to empty programs: %.2f under 64 KB (goal 1.6), %.2f past 64 KB (goal 1.4)\n", fresh, old);
	return fresh > 1.6 || old > 1.4;
}
