package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// bench is a testing.TB outside of a test: what plays hosts for the tests of discovery plays them here, too.
type bench struct {
	testing.TB // for the method that only package testing can have; none of it is called
	ends       []func()
	failed     bool
}

// skip and failure end what do runs.
type (
	skip    string
	failure string
)

// do runs what takes a testing.TB, and then all that it left for the end. Where something is not installed, missing says what.
func do(run func(*bench)) (missing string, err error) {
	b := &bench{}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case skip:
			missing = string(p)
		case failure:
			b.failed = true
			err = fmt.Errorf("%s", string(p))
		default:
			panic(p)
		}
		for _, end := range slices.Backward(b.ends) {
			end()
		}
	}()
	run(b)
	return "", nil
}

func (b *bench) Helper()                        {}
func (b *bench) Failed() bool                   { return b.failed }
func (b *bench) Cleanup(end func())             { b.ends = append(b.ends, end) }
func (b *bench) Logf(format string, a ...any)   { fmt.Fprintf(os.Stderr, format+"\n", a...) }
func (b *bench) Fatal(a ...any)                 { panic(failure(fmt.Sprint(a...))) }
func (b *bench) Fatalf(format string, a ...any) { panic(failure(fmt.Sprintf(format, a...))) }
func (b *bench) Skip(a ...any)                  { panic(skip(fmt.Sprint(a...))) }
func (b *bench) Skipf(format string, a ...any)  { panic(skip(fmt.Sprintf(format, a...))) }

func (b *bench) TempDir() string {
	dir, err := os.MkdirTemp("", "rekeyd-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
