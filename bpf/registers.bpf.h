/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a probe finds its values: in the target's registers. */
#ifndef TLSWATCH_REGISTERS_BPF_H
#define TLSWATCH_REGISTERS_BPF_H

#include "core_types.h"
#include "profile.h"
#include <bpf/bpf_helpers.h>

/*
 * Loads from the context are written out: the compiler would else choose between the offsets first
 * and load once, and the verifier refuses a context pointer with a variable offset.
 */
#define LOAD_REGISTER(value, ctx, offset) asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"(offset))

#if defined(__TARGET_ARCH_x86)
/* clang-format off */
#define REGISTERS(_) \
	_(0, ax) _(1, cx) _(2, dx) _(3, bx) _(4, sp) _(5, bp) _(6, si) _(7, di) _(8, r8) _(9, r9) _(10, r10) _(11, r11) \
	_(12, r12) _(13, r13) _(14, r14) _(15, r15)
/* clang-format on */
#define REGISTER_OFFSET(name) __builtin_offsetof(struct pt_regs, name)
#define INSTRUCTION_OFFSET __builtin_offsetof(struct pt_regs, ip)
#define GOROUTINE_REGISTER 14
#define GOROUTINE(registers) (registers)->r14
#elif defined(__TARGET_ARCH_arm64)
/* Parameters alone: code is not read there yet. */
#define REGISTERS(_) _(0, 0) _(1, 1) _(2, 2) _(3, 3) _(4, 4) _(5, 5) _(6, 6) _(7, 7) _(28, 28)
#define REGISTER_OFFSET(n) (8 * (n))
#define INSTRUCTION_OFFSET (8 * 32) /* pc, behind 31 registers and sp */
#define GOROUTINE_REGISTER 28
#define GOROUTINE(registers) (registers)->regs[28]
#endif

static __noinline __u64 register_value(struct pt_regs *ctx, __u32 number)
{
	__u64 value = 0;

	switch (number) {
#define REGISTER(n, name)                                                                                              \
	case n:                                                                                                        \
		LOAD_REGISTER(value, ctx, REGISTER_OFFSET(name));                                                      \
		break;
		REGISTERS(REGISTER)
#undef REGISTER
	}
	return value;
}

#if defined(__TARGET_ARCH_x86)
enum { CARRY = 1 << 0, PARITY = 1 << 2, ZERO = 1 << 6, SIGN = 1 << 7, OVERFLOW = 1 << 11 };

/* Whether the conditional jump that is probed is taken: by the low four bits of its opcode. */
static __noinline bool is_taken(struct pt_regs *ctx, __u32 condition)
{
	__u64 flags = 0;
	__u32 less, zero, tests;

	LOAD_REGISTER(flags, ctx, REGISTER_OFFSET(flags));
	less = !(flags & SIGN) != !(flags & OVERFLOW);
	zero = !!(flags & ZERO);
	/* A bit for each pair of conditions: no switch, whose impossible cases clang makes calls that older kernels do not have. */
	tests = !!(flags & OVERFLOW) | !!(flags & CARRY) << 1 | zero << 2 | !!(flags & (CARRY | ZERO)) << 3 |
		!!(flags & SIGN) << 4 | !!(flags & PARITY) << 5 | less << 6 | (less | zero) << 7;
	return (tests >> (condition >> 1 & 7) & 1) != (condition & 1);
}
#else
/* No site needs it: code is not read there yet. */
static __always_inline bool is_taken(struct pt_regs *ctx, __u32 condition)
{
	return true;
}
#endif

static __always_inline __u64 instruction_pointer(struct pt_regs *ctx)
{
	__u64 value = 0;

	LOAD_REGISTER(value, ctx, INSTRUCTION_OFFSET);
	return value;
}

/* What stands at a place; 0 where there is none. */
static __always_inline __u64 value_at(struct pt_regs *ctx, const struct tlswatch_place *place)
{
	__u64 value, found = 0;

	if (place->kind == TLSWATCH_NOWHERE)
		return 0;
	value = register_value(ctx, place->number) + place->offset;
	if (place->kind == TLSWATCH_IN_REGISTER)
		return value;
	bpf_probe_read_user(&found, sizeof(found), (void *)value);
	return found;
}

static __always_inline __u64 object_of(struct pt_regs *ctx, const struct tlswatch_site *site)
{
	return value_at(ctx, &site->object);
}

#endif
