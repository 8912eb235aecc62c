#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* After a fork of a process with threads: nothing but system calls. */
static void ask(const char *path)
{
	static char page[4096];
	struct stat status;
	sigset_t all;
	int descriptor;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "tlswatch-asks");
	/* It may outlive its parent: no pipe, socket or probe may. */
	if (syscall(SYS_close_range, 0, ~0U, 0))
		for (descriptor = 0; descriptor < 4096; descriptor++)
			close(descriptor);
	descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (descriptor >= 0 && !fstat(descriptor, &status))
		if (pread(descriptor, page, sizeof(page), 0) < 0)
			errno = 0; /* That is an answer too. */
	_exit(0);
}

int tlswatch_canary_start(const char *path)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		ask(path);
	return pid;
}

bool tlswatch_canary_ended(int pid, int milliseconds)
{
	struct pollfd entry = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (milliseconds > 0)
		poll(&entry, entry.fd >= 0, milliseconds);
	if (entry.fd >= 0)
		close(entry.fd);
	return waitpid(pid, NULL, WNOHANG) != 0;
}
