package conformance

import (
	"errors"
	"net"
	"os/exec"

	"marquee/pushpin"
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
	copied := pushpin.Copy{
		Dir: s.dir, Clients: ports[0], Publishers: ports[1],
		Settings: []string{"message_rate=100000000", "message_hwm=100000000", "upstream_key=" + upstreamKey},
	}
	if err := copied.Write(); err != nil {
		return err
	}
	s.address, s.control = ports[0], ports[1]
	return s.start(exec.Command("pushpin", "--config", copied.File(), "--merge-output"))
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
