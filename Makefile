# The race detector needs a C compiler; without one the tests run without it.
RACE := $(shell command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 && echo -race)
LDFLAGS := -s -w

.PHONY: demo test check lint bench build sizes

demo: ## show the main job on this machine alone
	go run ./cmd/rekeyd demo

test: ## run all tests
	go test $(RACE) -timeout 10m ./...

check: lint test ## what CI runs

lint:
	@test -z "$$(go tool gofumpt -l .)" || { echo "gofumpt would change:"; go tool gofumpt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

build: ## the binary for this machine, stripped
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/rekeyd ./cmd/rekeyd

bench: ## measure, and print a table with the baselines beside
	go run ./cmd/rekeyd/internal/bench
