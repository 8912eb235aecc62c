/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CBUILD_H
#define CBUILD_H

/*
 * What a binary was built from, and with. In C: of what changes with each commit one file is compiled anew, and nothing that
 * uses it.
 */

/* The commit, its first twelve digits, "-dirty" behind them where files differed; NULL where nobody knew. */
const char *tlswatch_build_revision(void);

/* The Swift toolchain's version; NULL where nobody knew. */
const char *tlswatch_build_toolchain(void);

#endif
