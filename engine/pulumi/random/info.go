// Package random describes the random provider to Pulumi: which upstream resource is which Pulumi type.
package random

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-random/shim"
)

// Version is the one that the Python package pulumi_random asks the engine for.
const Version = "4.21.4"

// Info maps the upstream resources to Pulumi's types.
func Info() bridge.ProviderInfo {
	return bridge.ProviderInfo{
		Name:         "random",
		Version:      Version,
		P:            tfbridge.ShimProvider(shim.NewProvider()),
		MetadataInfo: info.NewProviderMetadata([]byte("{}")),
		Resources: map[string]*bridge.ResourceInfo{
			"random_bytes":    {Tok: member("RandomBytes"), ComputeID: idFromBase64},
			"random_id":       {Tok: member("RandomId")},
			"random_integer":  {Tok: member("RandomInteger")},
			"random_password": {Tok: member("RandomPassword")},
			"random_pet":      {Tok: member("RandomPet")},
			"random_shuffle":  {Tok: member("RandomShuffle")},
			"random_string":   {Tok: member("RandomString")},
			"random_uuid":     {Tok: member("RandomUuid")},
			"random_uuid4":    {Tok: member("RandomUuid4")},
			"random_uuid7":    {Tok: member("RandomUuid7")},
		},
	}
}

func member(name string) tokens.Type {
	return bridge.MakeResource("random", "index", name)
}

// idFromBase64 gives RandomBytes its base64 text as ID, as the official provider does. An ID is never secret in
// Pulumi: RandomBytes is for salts, not for keys.
func idFromBase64(_ context.Context, state resource.PropertyMap) (resource.ID, error) {
	encoded := state["base64"]
	if encoded.IsSecret() {
		encoded = encoded.SecretValue().Element
	}
	if !encoded.IsString() {
		return "", errors.New("random_bytes: the state has no text under base64, and the ID is taken from it")
	}
	return resource.ID(encoded.StringValue()), nil
}
