/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is a socket the handshake's own? */
#ifndef TLSWATCH_PROOF_BPF_H
#define TLSWATCH_PROOF_BPF_H

#include "facts.bpf.h"
#include "interfaces.bpf.h"
#include <bpf/bpf_tracing.h>

#if defined(__TARGET_ARCH_x86)
#define SYSTEM_CALL(registers) (registers)->orig_ax
#define FIRST_ARGUMENT(registers) (registers)->di
#define SECOND_ARGUMENT(registers) (registers)->si
enum { READ = 0, WRITE = 1, READV = 19, WRITEV = 20, SENDTO = 44, RECVFROM = 45, SENDMSG = 46, RECVMSG = 47 };
#elif defined(__TARGET_ARCH_arm64)
#define SYSTEM_CALL(registers) (registers)->syscallno
#define FIRST_ARGUMENT(registers) (registers)->orig_x0
#define SECOND_ARGUMENT(registers) (registers)->regs[1]
enum { READ = 63, WRITE = 64, READV = 65, WRITEV = 66, SENDTO = 206, RECVFROM = 207, SENDMSG = 211, RECVMSG = 212 };
#endif

/* The socket behind a descriptor of this process, or 0 where there is none. */
__noinline __u64 socket_of(__u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt);
	struct file *file = 0;
	struct socket *socket;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + descriptor);
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return (__u64)BPF_CORE_READ(socket, sk);
}

/* What the object's transport tells of a socket. */
enum { IS_ANOTHER = 0, NOT_TOLD, IS_THE_ONE };
#define TRANSPORTS 4 /* filters that are looked through */

/* Whether the kind whose table is there is one of the library's own. */
static __noinline bool is_own_kind(const struct tlswatch_transport *layout, __u64 table)
{
	__u64 name = 0, address;

	_Static_assert(sizeof(name) == TLSWATCH_KIND_NAME, "name");
	if (bpf_probe_read_user(&address, sizeof(address), (void *)(table + layout->name)) ||
	    bpf_probe_read_user_str(&name, sizeof(name), (void *)address) < 0)
		return false;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TLSWATCH_KINDS; i++)
		if (name && layout->own[i] == name)
			return true;
	return false;
}

/* The file that stands for a socket; 0: none. */
static __always_inline __u64 file_of(struct sock *sk)
{
	struct socket *socket = KERNEL_MEMBER(struct sock, sk, sk_socket);

	/* By a helper in any case: it is compared as a number. */
	return (__u64)BPF_CORE_READ(socket, file);
}

/* Whether a descriptor of this process is of that file. */
static __always_inline bool is_of_file(__u32 descriptor, __u64 file)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	__u64 found = 0;

	if (descriptor >= table->max_fds)
		return false;
	bpf_probe_read_kernel(&found, sizeof(found), table->fd + descriptor);
	return found && found == file;
}

/* Whether the object's transport has the descriptor of the socket whose file is there. */
__noinline int transport_tells(const struct tlswatch_profile *profile, struct frames *frames, __u64 object, __u64 file)
{
	const struct tlswatch_transport *layout;
	__u64 address, table;
	__u32 done, kind;
	int descriptor;

	if (!profile || !frames)
		return NOT_TOLD;
	layout = &profile->transport;
	if (layout->own_descriptor) {
		if (bpf_probe_read_user(&address, sizeof(address), (void *)(object + layout->own_descriptor)))
			return NOT_TOLD;
		if (layout->own_behind) {
			if (!address || bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)address))
				return NOT_TOLD;
			/* A negative one is too large. */
			address = (__u32)descriptor;
		}
		return !(address >> 31) && is_of_file(address, file) ? IS_THE_ONE : NOT_TOLD;
	}
	if (!layout->known)
		return NOT_TOLD;
	done = state_read(profile, frames, object);
	done = read_more(profile, frames, object, profile->transport_reads, done);
	if (profile->transport_reads & ~done)
		return NOT_TOLD;
	address = address_of(profile, frames, object, done, TLSWATCH_TRANSPORT);
#pragma clang loop unroll(disable)
	for (int i = 0; i < TRANSPORTS; i++) {
		/* A filter before nothing is the application's own transport under a number of its liking (haproxy's). */
		if (!address)
			return i ? NOT_TOLD : IS_ANOTHER;
		if (bpf_probe_read_user(&table, sizeof(table), (void *)(address + layout->kinds)) ||
		    bpf_probe_read_user(&kind, sizeof(kind), (void *)(table + layout->kind)))
			return NOT_TOLD;
		if (kind & layout->has_descriptor) {
			if (bpf_probe_read_user(&descriptor, sizeof(descriptor),
						(void *)(address + layout->descriptor)))
				return NOT_TOLD;
			if (descriptor >= 0 && is_of_file(descriptor, file))
				return IS_THE_ONE;
			break;
		}
		if (!(kind & layout->is_filter))
			break;
		if (bpf_probe_read_user(&address, sizeof(address), (void *)(address + layout->next)))
			return NOT_TOLD;
		table = 0;
	}
	return table && is_own_kind(layout, table) ? IS_ANOTHER : NOT_TOLD;
}

