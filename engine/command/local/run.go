package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Run is the function command:local:run: a script that runs in every preview and every update.
type Run struct{}

// RunArgs are the inputs of a Run.
type RunArgs struct {
	Process

	Command string `pulumi:"command"`
}

// RunResult is what a Run gives back.
type RunResult struct {
	RunArgs
	Outcome
}

// Annotate describes the function in the schema.
func (r *Run) Annotate(a infer.Annotator) {
	a.Describe(r, "A command that runs on this machine in every preview and every update.")
}

// Annotate describes the inputs in the schema.
func (r *RunArgs) Annotate(a infer.Annotator) {
	a.Describe(&r.Command, "The script to run.")
}

// Invoke runs the script.
func (*Run) Invoke(
	ctx context.Context, request infer.FunctionRequest[RunArgs],
) (infer.FunctionResponse[RunResult], error) {
	outcome, err := request.Input.run(ctx, request.Input.Command, Outcome{})
	if err != nil {
		return infer.FunctionResponse[RunResult]{}, err
	}
	return infer.FunctionResponse[RunResult]{Output: RunResult{RunArgs: request.Input, Outcome: outcome}}, nil
}
