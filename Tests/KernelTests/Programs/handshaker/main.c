// SPDX-License-Identifier: Apache-2.0
/*
 * Makes TLS handshakes of every kind inside one process and prints what it knows of each, one JSON
 * object a line, so that a test can compare that with what an observer saw.
 *
 *	options.c     the command line        scenarios.c   the table, a row a scenario
 *	witness.c     stamps and lines        scenarios/    what the rows run
 *	transports.c  sockets and pipes       sides.c       the two ends of a connection
 *	hold.c        slow callbacks          drive.c       calls, and the loops around them
 *	stack.h       a TLS library as all of these know it
 *	openssl/      the one of them: any OpenSSL from 1.1.1 on, loaded by path
 *
 * Ends with 0, with 2 where it failed, with 3 where the library lacks what the scenario needs.
 */
#include <signal.h>

#include "options.h"
#include "scenarios.h"
#include "stack.h"

int main(int count, char **arguments)
{
	parse_options(count, arguments);
	choose_scenario(options.scenario);
	complete_options();
	signal(SIGPIPE, SIG_IGN);
	stack.load();
	stack.open_contexts();
	scenario->run();
	stack.close_contexts();
	return 0;
}
