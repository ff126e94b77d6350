// KEDA's operator, which asks Kafka for a group's lag and turns a Deployment on and off, and its adapter, which tells
// Kubernetes' autoscaler the lag, so that one replica becomes many.
module concord.dev/keda

go 1.26.0

tool (
	github.com/kedacore/keda/v2/cmd/adapter
	github.com/kedacore/keda/v2/cmd/operator
)

require github.com/kedacore/keda/v2 v2.21.0

// As in KEDA's own module: replacements are not inherited.
replace github.com/nexus-rpc/nexus-proto-annotations v0.1.0 => github.com/nexus-rpc/nexus-proto-annotations v0.1.1-0.20260629224316-835bd8d49cb4

exclude github.com/go-chi/chi/v5 v5.2.3
