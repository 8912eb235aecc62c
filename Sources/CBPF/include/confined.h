#ifndef TLSWATCH_CONFINED_H
#define TLSWATCH_CONFINED_H

enum tlswatch_trial {
	TLSWATCH_TRIAL_PERF = 1,      /* a return probe by perf event */
	TLSWATCH_TRIAL_MULTI = 2,     /* one by a uprobe multi link */
	TLSWATCH_TRIAL_FORBIDDEN = 3, /* no probe, but a call that the filter does not know: the trial's own test */
};

/*
 * Has a child of this process, which may only read, write and exit (seccomp(2)), return from a function under
 * such a probe. 1 when it lived, 0 when the kernel killed it, -errno when it cannot be told.
 */
int tlswatch_try_return_probe(enum tlswatch_trial trial);

#endif
