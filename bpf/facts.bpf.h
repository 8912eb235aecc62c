/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the facts of a TLS object into the thread's scratch, as the library's profile says. */
#ifndef TLSWATCH_FACTS_BPF_H
#define TLSWATCH_FACTS_BPF_H

#include "maps.bpf.h"

/* The address of the element of a list, from `element` on, that a read looks for; 0 where there is none. */
static __always_inline __u64 find_element(const struct tlswatch_read *read, __u64 element)
{
	__u32 mark;

#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_LIST_LIMIT; i++) {
		if (!element || bpf_probe_read_user(&mark, sizeof(mark), (void *)(element + read->length)))
			return 0;
		if (mark == (__u32)read->offset)
			return element;
		if (bpf_probe_read_user(&element, sizeof(element), (void *)(element + 8 * read->link)))
			return 0;
	}
	return 0;
}

/* Does one read of the profile; returns its bit, or 0 where there is nothing to read. */
__noinline __u32 do_read(const struct tlswatch_read *read, struct frames *frames, __u64 object, __u32 index, __u32 done)
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
		barrier_var(base); /* the bounds are for the verifier: no plan goes beyond them */
		if (base > TLSWATCH_SCRATCH_SIZE - sizeof(address))
			return 0;
		address = *(__u64 *)(frames->scratch + base);
	}
	barrier_var(to);
	if (to >= TLSWATCH_SCRATCH_START)
		return 0;
	if (read->link) {
		address = find_element(read, address);
		*(__u64 *)(frames->scratch + to) = address;
		return address ? 1U << (index & 31) : 0;
	}
	BOUND(length, TLSWATCH_READ_SIZE - 1);
	if (!address || !length || bpf_probe_read_user(frames->scratch + to, length, (void *)(address + read->offset)))
		return 0;
	return 1U << (index & 31);
}

/* Those reads of `wanted` that are not `done` yet, in order. Returns the set of all that are done. */
__noinline __u32 read_more(const struct tlswatch_profile *profile, struct frames *frames, __u64 object, __u32 wanted,
			   __u32 done)
{
	if (!profile || !frames)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < TLSWATCH_READS; i++)
		/* Of an element in a list, the mark may stand at its beginning. */
		if ((wanted & ~done) >> i & 1 && (profile->reads[i].length || profile->reads[i].link))
			done |= do_read(&profile->reads[i], frames, object, i, done);
	return done;
}

/* The first read, which is from the object itself; returns its bit, or 0. */
static __always_inline __u32 first_read(const struct tlswatch_read *read, struct frames *frames, __u64 object)
{
	__u64 length = read->length;

	BOUND(length, TLSWATCH_READ_SIZE - 1);
	if (!length || bpf_probe_read_user(frames->scratch, length, (void *)(object + read->offset)))
		return 0;
	return 1;
}

/* The first read, and what else the handshake's state takes. Returns the set of reads that were done. */
static __always_inline __u32 read_state(const struct tlswatch_profile *profile, struct frames *frames, __u64 object)
{
	__u32 done;

	if (!profile || !frames)
		return 0;
	done = first_read(&profile->reads[0], frames, object);
	if (profile->state_reads)
		done = read_more(profile, frames, object, profile->state_reads, done);
	frames->read_object = object;
	frames->read_done = done;
	return done;
}

/* The reads of the object's state that the scratch still has of this call's entry: its transport stays what it was then. */
static __always_inline __u32 state_read(const struct tlswatch_profile *profile, struct frames *frames, __u64 object)
{
	return frames->read_object == object ? frames->read_done : read_state(profile, frames, object);
}

/* Where in the scratch a fact is, or a negative number where it is absent. */
static __always_inline long place_of(const struct tlswatch_field *field, __u32 done)
{
	if (!field->size || !((done >> (field->read & 31)) & 1))
		return -1;
	return field->at;
}

/* Takes a scalar fact (below TLSWATCH_SLOTS) out of the scratch; returns its bit, or 0 where it is absent. */
static __always_inline __u32 take_field(const struct tlswatch_profile *profile, const struct frames *frames, __u32 done,
					__u32 fact, __u32 *value)
{
	const struct tlswatch_field *field = &profile->fact[fact];
	__u32 found;
	__u64 at;

	*value = 0;
	at = place_of(field, done); /* -1 is beyond every bound */
	barrier_var(at);
	if (at > TLSWATCH_SCRATCH_SIZE - sizeof(found))
		return 0;
	found = *(__u32 *)(frames->scratch + at);
	if (field->size < 4)
		found &= field->size == 1 ? 0xff : 0xffff;
	if (field->offset)
		found = (found & field->offset) != 0;
	*value = found;
	return 1U << fact;
}

/* The same for one of which the verifier does not know that it is a scalar. */
__noinline __u32 read_field(const struct tlswatch_profile *profile, const struct frames *frames, __u32 done, __u32 fact,
			    __u32 *value)
{
	if (!profile || !frames || !value || fact >= TLSWATCH_SLOTS)
		return 0;
	return take_field(profile, frames, done, fact, value);
}

