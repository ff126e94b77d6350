#!/usr/bin/env bash
# Images for machines that reach no image registry: images.sh WORK-FOLDER [all|base]. From Debian's packages, Maven's jars and a Go
# module it makes localhost/concord-{base,parts,kafka,postgres,s3,door}; they take the same variables, ports and paths as
# the images that docker-compose.yml names. Then it builds the six services and the pages on that base. Tests only: keep what they prove
# apart from what the real images would.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mkdir -p "$1" && realpath "$1")
tag=${TAG:-local}
have() { docker image inspect "$1" >/dev/null 2>&1; }
# The classic builder of engine 20.10; the Dockerfile needs nothing newer.
build() { DOCKER_BUILDKIT=0 docker build --quiet --network host "$@" >/dev/null; }

if ! have localhost/concord-base:$tag; then
  rm -rf "$work/rootfs"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/rootfs" >"$work/debootstrap.log" 2>&1 \
    || { tail -n 5 "$work/debootstrap.log" >&2; exit 1; }
  # Where connections leave through a proxy of the machine, its certificates and pip's settings must be known inside too.
  cp /etc/ssl/certs/ca-certificates.crt "$work/rootfs/etc/ssl/certs/ca-certificates.crt"
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$work/rootfs/etc/pip.conf"
  rm -rf "$work"/rootfs/var/cache/apt/archives/*.deb "$work"/rootfs/var/lib/apt/lists/*
  # As in the images of Python itself, `python` is a name, too.
  ln -s python3 "$work/rootfs/usr/bin/python"
  tar -C "$work/rootfs" -c . | docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - localhost/concord-base:$tag >/dev/null
  rm -rf "$work/rootfs"
fi
[ "${2:-all}" = all ] || exit 0
build -t localhost/concord-parts:$tag --build-arg BASE=localhost/concord-base:$tag "$here/parts"
for part in kafka postgres s3 door; do
  rm -rf "$work/$part" && mkdir -p "$work/$part" && cp -r "$here/$part/." "$work/$part/"
  case $part in
  kafka) cp -r "${KAFKA_LIBS:-$root/.tools/kafka/libs}" "$work/kafka/libs" ;;
  s3) cp "${VERSITYGW:-$root/.tools/s3/versitygw}" "$work/s3/versitygw" ;;
  esac
  build -t localhost/concord-$part:$tag --build-arg BASE=localhost/concord-parts:$tag "$work/$part"
done
for service in runs tasks labeling scoring triage training console; do
  build -f "$root/deploy/Dockerfile" --target $service -t concord-$service:$tag --build-arg BASE=localhost/concord-base:$tag "$root"
done
