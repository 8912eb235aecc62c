#!/usr/bin/env bash
# make-dist.sh BINARY DIRECTORY: writes a release into DIRECTORY, from a release binary:
#   tlswatch-VERSION-linux-x86_64.tar.gz  the binary and all that goes with it, to be copied into place by hand
#   tlswatch_VERSION_amd64.deb            the same for Debian 12 and its kin
#   tlswatch-VERSION-1.x86_64.rpm         the same for Fedora, Red Hat Enterprise Linux, SUSE and their kin
#   tlswatch-VERSION-source.tar.gz        the last commit
#   tlswatch-VERSION-linux-x86_64-debug.tar.gz  debug information and symbols, for gdb and perf: unpack beside the binary
#   tlswatch-VERSION.spdx.json            what the binary has inside (SPDX 2.3)
#   SHA256SUMS                            over these
# The same input makes the same files (stage-package.sh tells what the version and the times are).
set -euo pipefail

# shellcheck source=scripts/package-begin.sh
. "$(dirname "$0")/package-begin.sh"

name=tlswatch-$version-linux-x86_64
tree=$work/$name
put() { install -D -m "$1" "$2" "$tree/$3"; } # MODE FILE PLACE

put 755 "$stage/tlswatch" tlswatch
put 644 "$stage/third-party.txt" THIRD-PARTY.txt
for file in LICENSE README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md; do put 644 "$root/$file" "$file"; done
for file in "$stage"/completions/*; do put 644 "$file" "completions/${file##*/}"; done
for file in tlswatch.1 tlswatch.service tlswatch.yml; do put 644 "$root/packaging/$file" "$file"; done
for folder in docs docs/runbooks metrics packaging/examples; do
    for file in "$root/$folder"/*.*; do put 644 "$file" "${folder#packaging/}/${file##*/}"; done
done
# Their files name the release that they come with.
install -d "$tree/kubernetes"
for file in Containerfile kubernetes/daemonset.yaml; do
    sed "s/@VERSION@/$version/g" "$root/packaging/$file" >"$tree/$file"
done

pack() { # a tar archive of DIRECTORY/NAME that depends on nothing but its files
    tar -c -C "$1" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$2" |
        gzip -9 -n
}
pack "$work" "$name" >"$output/$name.tar.gz"
git -C "$root" archive --prefix="tlswatch-$version/" HEAD | gzip -9 -n >"$output/tlswatch-$version-source.tar.gz"
debug=$name-debug
install -D -m 644 "$stage/tlswatch.debug" "$work/$debug/tlswatch.debug"
pack "$work" "$debug" >"$output/$debug.tar.gz"
install -m 644 "$stage/sbom.spdx.json" "$output/tlswatch-$version.spdx.json"
"$root/scripts/make-deb.sh" "$binary" "$output" "$stage" >/dev/null
"$root/scripts/make-rpm.sh" "$binary" "$output" "$stage" >/dev/null
cd "$output"
files=("$name.tar.gz" "$debug.tar.gz" "tlswatch-$version-source.tar.gz" "tlswatch_${version}_amd64.deb" "tlswatch-$version-1.x86_64.rpm" "tlswatch-$version.spdx.json")
sha256sum "${files[@]}" >SHA256SUMS
printf '%s\n' "${files[@]/#/$output/}" "$output/SHA256SUMS"
if [[ -n $(git -C "$root" status --porcelain --untracked-files=no) ]]; then
    echo "make-dist: there are changes that are not committed; the source archive is of the last commit" >&2
fi