/* The address that a fact is, or 0 where it is absent. */
__noinline __u64 address_of(const struct tlswatch_profile *profile, const struct frames *frames, __u64 object,
			    __u32 done, __u32 fact)
{
	const struct tlswatch_field *field;
	__u64 at, address;

	if (!profile || !frames || fact >= TLSWATCH_FACTS)
		return 0;
	field = &profile->fact[fact];
	if (field->size && field->read == TLSWATCH_FROM_OBJECT)
		return object + field->offset;
	at = place_of(field, done);
	barrier_var(at);
	if (at > TLSWATCH_SCRATCH_SIZE - sizeof(address))
		return 0;
	address = *(__u64 *)(frames->scratch + at);
	return address ? address + field->offset : 0;
}

/* Whether a state is in a set. */
static __always_inline bool contains(const struct tlswatch_states *set, __u32 state)
{
	__u64 word = state >> 5;

	if (word > 7)
		return false;
	BOUND(word, 7);
	return set->word[word] >> (state & 31) & 1;
}

/* Whether a test holds of what the first read has brought. */
static __always_inline bool holds(const struct tlswatch_profile *profile, const struct tlswatch_test *test,
				  const struct frames *frames, __u32 done)
{
	__u32 value;

	return test->mask && read_field(profile, frames, done, test->slot, &value) &&
	       (value & test->mask) == test->value;
}

/* Whether the object has had its handshake, and this call is about what comes after it. */
__noinline int is_after(const struct tlswatch_profile *profile, const struct frames *frames, __u32 done)
{
	int held = 0;

	if (!profile || !frames)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_AFTER_TESTS; i++) {
		if (!profile->after[i].mask)
			continue;
		if (!holds(profile, &profile->after[i], frames, done))
			return 0;
		held = 1;
	}
	return held;
}

/*
 * The texts go behind the record's steps, one after the other: `at` is where, in bytes from the first
 * step. Returns how many bytes were read.
 */
#define TEXT_START_LIMIT (TLSWATCH_STEPS * sizeof(struct tlswatch_step) + TLSWATCH_TEXT_SIZE)

/* Bytes at an address. */
static __noinline __u32 read_bytes(struct frames *frames, __u64 address, __u64 at, __u32 length)
{
	if (length > TLSWATCH_TEXT_SIZE - 1)
		length = TLSWATCH_TEXT_SIZE - 1;
	BOUND(length, TLSWATCH_TEXT_SIZE - 1);
	barrier_var(at);
	if (at > TEXT_START_LIMIT)
		return 0;
	return bpf_probe_read_user((__u8 *)frames->step + at, length, (void *)address) ? 0 : length;
}

/* A NUL-terminated text. */
static __noinline __u32 read_string(struct frames *frames, __u64 address, __u64 at)
{
	long length;

	barrier_var(at);
	if (at > TEXT_START_LIMIT)
		return 0;
	length = bpf_probe_read_user_str((__u8 *)frames->step + at, TLSWATCH_TEXT_SIZE, (void *)address);
	if (length <= 1 || length > TLSWATCH_TEXT_SIZE)
		return 0;
	return (__u32)length - 1;
}

/* The length that stands before a text, or in a slot of the record in the making. */
static __noinline __u32 length_of(const struct tlswatch_text *text, const struct frames *frames, __u64 address)
{
	__u64 slot = text->slot;
	__u16 prefix = 0;

	if (text->shape == TLSWATCH_COUNTED) {
		barrier_var(slot);
		return slot < TLSWATCH_SLOTS ? frames->record.scalar[slot] : 0;
	}
	if (text->shape == TLSWATCH_PREFIX_8) {
		bpf_probe_read_user(&prefix, 1, (void *)(address - 1));
		return prefix & 0xff;
	}
	bpf_probe_read_user(&prefix, sizeof(prefix), (void *)(address - sizeof(prefix)));
	return prefix;
}

/* Reads one text to `at`; `which` is the fact's number and, above 32 bits, the set of reads that were done. */
static __noinline __u32 read_text(const struct tlswatch_profile *profile, struct frames *frames, __u64 object,
				  __u64 which, __u64 at)
{
	__u64 address = address_of(profile, frames, object, which >> 32, (__u32)which);
	__u64 index = (__u32)which - TLSWATCH_SLOTS;
	const struct tlswatch_text *text;
	__u32 length;

	barrier_var(index);
	if (!address || index >= TLSWATCH_TEXTS - TLSWATCH_SLOTS)
		return 0;
	text = &profile->text[index];
	if (text->shape == TLSWATCH_NUL_TERMINATED)
		return read_string(frames, address, at);
	length = length_of(text, frames, address);
	return length ? read_bytes(frames, address, at, length) : 0;
}

#endif
