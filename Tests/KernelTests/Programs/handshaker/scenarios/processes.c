// SPDX-License-Identifier: Apache-2.0
/* A process that ends, becomes another program, or becomes two while a handshake is under way. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../drive.h"
#include "../options.h"
#include "../support.h"
#include "all.h"

/* A half-made pair whose end nobody in this process will see. */
static void leave_open(struct side *client, struct side *server)
{
	open_half(client, server);
	client->witness.outcome = server->witness.outcome = ABANDONED;
	client->witness.end = server->witness.end = 0;
	report_both(client, server);
}

void run_kill(void)
{
	struct side client, server;

	leave_open(&client, &server);
	kill(getpid(), SIGKILL);
}

void run_exec_mid(void)
{
	struct side client, server;
	char *arguments[64];
	int count = 0;

	leave_open(&client, &server);
	/* The same again, with the plain scenario: the last --scenario counts. */
	for (char **at = program_arguments; *at && count < 60; at++)
		arguments[count++] = *at;
	arguments[count++] = "--scenario";
	arguments[count++] = PLAIN_SCENARIO;
	arguments[count] = NULL;
	execv("/proc/self/exe", arguments);
	die("exec: %s", strerror(errno));
}

/* Parent and child each make a handshake on objects that stand at the same addresses. */
void run_fork_after_new(void)
{
	struct side client[2], server[2];
	pid_t child;
	int status;

	open_pair(&client[0], &server[0]);
	/* The child's connections: another link for the objects that it inherits. */
	client[1] = client[0];
	server[1] = server[0];
	connect_links(&client[1].link, &server[1].link);
	child = fork();
	check(child, "fork");
	if (!child) {
		unsigned pair = next_pair();

		prepare(&client[1], false, pair);
		prepare(&server[1], true, pair);
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
void run_fork_mid(void)
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
	free_object(&client);
	abandon(&server);
	free_object(&server);
	report_both(&client, &server);
	close_link(&client.link);
	close_link(&server.link);
}
