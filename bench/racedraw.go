package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/peterbourgon/ff/v3/ffcli"
)

// raceDrawCommand is "bench race-draw", which writes again what a race writes, from
// its samples.
func raceDrawCommand(stdout, stderr io.Writer) *ffcli.Command {
	var file, dir string
	return subcommand(stderr, "race-draw", "write the tables and pictures of a race again",
		func(set *flag.FlagSet) {
			set.StringVar(&file, "json", "out/race/race.json", "read the race's samples from `file`")
			set.StringVar(&dir, "out", "out/race", "write race.md and the pictures into `directory`")
		},
		func(context.Context) error {
			r, err := readRace(file)
			if err != nil {
				return err
			}
			if err := r.publish(dir); err != nil {
				return err
			}
			return r.write(stdout)
		})
}

// publish writes race.md and the pictures into a directory, which it makes.
func (r *raceReport) publish(dir string) error {
	if err := r.draw(dir); err != nil {
		return err
	}
	tables, err := os.Create(filepath.Join(dir, "race.md"))
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(r.markdown(tables), tables.Close())
}
