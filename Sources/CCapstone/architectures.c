/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capstone's table of architectures names all of them, and each brings its own tables: 3.4 MB that nothing reads.
 * Defined here, the linker does not take them from the archive; cs_open() of another one than x86 says CS_ERR_ARCH.
 */
#include <capstone/capstone.h>
#include <stddef.h>

struct cs_struct;

#define ABSENT(architecture)                                                                                           \
	cs_err architecture##_global_init(struct cs_struct *handle);                                                   \
	cs_err architecture##_option(struct cs_struct *handle, cs_opt_type type, size_t value);                        \
	cs_err architecture##_global_init(struct cs_struct *handle)                                                    \
	{                                                                                                              \
		(void)handle;                                                                                          \
		return CS_ERR_ARCH;                                                                                    \
	}                                                                                                              \
	cs_err architecture##_option(struct cs_struct *handle, cs_opt_type type, size_t value)                         \
	{                                                                                                              \
		(void)handle;                                                                                          \
		(void)type;                                                                                            \
		(void)value;                                                                                           \
		return CS_ERR_ARCH;                                                                                    \
	}

ABSENT(AArch64)
ABSENT(ARM)
ABSENT(EVM)
ABSENT(M680X)
ABSENT(M68K)
ABSENT(Mips)
ABSENT(PPC)
ABSENT(Sparc)
ABSENT(SystemZ)
ABSENT(TMS320C64x)
ABSENT(XCore)
