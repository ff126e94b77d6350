#!/bin/sh
# certificates.sh FOLDER [NAME…]: an authority, a certificate for each service, and for each NAME one of an operator (ROLE/NAME: of
# another role, such as admin/me), with openssl;
# FOLDER/WHO has ca.crt, tls.crt and tls.key. For one machine: in a cluster cert-manager does this. Whoever has FOLDER/ca.key can
# sign anybody, so move it away. What is there already stays.
set -eu
umask 077
folder=$1
shift
mkdir -p "$folder"
cd "$folder"
days=${DAYS:-365}
if [ ! -f ca.key ]; then
  openssl req -x509 -newkey rsa:3072 -nodes -keyout ca.key -out ca.crt -days "$days" -subj "/CN=concord" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
fi
signed() { # FOLDER COMMON-NAME HOSTS
  [ ! -f "$1/tls.crt" ] || return 0
  mkdir -p "$1"
  # A slash within a name is written with a backslash for openssl.
  openssl req -newkey rsa:2048 -nodes -keyout "$1/tls.key" -out "$1/csr" -subj "/CN=$(printf %s "$2" | sed 's,/,\\/,g')" 2>/dev/null
  printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\n' "$3" >"$1/extensions"
  openssl x509 -req -in "$1/csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -extfile "$1/extensions" \
    -out "$1/tls.crt" 2>/dev/null
  rm "$1/csr" "$1/extensions"
  cp ca.crt "$1/ca.crt"
  # Containers run as another user; who may look into FOLDER is what keeps the keys.
  chmod 755 "$1" && chmod 644 "$1"/*
}
for name in runs tasks labeling scoring triage training console door; do
  signed "$name" "$name" "DNS:$name,DNS:localhost,IP:127.0.0.1"
done
for name in "$@"; do
  case $name in
  */*) signed "${name#*/}" "$name" "DNS:localhost" ;;
  *) signed "$name" "operator/$name" "DNS:localhost" ;;
  esac
done
