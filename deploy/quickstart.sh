#!/usr/bin/env bash
# Wherry on one machine: builds it, makes three hosts, and runs the example shop on them.
#
#   sudo deploy/quickstart.sh [up]     everything; again: what is missing
#   sudo deploy/quickstart.sh status   what is there
#   sudo deploy/quickstart.sh down     removes all of it, data too
#
#   --bin DIR    use the programs in DIR instead of building them
#
# A "host" is a network namespace with an address, an agent, a state directory, a control group and
# a range of user ids of its own. The three are joined by a bridge in a fourth namespace, to which
# this machine is connected by one link; nothing else of this machine is touched.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
lib=/var/lib/wherry-quickstart
run=/run/wherry-quickstart
bin=$top/build/release/bin
build=1
hosts=(a b c)
hub=wherry-net
link=wherry-quick     # this machine's end of its link to the bridge
subnet=10.99.0        # /24; this machine is .1, the hosts .11, .12, .13
port=7420             # of the controller, for the agents
ids=196608000         # where the hosts' user ids begin
ids_each=33554432     # 512 containers
shop=$here/examples/shop.yaml
export WHERRY_SOCKET=$run/controller.sock

usage() {
    sed -n '4,8s/^# \{0,1\}//p' "$0"
}

command=up
while [ $# -gt 0 ]; do
    case $1 in
    up | down | status) command=$1 ;;
    --bin)
        [ $# -gt 1 ] || { echo "quickstart.sh: --bin needs a folder" >&2; exit 2; }
        bin=$(cd "$2" && pwd)
        build=
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    *) echo "quickstart.sh: unknown argument '$1' (allowed: up, down, status, --bin DIR)" >&2; exit 2 ;;
    esac
    shift
done
if [ "$(id -u)" != 0 ]; then
    echo "quickstart.sh: must be root: it makes namespaces, control groups and containers" >&2
    exit 2
fi

# ---- saying what happens ----

began=$EPOCHREALTIME
step_name=
step_began=
step_log=

seconds_since() {
    local now=$EPOCHREALTIME
    awk -v a="$1" -v b="$now" 'BEGIN { printf "%.1f s", b - a }'
}

# step LOG NAME: the next step; where to look if it fails.
step() {
    step_log=$1 step_name=$2 step_began=$EPOCHREALTIME
    printf '%-52s' "$2 …"
}

ok() {
    printf ' %s\n' "${1:+$1, }$(seconds_since "$step_began")"
    step_name=
}

failed() {
    local code=$?
    [ "$code" != 0 ] && [ -n "$step_name" ] || return 0
    printf '\n' >&2
    if [ -s "$step_log" ]; then
        echo "---- the end of $step_log" >&2
        tail -n 25 "$step_log" >&2
        echo "----" >&2
    fi
    echo "quickstart.sh: failed: $step_name" >&2
    echo "Try again with \`sudo $0\`, or remove everything with \`sudo $0 down\`." >&2
    exit "$code"
}
trap failed EXIT

# ---- processes: ours are those whose pid we wrote down and whose program it still is ----

pid_of() {
    local name=$1 program=$2 pid exe
    pid=$(cat "$run/$name.pid" 2>/dev/null) || return 1
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
    [ "$(basename "${exe% (deleted)}")" = "$program" ] || return 1
    echo "$pid"
}

# start NAME PROGRAM NAMESPACE ARGUMENT…: in the background, unless it runs already. An empty
# namespace is this machine's.
start() {
    local name=$1 program=$2 netns=$3
    local argv=()
    shift 3
    pid_of "$name" "$program" >/dev/null && return 0
    # Not `ip netns exec`, which hides the control groups behind a /sys of its own. Both programs
    # replace themselves by the next one, so that the pid stays.
    [ -z "$netns" ] || argv=(nsenter "--net=/run/netns/$netns" --)
    setsid "${argv[@]}" "$bin/$program" "$@" </dev/null >>"$lib/$name.log" 2>&1 9>&- &
    echo $! >"$run/$name.pid"
}

