package account_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// quickCalls are all that the account packages call while they hold a lock: none of them waits for a disk, a network or
// another goroutine.
var quickCalls = []string{
	// built in, conversions, and the standard library
	"append", "clear", "delete", "len", "make", "string", "float64", "After", "Before", "Add", "Err", "NewLimiter",
	// a token bucket of golang.org/x/time/rate
	"AllowN", "TokensAt",
	// this package's own, which call nothing else
	"Before", "hashed", "poke", "shrink",
}

// TestNoLockIsHeldAcrossIO reads the account packages. From Lock to Unlock, or to the end of the function where Unlock
// is deferred, a function calls nothing but quickCalls.
func TestNoLockIsHeldAcrossIO(t *testing.T) {
	files, locks := token.NewFileSet(), 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			var body *ast.BlockStmt
			switch n := n.(type) {
			case *ast.FuncDecl:
				body = n.Body
			case *ast.FuncLit:
				body = n.Body
			}
			if body != nil {
				for _, call := range underLock(body, &locks) {
					if name := calledName(call); !slices.Contains(quickCalls, name) {
						t.Errorf("%s: %s is called with a lock held", files.Position(call.Pos()), name)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if locks < 10 {
		t.Errorf("%d locks found: too few to be all", locks)
	}
}

// underLock returns the calls of a function between its calls of Lock and Unlock, in the order of the text. A block
// that unlocks and leaves the function does not end the lock of what stands behind it.
func underLock(body *ast.BlockStmt, locks *int) (calls []*ast.CallExpr) {
	held := false
	var walk func(n ast.Node) bool
	block := func(list []ast.Stmt) bool {
		was := held
		for _, s := range list {
			ast.Inspect(s, walk)
		}
		if len(list) > 0 && leaves(list[len(list)-1]) {
			held = was
		}
		return false
	}
	walk = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.DeferStmt: // it runs on its own; Unlock
			return false
		case *ast.BlockStmt:
			return block(n.List)
		case *ast.CallExpr:
			switch calledName(n) {
			case "Lock", "RLock":
				held = true
				*locks++
			case "Unlock", "RUnlock":
				held = false
			default:
				if held {
					calls = append(calls, n)
				}
			}
		}
		return true
	}
	block(body.List)
	return calls
}

func leaves(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}

// calledName returns the last word of what a call calls.
func calledName(call *ast.CallExpr) string {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return "a computed function"
}
