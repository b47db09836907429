package conformance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Where Debian's package keeps what a private copy is made of.
const (
	pushpinConfig = "/usr/share/pushpin/pushpin.conf.condure"
	pushpinLib    = "/usr/lib/pushpin"
)

// startPushpin starts the installed Pushpin with a configuration of its own,
// made of the packaged one: other ports, files in one directory, zurl allowed to
// reach loopback, and no limit on the rate of deliveries. All else is as shipped.
func (s *subject) startPushpin() error {
	if _, err := exec.LookPath("pushpin"); err != nil {
		return errors.New("pushpin is not installed (Debian: pushpin and zurl)")
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	lib := filepath.Join(s.dir, "lib")
	for _, dir := range []string{filepath.Join(s.dir, "run"), filepath.Join(lib, "runner")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	err = errors.Join(
		edit(pushpinConfig, filepath.Join(s.dir, "pushpin.conf"),
			`(?m)^rundir=.*`, "rundir="+s.dir+"/run\nlibdir="+lib,
			`(?m)^services=.*`, "services=condure,zurl,pushpin-proxy,pushpin-handler",
			`(?m)^http_port=.*`, "http_port="+ports[0],
			`(?m)^push_in_http_port=.*`, "push_in_http_port="+strings.TrimPrefix(ports[1], "127.0.0.1:"),
			`tcp://127\.0\.0\.1:556`, "ipc://"+s.dir+"/run/spec-",
			`(?m)^message_rate=.*`, "message_rate=100000000",
			`(?m)^message_hwm=.*`, "message_hwm=100000000",
			`(?m)^upstream_key=.*`, "upstream_key="+upstreamKey),
		edit(filepath.Join(pushpinLib, "internal.conf"), filepath.Join(lib, "internal.conf"),
			`ipc:///var/run/zurl/zurl-`, "ipc://{rundir}/{ipc_prefix}zurl-"),
		edit(filepath.Join(pushpinLib, "runner", "zurl.conf.template"), filepath.Join(lib, "runner", "zurl.conf.template"),
			`(?m)^deny=.*`, "deny="),
	)
	if err != nil {
		return err
	}
	s.address, s.control = ports[0], ports[1]
	return s.start(exec.Command("pushpin", "--config", filepath.Join(s.dir, "pushpin.conf"), "--merge-output"))
}

// edit copies a file with each expression replaced; one that matches nothing is
// an error, for then the file is not the one that this was written for.
func edit(from, to string, replacements ...string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	text := string(data)
	for i := 0; i < len(replacements); i += 2 {
		expression := regexp.MustCompile(replacements[i])
		if !expression.MatchString(text) {
			return fmt.Errorf("%s has no %s", from, replacements[i])
		}
		text = expression.ReplaceAllLiteralString(text, replacements[i+1])
	}
	return os.WriteFile(to, []byte(text), 0o600)
}

// freePorts returns n loopback addresses with ports that were free a moment
// ago: Pushpin cannot be told to choose, nor says what it chose.
func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