# stop NAME PROGRAM: SIGTERM, and SIGKILL after ten seconds.
stop() {
    local pid i
    pid=$(pid_of "$1" "$2") || { rm -f "$run/$1.pid"; return 0; }
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
        pid_of "$1" "$2" >/dev/null || break
        sleep 0.1
    done
    pid_of "$1" "$2" >/dev/null && kill -KILL "$pid" 2>/dev/null
    rm -f "$run/$1.pid"
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

address() {
    local i
    for i in "${!hosts[@]}"; do
        [ "${hosts[$i]}" != "$1" ] || echo "$subnet.$((11 + i))"
    done
}

# ---- up ----

build_programs() {
    cmake -S "$top" --preset release && cmake --build "$top/build/release" -j "$(nproc)"
}

build_images() {
    local name
    for name in web api store job; do
        [ -e "$lib/images/$name/index.json" ] || "$here/examples/images/build" "$lib/images" "$name"
    done
}

has_netns() { [ -e "/run/netns/$1" ]; }
in_netns() { ip -n "$@"; }

subnet_is_free() {
    ! ip -4 route show table all | grep -v " dev $link" | grep -q "^$subnet\."
}

make_bridge() {
    if ! has_netns $hub; then
        ip netns add $hub
        in_netns $hub link add br0 type bridge
        in_netns $hub link set br0 up
    fi
    if ! ip link show dev $link >/dev/null 2>&1; then
        ip link add $link type veth peer name machine netns $hub
        in_netns $hub link set machine master br0 up
        ip addr add "$subnet.1/24" dev $link
        ip link set $link up
    fi
}

make_host() {
    local host=$1 netns=wherry-$1
    if ! has_netns "$netns"; then
        ip netns add "$netns"
    fi
    if ! in_netns "$netns" link show dev eth0 >/dev/null 2>&1; then
        in_netns $hub link add "host-$host" type veth peer name eth0 netns "$netns"
        in_netns $hub link set "host-$host" master br0 up
        in_netns "$netns" addr add "$(address "$host")/24" dev eth0
        in_netns "$netns" link set lo up
        in_netns "$netns" link set eth0 up
        in_netns "$netns" route add default via "$subnet.1"
    fi
}

make_hosts() {
    local host
    subnet_is_free || { echo "the addresses $subnet.0/24 are in use on this machine"; return 1; }
    make_bridge
    for host in "${hosts[@]}"; do
        make_host "$host"
    done
}

load_images() {
    local host name pids=() pid
    for host in "${hosts[@]}"; do
        for name in web api store job; do
            "$bin/wherry-agent" image load -q --state-dir "$lib/$host" "$lib/images/$name" || exit 1
        done &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
}

controller_answers() { "$bin/wherry" version; }

start_controller() {
    start controller wherry-controller "" --state "$lib/controller" --listen "$subnet.1:$port" \
        --socket "$WHERRY_SOCKET"
    sleep 0.2
    pid_of controller wherry-controller >/dev/null
    wait_for 15 controller_answers
}

all_agents() {
    local host
    for host in "${hosts[@]}"; do
        pid_of "agent-$host" wherry-agent >/dev/null || return 1
    done
}

nodes_ready() { "$bin/wherry" -o json status | grep -q "\"nodes_ready\":${#hosts[@]}\\b"; }

start_agents() {
    local i host
    for i in "${!hosts[@]}"; do
        host=${hosts[$i]}
        start "agent-$host" wherry-agent "wherry-$host" --controller "$subnet.1:$port" \
            --name "$host" --address "$(address "$host")" --state "$lib/$host" --run "$run/$host" \
            --cgroup "wherry/quickstart-$host" --ids "$((ids + i * ids_each)):$ids_each"
    done
    sleep 0.2
    all_agents # one that has ended already says why in its log
    wait_for 20 nodes_ready
}

ask_hosts() {
    local host url
    for host in "${hosts[@]}"; do
        url=http://$(address "$host"):8080/cgi-bin/index.cgi
        printf '%s answers: ' "$url"
        curl -fsS --noproxy '*' -m 5 --retry 10 --retry-delay 1 --retry-connrefused "$url" |
            sed -n 's/^<p>\(.*\)<\/p>$/\1/p' | paste -sd ';' | sed 's/;/; /g'
    done
}

up() {
    local log=$lib/quickstart.log host
    mkdir -p "$run" "$lib"
    chmod 700 "$run" "$lib"
    exec 9>"$run/lock"
    flock -n 9 || { echo "quickstart.sh: another one is at work" >&2; exit 1; }
    : >"$log"

    if [ -n "$build" ]; then
        step "$log" "install what is missing"
        "$here/install-deps.sh" >>"$log" 2>&1
        ok
        step "$log" "build (release)"
        build_programs >>"$log" 2>&1
        ok
    fi
    step "$log" "build the example's images"
    build_images >>"$log" 2>&1
    ok
    step "$log" "make ${#hosts[@]} hosts"
    make_hosts >>"$log" 2>&1
    ok
    step "$log" "load the images on each host"
    load_images >>"$log" 2>&1
    ok
    step "$lib/controller.log" "start the controller"
    start_controller
    ok "pid $(pid_of controller wherry-controller)"
    step "$lib/agent-${hosts[0]}.log" "start an agent on each host"
    start_agents
    ok
    step "$log" "apply deploy/examples/shop.yaml"
    printf '\n'
    "$bin/wherry" apply --wait --timeout 90s -f "$shop"
    step_name=

    printf '\n'
    "$bin/wherry" status
    printf '\n'
    "$bin/wherry" ps
    printf '\n'
    step "$lib/agent-${hosts[0]}.log" "ask the published port of each host"
    printf '\n'
    ask_hosts
    step_name=
    printf '\nAll of it took %s. What to try next:\n\n' "$(seconds_since "$began")"
    next
}

next() {
    cat <<END
  export WHERRY_SOCKET=$WHERRY_SOCKET PATH=\$PATH:$bin
  wherry status
  wherry logs -f shop/web
  wherry inspect shop/store
  curl http://$(address a):8080/cgi-bin/index.cgi

  # a host disappears: its containers run elsewhere within six seconds; then it comes back
  ip -n $hub link set host-c down; wherry events -f --since 1m
  ip -n $hub link set host-c up

  # an agent is killed: its containers do not notice
  kill -9 \$(cat $run/agent-a.pid); wherry ps; $0

  # something changes: edit a copy of the example, and apply it
  cp $shop shop.yaml; \$EDITOR shop.yaml; wherry apply --wait -f shop.yaml

  $0 down
END
}

# ---- down ----

groups_of() {
    local root
    for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ -L "$root" ] || [ ! -d "$root/wherry/quickstart-$1" ] || echo "$root/wherry/quickstart-$1"
    done
}

