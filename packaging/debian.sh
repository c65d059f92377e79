#!/bin/sh
# Makes the Debian packages of the C library from what install.sh installs.
set -eu

usage() {
    cat <<'END'
Makes two Debian packages of rover-rtc's C library:

  librover-rtc0_VERSION_ARCH.deb      what programs need to run
  librover-rtc-dev_VERSION_ARCH.deb   what they need to be built: headers, static library, files for
                                      pkg-config and CMake

usage: packaging/debian.sh [options]

  --output DIR      where they go [the current directory]
  --profile NAME    as of install.sh; dev is packed faster and larger [small]
  --target TRIPLE   for another architecture, as of install.sh [this machine]
  --no-build        pack what has been built before
  -h, --help        print this

The maintainer is $DEBFULLNAME <$DEBEMAIL>, and all files get the time $SOURCE_DATE_EPOCH, by
default the last commit's.

examples:
  packaging/debian.sh --output /tmp/packages
  sudo apt install /tmp/packages/librover-rtc*.deb
  packaging/debian.sh --target aarch64-unknown-linux-gnu
END
}

fail() {
    echo "debian.sh: $*" >&2
    exit 1
}

output=$PWD
profile=small
target=
no_build=

while [ $# -gt 0 ]; do
    case $1 in
    --*=*)
        option=${1%%=*}
        value=${1#*=}
        shift
        set -- "$option" "$value" "$@"
        ;;
    esac
    case $1 in
    --output | --profile | --target)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
        case $1 in
        --output) output=$2 ;;
        --profile) profile=$2 ;;
        --target) target=$2 ;;
        esac
        shift
        ;;
    --no-build) no_build=--no-build ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "there is no option $1; see --help" ;;
    esac
    shift
done

mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$(dirname "$0")/.."
for tool in dpkg-deb readelf strip gzip md5sum; do
    command -v $tool >/dev/null || fail "$tool is not there: apt install dpkg binutils"
done

triple=$target
[ -n "$triple" ] || triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
x86_64-*-linux-gnu) arch=amd64 multiarch=x86_64-linux-gnu ;;
aarch64-*-linux-gnu) arch=arm64 multiarch=aarch64-linux-gnu ;;
armv7-*-linux-gnueabihf) arch=armhf multiarch=arm-linux-gnueabihf ;;
riscv64*-linux-gnu) arch=riscv64 multiarch=riscv64-linux-gnu ;;
*) fail "what Debian calls $triple is not known here" ;;
esac

umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runtime=$work/runtime
dev=$work/dev
strip=$multiarch-strip
command -v "$strip" >/dev/null || strip=strip
strip=${STRIP:-$strip}

STRIP=$strip ./install.sh --prefix /usr --libdir "lib/$multiarch" --destdir "$dev" --strip \
    --profile "$profile" ${target:+--target "$target"} $no_build
lib=usr/lib/$multiarch
set -- "$dev/$lib"/librover_rtc.so.*.*.*
version=${1##*/librover_rtc.so.}
major=${version%%.*}
# A version before another is marked by a tilde.
debian_version=$(printf '%s\n' "$version" | sed 's/-/~/')
name=librover-rtc$major

mkdir -p "$runtime/$lib"
mv "$dev/$lib"/librover_rtc.so.* "$runtime/$lib"
"$strip" --strip-debug "$dev/$lib/librover_rtc.a"
chmod 644 "$runtime/$lib/librover_rtc.so.$version"

# The lowest versions that have all symbols that are used, and a package for each library.
newest() {
    readelf -VW "$runtime/$lib/librover_rtc.so.$version" |
        sed -n "s/.*Name: $1_\([0-9.]*\) .*/\1/p" | sort -V | tail -n 1
}
depends="libc6 (>= $(newest GLIBC))"
for needed in $(readelf -dW "$runtime/$lib/librover_rtc.so.$version" |
    sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed in
    libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux*) ;;
    libgcc_s.so.1) depends="$depends, libgcc-s1 (>= $(newest GCC))" ;;
    *) fail "which package has $needed is not known here" ;;
    esac
done

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH="$epoch"
url=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
maintainer="${DEBFULLNAME:-The authors of rover-rtc} <${DEBEMAIL:-rover-rtc@localhost}>"

# Papers that both packages have.
papers() {
    doc=$1/usr/share/doc/$2
    mkdir -p "$doc"
    {
        cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: rover-rtc
Source: $url
Comment: The library contains these packages, under the licenses that each of them names:
END
        cargo tree --locked -p rover-rtc-ffi -e normal,no-proc-macro --target "$triple" \
            --prefix none --format '{p}: {l}' | sed -e 's/ (\*)$//' -e '/^rover-rtc/d' -e 's/^/ /' |
            LC_ALL=C sort -u
        cat <<'END'

Files: *
Copyright: The authors of rover-rtc
License: Apache-2.0
 On Debian systems the license is in /usr/share/common-licenses/Apache-2.0.
END
    } >"$doc/copyright"
    cat <<END | gzip -9n >"$doc/changelog.gz"
rover-rtc ($debian_version) unstable; urgency=medium

  * Version $version: what has changed is in CHANGELOG.md at $url

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$epoch")
END
}

# Reads the fields from the package on from standard input.
pack() {
    papers "$1" "$2"
    mkdir -p "$1/DEBIAN"
    {
        cat <<END
Package: $2
Source: rover-rtc
Version: $debian_version
Architecture: $arch
Multi-Arch: same
Maintainer: $maintainer
Homepage: $url
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$1" | cut -f 1)
END
        cat
    } >"$1/DEBIAN/control"
    (cd "$1" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    file=$output/$2_${debian_version}_$arch.deb
    # The static library of a debug build would take xz a minute.
    compress="-Zxz"
    [ "$profile" != dev ] || compress="-Zgzip -z1"
    # shellcheck disable=SC2086
    dpkg-deb --root-owner-group $compress --build "$1" "$file" >/dev/null
    echo "$file"
}

mkdir -p "$runtime/DEBIAN"
echo "librover_rtc $major $name (>= $debian_version)" >"$runtime/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$runtime/DEBIAN/triggers"
pack "$runtime" "$name" <<END
Section: libs
Depends: $depends
Description: WebRTC data channels for robots that survive changes of the network
 rover-rtc keeps a robot connected: it has a path through each network that there is, notices within
 fractions of a second that one is dead, goes on by another, and loses no message of the channels
 that promise so.
 .
 This package has the shared library.
END
pack "$dev" librover-rtc-dev <<END
Section: libdevel
Depends: $name (= $debian_version), libc6-dev
Description: WebRTC data channels for robots (files for development)
 rover-rtc keeps a robot connected: it has a path through each network that there is, notices within
 fractions of a second that one is dead, goes on by another, and loses no message of the channels
 that promise so.
 .
 This package has what C and C++ programs need to be built with it: headers, the static library, and
 files for pkg-config and CMake.
END
