package bus

// Host returns this machine's address as the NATS server sees it, by which
// others that use the server are likely to reach this machine too; the loopback
// address while that is not known.
func (b *Bus) Host() string {
	if ip, err := b.nc.GetClientIP(); err == nil {
		return ip.String()
	}
	return "127.0.0.1"
}
