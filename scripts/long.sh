#!/bin/sh
# Runs what takes longer than continuous integration may.
set -eu

usage() {
    cat <<'END'
Runs what takes longer than continuous integration may: one row at a time.

usage: scripts/long.sh [--dry-run] ROW [AMOUNT]

  ROW         one of those below
  AMOUNT      minutes, runs, clients or connections, as the row says [the row's own]
  --dry-run   print the row's commands, run none
  --list      print the rows: name, time it takes on 2 cores, what it does
  -h, --help  print this

Rows of tests fail when a promise is broken. Rows of benchmarks print numbers, which mean something
on a machine that does nothing else: see BENCHMARKS.md. Namespaces need root, nftables and conntrack.

rows:
END
    rows | while IFS='|' read -r name time what; do
        printf '  %-11s %-11s %s\n' "$name" "$time" "$what"
    done
    cat <<'END'

examples:
  scripts/long.sh chaos 60                # an hour of cuts and kills
  scripts/long.sh --dry-run hold
  ROVER_RTC_CHAOS_SEED=7 scripts/long.sh chaos 10
END
}

# Name, time with its own amount, and what it does. Builds come on top.
rows() {
    cat <<'END'
chaos|AMOUNT min|two rovers and a hub, cut and killed for AMOUNT minutes [10]: nothing lost
outage|3 min|the hub is away for 60 s instead of 20, networks are replaced meanwhile
nats|4 min|all 16 pairs of NATs, and their cuts, AMOUNT times [4]
stories|10 min|200,000 random stories of framed channels, other ones each time
tests|1 h|all suites, AMOUNT times [3]: what fails now and then
demo|10 min|the demonstration, AMOUNT times [10]
soak|AMOUNT min|a hub with 100 clients for AMOUNT minutes [60]: memory, descriptors, threads
load|1 min|a hub with AMOUNT clients [1000] that send ten messages a second each
idle|1 min|a hub with AMOUNT idle clients [5000]: memory and processor time
hold|1 min|AMOUNT connections [50] between two processes, held for 30 s: what they cost
throughput|2 min|messages of 16,384, 1,200 and 64 bytes, AMOUNT runs of each [3]
latency|1 min|round trips of 100 bytes, 1,000 a second, AMOUNT runs [3]
setup|1 min|setting up a connection, AMOUNT times [10]
plots|20 min|what docs/bench shows, all of it
micro|10 min|the hot parts alone, without sockets (criterion)
END
}

fail() {
    echo "long.sh: $*" >&2
    exit 1
}

# Shows a command, and runs it unless only asked to show.
run() {
    echo "+ $*"
    [ -n "$dry" ] || "$@"
}

# A command, or a function from here, AMOUNT times; to show it once is enough.
repeat() {
    count=0
    while [ "$count" -lt "$amount" ]; do
        "$@"
        count=$((count + 1))
        [ -z "$dry" ] || break
    done
}

# Both ends of a measured connection, in a directory of their own: $offer and $answer.
ends() {
    directory=$(mktemp -d)
    echo "+ $program bench answer --dir $directory $* &"
    echo "+ $program bench offer --dir $directory $* &"
    if [ -z "$dry" ]; then
        RUST_LOG=error "$program" bench answer --dir "$directory" "$@" >/dev/null &
        answer=$!
        RUST_LOG=error "$program" bench offer --dir "$directory" "$@" >/dev/null &
        offer=$!
    fi
}

# Waits until a command succeeds, two minutes at most.
await() {
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "this has not come: $*"
        sleep 0.1
    done
}

part() {
    [ -n "$dry" ] || kill "$offer" "$answer"
    offer=
    answer=
    rm -rf "$directory"
    directory=
}

# Measures a connection, and prints the result of the side that offers.
pair() {
    ends "$@"
    if [ -z "$dry" ]; then
        await test -s "$directory/result_offer.json"
        cat "$directory/result_offer.json"
        echo
    fi
    part
}

# Memory in KiB and clock ticks of processor time of a process.
costs() {
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1 KiB/p' "/proc/$1/status"
    sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 12,13
}

# A hub on loopback, whose process is $hub.
serve() {
    echo "+ $program server --listen $address --udp 127.0.0.1:0 &"
    if [ -z "$dry" ]; then
        RUST_LOG=warn "$program" server --listen "$address" --udp 127.0.0.1:0 &
        hub=$!
        sleep 1
        kill -0 "$hub" || fail "the hub does not run"
    fi
}

# What the hub holds, each minute until the load has ended.
watch() {
    echo "minute  memory KiB  descriptors  threads"
    minute=0
    while kill -0 "$load" 2>/dev/null; do
        if [ $((minute % 60)) -eq 0 ]; then
            memory=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$hub/status")
            descriptors=$(find "/proc/$hub/fd" -type l 2>/dev/null | wc -l)
            threads=$(find "/proc/$hub/task" -mindepth 1 -maxdepth 1 | wc -l)
            printf '%6d  %10d  %11d  %7d\n' $((minute / 60)) "$memory" "$descriptors" "$threads"
        fi
        minute=$((minute + 1))
        sleep 1
    done
}

# What was started ends with this, by its own number.
end() {
    for process in $load $offer $answer $hub; do
        kill "$process" 2>/dev/null || true
    done
    [ -z "$directory" ] || rm -rf "$directory"
}

dry=
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry=yes ;;
    --list)
        rows | sed 's/|/ | /g'
        exit
        ;;
    -h | --help)
        usage
        exit
        ;;
    -*) fail "$1 is not understood; see --help" ;;
    *) break ;;
    esac
    shift
