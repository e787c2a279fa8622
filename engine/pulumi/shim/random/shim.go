// Package shim opens the random provider's internal package to our main: its module path lies under the
// upstream one, which is what Go asks of whoever imports an internal package.
package shim

import (
	tfprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider returns the upstream Terraform provider.
func NewProvider() tfprovider.Provider {
	return provider.New()
}
