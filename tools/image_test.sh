#!/usr/bin/env bash
# Builds the image and tries it, without a daemon and without an image registry: buildah builds in a chroot, on a base
# that debootstrap makes. Run as root on Debian; takes some minutes and 3 GB below WORK.
#
#     sudo tools/image_test.sh
#
# WORK: a folder for it all (default: a new one, removed afterwards). MIRROR, SUITE: of Debian's packages.
# BUILD_OPTIONS: more for `buildah build`, such as --volume for certificates that pip needs here.
set -euo pipefail
cd "$(dirname "$0")/.."
SUITE=${SUITE:-bookworm}
MIRROR=${MIRROR:-}
TOKEN=$(head --bytes 24 /dev/urandom | od --address-radix=n --format=x1 | tr --delete ' \n')
if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp --directory)
    trap 'rm -rf "$WORK"' EXIT
fi
storage="$WORK/storage"
say() { printf '== %s\n' "$*"; }
buildah() { command buildah --root "$storage" --runroot "$WORK/run" --storage-driver vfs "$@"; }

for program in buildah debootstrap; do
    command -v "$program" >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends "$program"; }
done

if [ ! -d "$WORK/base" ]; then
    say "a base with Debian's own Python, by debootstrap"
    # shellcheck disable=SC2086
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$SUITE" "$WORK/base" $MIRROR >"$WORK/debootstrap.log" 2>&1 \
        || { tail "$WORK/debootstrap.log"; exit 1; }
    ln --symbolic --force python3 "$WORK/base/usr/bin/python"
    # As Debian's own slim images have it.
    find "$WORK"/base/usr/share/{doc,info,locale,man} -mindepth 1 -maxdepth 1 ! -name copyright -exec rm -rf {} +
    rm -rf "$WORK"/base/var/cache/apt/*.bin "$WORK"/base/var/cache/apt/archives/*.deb "$WORK"/base/var/lib/apt/lists/*
    base=$(buildah from scratch)
    buildah copy --quiet "$base" "$WORK/base" / >/dev/null
    buildah commit --quiet "$base" base >/dev/null
fi

say "the image"
# shellcheck disable=SC2086
buildah build --isolation chroot --build-arg BASE=localhost/base --tag modelport ${BUILD_OPTIONS:-} . >"$WORK/build.log" 2>&1 \
    || { tail --lines 30 "$WORK/build.log"; exit 1; }
image=$(buildah from modelport)
root=$(buildah mount "$image")
megabytes() { du --summarize --block-size=1M "$1" | cut --fields 1; }
site=$(echo "$root"/opt/modelport/lib/python3.*/site-packages)
say "size: $(megabytes "$root") MB: $(megabytes "$WORK/base") MB are the base, $(megabytes "$root/opt/modelport") MB ours"
# A fifth above what it is, so that nobody adds a compiler unnoticed.
[ "$(megabytes "$root/opt/modelport")" -le 340 ] || { say "that is more than 340 MB of ours"; exit 1; }
say "of ours, scipy, scikit-learn, numpy and pillow, for my_model: $(cd "$site" && du --total --block-size=1M -s scipy* sklearn scikit_learn* numpy* PIL pillow* | tail --lines 1 | cut --fields 1) MB"

# What an engine would do: the image's root read-only, a volume owned as the folder that it covers, a user without
# privileges, the image's environment and command.
mkdir -p "$WORK/volume"
chown "$(stat --format %u:%g "$root/home/modelport/state")" "$WORK/volume"
start() {
    unshare --mount --fork --kill-child -- bash -c '
        set -e
        mount --bind "$1" "$1"
        mount --bind "$2" "$1/home/modelport/state"
        mount --bind /proc "$1/proc"
        mount --bind /dev "$1/dev"
        mount -t tmpfs tmpfs "$1/tmp"
        mount -o remount,bind,ro "$1"
        exec chroot --userspec 1000:1000 "$1" /usr/bin/env --ignore-environment \
            PATH=/opt/modelport/bin:/usr/local/bin:/usr/bin:/bin HOME=/home/modelport MODELPORT_HOME=/home/modelport/state \
            MODELPORT_LISTEN_IP=127.0.0.1 MODELPORT_LISTEN_PORT="$3" MODELPORT_S3_PORT=0 BEARER_TOKEN="$4" \
            sh -c "cd && exec modelport serve my_model"
    ' start "$root" "$WORK/volume" "$PORT" "$TOKEN" >"$WORK/server.log" 2>&1 &
    server=$!
    for _ in $(seq 600); do
        if curl --silent --fail --max-time 2 "http://127.0.0.1:$PORT/ready" >/dev/null; then return; fi
        if ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    cat "$WORK/server.log"
    exit 1
}
stop() {
    # The one that listens, which is not the shell that started it.
    kill -TERM "$(pgrep --parent "$server" --full 'modelport serve' || pgrep --parent "$server")"
    wait "$server" || true
}
call() { curl --silent --fail --show-error -H "Authorization: Bearer $TOKEN" "$@"; }
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

say "as user 1000, with an empty volume and a read-only root"
start
call -F files=@data/digits_page.png "http://127.0.0.1:$PORT/v2/models/my_model/predict/" | head --bytes 120; echo
call --json '{"module": "my_model", "name": "digits"}' "http://127.0.0.1:$PORT/deployments" >/dev/null
say "stopped by SIGTERM, and started again with the same volume"
stop
start
call "http://127.0.0.1:$PORT/deployments" | head --bytes 120; echo
stop
say "what it left outside its volume: $(find "$root/home" "$root/tmp" -newer "$WORK/build.log" -type f | wc --lines) files"
buildah umount "$image" >/dev/null
say "well"
