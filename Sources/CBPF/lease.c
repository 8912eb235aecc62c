#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int wanted = -1;

static void tell(int signal)
{
	const uint64_t one = 1;
	int saved = errno;

	(void)signal;
	if (write(wanted, &one, sizeof(one)) < 0)
		errno = 0; /* It is readable already. */
	errno = saved;
}

int tlswatch_lease_wanted(void)
{
	/* Without a handler the signal would end the process. */
	struct sigaction action = { .sa_handler = tell, .sa_flags = SA_RESTART };

	sigset_t unblocked;

	/* Whoever started the program may have it blocked; threads made later have this one's mask. */
	sigemptyset(&unblocked);
	sigaddset(&unblocked, SIGIO);
	pthread_sigmask(SIG_UNBLOCK, &unblocked, NULL);
	if (wanted < 0)
		wanted = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wanted < 0 || sigaction(SIGIO, &action, NULL))
		return -1;
	return wanted;
}

int tlswatch_lease_take(int descriptor)
{
	return fcntl(descriptor, F_SETLEASE, F_RDLCK) ? -errno : 0;
}

bool tlswatch_lease_is_wanted(int descriptor)
{
	return fcntl(descriptor, F_GETLEASE) != F_RDLCK;
}
