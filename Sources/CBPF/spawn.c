#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct failure {
	int step;
	int error;
};

/*
 * The system calls themselves: glibc's functions change all threads of a process, with locks that may be held in a child
 * of one with threads. The order matters: the groups first, the user last, after which neither can be changed.
 */
static int become(const struct tlswatch_credentials *credentials)
{
	uint32_t user = credentials->user, group = credentials->group;
	uint32_t real, effective, saved;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

	if (syscall(SYS_setgroups, credentials->group_count, credentials->groups) ||
	    syscall(SYS_setresgid, group, group, group) || syscall(SYS_setresuid, user, user, user))
		return errno;
	if (user == 0)
		return 0;
	/* The kernel takes them away, unless the securebits say otherwise. */
	if (syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) || syscall(SYS_capset, &header, none))
		return errno;
	if (syscall(SYS_getresuid, &real, &effective, &saved))
		return errno;
	if (real != user || effective != user || saved != user)
		return EPERM;
	return 0;
}

static void fail(int report, int step, int error)
{
	struct failure failure = { .step = step, .error = error };
	ssize_t written;

	do
		written = write(report, &failure, sizeof(failure));
	while (written < 0 && errno == EINTR);
	_exit(127);
}

/* In the child: nothing but system calls. */
static void execute(const char *path, char *const arguments[], char *const environment[],
		    const struct tlswatch_credentials *credentials, int report)
{
	static const int defaults[] = { SIGINT, SIGTERM, SIGPIPE };
	struct sigaction standard = { .sa_handler = SIG_DFL };
	sigset_t nothing;
	int error;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		sigaction(defaults[i], &standard, NULL);
	sigemptyset(&nothing);
	sigprocmask(SIG_SETMASK, &nothing, NULL);
	if (credentials) {
		error = become(credentials);
		if (error)
			fail(report, TLSWATCH_SPAWN_BECOME, error);
	}
	execve(path, arguments, environment);
	fail(report, TLSWATCH_SPAWN_EXECUTE, errno);
}

struct tlswatch_spawned tlswatch_spawn(const char *path, char *const arguments[], char *const environment[],
				       const struct tlswatch_credentials *credentials)
{
	struct failure failure = { 0 };
	int report[2];
	ssize_t count;
	pid_t child;

	if (pipe2(report, O_CLOEXEC))
		return (struct tlswatch_spawned){ .step = TLSWATCH_SPAWN_START, .error = errno };
	child = fork();
	if (child < 0) {
		int error = errno;

		close(report[0]);
		close(report[1]);
		return (struct tlswatch_spawned){ .step = TLSWATCH_SPAWN_START, .error = error };
	}
	if (child == 0)
		execute(path, arguments, environment, credentials, report[1]);
	close(report[1]);
	/* Ends when the program runs: the child's end of the pipe closes itself. */
	do
		count = read(report[0], &failure, sizeof(failure));
	while (count < 0 && errno == EINTR);
	close(report[0]);
	if (count != sizeof(failure))
		return (struct tlswatch_spawned){ .pid = child };
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
	}
	return (struct tlswatch_spawned){ .step = failure.step, .error = failure.error };
}
