// Command bench starts the other commands, which must lie beside it, and
// measures them: the demo, a stack to play with, the whole demonstration on this
// machine and on hosts that fail, the figures of the README, of polls and of
// streams, against the floor, which is the same load on a server that only send()s,
// and the trials, in which clients are held while servers are attacked and fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/peterbourgon/ff/v3"
	"github.com/peterbourgon/ff/v3/ffcli"
)

// version is set when the command is linked.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends us at once, and the kernel our children.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the command: it parses args and runs the subcommand they name until it
// is done or ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := subcommand(stderr, "bench", "run and measure the other commands", nil, func(context.Context) error {
		return flag.ErrHelp
	})
	root.ShortUsage = "bench <subcommand> [flags]"
	root.Subcommands = []*ffcli.Command{
		demoCommand(stdout, stderr),
		runCommand(stdout, stderr),
		demo100kCommand(stdout, stderr),
		demoHostsCommand(stdout, stderr),
		mainCommand(stdout, stderr),
		streamsCommand(stdout, stderr),
		tortureCommand(stdout, stderr),
		tlsCommand(stdout, stderr),
		raceCommand(stdout, stderr),
		raceDrawCommand(stdout, stderr),
		soakCommand(stdout, stderr),
		floorCommand(stderr),
		attackCommand(stderr),
		natsCommand(stderr),
	}
	return root.ParseAndRun(ctx, args)
}

// subcommand returns a command without arguments whose flags, defined by flags,
// can also come from the environment, as MARQUEE_BENCH_FLAG_NAME.
func subcommand(stderr io.Writer, name, help string, flags func(*flag.FlagSet), exec func(context.Context) error) *ffcli.Command {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(stderr)
	if flags != nil {
		flags(set)
	}
	return &ffcli.Command{
		Name:       name,
		ShortUsage: "bench " + name + " [flags]",
		ShortHelp:  help,
		FlagSet:    set,
		Options:    []ff.Option{ff.WithEnvVarPrefix("MARQUEE_BENCH")},
		Exec: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown argument %q, see bench -h", args[0])
			}
			return exec(ctx)
		},
	}
}

// inRange checks the value of an integer flag.
func inRange(flag string, value, low, high int) error {
	if value < low || value > high {
		return fmt.Errorf("-%s %d: must be from %d to %d", flag, value, low, high)
	}
	return nil
}
