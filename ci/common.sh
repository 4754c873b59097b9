# Shared by the scripts of ci/. A script sources this file and defines `usage` and its options. Then
# it calls, in this order, `parse_options "$@"`, `own_shared_memory "$@"` and `enter_repository`.
# shellcheck shell=bash
set -euo pipefail

# How many seconds processes get to end, and objects to disappear.
PATIENCE=30
readonly SHARED_MEMORY=/dev/shm
script=ci/${0##*/}

# --- Options

# The kind of each option by its name: flag, number (0 is allowed), positive, or text.
# `parse_options` stores the value in the variable of that name.
declare -A options=()
# The arguments that are not options, at most `max_words`.
words=()
max_words=0

refuse() {
    printf '%s: %s\n\n' "$script" "$1" >&2
    usage >&2
    exit 2
}

parse_options() {
    local name kind
    while (($# > 0)); do
        name=${1#--}
        case $1 in
        --help)
            usage
            exit 0
            ;;
        --?*) ;;
        -* | '') refuse "unknown option '$1'" ;;
        *)
            ((${#words[@]} < max_words)) || refuse "unexpected argument '$1'"
            words+=("$1")
            shift
            continue
            ;;
        esac
        kind=${options[$name]-}
        case $kind in
        '') refuse "unknown option '$1'" ;;
        flag)
            printf -v "$name" yes
            shift
            continue
            ;;
        esac
        (($# > 1)) || refuse "$1 needs a value"
        case $kind in
        number) [[ $2 =~ ^(0|[1-9][0-9]{0,9})$ ]] || refuse "$1 needs a whole number, not '$2'" ;;
        positive) [[ $2 =~ ^[1-9][0-9]{0,9}$ ]] || refuse "$1 needs a whole number from 1, not '$2'" ;;
        text) [[ -n $2 ]] || refuse "$1 needs a value" ;;
        esac
        printf -v "$name" %s "$2"
        shift 2
    done
}

# --- The end of a script

# `on_exit` collects commands that run at the end in reverse order, however the script ends.
at_exit=()
on_exit() {
    at_exit+=("$1")
}
run_at_exit() {
    local status=$? index
    trap - EXIT
    for ((index = ${#at_exit[@]} - 1; index >= 0; index--)); do
        eval "${at_exit[index]}" || true
    done
    exit "$status"
}
trap run_at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    exit 1
}

# A directory of this run, removed at the end.
make_scratch() {
    scratch=$(mktemp -d)
    on_exit 'rm -rf "$scratch"'
}

# --- Shared memory

# The beginning of a command in a mount namespace with its own empty /dev/shm; empty if the system
# refuses that.
apart=()

# Starts the script again with its own /dev/shm, so that the check for leftovers sees only the
# script's objects. If the system refuses that, the check reads the common /dev/shm: see `objects`.
own_shared_memory() {
    local enter=(unshare --mount) drop=()
    local mount="mount -t tmpfs -o mode=1777 tearless $SHARED_MEMORY"
    if ((EUID != 0)); then
        enter=(unshare --map-current-user --mount --keep-caps)
        drop=(setpriv --inh-caps=-all --ambient-caps=-all)
    fi
    if "${enter[@]}" sh -c "$mount" 2>/dev/null; then
        apart=("${enter[@]}" sh -c "$mount && exec \"\$@\"" sh "${drop[@]}")
    fi
    # The process id stays the same: by this, the script detects that it runs in its namespace.
    [[ ${TEARLESS_SHARED_MEMORY_OF-} != "$$" ]] || return 0
    if ((${#apart[@]} > 0)); then
        TEARLESS_SHARED_MEMORY_OF=$$ exec "${apart[@]}" "$0" "$@"
    fi
    printf '%s: no mount namespace here: the check for leftovers reads the common %s\n' "$script" "$SHARED_MEMORY" >&2
    common_before=$(ls -A "$SHARED_MEMORY")
}

# The objects of this run. In the common /dev/shm these are the new objects that belong to this user
# and have a name of the library's form.
objects() {
    if [[ -z ${common_before+set} ]]; then
        ls -A "$SHARED_MEMORY"
        return
    fi
    local object
    for object in $(comm -13 <(sort <<<"$common_before") <(ls -A "$SHARED_MEMORY" | sort)); do
        [[ $object != tl_* || ! -O $SHARED_MEMORY/$object ]] || printf '%s\n' "$object"
    done
}

# The objects that no process uses any more. In the common /dev/shm another run's processes may use
# objects.
leftovers() {
    local object
    for object in $(objects); do
        if [[ -z ${common_before+set} ]] ||
            ! grep --quiet --no-messages --fixed-strings "$SHARED_MEMORY/$object" /proc/[0-9]*/maps; then
            printf '%s\n' "$object"
        fi
    done
}

# Whether the leftovers disappear in time. A killed process takes a moment to end.
nothing_is_left() {
    local deadline=$((SECONDS + PATIENCE))
    while [[ -n $(leftovers) ]]; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# The last check of a script.
check_leftovers() {
    if ! nothing_is_left; then
        printf '%s holds objects that this run left:\n%s\n' "$SHARED_MEMORY" "$(leftovers)" >&2
        return 1
    fi
    printf 'nothing left in %s\n' "$SHARED_MEMORY"
}

# --- Side by side

# Commands that run beside the script: the file of its output, by the process group of each one.
declare -A beside=()
on_exit 'for group in "${!beside[@]}"; do kill -KILL -- "-$group" 2>/dev/null || true; done'

# Starts the command that is given after the file of its output, beside the script. Its process
# group is in `started`. Never called where `set -e` does not hold, as in a condition.
start_beside() {
    local output=$1
    shift
    set -m
    "$@" >"$output" 2>&1 </dev/null &
    set +m
    started=$!
    beside[$started]=$output
}

# Waits for one of the given process groups, or of all, and prints its output; returns its exit
# status. The process group is in `ended`.
end_beside() {
    local status=0 groups=("$@")
    ((${#groups[@]} > 0)) || groups=("${!beside[@]}")
    wait -n -p ended "${groups[@]}" || status=$?
    cat "${beside[$ended]}"
    unset "beside[$ended]"
    return "$status"
}

# --- Builds

enter_repository() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
}

# The selection of every optimized build: with the same features everywhere, the library is built
# once.
readonly optimized=(--release --workspace)

# Builds the command, and the example fleet to try it on; sets `tearless` and `fleet` to their
# paths.
build_programs() {
    cargo build --quiet "${optimized[@]}" --bin tearless --example fleet
    tearless=${CARGO_TARGET_DIR:-target}/release/tearless
    fleet=${CARGO_TARGET_DIR:-target}/release/examples/fleet
}

print_machine() {
    printf 'machine: %s processors,%s, Linux %s; load %s\n' "$(nproc)" \
        "$(grep --max-count=1 'model name' /proc/cpuinfo | cut -d: -f2)" "$(uname -r)" "$(cut -d' ' -f1-3 /proc/loadavg)"
}
