#!/usr/bin/env bash
# A control plane from Go modules into .tools/kube: kube-apiserver, kube-controller-manager, kube-scheduler, etcd, kwok, and
# the definitions that KEDA and the Prometheus operator bring. 9 to 20 minutes cold, seconds when all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "$here/../../.tools/kube" && cd "$here/../../.tools/kube" && pwd)
export CGO_ENABLED=0
# Without these the server calls itself v0.0.0.
version="-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1"
version="$version -X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitCommit=none"
version="$version -X k8s.io/component-base/version.gitTreeState=clean"

build() { # MODFILE NAME PACKAGE
  [ -x "$out/$2" ] && return
  local folder
  folder=$(mktemp -d)
  cp "$here/$1" "$folder/go.mod"
  (cd "$folder" && go mod tidy && go build -ldflags "-s -w $version" -o "$out/$2" "$3")
  rm -rf "$folder"
}

if [ "${1:-}" = keda ]; then
  build keda.mod keda-operator github.com/kedacore/keda/v2/cmd/operator
  build keda.mod keda-adapter github.com/kedacore/keda/v2/cmd/adapter
  exit
fi
build etcd.mod etcd go.etcd.io/etcd/server/v3
[ -x "$out/kwok" ] || GOBIN="$out" go install -ldflags "-s -w" sigs.k8s.io/kwok/cmd/kwok@v0.8.0
for program in kube-apiserver kube-controller-manager kube-scheduler; do
  build kube.mod $program k8s.io/kubernetes/cmd/$program
done
# What KWOK does with nodes and pods, from its own module; without it, it does nothing.
stages=$(go env GOMODCACHE)/sigs.k8s.io/kwok@v0.8.0/kustomize/stage
for stage in node/fast node/heartbeat-with-lease pod/fast; do
  kubectl kustomize "$stages/$stage"
  echo ---
done >"$out/kwok-stages.yaml"
folder() { (cd "$(mktemp -d)" && go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)",/\1/p'); }
mkdir -p "$out/crds"
# All of KEDA's: its operator waits for each that it watches.
cp -f "$(folder github.com/kedacore/keda/v2@v2.21.0)"/config/crd/bases/*.yaml "$out/crds/"
operator=$(folder github.com/prometheus-operator/prometheus-operator@v0.85.0)
cp -f "$operator"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml "$out/crds/"
chmod -R u+w "$out/crds"
