#define _GNU_SOURCE
#include "CBPF.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum tlswatch_origin tlswatch_file_origin(int descriptor, int64_t *value)
{
	struct statx status;
	int generation = 0;

	*value = 0;
	if (!statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &status) && status.stx_mask & STATX_BTIME) {
		*value = status.stx_btime.tv_sec * 1000000000LL + status.stx_btime.tv_nsec;
		return TLSWATCH_ORIGIN_BIRTH;
	}
	if (!ioctl(descriptor, FS_IOC_GETVERSION, &generation)) {
		*value = (uint32_t)generation;
		return TLSWATCH_ORIGIN_GENERATION;
	}
	return TLSWATCH_ORIGIN_UNKNOWN;
}

bool tlswatch_is_unlinked(const char *path)
{
	struct statx status;

	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_NLINK, &status) || status.stx_nlink == 0;
}

bool tlswatch_is_remote(int descriptor)
{
	struct statfs status;

	if (fstatfs(descriptor, &status))
		return true;
	switch ((uint32_t)status.f_type) {
	case 0x65735546: /* FUSE */
	case 0x00006969: /* NFS */
	case 0xff534d42: /* CIFS */
	case 0xfe534d42: /* SMB 2 and later */
	case 0x0000517b: /* SMB 1 */
	case 0x01021997: /* 9P */
	case 0x00c36400: /* Ceph */
	case 0x0bd00bd0: /* Lustre */
	case 0x5346414f: /* AFS */
	case 0x73757245: /* Coda */
	case 0x01161970: /* GFS2 */
	case 0x7461636f: /* OCFS2 */
	case 0x20030528: /* OrangeFS */
		return true;
	default:
		return false;
	}
}
