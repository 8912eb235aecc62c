/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a probe finds its values: in the target's registers. */
#ifndef TLSWATCH_REGISTERS_H
#define TLSWATCH_REGISTERS_H

/*
 * Loads from the context are written out: the compiler would else choose between the offsets first
 * and load once, and the verifier refuses a context pointer with a variable offset.
 */
#define LOAD_REGISTER(value, ctx, offset) \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"(offset))

#if defined(__TARGET_ARCH_x86)
#define REGISTER_OFFSET(name) __builtin_offsetof(struct pt_regs, name)
#define PARAMETER_OFFSET(n, name) REGISTER_OFFSET(name)
#elif defined(__TARGET_ARCH_arm64)
/* Parameters alone: code is not read there yet. */
#define REGISTER_OFFSET(name) 0
#define PARAMETER_OFFSET(n, name) (8 * (n))
#endif

static __noinline __u64 parameter(struct pt_regs *ctx, __u32 place)
{
	__u64 value = 0;

	if (place == TLSWATCH_PARAMETER_0)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(0, di));
	else if (place == TLSWATCH_PARAMETER_1)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(1, si));
	else if (place == TLSWATCH_PARAMETER_2)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(2, dx));
	else if (place == TLSWATCH_PARAMETER_3)
		LOAD_REGISTER(value, ctx, PARAMETER_OFFSET(3, cx));
	else if (place == TLSWATCH_REGISTER_BX)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(bx));
	else if (place == TLSWATCH_REGISTER_BP)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(bp));
	else if (place == TLSWATCH_REGISTER_12)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r12));
	else if (place == TLSWATCH_REGISTER_13)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r13));
	else if (place == TLSWATCH_REGISTER_14)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r14));
	else if (place == TLSWATCH_REGISTER_15)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(r15));
	else if (place == TLSWATCH_RESULT)
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(ax));
	return value;
}

static __always_inline __u64 object_of(struct pt_regs *ctx, __u64 cookie)
{
	__u32 place = (cookie >> 24) & 15;

	return place == TLSWATCH_NO_PARAMETER ? 0 : parameter(ctx, place) + (__s64)(__s16)(cookie >> 36);
}

#endif
