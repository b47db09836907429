package httpparse

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parseTimes, in the environment of a child, is how often TestGateInstructions is to
// parse a request, and nothing else.
const parseTimes = "HTTPPARSE_TEST_PARSE_TIMES"

// Parsing a poll takes so many instructions, whatever the machine's speed: valgrind
// counts them.
func TestGateInstructions(t *testing.T) {
	if times, err := strconv.Atoi(os.Getenv(parseTimes)); err == nil {
		p := NewParser(Limits{})
		in := []byte(longPoll)
		for range times {
			var scan Scan
			if _, _, err := p.Parse(&scan, in); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		t.Skip("the instructions are not counted: that wants valgrind (apt-get install valgrind)")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the bound is one of amd64")
	}
	if instrumented() {
		t.Skip("the bound is one of code without race detector and coverage")
	}
	// What the start takes is in both counts.
	const few, many = 1000, 21000
	each := float64(instructions(t, valgrind, many)-instructions(t, valgrind, few)) / (many - few)
	t.Logf("parsing %d bytes takes %.0f instructions", len(longPoll), each)
	// Measured: 9,598, with Go 1.26.
	if most := 12000.; each > most || each < 100 {
		t.Errorf("parsing a poll takes %.0f instructions, want %v at most", each, most)
	}
}

// instrumented says whether the compiler has put more into the code than it is.
func instrumented() bool {
	info, _ := debug.ReadBuildInfo()
	return testing.CoverMode() != "" || info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// instructions returns how many a process takes that parses so often.
func instructions(t *testing.T, valgrind string, times int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
		os.Args[0], "-test.run", "^TestGateInstructions$")
	// Without collections and preemption, whose number differs from run to run.
	cmd.Env = append(os.Environ(), parseTimes+"="+strconv.Itoa(times), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run the test under valgrind: %v\n%s", err, out)
	}
	count := regexp.MustCompile(`I +refs: +([0-9,]+)`).FindSubmatch(out)
	if count == nil {
		t.Fatalf("valgrind counts no instructions but says\n%s", out)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(string(count[1]), ",", ""))
	if err != nil {
		t.Fatalf("read valgrind's count: %v", err)
	}
	return n
}
