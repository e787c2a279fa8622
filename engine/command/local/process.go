package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Process says how a script runs: the inputs that Command and Run share.
type Process struct {
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	AssetPaths             *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths           *[]string          `pulumi:"archivePaths,optional"`
}

// Outcome is what a script left: what it printed, without the last line's end, and the files it was asked for.
type Outcome struct {
	Stdout  string                           `pulumi:"stdout"`
	Stderr  string                           `pulumi:"stderr"`
	Assets  *map[string]types.AssetOrArchive `pulumi:"assets,optional"`
	Archive *resource.Archive                `pulumi:"archive,optional"`
}

// Annotate describes the inputs in the schema.
func (r *Process) Annotate(a infer.Annotator) {
	a.Describe(&r.Interpreter, "The program, and its arguments, that gets the script as its last argument. "+
		"Default: `[\"/bin/sh\", \"-c\"]`.")
	a.Describe(&r.Dir, "The folder to run in. It must exist.")
	a.Describe(&r.Environment, "Variables to add to those of the Pulumi process.")
	a.Describe(&r.Stdin, "Text for the script's standard input.")
	a.Describe(&r.Logging, "Which of stdout and stderr to show while the script runs. Default: both. "+
		"The outputs hold both, whatever this says, and so does the error of a script that fails.")
	a.Describe(&r.AddPreviousOutputInEnv, "Whether the script finds the previous run's output in "+
		"PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR. Default: true.")
	a.Describe(&r.AssetPaths, "Globs of files to return as assets after the script. "+
		"`!` in front excludes; the last glob that matches decides.")
	a.Describe(&r.ArchivePaths, "Globs of files to return as one archive after the script, with the same rules.")
}

// Annotate describes the outputs in the schema.
func (o *Outcome) Annotate(a infer.Annotator) {
	a.Describe(&o.Stdout, "What the script wrote to stdout.")
	a.Describe(&o.Stderr, "What the script wrote to stderr.")
	a.Describe(&o.Assets, "The files that `assetPaths` matched.")
	a.Describe(&o.Archive, "The files that `archivePaths` matched.")
}

// run gives the script to the interpreter and waits until it, and whoever inherited its output, is done.
func (r *Process) run(ctx context.Context, script string, previous Outcome) (Outcome, error) {
	argv := []string{"/bin/sh", "-c"}
	if r.Interpreter != nil && len(*r.Interpreter) > 0 {
		argv = *r.Interpreter
	}
	argv = append(argv[:len(argv):len(argv)], script)

	var stdout, stderr, both output
	stdoutLog, stderrLog := r.logs(p.GetLogger(ctx))

	// A script is what the user asks to run, in the stack's own program.
	command := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec
	command.Env = r.environment(previous)
	command.Stdout = io.MultiWriter(&stdout, &both, stdoutLog)
	command.Stderr = io.MultiWriter(&stderr, &both, stderrLog)
	if r.Dir != nil {
		command.Dir = *r.Dir
	}
	if r.Stdin != nil && *r.Stdin != "" {
		command.Stdin = strings.NewReader(*r.Stdin)
	}

	err := command.Run()
	stdoutLog.flush()
	stderrLog.flush()
	if err != nil {
		return Outcome{}, fmt.Errorf("%w: running %q:\n%s", err, script, both.String())
	}

	outcome := Outcome{
		Stdout: strings.TrimSuffix(stdout.String(), "\n"),
		Stderr: strings.TrimSuffix(stderr.String(), "\n"),
	}
	outcome.Assets, outcome.Archive, err = r.files()
	return outcome, err
}

// environment is Pulumi's own, with the previous output and the resource's variables on top.
func (r *Process) environment(previous Outcome) []string {
	variables := os.Environ()
	if r.AddPreviousOutputInEnv == nil || *r.AddPreviousOutputInEnv {
		if previous.Stdout != "" {
			variables = append(variables, "PULUMI_COMMAND_STDOUT="+previous.Stdout)
		}
		if previous.Stderr != "" {
			variables = append(variables, "PULUMI_COMMAND_STDERR="+previous.Stderr)
		}
	}
	if r.Environment != nil {
		for name, value := range *r.Environment {
			variables = append(variables, name+"="+value)
		}
	}
	return variables
}

// output collects what is written to it. Stdout and stderr arrive from two goroutines.
type output struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(chunk []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.Write(chunk)
}

func (o *output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.String()
}
