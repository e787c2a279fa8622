package local

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
)

// files are those that the script was asked to leave, read after it ended.
func (r *Process) files() (*map[string]types.AssetOrArchive, *resource.Archive, error) {
	var assets *map[string]types.AssetOrArchive
	if r.AssetPaths != nil {
		found, err := r.matching(*r.AssetPaths)
		if err != nil {
			return nil, nil, fmt.Errorf("assetPaths: %w", err)
		}
		assets = &map[string]types.AssetOrArchive{}
		for path, file := range found {
			(*assets)[path] = types.AssetOrArchive{Asset: file}
		}
	}
	if r.ArchivePaths == nil {
		return assets, nil, nil
	}
	found, err := r.matching(*r.ArchivePaths)
	if err != nil {
		return nil, nil, fmt.Errorf("archivePaths: %w", err)
	}
	content := make(map[string]any, len(found))
	for path, file := range found {
		content[path] = file
	}
	bundle, err := archive.FromAssets(content)
	if err != nil {
		return nil, nil, fmt.Errorf("archivePaths: %w", err)
	}
	return assets, bundle, nil
}

type rule struct {
	pattern glob.Glob
	exclude bool
}

// matching are the files under the script's folder, by relative path, that the globs choose: the last one that
// matches a file decides, and one that starts with ! excludes.
func (r *Process) matching(globs []string) (map[string]*resource.Asset, error) {
	rules := make([]rule, 0, len(globs))
	for _, text := range globs {
		pattern, exclude := strings.CutPrefix(text, "!")
		compiled, err := glob.Compile(pattern, '/')
		if err != nil {
			return nil, fmt.Errorf("the glob %q: %w", text, err)
		}
		rules = append(rules, rule{compiled, exclude})
	}

	root := "."
	if r.Dir != nil {
		root = *r.Dir
	}
	found := map[string]*resource.Asset{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if !chosen(relative, rules) {
			return nil
		}
		found[relative], err = asset.FromPath(path)
		return err
	})
	return found, err
}

func chosen(path string, rules []rule) bool {
	chosen := false
	for _, rule := range rules {
		if rule.pattern.Match(path) {
			chosen = !rule.exclude
		}
	}
	return chosen
}
