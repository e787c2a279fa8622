// Command pulumi-resource-random is the random provider as a Pulumi plugin.
package main

import (
	"context"
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"sentient-mqtt/engine/pulumi/random"
)

//go:generate go run ../schema random schema.json
//go:embed schema.json
var schema []byte

func main() {
	tfbridge.Main(context.Background(), "random", random.Info(), tfbridge.ProviderMetadata{PackageSchema: schema})
}
