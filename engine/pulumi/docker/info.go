// Package docker describes the docker provider to Pulumi: which upstream resource is which Pulumi type.
package docker

import (
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/shim"
)

// Version is the one that the Python package pulumi_docker asks the engine for.
const Version = "5.2.0"

// Info maps the upstream resources and data sources to Pulumi's types. Pulumi's own image builder, docker.Image, is
// not among them: it is part of the official plugin only.
func Info() bridge.ProviderInfo {
	return bridge.ProviderInfo{
		Name:    "docker",
		Version: Version,
		P:       sdkv2.NewProvider(shim.NewProvider(Version)),
		Config: map[string]*bridge.SchemaInfo{
			"host":          {Default: &bridge.DefaultInfo{EnvVars: []string{"DOCKER_HOST"}}},
			"registry_auth": {Name: "registryAuth"},
		},
		Resources: map[string]*bridge.ResourceInfo{
			"docker_buildx_builder": {Tok: resource("BuildxBuilder")},
			"docker_config":         {Tok: resource("ServiceConfig")},
			"docker_container": {
				Tok: resource("Container"),
				// A container's name and ports are taken as long as it exists.
				DeleteBeforeReplace: true,
				Fields: map[string]*bridge.SchemaInfo{
					"command":           {Name: "command"},
					"networks_advanced": {Name: "networksAdvanced"},
				},
			},
			"docker_image":          {Tok: resource("RemoteImage")},
			"docker_network":        {Tok: resource("Network")},
			"docker_plugin":         {Tok: resource("Plugin")},
			"docker_registry_image": {Tok: resource("RegistryImage")},
			"docker_secret":         {Tok: resource("Secret")},
			"docker_service":        {Tok: resource("Service")},
			"docker_tag":            {Tok: resource("Tag")},
			"docker_volume":         {Tok: resource("Volume")},
		},
		DataSources: map[string]*bridge.DataSourceInfo{
			"docker_image":                    {Tok: function("getRemoteImage")},
			"docker_logs":                     {Tok: function("getLogs")},
			"docker_network":                  {Tok: function("getNetwork")},
			"docker_plugin":                   {Tok: function("getPlugin")},
			"docker_registry_image":           {Tok: function("getRegistryImage")},
			"docker_registry_image_manifests": {Tok: function("getRegistryImageManifests")},
		},
	}
}

func resource(name string) tokens.Type {
	return bridge.MakeResource("docker", "index", name)
}

func function(name string) tokens.ModuleMember {
	return bridge.MakeDataSource("docker", "index", name)
}
