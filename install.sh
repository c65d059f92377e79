#!/bin/sh
# Builds rover-rtc's C library and installs it with all that C and C++ programs need to use it.
set -eu

usage() {
    cat <<'END'
Builds the C library of rover-rtc and installs it: headers, shared and static library, and what
pkg-config and CMake need to find them.

usage: install.sh [options]

  --prefix DIR      where the library will be used from [/usr/local]
  --libdir DIR      libraries, below the prefix [lib]
  --destdir DIR     put everything below this directory, to be packed [none]
  --profile NAME    small; release, which is larger and a little faster; or dev [small]
  --features NAMES  cargo features of the crate rover-rtc-ffi [none]
  --target TRIPLE   build for this target [this machine, or $CARGO_BUILD_TARGET]
  --no-build        install what has been built before
  --strip           take the symbols for debuggers out of the shared library [unless in dev]
  --no-strip        leave them in [in dev]
  --skip-static     do not install the static library
  -h, --help        print this

$STRIP is the program that strips, for targets whose own is not found.

examples:
  ./install.sh --prefix ~/.local                        # for yourself
  ./install.sh --destdir /tmp/t && sudo cp -a /tmp/t/usr/local/. /usr/local   # for all, built as you
  ./install.sh --prefix /usr --libdir lib64 --destdir /tmp/tree   # to be packed
  ./install.sh --target aarch64-unknown-linux-gnu --prefix /opt/sysroot/usr
END
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

prefix=/usr/local
libdir=lib
destdir=
profile=small
features=
target=${CARGO_BUILD_TARGET:-}
build=yes
strip=
static=yes

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
    --prefix | --libdir | --destdir | --profile | --features | --target)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
        case $1 in
        --prefix) prefix=$2 ;;
        --libdir) libdir=$2 ;;
        --destdir) destdir=$2 ;;
        --profile) profile=$2 ;;
        --features) features=$2 ;;
        --target) target=$2 ;;
        esac
        shift
        ;;
    --no-build) build=no ;;
    --strip) strip=yes ;;
    --no-strip) strip=no ;;
    --skip-static) static=no ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "there is no option $1; see --help" ;;
    esac
    shift
done

case $profile in
*[!A-Za-z0-9_-]*) fail "--profile is the name of a profile of Cargo.toml, not $profile" ;;
dev)
    built=debug
    : "${strip:=no}"
    ;;
*)
    built=$profile
    : "${strip:=yes}"
    ;;
