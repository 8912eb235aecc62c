/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What processes map as code, told by the kernel's own structures: the inode is the one that uprobes
 * go by, where /proc/PID/maps shows that of overlayfs.
 */
#ifndef TLSWATCH_MAPPINGS_BPF_H
#define TLSWATCH_MAPPINGS_BPF_H

#include "core_types.h"
#include "event.h"
#include <bpf/bpf_helpers.h>

#define VM_EXEC 4

SEC("iter/task_vma")
int list_mappings(struct bpf_iter__task_vma *context)
{
	struct vm_area_struct *area = context->vma;
	struct task_struct *task = context->task;
	struct tlswatch_mapping record = {};
	struct inode *inode;

	if (!area || !task || !(area->vm_flags & VM_EXEC) || !area->vm_file)
		return 0;
	inode = area->vm_file->f_inode;
	record.start = area->vm_start;
	record.end = area->vm_end;
	record.inode = inode->i_ino;
	record.size = inode->i_size;
	record.generation = inode->i_generation;
	record.device = inode->i_sb->s_dev;
	record.pid = task->tgid;
	bpf_seq_write(context->meta->seq, &record, sizeof(record));
	return 0;
}

#endif
