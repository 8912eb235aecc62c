#!/usr/bin/env bash
# stage-package.sh BINARY DIRECTORY: makes what the Debian package and the archives share, from a release binary.
#   DIRECTORY/version          the release, from Sources/tlswatch/Basics/Version.swift and from there alone
#   DIRECTORY/epoch            SOURCE_DATE_EPOCH, else the time of the last commit: the time of every file in a package
#   DIRECTORY/tlswatch         the binary without its debug information, which it names:
#   DIRECTORY/tlswatch.debug   that and all symbols, for debuggers and profilers
#   DIRECTORY/completions/     for bash, zsh and fish
#   DIRECTORY/third-party.txt  licences of what the binary has inside
#   DIRECTORY/sbom.spdx.json   the same as a bill of materials, SPDX 2.3
# The same input makes the same output.
set -euo pipefail

binary=$(realpath "$1")
directory=$2
root=$(cd "$(dirname "$0")/.." && pwd)

die() {
    echo "stage-package: $1" >&2
    exit 1
}

[[ -x $binary ]] || die "$binary is not there: make build"
version=$(sed -n 's/^ *static let current = "\([0-9A-Za-z.+~]*\)"$/\1/p' "$root/Sources/tlswatch/Basics/Version.swift")
[[ -n $version ]] || die "Sources/tlswatch/Basics/Version.swift names no version"
told=$("$binary" --version)
[[ $told == "tlswatch $version ("* ]] || die "$binary is $told, the sources are of $version: make build"
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
[[ $epoch =~ ^[0-9]+$ ]] || die "SOURCE_DATE_EPOCH is no number"

mkdir -p "$directory/completions"
echo "$version" >"$directory/version"
echo "$epoch" >"$directory/epoch"
strip --remove-section=.comment --remove-section=.note -o "$directory/tlswatch" "$binary"
objcopy --only-keep-debug --compress-debug-sections "$binary" "$directory/tlswatch.debug"
(cd "$directory" && objcopy --add-gnu-debuglink=tlswatch.debug tlswatch)
chmod 755 "$directory/tlswatch"
chmod 644 "$directory/tlswatch.debug"

# Sourced, never run.
"$binary" --generate-completion-script bash | sed '1{/^#!/d}' >"$directory/completions/tlswatch.bash"
"$binary" --generate-completion-script zsh >"$directory/completions/_tlswatch"
"$binary" --generate-completion-script fish >"$directory/completions/tlswatch.fish"

# Of each component its name, its version, and the files in which it tells its terms; a text that several share comes
# once, behind the names of all.
declare -A users=()
texts=() components=()
third_party() { # COMPONENT FILE…
    local component=$1 file sum
    shift
    components+=("$component")
    (($# > 0)) || die "$component tells no licence"
    for file; do
        [[ -s $file ]] || die "$component: there is no $file"
        sum=$(sha256sum <"$file")
        [[ -v users[$sum] ]] || texts+=("$sum|$file")
        users[$sum]+="${users[$sum]:+, }$component"
    done
}

checkouts=$root/.build/checkouts
[[ -d $checkouts ]] || die "there is no $checkouts: make build"
shopt -s nullglob
while IFS=$'\t' read -r identity number location; do
    checkout=$checkouts/$(basename "$location" .git)
    files=()
    for file in "$checkout"/LICENSE* "$checkout"/NOTICE*; do files+=("$file"); done
    # What comes inside of them.
    case $identity in
        swift-nio) files+=("$checkout/Sources/CNIOLLHTTP/LICENSE") ;;
    esac
    third_party "$identity $number" "${files[@]}"
done < <(python3 -c '
import json, sys
for pin in sorted(json.load(open(sys.argv[1]))["pins"], key=lambda pin: pin["identity"]):
    print(pin["identity"], pin["state"].get("version") or pin["state"]["revision"], pin["location"], sep="\t")
' "$root/Package.resolved")
((${#components[@]} > 0)) || die "Package.resolved names no package"

archives=(libbpf-dev libcapstone-dev libcrypt-dev libelf-dev libyaml-dev zlib1g-dev)
for package in "${archives[@]}"; do
    number=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || die "$package is not installed: make deps"
    third_party "$package $number" "/usr/share/doc/$package/copyright"
done
swift=$(dirname "$(readlink -f "$(command -v swift)")")
third_party "Swift runtime and Foundation" "$swift/../share/swift/LICENSE.txt"

{
    echo "tlswatch $version has these inside; not all of each, but this takes no chances:"
    printf '  %s\n' "${components[@]}"
    cat <<'TEXT'

swift-nio-ssl has BoringSSL inside, under the Apache License 2.0 as its files say.
TEXT
    for entry in "${texts[@]}"; do
        printf '\n%s\n%s\n%s\n\n' "$(printf '=%.0s' {1..100})" "${users[${entry%%|*}]}" "$(printf '=%.0s' {1..100})"
        cat "${entry#*|}"
    done
} >"$directory/third-party.txt"

"$root/scripts/sbom.py" "$directory/tlswatch" "$version" "$epoch" "$root/Package.resolved" "${archives[@]}" \
    >"$directory/sbom.spdx.json"
