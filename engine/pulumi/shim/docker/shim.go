// Package shim opens the docker provider's internal package to our main: its module path lies under the
// upstream one, which is what Go asks of whoever imports an internal package.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the upstream Terraform provider.
func NewProvider(version string) *schema.Provider {
	return provider.New(version)()
}