# What is left in a host's control groups: containers whose agent could not stop them.
kill_group() {
    local group i pids
    for ((i = 0; i < 50; i++)); do
        pids=
        for group in $(groups_of "$1"); do
            pids+=" $(find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | tr '\n' ' ')"
        done
        [ -n "${pids// /}" ] || return 0
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
}

remove_group() {
    local group
    for group in $(groups_of "$1"); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        rmdir "$(dirname "$group")" 2>/dev/null || true # shared with others: only when empty
    done
}

unmount_below() {
    local point
    awk -v p="$1/" 'index($5 "/", p) == 1 { print $5 }' /proc/self/mountinfo | tac |
        while read -r point; do
            umount -l "$point" 2>/dev/null || true
        done
}

remove_stacks() {
    local stack
    if pid_of controller wherry-controller >/dev/null && [ -x "$bin/wherry" ]; then
        for stack in $("$bin/wherry" __words stacks 2>/dev/null); do
            "$bin/wherry" rm -q --wait --timeout 20s "$stack" || true
        done
    fi
}

down() {
    local host
    step "" "stop the containers"
    remove_stacks >/dev/null 2>&1
    ok
    step "" "stop agents and controller"
    for host in "${hosts[@]}"; do
        stop "agent-$host" wherry-agent
    done
    stop controller wherry-controller
    ok
    step "" "remove hosts, control groups, state"
    for host in "${hosts[@]}"; do
        kill_group "$host"
        ! has_netns "wherry-$host" || ip netns del "wherry-$host"
        remove_group "$host"
    done
    ! has_netns $hub || ip netns del $hub
    ! ip link show dev $link >/dev/null 2>&1 || ip link del $link
    unmount_below $lib
    unmount_below $run
    rm -rf --one-file-system $lib $run
    ok
}

# ---- status ----

status() {
    local host pid
    pid=$(pid_of controller wherry-controller) || pid="not running"
    printf 'controller  %s\n' "$pid"
    for host in "${hosts[@]}"; do
        pid=$(pid_of "agent-$host" wherry-agent) || pid="not running"
        printf 'agent %s     %-12s %s\n' "$host" "$pid" "$(address "$host")"
    done
    if [ -S "$WHERRY_SOCKET" ]; then
        printf '\n'
        "$bin/wherry" status
    else
        printf '\nnothing runs; sudo %s\n' "$0"
    fi
}

"$command"
