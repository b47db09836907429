package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"marquee/grip"
)

func TestShownSecrets(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", []string{"-origin", "a", "-share-all"}, nil},
		{"keys", []string{"-control-key", "k", "--control-token=t", "-sig-key=base64:aw==", "--upstream-key", "u"},
			[]string{"-control-key", "-control-token", "-sig-key", "-upstream-key"}},
		{"files", []string{"-control-key", "file:k", "--control-token=file:t", "-sig-key=file:k", "--upstream-key", "file:u"}, nil},
		{"empty", []string{"-control-key", "", "-control-token="}, nil},
		{"without a value", []string{"-control-key"}, nil},
		{"NATS with a password", []string{"-nats", "nats://a:1,nats://u:p@b:1"}, []string{"-nats"}},
		{"NATS with a token", []string{"-nats=nats://t@b:1"}, []string{"-nats"}},
		{"NATS without a scheme", []string{"-nats", "a:1, u:p@b:1"}, []string{"-nats"}},
		{"NATS without", []string{"-nats", "nats://a:1"}, nil},
		{"key of a route", []string{"-route", "*,sig_key=k a:1", "-route", "*,sig_key=file:k a:1"}, []string{"-route"}},
		{"key of a route in base64", []string{"-route=*,sig_iss=i,sig_key=base64:aw== a:1"}, []string{"-route"}},
		{"a flag's name for a value", []string{"-name", "control-key", "x"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := shownSecrets(tt.args); !slices.Equal(got, tt.want) {
				t.Errorf("shownSecrets(%q) = %q, want %q", tt.args, got, tt.want)
			}
		})
	}
}

// secretWord is what no output may have: all secrets of these tests have it in them.
const secretWord = "hushhush"

// Nothing that the edge says in its whole life tells a secret, be it told
// everything: at the debug level, with keys by environment and file, to those who
// have the key, to those who have another, and when it reads its routes again.
func TestOutputTellsNoSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	origin := serve(t, http.HandlerFunc(hi))
	routes := filepath.Join(dir, "routes")
	good := "*,sig_key=" + secretWord + "-route " + origin + "\n"
	writeRoutes(t, routes, good)
	token := write("token", secretWord+"-token\n")
	t.Setenv("MARQUEE_EDGE_CONTROL_KEY", secretWord+"-control")
	t.Setenv("MARQUEE_EDGE_SIG_KEY", secretWord+"-sig")
	clean := write("edge.conf", "upstream-key "+secretWord+"-upstream\n")
	p := startCommand(t, exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-format", "json",
		"-routes", routes, "-control-token", "file:"+token, "-config", clean, "-log-level", "debug",
		"-access-log", filepath.Join(dir, "access.log")))

	for _, auth := range []string{
		"Bearer " + secretWord + "-token", "Bearer " + secretWord + "-wrong", "Digest " + secretWord, grip.BasicAuth("u", secretWord+"-token"),
		grip.BasicAuth(secretWord, secretWord), "",
	} {
		for _, path := range []string{"/publish/", "/holds", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/x?" + secretWord} {
			req, err := http.NewRequest("GET", p.control+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if auth != "" {
				req.Header.Set("Authorization", auth)
			}
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if bytes.Contains(body, []byte(secretWord)) {
				t.Errorf("%s with Authorization %q: the answer tells a secret: %s", path, auth, body)
			}
		}
	}
	c := p.dial()
	c.get("/?token="+secretWord, "Grip-Sig: "+secretWord, "Authorization: Bearer "+secretWord, "Cookie: a="+secretWord)
	c.wantStatus(200)
	c.leave()
	writeRoutes(t, routes, "*,sig_key=base64:"+secretWord+"% "+origin+"\n")
	p.waitLog("the old ones stay", "sig_key")
	writeRoutes(t, routes, "*,sig_kez="+secretWord+" "+origin+"\n"+"*,id=b "+origin+",sig_key="+secretWord+"\n*,id=c,sig_key="+secretWord+"\n")
	p.waitLog("old routes stay", `"line":2`)
	writeRoutes(t, routes, good)
	p.waitLog("routes loaded")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := await(t, p.exitCh, "the end of the process"); err != nil {
		t.Error(err)
	}
	access, err := os.ReadFile(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"log": p.log.String(), "access log": string(access)} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secretWord) {
				t.Errorf("the %s tells a secret: %s", what, line)
			}
		}
	}
	if strings.Contains(p.log.String(), "on the command line") {
		t.Error("it warns of the command line, which has no secret")
	}
}

// A secret on the command line is warned of, with a better way, and is not told;
// nor is it when it is wrong.
func TestCommandLineSecrets(t *testing.T) {
	clearEnv(t)
	p := startProcess(t, serve(t, http.HandlerFunc(hi)), "-control-key", secretWord, "-control-token="+secretWord, "-sig-key", secretWord)
	for _, name := range []string{"control-key", "control-token", "sig-key"} {
		p.waitLog("a secret on the command line", `"flag":"-`+name+`"`, "file:PATH", "MARQUEE_EDGE_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	if log := p.log.String(); strings.Contains(log, secretWord) {
		t.Errorf("the log tells a secret:\n%s", log)
	}

	bad := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(bad, []byte("no key: "+secretWord), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(conf, []byte("control-kez "+secretWord+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-control-key", "base64:" + secretWord + "%"}, {"-control-key", "file:" + bad},
		{"-control-token", "a " + secretWord}, {"-control-token", "file:" + bad},
		{"-sig-key", "base64:" + secretWord + "%"}, {"-sig-key", "file:" + bad},
		{"-upstream-key", "base64:" + secretWord + "%"}, {"-upstream-key", "file:" + bad},
		{"-nats", "nats://u:" + secretWord + "@"}, {"-nats", "nats://u:" + secretWord + "%zz@h:1"}, {"-nats", "://u:" + secretWord + "@h"},
		{"-route", "*,sig_key=base64:" + secretWord + "% a:1", "-origin", ""}, {"-route", "*,sig_kez=" + secretWord + " a:1", "-origin", ""},
		{"-config", conf},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-origin", "a:1", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0"}, args...)...)
		cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1")
		out, _ := cmd.CombinedOutput()
		cancel()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("edge %q ended with status %d, want 1: %s", args, code, out)
		}
		if bytes.Contains(out, []byte(secretWord)) {
			t.Errorf("edge %q: the message tells the secret: %s", args, out)
		}
	}
}

// While NATS is not there, its password is not told.
func TestNATSPasswordIsNotTold(t *testing.T) {
	clearEnv(t)
	var log edgeLog
	cmd := exec.Command(os.Args[0], "-origin", "a:1", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-level", "debug",
		"-log-format", "json", "-nats", "nats://user:"+secretWord+"@127.0.0.1:1,nats://"+secretWord+"@127.0.0.1:1")
	cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !strings.Contains(log.String(), "nats not reached") {
			return fmt.Errorf("it does not say that NATS is not reached: %s", &log)
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if strings.Contains(log.String(), secretWord) {
		t.Errorf("the log tells the password:\n%s", &log)
	}
	if !strings.Contains(log.String(), `"flag":"-nats"`) {
		t.Errorf("the password on the command line is not warned of:\n%s", &log)
	}
}