esac
# Relative to where it was called, as everything else on a command line.
absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$PWD" "$1" ;;
    esac
}
prefix=$(absolute "$prefix")
[ "$prefix" = / ] || prefix=${prefix%/}
[ -z "$destdir" ] || destdir=$(absolute "${destdir%/}")
libdir=${libdir%/}
case $libdir/ in
/* | ./* | ../* | */../* | */./* | *//*)
    fail "--libdir is below the prefix, like lib64; not $libdir"
    ;;
esac
case $prefix$libdir$destdir in
*[!A-Za-z0-9/._+~,@-]*) fail "only letters, digits and /._+~,@- are possible in directories" ;;
esac

cd "$(dirname "$0")"
# With --no-build nothing of Rust is needed: who may write to the prefix often has no cargo.
[ $build = no ] || command -v cargo >/dev/null ||
    fail "cargo is not there (https://rustup.rs); if it has built the library already: --no-build"

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || fail "Cargo.toml has no version"
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
soname=librover_rtc.so.$major
shared=librover_rtc.so.$version

triple=${target:-$(rustc -vV 2>/dev/null | sed -n 's/^host: //p')}
: "${triple:=$(uname -m)-unknown-linux-gnu}"
case $triple in
*-linux-*) ;;
*) fail "this installs on Linux; for $triple use cargo-c: cargo cinstall -p rover-rtc-ffi" ;;
esac
native=
if [ $static = yes ]; then
    # What follows the architecture and the vendor. ABIs of arm are variants of one family.
    family=linux-${triple#*-linux-}
    family=${family%eabihf}
    family=${family%eabi}
    native=$(sed -n "s/^$family //p" packaging/native-static-libs)
    [ -n "$native" ] || fail "packaging/native-static-libs has no line for $triple; --skip-static"
fi

if [ $build = yes ]; then
    if [ "$profile" = small ]; then
        # Without the tables and the code for wide vectors that only handshakes and servers are faster
        # by: a megabyte and a half.
        old=-DMY_ASSEMBLER_IS_TOO_OLD_FOR
        : "${AWS_LC_SYS_CFLAGS=-DOPENSSL_SMALL ${old}_512AVX ${old}_ADX_AVX2}"
        export AWS_LC_SYS_CFLAGS
    fi
    cargo build -p rover-rtc-ffi --locked --profile "$profile" ${features:+--features "$features"} \
        ${target:+--target "$target"}
fi
from=${CARGO_TARGET_DIR:-$(cargo metadata --no-deps --locked --format-version 1 2>/dev/null |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')}
from=${from:-target}${target:+/$target}/$built
for kind in so a; do
    [ -f "$from/librover_rtc_ffi.$kind" ] || [ $kind$static = ano ] ||
        fail "$from/librover_rtc_ffi.$kind is not there: leave out --no-build"
done

filled=$(mktemp)
trap 'rm -f "$filled" "$filled.so"' EXIT
so=$from/librover_rtc_ffi.so
if [ "$strip" = yes ]; then
    own=${triple%%-*}-linux-${triple##*-}-strip
    command -v "$own" >/dev/null || own=strip
    "${STRIP:-$own}" --strip-unneeded -o "$filled.so" "$so" ||
        fail "the library cannot be stripped: set STRIP, or --no-strip"
    so=$filled.so
fi

root=$destdir$prefix
include=$root/include
lib=$root/$libdir
if ! mkdir -p "$include" "$lib/pkgconfig" "$lib/cmake/RoverRtc" 2>/dev/null; then
    fail "$root cannot be written: choose another --prefix, or sudo ./install.sh --no-build"
fi
echo "rover-rtc $version for $triple ($profile) in $root:"

# Whole or not at all: a program that runs keeps the library that it has mapped.
put() {
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
    echo "  ${2#"$root"/}"
}

fill() {
    sed -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" -e "s|@MAJOR_MINOR@|$major.$minor|g" \
        -e "s|@PREFIX@|$prefix|g" -e "s|@LIBDIR@|$libdir|g" -e "s|@LIBDIR_UP@|$up|g" \
        -e "s|@SHARED@|$shared|g" -e "s|@SONAME@|$soname|g" -e "s|@URL@|$url|g" \
        -e "s|@NATIVE_LIBS@|$native|g" -e "s|@NATIVE_LIBS_LIST@|$native_list|g" \
        "packaging/$1.in" >"$filled"
    put "$filled" "$2/$1" 644
}

link() {
    ln -sfn "$1" "$lib/$2"
    echo "  $libdir/$2 -> $1"
}

url=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
native_list=$(printf '%s' "$native" | tr ' ' ';')
# From the directory of libraries back to the prefix.
up=$(printf '%s\n' "$libdir" | sed 's|[^/][^/]*|..|g')

for header in include/rover_rtc.h include/rover_rtc.hpp; do
    # The C++ one is not part of every tree.
    [ ! -f $header ] || put $header "$root/$header" 644
done
put "$so" "$lib/$shared" 755
link "$shared" "$soname"
link "$soname" librover_rtc.so
[ $static = no ] || put "$from/librover_rtc_ffi.a" "$lib/librover_rtc.a" 644
fill rover-rtc.pc "$lib/pkgconfig"
fill RoverRtcConfig.cmake "$lib/cmake/RoverRtc"
fill RoverRtcConfigVersion.cmake "$lib/cmake/RoverRtc"

if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && [ -z "$target" ]; then
    case $prefix in
    /usr | /usr/local) ldconfig || fail "ldconfig failed: programs may not find $soname" ;;
    esac
fi
