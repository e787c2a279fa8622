package local

import (
	"bytes"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// Logging says which of a script's outputs Pulumi shows while the script runs.
type Logging string

// The values that Logging can have.
const (
	LogStdout          Logging = "stdout"
	LogStderr          Logging = "stderr"
	LogStdoutAndStderr Logging = "stdoutAndStderr"
	LogNone            Logging = "none"
)

// Values names the values in the schema.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "Stdout", Value: LogStdout, Description: "Show stdout, not stderr"},
		{Name: "Stderr", Value: LogStderr, Description: "Show stderr, not stdout"},
		{Name: "StdoutAndStderr", Value: LogStdoutAndStderr, Description: "Show stdout and stderr"},
		{Name: "None", Value: LogNone, Description: "Show neither"},
	}
}

// logs are where the lines of stdout and stderr go: to the logger, or nowhere.
func (r *Process) logs(logger p.Logger) (stdout, stderr *lines) {
	logging := LogStdoutAndStderr
	if r.Logging != nil && *r.Logging != "" {
		logging = *r.Logging
	}
	stdout, stderr = &lines{}, &lines{}
	if logging == LogStdout || logging == LogStdoutAndStderr {
		stdout.show = logger.Info
	}
	if logging == LogStderr || logging == LogStdoutAndStderr {
		stderr.show = logger.Info
	}
	return stdout, stderr
}

// longestLine is where a line is broken in the log: a message of unbounded size could not be sent to the engine.
const longestLine = 64 * 1024

// lines shows what is written to it line by line. It never blocks on a line's length.
type lines struct {
	show func(string)
	rest []byte
}

func (l *lines) Write(chunk []byte) (int, error) {
	if l.show == nil {
		return len(chunk), nil
	}
	l.rest = append(l.rest, chunk...)
	for {
		if end := bytes.IndexByte(l.rest, '\n'); end >= 0 && end <= longestLine {
			l.show(string(l.rest[:end]))
			l.rest = l.rest[end+1:]
		} else if len(l.rest) > longestLine {
			l.show(string(l.rest[:longestLine]))
			l.rest = l.rest[longestLine:]
		} else {
			return len(chunk), nil
		}
	}
}

// flush shows a last line that had no end.
func (l *lines) flush() {
	if l.show != nil && len(l.rest) > 0 {
		l.show(string(l.rest))
		l.rest = nil
	}
}
