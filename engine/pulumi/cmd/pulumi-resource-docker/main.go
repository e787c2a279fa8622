// Command pulumi-resource-docker is the docker provider as a Pulumi plugin.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"sentient-mqtt/engine/pulumi/docker"
)

//go:generate go run ../schema docker schema.json
//go:embed schema.json
var schema []byte

func main() {
	tfbridge.Main("docker", docker.Version, docker.Info(), schema)
}
