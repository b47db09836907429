// Package pushpin makes private copies of the Pushpin that Debian's packages pushpin
// and zurl install, so that it can be examined and raced against beside others, and
// whatever runs on the machine already is left alone.
package pushpin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Where the package keeps what a copy is made of.
const (
	packaged    = "/usr/share/pushpin/pushpin.conf.condure"
	packagedLib = "/usr/lib/pushpin"
)

// A Copy is a Pushpin with a configuration of its own, made of the packaged one: all
// its files are in one directory, and zurl may reach the loopback. All else is as
// shipped, unless it is set otherwise.
type Copy struct {
	Dir        string // exists; names in it are short enough for unix sockets
	Clients    string // address, host:port
	Publishers string // address on the loopback, host:port
	// Settings and Zurl are settings of Pushpin and of zurl, name=value, that their
	// files have, if only in a comment.
	Settings, Zurl []string
}

// File is the configuration's path, for pushpin --config.
func (c Copy) File() string { return filepath.Join(c.Dir, "pushpin.conf") }

// Write writes the configuration. The routes are left to the caller: they are in the
// file routes in Dir.
func (c Copy) Write() error {
	lib := filepath.Join(c.Dir, "lib")
	for _, dir := range []string{filepath.Join(c.Dir, "run"), filepath.Join(c.Dir, "log"), filepath.Join(lib, "runner")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("copy pushpin: %w", err)
		}
	}
	_, port, _ := strings.Cut(c.Publishers, ":")
	settings := append([]string{
		"rundir=" + filepath.Join(c.Dir, "run") + "\nlibdir=" + lib,
		"logdir=" + filepath.Join(c.Dir, "log"),
		"services=condure,zurl,pushpin-proxy,pushpin-handler",
		"http_port=" + c.Clients,
		"push_in_http_port=" + port,
	}, c.Settings...)
	err := errors.Join(
		edit(packaged, c.File(), append(settings, `tcp://127.0.0.1:556=ipc://`+c.Dir+"/run/spec-")),
		edit(filepath.Join(packagedLib, "internal.conf"), filepath.Join(lib, "internal.conf"),
			[]string{"ipc:///var/run/zurl/zurl-=ipc://{rundir}/{ipc_prefix}zurl-"}),
		edit(filepath.Join(packagedLib, "runner", "zurl.conf.template"), filepath.Join(lib, "runner", "zurl.conf.template"),
			append([]string{"deny="}, c.Zurl...)),
	)
	if err != nil {
		return fmt.Errorf("copy pushpin: %w", err)
	}
	return nil
}

// edit copies a file with settings, name=value, in place of those that it has. A name
// with a slash is text anywhere, for which the value stands. One that is not there is
// an error: the file is not the one that this was written for.
func edit(from, to string, settings []string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	text := string(data)
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		if strings.Contains(name, "/") {
			if !strings.Contains(text, name) {
				return fmt.Errorf("%s has no %s", from, name)
			}
			text = strings.ReplaceAll(text, name, value)
			continue
		}
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `=.*`)
		if !line.MatchString(text) {
			line = regexp.MustCompile(`(?m)^#` + regexp.QuoteMeta(name) + `=.*`)
		}
		if !line.MatchString(text) {
			return fmt.Errorf("%s has no setting %s", from, name)
		}
		text = line.ReplaceAllLiteralString(text, setting)
	}
	return os.WriteFile(to, []byte(text), 0o600)
}
