// Command pulumi-resource-command is the command provider of this project's engine: host commands as Pulumi
// resources, with the schema and behaviour of pulumi-command 1.2.1.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-version" {
		fmt.Println(version)
		return
	}
	provider, err := newProvider()
	if err == nil {
		err = provider.Run(context.Background(), name, version)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-command:", err)
		os.Exit(1)
	}
}
