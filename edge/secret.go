package main

import (
	"log/slog"
	"net/url"
	"strings"
)

// shownSecrets returns the flags that show a secret on the command line, where every
// user of the machine can read it for as long as the process runs. A file: or
// the environment shows it to the process's own user only.
func shownSecrets(args []string) (flags []string) {
	for i, arg := range args {
		name, dashed := strings.CutPrefix(arg, "-")
		if !dashed {
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if !given && i+1 < len(args) {
			value = args[i+1]
		}
		secret := false
		switch name {
		case "control-key", "control-token", "sig-key", "upstream-key":
			secret = value != "" && !strings.HasPrefix(value, "file:")
		case "nats":
			for server := range strings.SplitSeq(value, ",") {
				server = strings.TrimSpace(server)
				if !strings.Contains(server, "://") {
					server = "nats://" + server
				}
				if u, err := url.Parse(server); err == nil && u.User != nil {
					secret = true
				}
			}
		case "route":
			_, key, found := strings.Cut(value, "sig_key=")
			secret = found && !strings.HasPrefix(key, "file:")
		}
		if secret {
			flags = append(flags, "-"+name)
		}
	}
	return flags
}

// warnOfShown says how the secrets on the command line are better given.
func warnOfShown(args []string, log *slog.Logger) {
	for _, name := range shownSecrets(args) {
		better := "the environment variable MARQUEE_EDGE_" + strings.ToUpper(strings.ReplaceAll(name[1:], "-", "_"))
		switch name {
		case "-route":
			better = "sig_key=file:PATH, or -routes"
		case "-nats":
			better += ", or -nats-creds"
		default:
			better = name + " file:PATH, or " + better
		}
		log.Warn("a secret on the command line can be read by every user of this machine", "flag", name, "better", better)
	}
}
