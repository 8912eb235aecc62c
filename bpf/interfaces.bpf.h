/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Interface values: which types an error or a connection is made of. */
#ifndef TLSWATCH_INTERFACES_BPF_H
#define TLSWATCH_INTERFACES_BPF_H

#include "maps.bpf.h"

#define INTERFACES 6 /* values inside one another that are looked through */

/* What is told of a value beside its type. */
__noinline __u32 read_detail(const struct tlswatch_type *type, __u64 data)
{
	__u64 text[2] = {};
	__u32 found = 0;
	__u16 begin = 0;

	if (!type || type->detail == TLSWATCH_NOTHING)
		return 0;
	data += type->detail;
	if (type->size) {
		bpf_probe_read_user(&found, type->size == 1 ? 1 : sizeof(found), (void *)data);
		return found & 0xffffff;
	}
	if (bpf_probe_read_user(text, sizeof(text), (void *)data) || !text[1])
		return 0;
	bpf_probe_read_user(&begin, text[1] == 1 ? 1 : sizeof(begin), (void *)text[0]);
	return begin | (text[1] > 255 ? 255 : text[1]) << 16;
}

/* Looks through the value in frames->chain, and leaves there the innermost one whose type is known. */
__noinline int look_through(struct frames *frames, __u32 profile, __u32 bias)
{
	struct tlswatch_type_key key = { .profile = profile };
	const struct tlswatch_type *type;
	struct chain *chain;
	__u64 address, inner;
	__u64 data;

	if (!frames)
		return 0;
	chain = &frames->chain;
	chain->number = 0;
	chain->detail = 0;
	data = chain->data;
#pragma clang loop unroll(disable)
	for (int i = 0; i < INTERFACES; i++) {
		if (!chain->table || bpf_probe_read_user(&address, sizeof(address), (void *)(chain->table + 8)))
			break;
		key.type = (__u32)address - bias;
		type = bpf_map_lookup_elem(&types, &key);
		if (!type)
			break;
		data = chain->data;
		chain->number = type->number;
		chain->detail = read_detail(type, data);
		if (type->inner == TLSWATCH_NOTHING)
			break;
		inner = data + type->inner;
		if (type->pointed) {
			if (!bpf_probe_read_user(&data, sizeof(data), (void *)inner))
				chain->number = type->pointed;
			break;
		}
		if (bpf_probe_read_user(&chain->table, 2 * sizeof(__u64), (void *)inner))
			break;
	}
	chain->data = data;
	return 0;
}

/* The same for the value at an address: its type's number, and above 8 bits its detail. */
static __always_inline __u32 look_through_at(struct frames *frames, __u32 profile, __u32 bias, __u64 address)
{
	struct chain *chain = &frames->chain;

	chain->number = 0;
	chain->detail = 0;
	if (bpf_probe_read_user(&chain->table, 2 * sizeof(__u64), (void *)address))
		return 0;
	look_through(frames, profile, bias);
	return chain->number | chain->detail << 8;
}

/* The descriptor of the object's own socket; negative where it has none that is known. */
static __always_inline int descriptor_of(const struct tlswatch_interfaces *layout, struct frames *frames,
					 const struct frame *frame)
{
	struct chain *chain = &frames->chain;
	__u64 address;
	int descriptor;

	look_through_at(frames, frame->profile, frame->bias, frame->object + layout->connection);
	if (!layout->socket || chain->number != layout->socket)
		return -1;
	if (bpf_probe_read_user(&address, sizeof(address), (void *)(chain->data + layout->pointer)) ||
	    bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)(address + layout->descriptor)))
		return -1;
	return descriptor;
}

/* Whether the call has been canceled, as far as that is known: 1 << 9 of TLSWATCH_CARRIER. */
static __noinline __u32 canceled(const struct tlswatch_interfaces *layout, const struct chain *chain)
{
	__u64 why = 0;

	if (!chain->canceler || layout->canceled == TLSWATCH_NOTHING ||
	    bpf_probe_read_user(&why, sizeof(why), (void *)(chain->canceler + layout->canceled)))
		return 0;
	return why ? 0x200 : 0;
}

/* Why the call has failed: into the slots of the record in the making. frames->chain has its error. */
static __noinline int read_errors(const struct tlswatch_interfaces *layout, struct frames *frames,
				  const struct frame *frame)
{
	struct tlswatch_call_return *record = &frames->record;
	__u32 profile = frame->profile, bias = frame->bias;
	__u64 object = frame->object;

	look_through(frames, profile, bias);
	record->scalar[TLSWATCH_ERROR] = frames->chain.number | frames->chain.detail << 8;
	record->scalar[TLSWATCH_INCOMING_ERROR] =
		look_through_at(frames, profile, bias, object + layout->incoming_error);
	record->scalar[TLSWATCH_OUTGOING_ERROR] =
		look_through_at(frames, profile, bias, object + layout->outgoing_error);
	look_through_at(frames, profile, bias, object + layout->connection);
	record->scalar[TLSWATCH_CARRIER] = frames->chain.number | (frame->socket || frame->stranger ? 0x100 : 0) |
					   canceled(layout, &frames->chain);
	record->present |= 1U << TLSWATCH_ERROR | 1U << TLSWATCH_INCOMING_ERROR | 1U << TLSWATCH_OUTGOING_ERROR |
			   1U << TLSWATCH_CARRIER;
	return 0;
}

/*
 * Calls of the goroutine that came to no end: a panic that somebody has caught leaves past every exit. The mutex that a call
 * holds tells.
 */
static __noinline int drop_ended(const struct tlswatch_interfaces *layout, struct frames *frames, __u32 profile)
{
	__u32 held;
	__u64 top;

	if (!layout->known)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < FRAMES; i++) {
		if (!frames->depth)
			break;
		top = frames->depth - 1;
		BOUND(top, FRAMES - 1);
		if (frames->frame[top].profile != profile ||
		    bpf_probe_read_user(&held, sizeof(held), (void *)(frames->frame[top].object + layout->mutex)) ||
		    held & 1)
			break;
		frames->depth--;
	}
	return 0;
}

#endif
