// Command schema writes the Pulumi schema of one provider to stdout; the plugins embed it. `go generate ./...` runs
// it after a change of version or mapping.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	pftfgen "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"

	"sentient-mqtt/engine/pulumi/docker"
	"sentient-mqtt/engine/pulumi/random"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: schema random|docker FILE"))
	}
	schema, err := generate(os.Args[1])
	if err != nil {
		fail(err)
	}
	var readable bytes.Buffer
	if err := json.Indent(&readable, schema, "", " "); err != nil {
		fail(err)
	}
	readable.WriteByte('\n')
	if err := os.WriteFile(os.Args[2], readable.Bytes(), 0o644); err != nil {
		fail(err)
	}
}

func generate(provider string) ([]byte, error) {
	sink := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: colors.Never})
	switch provider {
	case "random":
		result, err := pftfgen.GenerateSchema(context.Background(), pftfgen.GenerateSchemaOptions{
			ProviderInfo: random.Info(), DiagnosticsSink: sink, XInMemoryDocs: true,
		})
		if err != nil {
			return nil, err
		}
		return result.ProviderMetadata.PackageSchema, nil
	case "docker":
		result, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
			ProviderInfo: docker.Info(), DiagnosticsSink: sink, XInMemoryDocs: true,
		})
		if err != nil {
			return nil, err
		}
		return json.Marshal(result.PackageSpec)
	}
	return nil, fmt.Errorf("the provider %q is neither random nor docker", provider)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "schema:", err)
	os.Exit(1)
}
