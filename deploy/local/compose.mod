// Docker Compose v2 as a plugin, built from its module: `go install` refuses modules with exclude lines.
module concord.dev/compose

go 1.24.9

tool github.com/docker/compose/v2/cmd

require github.com/docker/compose/v2 v2.40.3

exclude (
	github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2
)
