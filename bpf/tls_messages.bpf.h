/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshake messages in a library's memory, in plaintext: of libraries in which no one call is the handshake, but a function
 * for each message. Where a message stands is not believed but proven: what is copied begins like a handshake message of the
 * length that the library has for it.
 */
#ifndef TLSWATCH_TLS_MESSAGES_BPF_H
#define TLSWATCH_TLS_MESSAGES_BPF_H

#include "tls_calls.bpf.h"

#define CLIENT_HELLO 1
#define SERVER_HELLO 2

/*
 * Handshake types (RFC 8446 section 4, RFC 5246 section 7.4): those of handshakes, and what follows one. HelloRequest is left
 * out: its number proves nothing.
 */
#define HANDSHAKE_TYPES                                                                                                \
	(1U << 1 | 1U << 2 | 1U << 4 | 1U << 5 | 1U << 8 | 1U << 11 | 1U << 12 | 1U << 13 | 1U << 14 | 1U << 15 |      \
	 1U << 16 | 1U << 20 | 1U << 22 | 1U << 24 | 1U << 25)

/* A message that was found. */
struct plain_message {
	__u64 address; /* 0: none */
	__u32 length;
	__u32 type; /* of the first of them */
};

/* Whether a handshake message begins there, of all of `length` bytes, or where several may follow each other, of some. */
static __noinline int prove_message(__u64 address, __u64 length, struct plain_message *found, __u32 several)
{
	__u8 head[4];
	__u64 own;

	if (!address || length < 4 || length >> 17 || bpf_probe_read_user(head, sizeof(head), (void *)address))
		return 0;
	own = 4 + (head[1] << 16 | head[2] << 8 | head[3]);
	if (head[0] > 31 || !(HANDSHAKE_TYPES >> head[0] & 1) || (several ? own > length : own != length))
		return 0;
	found->address = address;
	found->length = length;
	found->type = head[0];
	return 1;
}

/* An address and a length among the envelope's first words: side by side, or with a capacity between them. */
#define ENVELOPE_PAIRS 3

static __noinline int find_message(__u64 envelope, struct plain_message *found, __u32 several)
{
	__u64 words[3];

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < ENVELOPE_PAIRS; i++) {
		if (bpf_probe_read_user(words, sizeof(words), (void *)(envelope + 8 * i)))
			return 0;
		/* What a capacity holds besides is nobody's: where there is one, one message fills the length. */
		if ((words[1] >= words[2] && prove_message(words[0], words[2], found, 0)) ||
		    prove_message(words[0], words[1], found, several))
			return 1;
	}
	return 0;
}

static __always_inline void fill_message(struct tlswatch_message *out, struct pt_regs *ctx,
					 const struct tlswatch_site *site, const struct plain_message *found, __u64 now)
{
	__u64 envelope = value_at(ctx, &site->argument);

	fill_header(&out->header, now, object_of(ctx, site), TLSWATCH_MESSAGE, site->profile, sizeof(*out), site->hook);
	out->random_end = 0;
	out->length = found->length;
	out->parent_pid = 0;
	out->byte_count = 0;
	out->variant = site->hook == TLSWATCH_HOOK_MESSAGE_SENT && site->bytes ?
			       (__u16)(value_at(ctx, &site->argument2) - site->bytes) + 1 :
			       0;
	__builtin_memset(out->reserved, 0, sizeof(out->reserved));
	__builtin_memset(out->envelope, 0, sizeof(out->envelope));
	__builtin_memset(out->comm, 0, sizeof(out->comm));
	__builtin_memset(out->thread, 0, sizeof(out->thread));
	if (envelope && bpf_probe_read_user(out->envelope, sizeof(out->envelope), (void *)envelope))
		__builtin_memset(out->envelope, 0, sizeof(out->envelope));
}

/* The message goes behind the fixed part. */
static __always_inline __u64 copy_message(struct tlswatch_message *out, const struct plain_message *found,
					  const __u32 most)
{
	__u64 count = found->length;

	if (!found->address)
		return 0;
	if (count > most)
		count = most;
	barrier_var(count);
	BOUND(count, most);
	if (bpf_probe_read_user(out + 1, count, (void *)found->address))
		return 0;
	out->byte_count = count;
	out->header.size += count;
	return count;
}

/* The last eight bytes of the random stand so far behind the beginning of a ClientHello. */
#define RANDOM_END 30

/* A client's hello: its answer will be known by it. */
static __noinline int note_hello(const struct tlswatch_site *site, const struct plain_message *found)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 end;

	if (site->hook == TLSWATCH_HOOK_MESSAGE_SENT && found->length >= RANDOM_END + sizeof(end) &&
	    !bpf_probe_read_user(&end, sizeof(end), (void *)(found->address + RANDOM_END)))
		bpf_map_update_elem(&last_hellos, &pid, &end, BPF_ANY);
	return 0;
}

