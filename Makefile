# The race detector needs a C compiler; without one the tests run without it.
RACE := $(shell command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 && echo -race)
VERSION ?= 0.1.0-dev
SMALL := -trimpath -ldflags '-s -w' -tags nethttpomithttp2

.PHONY: demo test check twice lint fuzz soak bench size build dist packages

demo: ## show the main job on this machine alone
	go run ./cmd/rekeyd demo

test: ## run all tests
	go test $(RACE) -timeout 25m ./...

check: lint test twice ## what CI runs

twice: ## run the tests of both stores with every closure of a transaction executed twice
	go test -tags twice -short -timeout 25m ./localstore/... ./cloudlink ./cloudlink/account/... ./daemon

lint:
	@test -z "$$(go tool gofumpt -l .)" || { echo "gofumpt would change:"; go tool gofumpt -l .; exit 1; }
	go vet ./...
	go vet -tags nodemo ./cmd/rekeyd
	go tool staticcheck ./...

build: ## the binary for this machine, stripped
	CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd ./cmd/rekeyd

# Nothing here speaks HTTP/2. What goes into a router's flash has no inlining, an eighth of its size, and has no demo.
dist: ## stripped binaries for hubs and routers
	GOOS=linux GOARCH=amd64 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-amd64 ./cmd/rekeyd
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-arm64 ./cmd/rekeyd
	GOOS=linux GOARCH=arm GOARM=6 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-armv6 ./cmd/rekeyd
	GOOS=linux GOARCH=mipsle GOMIPS=softfloat CGO_ENABLED=0 go build $(SMALL),nodemo -gcflags=all=-l -o bin/rekeyd-linux-mipsle ./cmd/rekeyd

packages: ## packages for Debian and OpenWrt, and archives, in bin/packages
	VERSION=$(VERSION) cmd/rekeyd/packaging/build

# Each line of the list is a fuzz target with its package. Go spends up to a minute on making one input smaller, which
# would be all the time that there is.
FUZZTIME := 1m
fuzz: ## run every fuzz target for FUZZTIME
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9]*' . | sort | sed 's|/[^/]*:func | |' | while read -r dir name; do \
		echo "$$name in $$dir"; go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$dir" || exit 1; done

# Houses in fake time for ten minutes or a thousand house-years, and 30 devices killed at each point and 500 moments.
soak: ## break houses for a long time, and count (about forty minutes)
	HOUSE_SOAK=10m go test -run 'TestSoak$$' -v -timeout 30m ./cmd/rekeyd/internal/app
	FLOOD_SOAK=1 go test -run TestTheHouseIsMovedDuringAFlood -v ./cmd/rekeyd
	CRASH_SOAK=10m go test -run TestNoDeviceIsLostWhereverAMove -v -timeout 60m ./cmd/rekeyd/internal/app

# The order is that of BENCHMARKS.md. A benchmark that waits for timers or for other programs runs once.
# Each one's output goes through tee, and bash's pipefail keeps the exit status of go test.
BENCH := go test -p 1 -run '^$$' -timeout 30m
bench: SHELL := bash
bench: .SHELLFLAGS := -o pipefail -c
bench: ## measure, and print each figure beside its baseline (about ten minutes)
	@mkdir -p bin
	$(BENCH) -bench 'Reset|SignIn|ForgotRush|Devices' -benchtime 1x -count 3 ./cmd/rekeyd/internal/app | tee bin/bench.txt
	$(BENCH) -bench 'Login|DeviceList' -benchtime 4s -count 3 ./cmd/rekeyd/internal/app | tee -a bin/bench.txt
	$(BENCH) -bench 'MatchAmongEight' -count 3 ./devices/klap | tee -a bin/bench.txt
	$(BENCH) -bench 'BindEleven' -benchtime 1x -count 3 ./devices/iot | tee -a bin/bench.txt
	$(BENCH) -bench 'Browse|Idle' -benchtime 1x ./devices/discover ./cmd/rekeyd | tee -a bin/bench.txt
	$(BENCH) -bench 'ThePage' -count 3 ./cmd/rekeyd/internal/site | tee -a bin/bench.txt
	go tool benchstat -col /by bin/bench.txt
	@$(MAKE) --no-print-directory size

size: dist ## the size of each binary
	@ls -l bin/rekeyd-linux-* | awk '{ printf "%s  %.2f MB\n", $$9, $$5/1e6 }'
