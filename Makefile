# The race detector needs a C compiler; without one the tests run without it.
RACE := $(shell command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 && echo -race)
SMALL := -trimpath -ldflags '-s -w' -tags nethttpomithttp2

.PHONY: demo test check lint bench build dist

demo: ## show the main job on this machine alone
	go run ./cmd/rekeyd demo

test: ## run all tests
	go test $(RACE) -timeout 10m ./...

check: lint test ## what CI runs

lint:
	@test -z "$$(go tool gofumpt -l .)" || { echo "gofumpt would change:"; go tool gofumpt -l .; exit 1; }
	go vet ./...
	go vet -tags nodemo ./cmd/rekeyd
	go tool staticcheck ./...

build: ## the binary for this machine, stripped
	CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd ./cmd/rekeyd

# Nothing here speaks HTTP/2. What goes into a router's flash has no inlining, an eighth of its size, and plays no houses.
dist: ## stripped binaries for hubs and routers
	GOOS=linux GOARCH=amd64 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-amd64 ./cmd/rekeyd
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-arm64 ./cmd/rekeyd
	GOOS=linux GOARCH=arm GOARM=6 CGO_ENABLED=0 go build $(SMALL) -o bin/rekeyd-linux-armv6 ./cmd/rekeyd
	GOOS=linux GOARCH=mipsle GOMIPS=softfloat CGO_ENABLED=0 go build $(SMALL),nodemo -gcflags=all=-l -o bin/rekeyd-linux-mipsle ./cmd/rekeyd

bench: ## measure, and print a table with the baselines beside
	go run ./cmd/rekeyd/internal/bench
