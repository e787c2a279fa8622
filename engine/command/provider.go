package main

import (
	"context"
	"fmt"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"sentient-mqtt/engine/command/local"
)

const (
	name = "command"

	// version is the one that the Python package pulumi_command asks the engine for.
	version = "1.2.1"
)

func newProvider() (p.Provider, error) {
	provider, err := infer.NewProviderBuilder().
		WithDisplayName("Command").
		WithNamespace("pulumi").
		WithDescription("Run commands of the local machine as resources.").
		WithResources(infer.Resource(&local.Command{})).
		WithFunctions(infer.Function(&local.Run{})).
		Build()
	if err != nil {
		return p.Provider{}, fmt.Errorf("building the provider from its types: %w", err)
	}
	return refuseRemote(provider), nil
}

// refuseRemote answers a program that asks for command:remote:* with the way out, where the framework alone would
// only say that it doesn't know the type. Check is the first call for a resource, in a preview too.
func refuseRemote(provider p.Provider) p.Provider {
	check := provider.Check
	provider.Check = func(ctx context.Context, request p.CheckRequest) (p.CheckResponse, error) {
		if kind := request.Urn.Type(); kind.Module().Name() == "remote" {
			return p.CheckResponse{}, fmt.Errorf("%s is not in the engine that this project builds: it reaches a host "+
				"through command:local:Command with ssh as the interpreter. Write the resource so, or use an official "+
				"Pulumi engine, whose command plugin has it", kind)
		}
		return check(ctx, request)
	}
	return provider
}
