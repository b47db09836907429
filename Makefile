# Marquee's chores. `make demo` and `make test` are the two to know.

VERSION  := $(shell git describe --always --dirty --tags 2>/dev/null || echo dev)
COMMANDS := ./edge ./origin ./loadclient ./dashboard ./bench ./publish
FUZZTIME := 60s

SUBJECT  := edge

# The packages that a poll and a delivery go through, and their recorded figures.
MICRO     := . ./httpparse ./route ./fanout ./edge
RECORDED  := bench/testdata/micro.txt
BENCHSTAT := go tool benchstat -filter '.unit:(sec/op OR B/op OR allocs/op)'

.PHONY: build demo demo-100k demo-20k demo-hosts run test conformance-pushpin setup check unit race fuzz test-interop setup-interop torture soak bench bench-full bench-setup bench-micro bench-micro-record bench-main bench-streams bench-tls profile tune clean

build: ## Build the commands into bin/.
	@go build -ldflags "-X main.version=$(VERSION)" -o bin/ $(COMMANDS)

demo: build ## Three headlines to 5,000 clients on this machine; fails if one is missed.
	@bin/bench demo

demo-100k: build ## The whole of 2013 on this machine: 20 edges, 20 groups, 100,000 clients.
	@bin/bench demo-100k

demo-20k: build ## The same with a fifth of it.
	@bin/bench demo-100k -capacity 20000 -out out/demo-20k

demo-hosts: build ## On hosts of their own that fail meanwhile (needs root and iproute2).
	@bin/bench demo-hosts

run: build ## Like demo, but it stays up until Ctrl-C and says what to type.
	@bin/bench run

test: FUZZTIME := 2s
test: setup check unit race fuzz test-interop ## Everything that must hold before a change lands.

setup: ## What the tests want besides Go: a browser for the page, strace and valgrind to count what may not get worse.
	@for package in chromium strace valgrind; do \
	  command -v $$package >/dev/null || \
	    { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	      apt-get update -qq && apt-get install -qq -y --no-install-recommends $$package >/dev/null; } || \
	    echo "no $$package, and it cannot be installed here: what is tested with it is skipped"; \
	done

check: ## Formatting, vet, staticcheck.
	@test -z "$$(gofmt -l .)" || { echo "not formatted: $$(gofmt -l .)"; exit 1; }
	@go mod tidy -diff
	@go vet ./...
	@go tool staticcheck ./...

unit: build ## Unit and end-to-end tests.
	go test -p 4 ./... # they wait more than they work

# The detector takes more memory than that cgroup test gives.
race: ## The same under the race detector, but for what starts commands, which are built without it.
	go test -p 2 -race -skip '^(TestPage|TestTorture|TestSoak|TestRaceOfServers|TestMemoryOfCgroup)' \
	  $$(go list ./... | grep -vE '/(conformance|hostile|interop)$$')

# That the time was over just when an input ran is not a finding: such a target is run again.
fuzz: ## Each fuzz target for FUZZTIME.
	@for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    fuzz="go test -run ^\$$ -fuzz ^$$target\$$ -fuzztime $(FUZZTIME) $$package"; \
	    said=$$($$fuzz 2>&1) && continue; \
	    echo "$$said"; \
	    case $$said in *"Failing input"*) exit 1 ;; *"context deadline exceeded"*) $$fuzz || exit 1 ;; *) exit 1 ;; esac; \
	  done; \
	done

conformance-pushpin: ## The conformance suite against Debian's pushpin, to see that it tells the truth.
	go test -count 1 ./conformance -subject pushpin

test-interop: build setup-interop ## Other people's origin, clients and publishers against the edge, or SUBJECT=pushpin.
	go test -count 1 ./interop -subject $(SUBJECT)

setup-interop: setup ## What these want: npm packages, curl, and pushpin-publish of Pushpin, whose server is not to run.
	@for package in curl pushpin; do \
	  command -v $$package >/dev/null || \
	    { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	      apt-get update -qq && apt-get install -qq -y --no-install-recommends $$package >/dev/null && \
	      { test $$package = curl || systemctl disable -q --now pushpin zurl 2>/dev/null || true; }; } || \
	    echo "no $$package, and it cannot be installed here: what is tested with it is skipped"; \
	done
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  test interop/node/node_modules -nt interop/node/package-lock.json || npm --prefix interop/node ci --loglevel error || \
	    echo "npm cannot install the packages of interop/node: the tests of test-interop are skipped"; \
	else \
	  echo "no Node.js with npm: the tests of test-interop are skipped"; \
	fi

torture: build ## Attacks and faults at full size; fails if anything is lost.
	@mkdir -p out
	@bin/bench torture -json out/torture.json -markdown out/torture.md

soak: build ## A mixed load for half an hour: nothing may be lost, and nothing grow.
	@bin/bench soak

bench: build ## The edge side by side with the floor and with other servers, in eleven minutes; see bench-setup.
	@bin/bench race

bench-full: build ## The same in every size, five rounds: for an hour.
	@bin/bench race -full -rounds 5

bench-setup: ## What the races want besides: the servers of others, installed or built into bin/peers, and strace.
	@for package in nginx:nginx-light /usr/lib/nginx/modules/ngx_nchan_module.so:libnginx-mod-nchan pushpin:pushpin zurl:zurl strace:strace; do \
	  name=$${package#*:}; \
	  command -v $${package%:*} >/dev/null || test -e $${package%:*} || \
	    { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$name >/dev/null && \
	      { systemctl disable -q --now nginx pushpin zurl 2>/dev/null || true; }; } || \
	    echo "no $$name, and it cannot be installed here: the race goes on without it"; \
	done
	@cd bench/centrifugo && go build -o ../../bin/peers/centrifugo github.com/centrifugal/centrifugo/v5 || \
	  echo "centrifugo cannot be built: the race goes on without it"
	@cd bench/mercure && go build -o ../../bin/peers/mercure . || \
	  echo "mercure cannot be built: the race goes on without it"

bench-micro: ## Those of the hot path, six times, compared with the recorded run.
	@mkdir -p out
	go test -run '^$$' -bench . -skip '//(wildcat|nethttp)$$' -benchmem -benchtime 500ms -count 6 $(MICRO) >out/micro.txt || \
	  { cat out/micro.txt; exit 1; }
	@if test -e $(RECORDED); then \
	  $(BENCHSTAT) recorded=$(RECORDED) now=out/micro.txt; \
	else \
	  echo "$(RECORDED) is not there to compare with: make bench-micro-record makes it"; \
	  $(BENCHSTAT) out/micro.txt; \
	fi

bench-micro-record: bench-micro ## The same, and record it.
	@mkdir -p $(dir $(RECORDED))
	@cp out/micro.txt $(RECORDED)

bench-main: build ## The figures of the README, beside the floor.
	@bin/bench main

bench-streams: build ## The figures of streams, beside the floor.
	@bin/bench streams

bench-tls: build ## What TLS costs, beside clients without it.
	@bin/bench tls

profile: ## Where the time of a delivery goes: on real sockets, by function.
	go test -run '^$$' -bench ./fanout -benchtime 3s -cpuprofile cpu.prof -o marquee.test .
	go tool pprof -top -nodecount 25 marquee.test cpu.prof

tune: ## Kernel settings for many connections (needs root).
	sysctl -e -p tuning/sysctl.conf

clean: ## Remove what the above leaves behind.
	rm -rf bin out *.prof *.test
