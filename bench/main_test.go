package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// Every bad argument is refused before anything is started.
func TestRunRefuses(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"fly", `unknown argument "fly"`},
		{"demo 5000", `unknown argument "5000"`},
		{"demo -c 0", "-c 0: must be from 1 to 20000"},
		{"demo -changes 0", "-changes 0: must be from 1 to 1000"},
		{"demo -every 1ms", "-every 1ms: must be at least 100ms"},
		{"run -c 20001", "-c 20001: must be from 1 to 20000"},
		{"demo-100k -capacity 0", "-capacity 0: must be from 1 to 200000"},
		{"demo-100k -node-capacity 20001", "-node-capacity 20001: must be from 1 to 20000"},
		{"demo-100k -changes 21", "-changes 21: must be from 1 to 20"},
		{"demo-100k -out out/", `-out "out/": must name files`},
		{"demo-hosts -groups 2", "-groups 2: must be from 3 to 50"},
		{"demo-hosts -clients 0", "-clients 0: must be from 1 to 20000"},
		{"floor -threads 0", "-threads 0: must be from 1 to 64"},
		{"floor -listen nowhere", "missing port in address"},
		{"attack -addr 127.0.0.1:1 -n 0", "-n 0: must be from 1 to 19000"},
		{"attack -addr 127.0.0.1:1 -kind nap", `-kind "nap": no such attack`},
		{"attack", `-addr "": must be host:port`},
		{"attack -addr 127.0.0.1:1 -from home", `-from "home": must be an IP address`},
		{"race-draw -json nowhere", "read the race's report: open nowhere"},
		{"main -rounds 0", "-rounds 0: must be from 1 to 100"},
		{"main -loops 65", "-loops 65: must be from 1 to 64"},
		{"main -n many", `"many": must be from 1 to 20000`},
		{"main -n 500,500", "500: must be more than the one before"},
	} {
		t.Run(test.args, func(t *testing.T) {
			err := run(t.Context(), strings.Fields(test.args), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("bench %s: got error %v, want %q", test.args, err, test.want)
			}
		})
	}
}

func TestRunHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"-h"}, {"demo", "-h"}} {
		var stderr strings.Builder
		if err := run(t.Context(), args, io.Discard, &stderr); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("bench %q: got error %v, want %v", args, err, flag.ErrHelp)
		}
		if !strings.Contains(stderr.String(), "USAGE") {
			t.Errorf("bench %q printed %q, want the usage", args, stderr.String())
		}
	}
}
