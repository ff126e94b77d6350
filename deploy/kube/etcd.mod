// etcd 3.6: with Debian's 3.4 nodes turn unreachable after a minute and rollouts hang.
module concord.dev/etcd

go 1.26.0

tool go.etcd.io/etcd/server/v3

require go.etcd.io/etcd/server/v3 v3.6.16
