#!/usr/bin/env bash
# A Docker engine of one's own, for machines that have none running: engine.sh start|stop FOLDER. Needs root and Debian's
# docker.io, containerd, runc and iptables. FOLDER must not lie in the tree, which is a build context.
set -euo pipefail
folder=$(mkdir -p "$2" && realpath "$2")  # absolute, or the engine does not find its own containerd
case $1 in
start)
  # Not above the limit that this machine grants: raising it may be forbidden.
  setsid dockerd --storage-driver overlay2 --data-root "$folder/data" --exec-root "$folder/exec" -H "unix://$folder/docker.sock" \
    --pidfile "$folder/dockerd.pid" --default-ulimit nofile=$(ulimit -n):$(ulimit -n) >"$folder/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 150); do
    if docker -H "unix://$folder/docker.sock" info >/dev/null 2>&1; then
      echo "unix://$folder/docker.sock"
      exit 0
    fi
    sleep 0.2
  done
  echo "the engine did not start; it wrote:" >&2
  tail -n 5 "$folder/dockerd.log" >&2
  exit 1
  ;;
stop)
  [ -f "$folder/dockerd.pid" ] || exit 0
  pid=$(cat "$folder/dockerd.pid")
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
  ;;
esac
