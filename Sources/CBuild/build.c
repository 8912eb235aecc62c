// SPDX-License-Identifier: Apache-2.0
#include "CBuild.h"

#include <stddef.h>

/* Package.swift defines both from the environment, which `make build` sets. */
#ifdef TLSWATCH_REVISION
const char *tlswatch_build_revision(void)
{
	return TLSWATCH_REVISION;
}
#else
/* git-archive(1) writes the commit here (export-subst in .gitattributes); in a checkout it stays as it is. */
static const char archived[] = "$Format:%H$";

const char *tlswatch_build_revision(void)
{
	static char revision[13];

	if (archived[0] == '$')
		return NULL;
	for (size_t i = 0; i < sizeof(revision) - 1 && i < sizeof(archived) - 1; i++)
		revision[i] = archived[i];
	return revision;
}
#endif

const char *tlswatch_build_toolchain(void)
{
#ifdef TLSWATCH_TOOLCHAIN
	return TLSWATCH_TOOLCHAIN;
#else
	return NULL;
#endif
}
