#!/usr/bin/env bash
# make-rpm.sh BINARY DIRECTORY [STAGE]: writes tlswatch-VERSION-1.x86_64.rpm into DIRECTORY, from a release binary, for Fedora, SUSE,
# Red Hat Enterprise Linux and their kin, as far as their C library is as new as the one that the binary was linked with (built on
# Debian 12, it requires glibc 2.36). The same input makes the same package (stage-package.sh tells what the version and the
# times are). Needs rpmbuild, which Debian has in its package rpm.
set -euo pipefail

# shellcheck source=scripts/package-begin.sh
. "$(dirname "$0")/package-begin.sh"

command -v rpmbuild >/dev/null || die "there is no rpmbuild: install Debian's package rpm"

tree=$work/tree
put() { install -D -m "$1" "$2" "$tree$3"; } # MODE FILE PLACE
put 755 "$stage/tlswatch" /usr/bin/tlswatch
put 644 "$root/packaging/tlswatch.service" /usr/lib/systemd/system/tlswatch.service
put 644 "$root/packaging/tlswatch.yml" /etc/tlswatch/tlswatch.yml
install -d "$tree/usr/share/man/man1"
gzip -9 -n <"$root/packaging/tlswatch.1" >"$tree/usr/share/man/man1/tlswatch.1.gz"
put 644 "$stage/completions/tlswatch.bash" /usr/share/bash-completion/completions/tlswatch
put 644 "$stage/completions/_tlswatch" /usr/share/zsh/site-functions/_tlswatch
put 644 "$stage/completions/tlswatch.fish" /usr/share/fish/vendor_completions.d/tlswatch.fish
put 644 "$root/LICENSE" /usr/share/licenses/tlswatch/LICENSE
put 644 "$stage/third-party.txt" /usr/share/licenses/tlswatch/THIRD-PARTY.txt
documents=/usr/share/doc/tlswatch
for file in "$root"/{README,CHANGELOG}.md "$root"/docs/*.{md,json,png}; do put 644 "$file" "$documents/${file##*/}"; done
for file in "$root"/docs/runbooks/*.md; do put 644 "$file" "$documents/runbooks/${file##*/}"; done
put 644 "$root/metrics/README.md" "$documents/metrics.md"
for file in "$root"/packaging/examples/*.conf "$root"/metrics/*.{yml,json}; do put 644 "$file" "$documents/examples/${file##*/}"; done
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

sed -e "s/@VERSION@/$version/" -e "s|@TREE@|$tree|" "$root/packaging/rpm/tlswatch.spec.in" >"$work/tlswatch.spec"
# Nothing of this machine, and the binary as it is: debug information stands apart.
define=(
    "_topdir $work/rpm" "_rpmdir $work/out" "_tmppath $work"
    "_buildhost tlswatch.invalid" "use_source_date_epoch_as_buildtime 1" "clamp_mtime_to_source_date_epoch 1"
    "_binary_payload w12.zstdio" "_build_id_links none" "debug_package %{nil}" "__os_install_post %{nil}"
    "_docdir_fmt %{NAME}" "_unitdir /usr/lib/systemd/system"
)
arguments=()
for one in "${define[@]}"; do arguments+=(--define "$one"); done
rpmbuild -bb --quiet --target x86_64-linux --dbpath "$work/db" "${arguments[@]}" "$work/tlswatch.spec" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    die "rpmbuild failed"
}
package=tlswatch-$version-1.x86_64.rpm
install -m 644 "$work/out/x86_64/$package" "$output/$package"
echo "$output/$package"
