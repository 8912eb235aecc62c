/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the facts of a TLS object into the thread's scratch, as the library's profile says. */
#ifndef TLSWATCH_FACTS_H
#define TLSWATCH_FACTS_H

/* Does one read of the profile; returns its bit, or 0 where there is nothing to read. */
__noinline __u32 do_read(const struct tlswatch_read *read, struct frames *frames, __u64 object, __u32 index,
			 __u32 done)
{
	__u64 address = object, to, length, base;

	if (!read || !frames)
		return 0;
	to = read->to;
	length = read->length;
	base = read->base;
	if (read->after != TLSWATCH_FROM_OBJECT) {
		if (!((done >> (read->after & 31)) & 1))
			return 0;
		asm volatile("" : "+r"(base)); /* the bounds are for the verifier: no plan goes beyond them */
		if (base > TLSWATCH_SCRATCH_SIZE - sizeof(address))
			return 0;
		address = *(__u64 *)(frames->scratch + base);
	}
	asm volatile("" : "+r"(to));
	if (to >= TLSWATCH_SCRATCH_START)
		return 0;
	_Static_assert(TLSWATCH_READ_SIZE == 1024, "the mask");
	asm volatile("%0 &= 1023" : "+r"(length));
	if (!address || !length || bpf_probe_read_user(frames->scratch + to, length, (void *)(address + read->offset)))
		return 0;
	return 1U << (index & 31);
}

/* The first read: the handshake's state. Returns the set of reads that were done. */
static __always_inline __u32 read_state(const struct tlswatch_profile *profile, struct frames *frames, __u64 object)
{
	return do_read(&profile->reads[0], frames, object, 0, 0);
}

/* Those reads of `wanted` that are not `done` yet, in order. Returns the set of all that are done. */
__noinline __u32 read_more(const struct tlswatch_profile *profile, struct frames *frames, __u64 object, __u32 wanted,
			   __u32 done)
{
	if (!profile || !frames)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 1; i < TLSWATCH_READS; i++)
		if ((wanted & ~done) >> i & 1)
			done |= do_read(&profile->reads[i], frames, object, i, done);
	return done;
}

/* Where in the scratch a fact is, or a negative number where it is absent. */
static __always_inline long place_of(const struct tlswatch_field *field, __u32 done)
{
	if (!field->size || !((done >> (field->read & 31)) & 1))
		return -1;
	return field->at;
}

/* Takes a scalar fact out of the scratch; returns its bit, or 0 where it is absent. */
__noinline __u32 field(const struct tlswatch_profile *profile, const struct frames *frames, __u32 done, __u32 fact,
		       __u32 *value)
{
	const struct tlswatch_field *field;
	__u32 found;
	__u64 at;

	if (!profile || !frames || !value)
		return 0;
	*value = 0;
	if (fact >= TLSWATCH_FACT_SCALARS)
		return 0;
	field = &profile->fact[fact];
	at = place_of(field, done); /* -1 is beyond every bound */
	asm volatile("" : "+r"(at));
	if (at > TLSWATCH_SCRATCH_SIZE - sizeof(found))
		return 0;
	found = *(__u32 *)(frames->scratch + at);
	if (field->size == 1)
		found &= 0xff;
	else if (field->size == 2)
		found &= 0xffff;
	*value = found;
	return 1U << fact;
}

/* The address of a text, or 0 where it is absent. */
__noinline __u64 text_address(const struct tlswatch_profile *profile, const struct frames *frames, __u32 done,
			      __u32 fact)
{
	const struct tlswatch_field *field;
	__u64 at, address;

	if (!profile || !frames || fact >= TLSWATCH_FACT_COUNT)
		return 0;
	field = &profile->fact[fact];
	at = place_of(field, done);
	asm volatile("" : "+r"(at));
	if (at > TLSWATCH_SCRATCH_SIZE - sizeof(address))
		return 0;
	address = *(__u64 *)(frames->scratch + at);
	return address ? address + field->offset : 0;
}

/*
 * The texts go behind the record's steps, one after the other: `at` is where, in bytes from the first
 * step. Returns how many bytes were read.
 */
#define TEXT_START_LIMIT (TLSWATCH_STEPS * sizeof(struct tlswatch_step) + TLSWATCH_TEXT_SIZE)

static __always_inline __u32 read_bytes(const struct tlswatch_profile *profile, struct frames *frames, __u32 done,
					__u32 fact, __u64 at, __u32 length)
{
	__u64 address = length ? text_address(profile, frames, done, fact) : 0;

	if (!address)
		return 0;
	if (length > TLSWATCH_TEXT_SIZE - 1)
		length = TLSWATCH_TEXT_SIZE - 1;
	asm volatile("%0 &= 255" : "+r"(length)); /* the bounds, where the verifier sees them */
	asm volatile("" : "+r"(at));
	if (at > TEXT_START_LIMIT)
		return 0;
	return bpf_probe_read_user((__u8 *)frames->step + at, length, (void *)address) ? 0 : length;
}

/* The same for a NUL-terminated text. */
static __always_inline __u32 read_text(const struct tlswatch_profile *profile, struct frames *frames, __u32 done,
				       __u32 fact, __u64 at)
{
	__u64 address = text_address(profile, frames, done, fact);
	long length;

	asm volatile("" : "+r"(at));
	if (!address || at > TEXT_START_LIMIT)
		return 0;
	length = bpf_probe_read_user_str((__u8 *)frames->step + at, TLSWATCH_TEXT_SIZE, (void *)address);
	if (length <= 1 || length > TLSWATCH_TEXT_SIZE)
		return 0;
	return (__u32)length - 1;
}

#endif