/* A ClientHello: with who calls. */
static __noinline int tell_client_hello(struct pt_regs *ctx, const struct tlswatch_site *site,
					const struct plain_message *found, __u64 now)
{
	struct tlswatch_message *out = bpf_ringbuf_reserve(&ring, sizeof(*out) + TLSWATCH_MESSAGE_BYTES + 1, 0);

	note_hello(site, found);
	if (!out) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_message(out, ctx, site, found, now);
	out->parent_pid = fill_names(out->comm, out->thread);
	copy_message(out, found, TLSWATCH_MESSAGE_BYTES);
	submit(out, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* Where a state has these eight bytes, plus 1; 0: nowhere. */
__noinline __u32 place_in_state(__u64 state, __u64 length, __u64 wanted)
{
	__u32 zero = 0;
	struct state_bytes *copy = bpf_map_lookup_elem(&states, &zero);

	if (!copy || length > STATE_BYTES - 1)
		return 0;
	BOUND(length, STATE_BYTES - 1);
	if (!length || bpf_probe_read_user(copy, length, (void *)state))
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < STATE_BYTES - sizeof(wanted); i++) {
		if (i + sizeof(wanted) > length)
			break;
		if (*(__u64 *)&copy->byte[i] == wanted)
			return i + 1;
	}
	return 0;
}

/* The end of the random that a state was made for. Where it stands in the states of a site is found with the last hello. */
static __noinline __u64 random_of_state(struct pt_regs *ctx, struct tlswatch_site *site)
{
	__u64 state = value_at(ctx, &site->argument2), end = 0;
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 *last;

	if (!state)
		return 0;
	if (!site->random_at) {
		last = bpf_map_lookup_elem(&last_hellos, &pid);
		if (!last || !*last)
			return 0;
		site->random_at = place_in_state(state, site->bytes, *last);
		if (!site->random_at)
			return 0;
	}
	if (bpf_probe_read_user(&end, sizeof(end), (void *)(state + site->random_at - 1)))
		return 0;
	return end;
}

#define SERVER_MESSAGE_BYTES 2047

static __noinline int tell_server_hello(struct pt_regs *ctx, struct tlswatch_site *site,
					const struct plain_message *found, __u64 now)
{
	struct tlswatch_message *out = bpf_ringbuf_reserve(&ring, sizeof(*out) + SERVER_MESSAGE_BYTES + 1, 0);

	if (!out) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_message(out, ctx, site, found, now);
	out->random_end = random_of_state(ctx, site);
	copy_message(out, found, SERVER_MESSAGE_BYTES);
	submit(out, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

/* A state goes. */
static __noinline int tell_state(struct pt_regs *ctx, struct tlswatch_site *site, const struct plain_message *none,
				 __u64 now)
{
	struct tlswatch_message *out;
	__u64 end = random_of_state(ctx, site);

	/* One that is nobody's tells nothing. */
	if (!end) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_NOTED);
		return 0;
	}
	out = bpf_ringbuf_reserve(&ring, sizeof(*out), 0);
	if (!out) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_message(out, ctx, site, none, now);
	out->random_end = end;
	submit(out, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

#define SHORT_MESSAGE_BYTES 511
#define ENCRYPTED_EXTENSIONS 8
#define HEAD_BYTES 16

/* Any other: of EncryptedExtensions what they hold, of the rest which they are, and how they begin. */
static __noinline int tell_short(struct pt_regs *ctx, const struct tlswatch_site *site, struct plain_message *found,
				 __u64 now)
{
	struct tlswatch_message *out = bpf_ringbuf_reserve(&ring, sizeof(*out) + SHORT_MESSAGE_BYTES + 1, 0);
	__u32 length = found->length;

	if (!out) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_message(out, ctx, site, found, now);
	if (found->type != ENCRYPTED_EXTENSIONS && length > HEAD_BYTES)
		found->length = HEAD_BYTES;
	copy_message(out, found, SHORT_MESSAGE_BYTES);
	submit(out, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

static __noinline bool is_enabled(const struct tlswatch_site *site)
{
	__u32 index = site->profile;
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &index);

	if (profile && profile->enabled)
		return true;
	count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_DISABLED);
	return false;
}

/* A message is received or sent, or the state that waits for one goes. */
static __noinline int see_message(struct pt_regs *ctx, struct tlswatch_site *site, __u64 now)
{
	struct plain_message found = {};

	if (!is_enabled(site))
		return 0;
	if (site->hook == TLSWATCH_HOOK_STATE_DROPPED)
		return tell_state(ctx, site, &found, now);
	find_message(value_at(ctx, &site->argument), &found, site->hook == TLSWATCH_HOOK_MESSAGE_SENT);
	if (found.type == CLIENT_HELLO)
		return tell_client_hello(ctx, site, &found, now);
	if (found.type == SERVER_HELLO)
		return tell_server_hello(ctx, site, &found, now);
	return tell_short(ctx, site, &found, now);
}

/* A handshake has ended, by itself. */
static __noinline int see_end(struct pt_regs *ctx, const struct tlswatch_site *site, __u64 now)
{
	struct tlswatch_step_record *record;

	if (!is_enabled(site))
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_drop(TLSWATCH_PROGRAM_ENTER, TLSWATCH_DROP_RING_FULL);
		return 0;
	}
	fill_header(&record->header, now, object_of(ctx, site) - site->bytes, TLSWATCH_STEP, site->profile,
		    sizeof(*record), site->hook);
	record->step.time_ns = now;
	record->step.input_ns = 0;
	record->step.argument = value_at(ctx, &site->argument);
	record->step.argument2 = value_at(ctx, &site->argument2);
	record->step.duration_ns = 0;
	record->step.hook = site->hook;
	record->step.detail = TLSWATCH_NO_STATE;
	submit(record, TLSWATCH_PROGRAM_ENTER);
	return 0;
}

#endif
