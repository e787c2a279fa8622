// Print what Docker Compose reads from the env files of a service, as one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

func main() {
	all := map[string]string{}
	for _, path := range os.Args[1:] {
		// A file with a syntax error gives nothing, as a service with it does not start.
		values, err := read(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			continue
		}
		for name, value := range values {
			all[name] = value
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// read calls what types.loadEnvFile of compose-go calls for an entry of `env_file:`.
func read(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values := map[string]string{}
	return values, dotenv.ParseWithFormat(file, path, values, os.LookupEnv, "")
}
