.PHONY: demo test
demo:
	go run ./cmd/rekeyd demo
test:
	go test ./...
