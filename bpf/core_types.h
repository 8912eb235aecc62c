/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that the programs use, by the fields they use. CO-RE relocates every
 * access to the running kernel's layout; nothing here depends on a build host's headers.
 */
#ifndef TLSWATCH_CORE_TYPES_H
#define TLSWATCH_CORE_TYPES_H

/* Tells libbpf's bpf_tracing.h that pt_regs has the kernel's own field names. */
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };

enum { EAGAIN = 11 };
enum { SCHED_NORMAL = 0, SCHED_BATCH = 3, SCHED_IDLE = 5 };
enum { S_IFMT = 0170000, S_IFSOCK = 0140000 };
enum { AF_INET = 2, AF_INET6 = 10, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_MPTCP = 262 };
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_NEW_SYN_RECV = 12, /* of a request, which is no full socket */
};

/* The probe context is the target's registers: the kernel's ABI, not relocated. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
#endif

/* Contexts of programs on packets: the kernel's ABI, which its verifier rewrites (include/uapi/linux/bpf.h). */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 padding;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

struct __sk_buff {
	__u32 len;
	__u32 before_protocol[3];
	__u32 protocol;
	__u32 before_data[14];
	__u32 data;
	__u32 data_end;
	__u32 before_socket[21];
	struct bpf_sock *sk __attribute__((aligned(8)));
	__u32 gso_size;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

/* A system call's registers, as the kernel keeps them: a flavour, since the probes' contexts have the plain name. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs___call {
	unsigned long r14, orig_ax, di, si;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___call {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
};
#endif

struct file;

struct socket {
	struct file *file;
	struct sock *sk;
};

struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	__s64 i_size;
	__u32 i_generation;
};

struct file {
	struct inode *f_inode;
	void *private_data; /* of a socket: its struct socket */
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live; /* threads of the group that have not begun to exit */
};

struct mm_struct {
	struct file *exe_file;
};

struct sched_entity {
	__u64 exec_start;            /* when the scheduler last looked at it */
	__u64 sum_exec_runtime;      /* on a processor, up to then */
	__u64 prev_sum_exec_runtime; /* up to when it last got one */
};

struct sched_info {
	unsigned long long run_delay;    /* ready to run, and waiting */
	unsigned long long last_arrival; /* when it last got a processor */
};

struct task_struct {
	struct sched_entity se;
	struct sched_info sched_info; /* with CONFIG_SCHED_INFO, which delay accounting and schedstats bring */
	unsigned int policy;          /* SCHED_* */
	unsigned long nvcsw, nivcsw;  /* how often it left its processor, of its own will and against it */
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	char comm[16];
	struct signal_struct *signal;
	struct files_struct *files;
	__u64 start_boottime; /* nanoseconds; real_start_time before 5.5 (kernel cf25e24db61c) */
};

struct linux_binprm {
	const char *interp; /* the binary that really runs: a script's interpreter */
};

struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_flags;
	struct file *vm_file;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

typedef struct {
	int owned; /* by a process: else by nobody, or by a softirq */
} socket_lock_t;

struct kernfs_node {
	__u64 id; /* the inode */
};

struct cgroup {
	struct kernfs_node *kn;
};

/* A pointer of its own since 5.15 (kernel 8520e224f547). */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct bpf_local_storage;

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	socket_lock_t sk_lock;
	__u16 sk_protocol;                        /* its own field since 5.6 (kernel bf9765145b85) */
	int sk_err;                               /* pending, an errno: ECONNRESET after a reset */
	struct socket *sk_socket;                 /* NULL once nobody has it open */
	struct bpf_local_storage *sk_bpf_storage; /* NULL: it has none */
};

/* Every TCP socket begins with one. */
struct inet_connection_sock {
	struct {
		__u32 lrcvtime; /* when data came last, in ticks */
	} icsk_ack;
};

struct tcp_sock {
	__u32 rcv_nxt;        /* the next byte that TCP expects */
	__u32 snd_nxt;        /* the next byte that it sends for the first time */
	__u32 write_seq;      /* behind the last byte that the program has written */
	__u64 bytes_received; /* without the peer's SYN */
	__u64 bytes_acked;    /* by the peer: the SYN is one of them */
	__u32 data_segs_in;   /* with payload */
	__u32 data_segs_out;
	__u32 srtt_us; /* smoothed round-trip time, times eight */
	__u32 total_retrans;
	__u64 tcp_mstamp;          /* microseconds of CLOCK_MONOTONIC at the newest packet, arrived or sent */
	__u8 fastopen_connect : 1; /* TCP_FASTOPEN_CONNECT is set */
};

#pragma clang attribute pop

#endif
