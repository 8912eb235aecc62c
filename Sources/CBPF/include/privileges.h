#ifndef TLSWATCH_PRIVILEGES_H
#define TLSWATCH_PRIVILEGES_H

#include <stdint.h>

/*
 * Leaves the calling thread, and what it starts from now on, these capabilities (a bit each, capabilities(7))
 * as permitted and effective, none to inherit, and no way to gain others (PR_SET_NO_NEW_PRIVS). 0 or -errno.
 */
int tlswatch_keep_capabilities(uint64_t kept);

#endif
