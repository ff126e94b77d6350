# The container's own name server, in the form that nginx wants it; DOMAIN completes the services' names where nginx, which
# knows no search list, needs full ones.
set -eu
resolver=$(awk '/^nameserver/ { print ($2 ~ /:/) ? "[" $2 "]" : $2; exit }' /etc/resolv.conf)
sed -e "s/@RESOLVER@/$resolver/" -e "s/@DOMAIN@/${DOMAIN:-}/" /etc/concord/nginx.conf >/tmp/nginx.conf
exec nginx -c /tmp/nginx.conf -g 'daemon off;'
