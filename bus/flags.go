package bus

import (
	"errors"
	"flag"
)

// Flags defines the flags that say how to reach NATS, alike in every command,
// and has them fill in c. url is the default of -nats; help says what the
// command uses it for.
func (c *Config) Flags(fs *flag.FlagSet, url, help string) {
	fs.StringVar(&c.URL, "nats", url, help)
	fs.StringVar(&c.Credentials, "nats-creds", "", "`file` with the credentials for NATS (.creds)")
	fs.StringVar(&c.CA, "nats-ca", "", "`file` with the certificates that the NATS server's is checked by (PEM)")
	fs.StringVar(&c.Cert, "nats-cert", "", "`file` with the certificate to show to the NATS server (PEM); needs -nats-key")
	fs.StringVar(&c.Key, "nats-key", "", "`file` with the key of that certificate (PEM); needs -nats-cert")
}

// Validate checks what the flags say, as far as that can be done without a
// server.
func (c *Config) Validate() error {
	if (c.Cert == "") != (c.Key == "") {
		return errors.New("-nats-cert and -nats-key come together")
	}
	if c.URL == "" && (c.Credentials != "" || c.CA != "" || c.Cert != "") {
		return errors.New("-nats-creds, -nats-ca and -nats-cert need -nats")
	}
	return nil
}
