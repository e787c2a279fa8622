// Package local runs commands on the machine that runs Pulumi.
package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command is the resource command:local:Command: scripts that run when it is created, updated and deleted.
type Command struct{}

// CommandArgs are the inputs of a Command.
type CommandArgs struct {
	Process

	Create *string `pulumi:"create,optional"`
	Update *string `pulumi:"update,optional"`
	Delete *string `pulumi:"delete,optional"`

	// Triggers replace the resource when they change, whatever Update says.
	Triggers *[]any `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

// CommandState is what Pulumi keeps of a Command.
type CommandState struct {
	CommandArgs
	Outcome
}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(c, "A command that runs on this machine when the resource is created, updated and deleted.")
}

// Annotate describes the inputs in the schema.
func (c *CommandArgs) Annotate(a infer.Annotator) {
	a.Describe(&c.Create, "The script to run when the resource is created, and on updates if `update` is absent.")
	a.Describe(&c.Update, "The script to run when an input changed. If absent, `create` runs again.")
	a.Describe(&c.Delete, "The script to run when the resource is deleted.")
	a.Describe(&c.Triggers, "Any change among these values replaces the resource.")
}

// Create runs the create script. A script that fails leaves no resource behind, so its delete script never runs.
func (*Command) Create(
	ctx context.Context, request infer.CreateRequest[CommandArgs],
) (infer.CreateResponse[CommandState], error) {
	id, err := resource.NewUniqueHex(request.Name, 8, 0)
	if err != nil {
		return infer.CreateResponse[CommandState]{}, err
	}
	state := CommandState{CommandArgs: request.Inputs}
	if !request.DryRun && request.Inputs.Create != nil {
		if state.Outcome, err = request.Inputs.run(ctx, *request.Inputs.Create, Outcome{}); err != nil {
			return infer.CreateResponse[CommandState]{}, err
		}
	}
	return infer.CreateResponse[CommandState]{ID: id, Output: state}, nil
}

// Update runs the update script, or the create script where there is none. If it fails, Pulumi keeps the old state
// and the next run tries again.
func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[CommandArgs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	state := CommandState{CommandArgs: request.Inputs, Outcome: request.State.Outcome}
	script := request.Inputs.Update
	if script == nil {
		script = request.Inputs.Create
	}
	if !request.DryRun && script != nil {
		var err error
		if state.Outcome, err = request.Inputs.run(ctx, *script, request.State.Outcome); err != nil {
			return infer.UpdateResponse[CommandState]{}, err
		}
	}
	return infer.UpdateResponse[CommandState]{Output: state}, nil
}

// Delete runs the delete script with the inputs in the state: what the program says today plays no part.
func (*Command) Delete(
	ctx context.Context, request infer.DeleteRequest[CommandState],
) (infer.DeleteResponse, error) {
	if request.State.Delete == nil {
		return infer.DeleteResponse{}, nil
	}
	_, err := request.State.run(ctx, *request.State.Delete, request.State.Outcome)
	return infer.DeleteResponse{}, err
}
