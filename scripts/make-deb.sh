#!/usr/bin/env bash
# make-deb.sh BINARY DIRECTORY [STAGE]: writes tlswatch_VERSION_amd64.deb into DIRECTORY, from a release binary. The same input
# makes the same package (stage-package.sh tells what the version and the times are). Needs dpkg-dev.
set -euo pipefail

# shellcheck source=scripts/package-begin.sh
. "$(dirname "$0")/package-begin.sh"

tree=$work/tree
put() { install -D -m "$1" "$2" "$tree$3"; }                                             # MODE FILE PLACE
compress() { install -d "$tree${2%/*}" && gzip -9 -n <"$1" >"$tree$2" && chmod 644 "$tree$2"; } # FILE PLACE

put 755 "$stage/tlswatch" /usr/bin/tlswatch
# Where Debian 12's own packages have it; later ones find it there too.
put 644 "$root/packaging/tlswatch.service" /lib/systemd/system/tlswatch.service
put 644 "$root/packaging/tlswatch.yml" /etc/tlswatch/tlswatch.yml
compress "$root/packaging/tlswatch.1" /usr/share/man/man1/tlswatch.1.gz
put 644 "$stage/completions/tlswatch.bash" /usr/share/bash-completion/completions/tlswatch
put 644 "$stage/completions/_tlswatch" /usr/share/zsh/vendor-completions/_tlswatch
put 644 "$stage/completions/tlswatch.fish" /usr/share/fish/vendor_completions.d/tlswatch.fish

head -n 3 "$root/LICENSE" | grep -q 'Apache License' || die "packaging/debian/copyright says Apache-2.0, LICENSE does not"
put 644 "$root/packaging/debian/copyright" /usr/share/doc/tlswatch/copyright
compress "$stage/third-party.txt" /usr/share/doc/tlswatch/third-party.txt.gz
compress "$root/README.md" /usr/share/doc/tlswatch/README.md.gz
compress "$root/docs/configuration.md" /usr/share/doc/tlswatch/configuration.md.gz
compress "$root/docs/sessions.md" /usr/share/doc/tlswatch/sessions.md.gz
for name in stacks endpoint wire cost opentelemetry fleet; do compress "$root/docs/$name.md" "/usr/share/doc/tlswatch/$name.md.gz"; done
for file in "$root"/docs/runbooks/*.md; do put 644 "$file" "/usr/share/doc/tlswatch/runbooks/${file##*/}"; done
put 644 "$root/docs/sessions.schema.json" /usr/share/doc/tlswatch/sessions.schema.json
compress "$root/metrics/README.md" /usr/share/doc/tlswatch/metrics.md.gz
for file in "$root"/packaging/examples/*.conf "$root"/metrics/*.{yml,json}; do
    put 644 "$file" "/usr/share/doc/tlswatch/examples/${file##*/}"
done

# CHANGELOG.md in Debian's form: a section "## VERSION (DATE)" makes an entry, a "- " an item. A section of a release
# that has no date yet has that of the package; what is not part of a release yet ("## Unreleased") is left out.
awk -v epoch="$SOURCE_DATE_EPOCH" '
    function finish() {
        if (entry != "") printf "\n -- tlswatch maintainers <maintainers@tlswatch.invalid>  %s\n", date
    }
    function item(text,    words, count, line, index_, lead) {
        gsub(/`/, "", text)
        count = split(text, words, " ")
        lead = "  * "
        line = lead words[1]
        for (index_ = 2; index_ <= count; index_++) {
            if (length(line) + 1 + length(words[index_]) > 79) {
                print line
                line = "    " words[index_]
            } else line = line " " words[index_]
        }
        print line
    }
    /^## Unreleased/ { next }
    /^## / {
        finish()
        if (entry != "") print ""
        entry = $2
        day = "@" epoch
        if (match($0, /[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/)) day = substr($0, RSTART, RLENGTH)
        command = "date -u -R -d \"" day "\""
        command | getline date
        close(command)
        printf "tlswatch (%s) unstable; urgency=medium\n\n", entry
    }
    /^- / && entry != "" { item(substr($0, 3)) }
    END { finish() }' "$root/CHANGELOG.md" >"$work/changelog"
[[ $(head -n 1 "$work/changelog") == "tlswatch ($version) "* ]] || die "CHANGELOG.md does not begin with version $version"
compress "$work/changelog" /usr/share/doc/tlswatch/changelog.gz

put 644 "$root/packaging/debian/lintian-overrides" /usr/share/lintian/overrides/tlswatch

# Which libraries it loads, and from which version on they have what it uses.
mkdir -p "$work/shlibs/debian"
printf 'Source: tlswatch\n\nPackage: tlswatch\nArchitecture: amd64\n' >"$work/shlibs/debian/control"
depends=$(cd "$work/shlibs" && dpkg-shlibdeps -O "$tree/usr/bin/tlswatch" 2>"$work/shlibdeps.log") || {
    cat "$work/shlibdeps.log" >&2
    die "dpkg-shlibdeps failed"
}
depends=${depends#shlibs:Depends=}
[[ $depends == *libc6* ]] || die "dpkg-shlibdeps found no libc6 in '$depends'"

install -d "$tree/DEBIAN"
for script in postinst prerm postrm; do put 755 "$root/packaging/debian/$script" "/DEBIAN/$script"; done
echo /etc/tlswatch/tlswatch.yml >"$tree/DEBIAN/conffiles"
# KiB of what is installed, a file at a time: the same on every file system (dpkg-gencontrol counts like this).
size=$(find "$tree" -path "$tree/DEBIAN" -prune -o -type f -printf '%s\n' -o -printf '1024\n' |
    awk '{ total += int(($1 + 1023) / 1024) } END { print total }')
sed -e "s/@VERSION@/$version/" -e "s/@SIZE@/$size/" -e "s/@DEPENDS@/$depends/" \
    "$root/packaging/debian/control.in" >"$tree/DEBIAN/control"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$tree/DEBIAN/md5sums"
chmod 644 "$tree"/DEBIAN/{control,conffiles,md5sums}

find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$output/tlswatch_${version}_amd64.deb
# Times and order of the members are dpkg-deb's care, once it knows the epoch.
dpkg-deb --root-owner-group -Zxz -z6 --build "$tree" "$package" >/dev/null
echo "$package"