/* The same of a connection that is an interface value. */
__noinline int connection_tells(const struct tlswatch_profile *profile, struct frames *frames,
				const struct frame *frame, __u64 file)
{
	int descriptor;

	if (!profile || !frames || !frame)
		return NOT_TOLD;
	descriptor = descriptor_of(&profile->interfaces, frames, frame);
	if (descriptor < 0)
		return NOT_TOLD;
	return is_of_file(descriptor, file) ? IS_THE_ONE : IS_ANOTHER;
}

/*
 * Whether the object has nothing to write to but the memory that it reads from: no peer is answered that way. It is there for a
 * look at a ClientHello that has been read elsewhere.
 */
__noinline int is_mute(const struct tlswatch_profile *profile, struct frames *frames, __u64 object, __u32 done)
{
	const struct tlswatch_transport *layout;
	__u64 reader, writer, table;
	__u32 kind;

	if (!profile || !frames)
		return 0;
	layout = &profile->transport;
	if (!layout->writer)
		return 0;
	done = read_more(profile, frames, object, profile->transport_reads, done);
	if (profile->transport_reads & ~done)
		return 0;
	reader = address_of(profile, frames, object, done, TLSWATCH_TRANSPORT);
	if (!reader || bpf_probe_read_user(&writer, sizeof(writer), (void *)(object + layout->writer)))
		return 0;
	if (!writer)
		return 1;
	if (writer != reader || !layout->known || !layout->memory ||
	    bpf_probe_read_user(&table, sizeof(table), (void *)(reader + layout->kinds)) ||
	    bpf_probe_read_user(&kind, sizeof(kind), (void *)(table + layout->kind)))
		return 0;
	return kind == layout->memory && is_own_kind(layout, table);
}

/* Where the bytes are that the thread's system call has just sent or received; 0 where that is not known. */
static __noinline __u64 call_buffer(void)
{
	struct pt_regs___call *registers = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u64 address = SECOND_ARGUMENT(registers);

	switch (SYSTEM_CALL(registers)) {
	case READ:
	case WRITE:
	case SENDTO:
	case RECVFROM:
		return address;
	case SENDMSG:
	case RECVMSG:
		/* struct msghdr: name, its length, then the iovecs. */
		if (bpf_probe_read_user(&address, sizeof(address), (void *)(address + 16)))
			return 0;
		/* fallthrough */
	case READV:
	case WRITEV:
		/* struct iovec: where, how many. */
		return bpf_probe_read_user(&address, sizeof(address), (void *)address) ? 0 : address;
	default:
		return 0;
	}
}

/* What a send or receive looks like that is to prove something; bits of `what` below. */
enum { IS_SEND = 1, IS_OTHERS = 2 };

/*
 * What the bytes of this send or receive are: a TLS (RFC 8446 section 5.1) or DTLS record of a handshake, of something
 * else, or none.
 */
__noinline __u32 record_kind(int length, __u32 what)
{
	__u64 address = call_buffer();
	__u8 head[8];

	/* The last byte is the message's type: libssl asks for a record's five bytes first. */
	head[5] = 1;
	if (!address || length < 5 || bpf_probe_read_user(head, 5, (void *)address) ||
	    (length > 5 && bpf_probe_read_user(head + 5, 1, (void *)(address + 5))))
		return TLSWATCH_NO_PROOF;
	/* Versions 3.0 to 3.4; DTLS counts down from 254.255. */
	if (!(head[1] == 3 && head[2] <= 4) && !(head[1] == 254 && head[2] >= 252))
		return TLSWATCH_NO_PROOF;
	/* A ClientHello: what either side's handshake begins with. */
	if (head[0] == 22)
		return head[5] == 1 ? TLSWATCH_PROOF_RECORD : TLSWATCH_NO_PROOF;
	/* On a connection of TLS that is known it may carry this one (TLS inside TLS). */
	return head[0] == 23 && what & IS_OTHERS ? TLSWATCH_INFERRED : TLSWATCH_NO_PROOF;
}

/*
 * How it is known that the socket is the object's own: enum tlswatch_proof. `what` tells what is done (IS_SEND), and
 * whether the socket is another object's (IS_OTHERS).
 */
static __noinline __u32 proof(struct frames *frames, struct frame *frame, struct sock *sk, int length, __u32 what)
{
	struct tlswatch_profile *profile = bpf_map_lookup_elem(&profiles, &frame->profile);
	__u32 found;
	int told;

	if (!profile)
		return TLSWATCH_NO_PROOF;
	if (profile->interfaces.known)
		told = connection_tells(profile, frames, frame, file_of(sk));
	else
		told = transport_tells(profile, frames, frame->object, file_of(sk));
	if (told == IS_THE_ONE)
		return TLSWATCH_PROOF_DESCRIPTOR;
	/*
	 * The bytes have to tell. A handshake begins with a ClientHello that a client sends and a server receives. What a
	 * callback opens comes after that, and the other way round in a server: it asks first.
	 */
	if (told != NOT_TOLD || frame->socket || (frame->server ? 0 : IS_SEND) != (what & IS_SEND) ||
	    frame->stranger == (__u64)sk)
		return TLSWATCH_NO_PROOF;
	found = record_kind(length, what);
	if (found != TLSWATCH_NO_PROOF)
		return found;
	/* A server's handshake begins by listening. */
	return frame->server && frame->began && !frame->stranger && !frame->first_send_ns ? TLSWATCH_INFERRED :
											    TLSWATCH_NO_PROOF;
}

#endif