done
case $# in
1 | 2) ;;
*) fail "which row? see --list" ;;
esac
row=$1
amount=${2:-$(rows | sed -n "s/^$row|.*AMOUNT.*\[\([0-9]*\)\].*/\1/p")}
case $amount in
*[!0-9]* | 0) fail "the amount is a number from 1 on, not $amount" ;;
esac

cd "$(dirname "$0")/.."
program=${CARGO_TARGET_DIR:-target}/release/rover-rtc
address=127.0.0.1:3222
hub=
load=
offer=
answer=
directory=
trap end EXIT
trap 'exit 130' INT TERM

case $row in
soak | load | idle | hold | throughput | latency | setup | plots | demo)
    run cargo build --release --locked -p rover-rtc
    ;;
esac
case $row in
chaos)
    run env ROVER_RTC_REQUIRE=all "ROVER_RTC_CHAOS_MINUTES=$amount" \
        cargo test --locked --test netns chaos::chaos -- --nocapture
    ;;
outage)
    run env ROVER_RTC_REQUIRE=all ROVER_RTC_LONG=1 \
        cargo test --locked --test netns nat_hub -- --nocapture
    ;;
nats) repeat run env ROVER_RTC_REQUIRE=all cargo test --locked --test netns nat_ -- --nocapture ;;
stories) run env ROVER_RTC_LONG=1 cargo test --locked --release --lib any_story_ends_well ;;
tests) repeat run cargo test --locked ;;
demo) repeat run "$program" demo ;;
soak)
    serve
    seconds=$((amount * 60))
    echo "+ $program bench load --server $address --clients 100 --seconds $seconds --hub-pid HUB &"
    if [ -z "$dry" ]; then
        "$program" bench load --server "$address" --clients 100 --seconds "$seconds" \
            --hub-pid "$hub" &
        load=$!
        watch
        wait "$load"
    fi
    ;;
load)
    serve
    run "$program" bench load --server "$address" --clients "$amount" --seconds 10 --warm-up 7 \
        --hub-pid "${hub:-0}"
    ;;
idle)
    serve
    run "$program" bench load --server "$address" --clients "$amount" --idle --seconds 12 \
        --hub-pid "${hub:-0}"
    ;;
hold)
    ends --mode hold --num "$amount"
    if [ -z "$dry" ]; then
        await grep -q allopen "$directory/state_offer.log"
        await grep -q allopen "$directory/state_answer.log"
        echo "memory, and ticks of processor time (user, system), of each side; 30 s later again"
        for pause in 30 0; do
            costs "$offer"
            costs "$answer"
            sleep "$pause"
        done
    fi
    part
    ;;
throughput)
    for size in 16384 1200 64; do
        repeat pair --mode throughput --size "$size" --channel reliable --seconds 5
    done
    ;;
latency) repeat pair --mode latency --rate 1000 --channel reliable --seconds 5 ;;
setup) repeat pair --mode setup ;;
plots)
    run scripts/measure.py
    run scripts/plot.py
    ;;
micro) run cargo bench --locked ;;
*) fail "no row $row; see --list" ;;
esac
